"""Records of evaluations made by hand."""

import numpy as np
import pandas as pd

OPTIMAL = np.array([1, 1, 2, 2, 3, 12, -1, 2])


def setting(kind, amount, solved, baseline=False):
    """Records of eight levels; unsolved ones go round in a cycle of two steps."""
    solved = np.array(solved, bool)
    return pd.DataFrame({
        "kind": kind, "amount": float(amount), "baseline": baseline, "level": np.arange(8), "optimal": OPTIMAL,
        "solved": solved, "length": np.where(solved, 3, 20), "return": np.where(solved, 0.97, -0.2),
        "passes": int(amount), "ticks": np.where(solved, 9, 60), "cycles": np.where(solved, 0, 9),
        "cycle_steps": np.where(solved, 0, 18), "cycle_start": -1, "cycle_length": 2,
    })  # fmt: skip


def records():
    return pd.concat(
        [
            setting("first_passes", 0, [1, 1, 1, 0, 0, 0, 0, 0], baseline=True),
            setting("first_passes", 4, [1, 1, 1, 1, 1, 0, 0, 0]),
            setting("passes_at_3", 2, [1, 0, 1, 1, 0, 0, 0, 0]),
            setting("repeats", 3, [1, 1, 1, 0, 0, 0, 0, 0], baseline=True),
            setting("repeats", 6, [0, 1, 1, 0, 0, 0, 0, 0]),
            setting("cycle_noops", 1, [1, 1, 1, 0, 0, 1, 0, 0]),
            setting("adaptive", 0.01, [1, 1, 1, 0, 0, 0, 0, 0]),
            setting("random", 0, [1, 0, 0, 0, 0, 0, 1, 0]),
        ],
        ignore_index=True,
    )
