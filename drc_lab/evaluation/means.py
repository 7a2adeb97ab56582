"""Means over the levels that a policy has played, each with its interval."""

import numpy as np
import pandas as pd

from drc_lab.evaluation.measures.measure import measure_of
from drc_lab.evaluation.stats.intervals import mean_interval, rate_interval


def metrics(played: pd.DataFrame, confidence: float = 0.95) -> dict[str, float]:
    """Of the records of one setting: solve_rate, return, length, thinks and optimality_gap, each also with the ends of
    its interval, NAME_low and NAME_high.

    Those that nothing is known of are left out: the solve rate, where the env says no success; steps beyond the
    optimum, where no optimum is known.
    """
    length, optimal, found = played["length"].to_numpy(), played["optimal"].to_numpy(), {}
    measured = {"return": played["return"].to_numpy(), "length": length}
    if "thinks" in played:
        measured["thinks"] = played["thinks"].to_numpy()
    if measure_of(played).is_rate:
        solved = played["solved"].to_numpy()
        found["solve_rate"] = (solved.mean(), *rate_interval(solved, confidence))
        measured["optimality_gap"] = (length - optimal)[solved & (optimal >= 0)]
    for name, values in measured.items():
        if len(values):
            found[name] = (np.mean(values), *mean_interval(values, confidence))
    return {name + end: float(x) for name, all_three in found.items()
            for end, x in zip(("", "_low", "_high"), all_three, strict=True) if not np.isnan(x)}  # fmt: skip
