"""The bootstrap over levels of scores that are computed from sums over levels, such as the F1 of a confusion matrix.

It is that of `drc_lab.evaluation.stats.intervals.bootstrap_interval`, as one product of matrices: hundreds of probes
share the same resamples, so that any two of their scores can be compared, and none of them gathers its rows anew.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float, Shaped
from scipy.stats import norm

from drc_lab.evaluation.stats.intervals import RESAMPLES, Interval


class OverLevels:
    """A score and its bootstrap distribution. Whole levels are resampled, as the rows of a level are correlated.

    Args:
        sums: for each level the statistics that add up over levels, such as confusion matrices.
        score: computes scores from summed statistics, [R, ...] -> [R] or [...] -> a number.
        draws: how often each level is in each resample; the same for all scores that are compared.
    """

    def __init__(
        self, sums: Shaped[np.ndarray, "N *sums"], score: Callable[[np.ndarray], Any], draws: Float[np.ndarray, "R N"]
    ):
        self.value = float(score(sums.sum(0)))
        flat = sums.reshape(len(sums), -1).astype(np.float64)
        self.resampled = score((draws @ flat).reshape(len(draws), *sums.shape[1:]))  # (R,)

    def interval(self, confidence: float = 0.95) -> Interval:
        low, high = np.quantile(self.resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
        return Interval(float(low), float(high))

    def beats(self, other: "OverLevels") -> float:
        """Returns the one-sided p-value of the hypothesis that this score is no better than another on the same levels,
        from a normal distribution with the bootstrap's standard deviation of the difference."""
        difference, spread = self.value - other.value, float((self.resampled - other.resampled).std())
        if spread == 0:
            return 1.0 if difference <= 0 else 0.0
        return float(norm.sf(difference / spread))


def draws_of(levels: int, seed: int = 0, resamples: int = RESAMPLES) -> Float[np.ndarray, "{resamples} {levels}"]:
    """Draws bootstrap resamples of levels; returns how often each level is in each of them."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(levels, np.full(levels, 1 / levels), size=resamples).astype(np.float64)
