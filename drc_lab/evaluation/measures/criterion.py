"""What policies are judged by: the solve rate if the env reports success, otherwise the return."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

SOLVE_RATE, RETURN = "solve_rate", "return"  # names of metrics


@dataclass(frozen=True)
class Criterion:
    """What a policy is judged by on each level, and its names in tables, plots and sentences.

    Args:
        metric: name of its mean over levels.
        column: of the records.
        means: phrase for its means over levels, for use in a sentence.
        scale: factor for numbers that are shown: 100 for shares, which are shown in percent.
        unit: of a difference, as shown.
    """

    metric: str
    column: str
    means: str
    scale: float
    unit: str

    @property
    def is_rate(self) -> bool:
        return self.metric == SOLVE_RATE


SOLVED = Criterion(SOLVE_RATE, "solved", "solve rates", 100, "points")
RETURNS = Criterion(RETURN, "return", "mean returns", 1, "of return")
CRITERIA: Mapping[str, Criterion] = {criterion.metric: criterion for criterion in (SOLVED, RETURNS)}


def criterion_of(records: Any) -> Criterion:
    """The criterion of records, or of any table or mapping with their column names.

    Records have no column ``solved`` if the env does not report success.
    """
    return SOLVED if SOLVED.column in records else RETURNS


def judged_by(metrics: Collection[str], prefix: str = "") -> str:
    """The name of the metric by which a policy is judged: the solve rate if it is there, otherwise the return.

    Args:
        metrics: names of the metrics that there are.
        prefix: of the names, for example "valid/".
    """
    rate = prefix + SOLVE_RATE
    return rate if rate in metrics else prefix + RETURN
