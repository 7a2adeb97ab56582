"""Means over the levels that a policy has played, each with its confidence interval."""

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.criterion import criterion_of
from drc_lab.evaluation.stats.intervals import mean_interval, rate_interval


def metrics(played: pd.DataFrame, confidence: float = 0.95) -> dict[str, float]:
    """Means of one setting: ``solve_rate``, ``return``, ``length``, ``thinks`` and ``optimality_gap``.

    Each has the ends of its interval beside it, as NAME_low and NAME_high. Metrics that cannot be computed are left
    out: the solve rate and the gap if the env does not report success, the gap if no solved level has a known optimum,
    the thinks if the env has no action "think".

    Args:
        played: records of one setting, see `drc_lab.evaluation.play.records`.
        confidence: of the intervals.
    """
    length, optimal, means = played["length"].to_numpy(), played["optimal"].to_numpy(), {}
    measured = {"return": played["return"].to_numpy(), "length": length}
    if "thinks" in played:
        measured["thinks"] = played["thinks"].to_numpy()
    if criterion_of(played).is_rate:
        solved = played["solved"].to_numpy()
        means["solve_rate"] = (solved.mean(), *rate_interval(solved, confidence))
        measured["optimality_gap"] = (length - optimal)[solved & (optimal >= 0)]
    for name, values in measured.items():
        if len(values):
            means[name] = (np.mean(values), *mean_interval(values, confidence))
    return {
        name + end: float(x)
        for name, all_three in means.items()
        for end, x in zip(("", "_low", "_high"), all_three, strict=True)
        if not np.isnan(x)
    }
