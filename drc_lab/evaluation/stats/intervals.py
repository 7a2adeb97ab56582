"""Confidence intervals of solve rates and returns, and of their differences on the same levels."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Real, Shaped
from scipy import stats

RESAMPLES = 2000
BATCH = 200  # resamples that are in memory at once


class Interval(NamedTuple):
    low: float
    high: float


UNKNOWN = Interval(float("nan"), float("nan"))


def mean_interval(values: Real[np.ndarray, "N"], confidence: float = 0.95) -> Interval:
    """Student's t interval of the mean of ``values``, ignoring nan; UNKNOWN for fewer than two numbers."""
    values = values[~np.isnan(values)]
    if len(values) < 2:
        return UNKNOWN
    half = stats.sem(values) * stats.t.ppf((1 + confidence) / 2, len(values) - 1)
    return Interval(float(values.mean() - half), float(values.mean() + half))


def mean_intervals(values: Float[np.ndarray, "N K"], confidence: float = 0.95) -> Float[np.ndarray, "2 K"]:
    """`mean_interval` of each column of ``values``: the lower ends and the upper ends."""
    return np.array([mean_interval(column, confidence) for column in values.T]).reshape(-1, 2).T


def bootstrap_interval(
    statistic: Callable[..., Any], *samples: Shaped[np.ndarray, "N"], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile-bootstrap interval of a statistic of levels (or of seeds), which are resampled with replacement.

    Args:
        statistic: takes the samples, [..., N] each, and ``axis``, the axis of N; returns the statistic, [...].
        samples: N is at least 2. They belong together, entry by entry, and are resampled together.
        confidence: of the interval.
        seed: of the resampling.
    """
    result = stats.bootstrap(
        samples,
        statistic,
        paired=True,
        vectorized=True,
        confidence_level=confidence,
        n_resamples=RESAMPLES,
        method="percentile",
        batch=BATCH,
        rng=np.random.default_rng(seed),
    )
    return Interval(float(result.confidence_interval.low), float(result.confidence_interval.high))


def ratio_interval(
    part: Shaped[np.ndarray, "N"], whole: Shaped[np.ndarray, "N"], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile-bootstrap interval of sum(part) / sum(whole), of one value per level.

    The bootstrap resamples levels rather than moves, because moves on the same level are not independent. Levels with
    ``whole`` 0 are left out; UNKNOWN for fewer than two others.
    """
    kept = whole > 0
    part, whole = part[kept].astype(float), whole[kept].astype(float)
    if len(part) < 2:
        return UNKNOWN
    if np.all(part * whole[0] == whole * part[0]):
        return Interval(float(part[0] / whole[0]), float(part[0] / whole[0]))
    return bootstrap_interval(
        lambda p, w, axis: p.sum(axis) / w.sum(axis), part, whole, confidence=confidence, seed=seed
    )


def rate_interval(solved: Bool[np.ndarray, "N"], confidence: float = 0.95) -> Interval:
    """Wilson's interval of a solve rate."""
    ci = stats.binomtest(int(solved.sum()), len(solved)).proportion_ci(confidence, method="wilson")
    return Interval(float(ci.low), float(ci.high))


def paired_difference(
    values: Shaped[np.ndarray, "N"], baseline: Shaped[np.ndarray, "N"], confidence: float = 0.95, seed: int = 0
) -> Interval:
    """Percentile-bootstrap interval over levels of mean(values) - mean(baseline).

    Args:
        values, baseline: on the same levels: bools (solved) or returns.
        confidence: of the interval.
        seed: of the resampling.
    """
    difference = values.astype(float) - baseline.astype(float)
    if np.all(difference == difference[0]):
        return Interval(float(difference[0]), float(difference[0]))
    return bootstrap_interval(np.mean, difference, confidence=confidence, seed=seed)
