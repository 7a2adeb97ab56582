"""The table of a sweep: a row for each setting on all levels, and for each setting on each group of optimal length."""

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int64

from drc_lab.evaluation.kinds.registry import kind_named
from drc_lab.evaluation.measures.criterion import RETURNS, SOLVED, Criterion, criterion_of
from drc_lab.evaluation.play.records import SETTING, SUBJECT, baseline_of
from drc_lab.evaluation.stats.intervals import mean_interval, paired_difference, rate_interval
from drc_lab.evaluation.stats.significance import holm, paired_t_test, paired_test


@dataclass(frozen=True)
class Row:
    """A line of thinking.csv: one setting on the levels of one optimal length ("all" for all levels).

    Attributes:
        kind, amount: the setting, see `drc_lab.evaluation.kinds.kind.Setting`.
        optimal: name of the group of levels, see `groups`.
        levels: number of levels in it.
        solve_rate, low, high: with its interval. If the env does not report success, ``solve_rate`` is nan and all
            fields from ``low`` to ``p_adjusted`` are about the return: ``helped`` and ``hurt`` count levels with a
            higher and a lower return, and the test is the paired t test.
        difference, difference_low, difference_high: solve rate minus that of the baseline policy on the same levels,
            with its paired interval.
        helped, hurt: numbers of levels solved only with the setting, and only by the baseline policy.
        p_value: of McNemar's exact test of these two; nan for the baseline policy.
        p_adjusted: after Holm's correction for all settings of thinking; nan for other rows, such as those of controls
            and of single optimal lengths.
        mean_length, mean_return, mean_ticks: means over levels; ticks of all passes.
        checkpoint, seed, frames: the policy, if there are several.
    """

    kind: str
    amount: float
    optimal: str
    levels: int
    solve_rate: float
    low: float
    high: float
    difference: float
    difference_low: float
    difference_high: float
    helped: int
    hurt: int
    p_value: float
    p_adjusted: float
    mean_length: float
    mean_return: float
    mean_ticks: float
    checkpoint: str = ""
    seed: int = -1
    frames: int = -1

    @property
    def criterion(self) -> Criterion:
        return RETURNS if math.isnan(self.solve_rate) else SOLVED

    @property
    def value(self) -> float:
        """The mean of the criterion over the levels."""
        return self.solve_rate if self.criterion.is_rate else self.mean_return

    @property
    def is_control(self) -> bool:
        return kind_named(self.kind).is_control

    @property
    def is_thinking(self) -> bool:
        """Whether it compares a setting of thinking with the baseline policy, over all levels."""
        return self.optimal == "all" and kind_named(self.kind).adds_thinking and not math.isnan(self.p_value)


def table(records: pd.DataFrame, confidence: float = 0.95, by_length: bool = True) -> list[Row]:
    """The rows of all settings, separately for each checkpoint.

    Args:
        records: of one or several checkpoints, see `drc_lab.evaluation.play.records`.
        confidence: of the intervals.
        by_length: whether to add rows for each group of optimal length to those over all levels.
    """
    if SUBJECT[0] not in records:
        return _adjusted(_rows(records, confidence, by_length))
    rows: list[Row] = []
    for (checkpoint, seed, frames), of_subject in records.groupby(SUBJECT, sort=False):
        of_one = _adjusted(_rows(of_subject, confidence, by_length))
        rows += [replace(row, checkpoint=str(checkpoint), seed=int(seed), frames=int(frames)) for row in of_one]
    return rows


def frame_of(rows: Sequence[Row]) -> pd.DataFrame:
    """The table as a data frame with the columns of thinking.csv."""
    return pd.DataFrame([asdict(row) for row in rows], columns=[field.name for field in fields(Row)])


def _rows(records: pd.DataFrame, confidence: float, by_length: bool) -> list[Row]:
    settings = dict(list(records.groupby(SETTING, sort=False)))
    baseline, criterion = baseline_of(records), criterion_of(records)
    rows = []
    for (kind, amount), played in settings.items():
        assert (played["level"].to_numpy() == baseline["level"].to_numpy()).all(), "settings on different levels"
        everything = {"all": np.ones(len(played), bool)}
        for name, chosen in (groups(played["optimal"].to_numpy()) if by_length else everything).items():
            here, there = played[chosen], baseline[criterion.column].to_numpy()[chosen]
            values = here[criterion.column].to_numpy()
            low, high = (rate_interval if criterion.is_rate else mean_interval)(values, confidence)
            difference_low, difference_high = paired_difference(values, there, confidence)
            helped, hurt, p_value = (paired_test if criterion.is_rate else paired_t_test)(values, there)
            rows.append(
                Row(
                    kind=str(kind),
                    amount=float(amount),
                    optimal=name,
                    levels=len(here),
                    solve_rate=float(values.mean()) if criterion.is_rate else math.nan,
                    low=low,
                    high=high,
                    difference=(helped - hurt) / len(here) if criterion.is_rate else float((values - there).mean()),
                    difference_low=difference_low,
                    difference_high=difference_high,
                    helped=helped,
                    hurt=hurt,
                    p_value=math.nan if played["baseline"].iloc[0] else p_value,
                    p_adjusted=math.nan,
                    mean_length=float(here["length"].mean()),
                    mean_return=float(here["return"].mean()),
                    mean_ticks=float(here["ticks"].mean()),
                )
            )
    return rows


def _adjusted(rows: list[Row]) -> list[Row]:
    """The rows with ``p_adjusted``. All settings of thinking form one family of tests; controls do not belong to it."""
    adjusted = holm([row.p_value if row.is_thinking else math.nan for row in rows])
    return [replace(row, p_adjusted=float(p)) for row, p in zip(rows, adjusted, strict=True)]


def groups(optimal: Int64[np.ndarray, "N"], longest: int = 10) -> dict[str, Bool[np.ndarray, "N"]]:
    """Masks of levels by optimal length; only of groups that have levels.

    The groups are "all", then "1", "2", ... up to ``longest`` - 1, then "10+" for ``longest`` 10, then "unknown".
    """
    masks = {"all": np.ones(len(optimal), bool)}
    masks |= {str(k): optimal == k for k in range(1, longest)}
    masks |= {f"{longest}+": optimal >= longest, "unknown": optimal < 0}
    return {name: mask for name, mask in masks.items() if mask.any()}
