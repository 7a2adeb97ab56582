"""The sweep's table: a row for each setting on all levels, and on those of one optimal length."""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from drc_lab.evaluation.intervals import paired_difference, rate_interval
from drc_lab.evaluation.records import SETTING


@dataclass(frozen=True)
class Row:
    """A line of thinking.csv: one setting on the levels of one optimal length ("all" for all of them).

    difference: solve rate minus that of the policy without extra thinking on the same levels, with its paired interval.
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
    mean_length: float
    mean_return: float
    mean_ticks: float


def table(records: pd.DataFrame, confidence: float = 0.95, by_length: bool = True) -> list[Row]:
    """All settings, also by optimal length; see `drc_lab.evaluation.records`."""
    settings = dict(list(records.groupby(SETTING, sort=False)))
    baseline = next(played for played in settings.values() if played["baseline"].iloc[0])
    rows = []
    for (kind, amount), played in settings.items():
        assert (played["level"].to_numpy() == baseline["level"].to_numpy()).all(), "settings on different levels"
        everything = {"all": np.ones(len(played), bool)}
        for name, chosen in (groups(played["optimal"].to_numpy()) if by_length else everything).items():
            here, there = played[chosen], baseline["solved"].to_numpy()[chosen]
            solved = here["solved"].to_numpy()
            difference = paired_difference(solved, there, confidence)
            rows.append(Row(str(kind), float(amount), name, len(here), float(solved.mean()),
                            *rate_interval(solved, confidence), float(solved.mean() - there.mean()), *difference,
                            float(here["length"].mean()), float(here["return"].mean()),
                            float(here["ticks"].mean())))  # fmt: skip
    return rows


def groups(optimal: np.ndarray, longest: int = 10) -> dict[str, np.ndarray]:
    """Levels by optimal length: "all", "1", "2", ..., then "10+"; only groups that have levels. Masks bool [N]."""
    masks = {"all": np.ones(len(optimal), bool)}
    masks |= {str(k): optimal == k for k in range(1, longest)}
    masks |= {f"{longest}+": optimal >= longest, "unknown": optimal < 0}
    return {name: mask for name, mask in masks.items() if mask.any()}
