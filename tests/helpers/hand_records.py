"""Records written by hand, for the tests of what is made of them."""

import numpy as np
import pandas as pd


def records(settings, optimal, **subject):
    """Records of settings: (kind, amount, baseline) -> solved [N], or that and ticks of extra passes."""
    parts = []
    for (kind, amount, baseline), played in settings.items():
        solved, thinking = played if isinstance(played, tuple) else (played, 0)
        solved, optimal = np.array(solved, bool), np.array(optimal)
        length = np.where(solved, 2, 20)
        parts.append(
            pd.DataFrame(
                {"kind": kind, "amount": float(amount), "baseline": baseline, "level": np.arange(len(solved)),
                 "optimal": optimal, "solved": solved, "length": length, "return": np.where(solved, 0.98, -0.2),
                 "passes": 0, "ticks": 3 * length + np.array(thinking), **subject}
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)
