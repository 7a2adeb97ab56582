"""What players are judged by: the levels they solve, where the env says which ones are solved, or else their return."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

SOLVE_RATE, RETURN = "solve_rate", "return"  # as metrics call them


@dataclass(frozen=True)
class Measure:
    """A measure, and its words in tables, plots and sentences.

    Args:
        metric: what its mean over levels is called.
        column: of the records.
        means: its means over levels, in a sentence.
        scale: of numbers that are shown: shares are shown in percent.
        unit: of a difference.
    """

    metric: str
    column: str
    means: str
    scale: float
    unit: str

    @property
    def is_rate(self) -> bool:
        return self.metric == SOLVE_RATE


SOLVED = Measure(SOLVE_RATE, "solved", "solve rates", 100, "points")
RETURNS = Measure(RETURN, "return", "mean returns", 1, "of return")
MEASURES: Mapping[str, Measure] = {measure.metric: measure for measure in (SOLVED, RETURNS)}


def measure_of(records: Any) -> Measure:
    """Of records (or any table or mapping by column): they have no column ``solved`` where the env says no success."""
    return SOLVED if SOLVED.column in records else RETURNS


def judged_by(metrics: Collection[str], prefix: str = "") -> str:
    """Of metrics, by name, the one that says how good a policy is.

    Args:
        prefix: of the names: "valid/", say.
    """
    rate = prefix + SOLVE_RATE
    return rate if rate in metrics else prefix + RETURN
