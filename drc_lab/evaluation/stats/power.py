"""How many levels a comparison needs: the power of McNemar's exact test on paired levels.

McNemar's test uses only the levels that exactly one of the two settings solves, and these are few. Its power therefore
depends on the share of levels that differ, which is not known before a run: it is assumed beforehand and measured by
the run. The power is computed exactly; the approximation of Connor (Biometrics 43, 1987) is close to it.
"""

import math

import numpy as np
import pandas as pd
from scipy import optimize, stats

from drc_lab.evaluation.measures.finding import Finding

DIFFERING = (0.02, 0.05, 0.1, 0.2)  # typical shares of levels that only one of two settings solves
GAINS = (0.01, 0.02, 0.05)  # of the solve rate
NEGLIGIBLE = 1e-9  # probability that a sum may leave out


def power_of(levels: int, gain: float, differing: float, alpha: float = 0.05) -> float:
    """The probability that McNemar's two-sided test is significant.

    Args:
        levels: number of paired levels, drawn at random.
        gain: true difference between the solve rates.
        differing: true share of levels that only one of the two settings solves; at least ``gain``.
        alpha: significance level of the test.
    """
    assert abs(gain) <= differing <= 1
    of_levels = stats.binom(levels, differing)
    count = np.arange(of_levels.ppf(NEGLIGIBLE), of_levels.isf(NEGLIGIBLE) + 1)  # levels that differ, float [K]
    # The test is significant if at most this many of them helped, or at most this many hurt; -1 if it never is.
    few = stats.binom.ppf(alpha / 2, count, 0.5)
    few -= stats.binom.cdf(few, count, 0.5) > alpha / 2
    helps = (1 + gain / differing) / 2 if differing else 0.5  # probability that a level that differs is helped
    significant = stats.binom.cdf(few, count, helps) + stats.binom.sf(count - few - 1, count, helps)
    return float((of_levels.pmf(count) * np.where(few < 0, 0, significant)).sum())


def levels_needed(gain: float, differing: float, power: float = 0.8, alpha: float = 0.05) -> int:
    """The smallest number of paired levels at which the test finds a gain with that power; see `power_of`."""
    low, high = 0, 1
    while power_of(high, gain, differing, alpha) < power:
        low, high = high, 2 * high
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if power_of(middle, gain, differing, alpha) >= power else (middle, high)
    return high


def detectable_gain(levels: int, differing: float, power: float = 0.8, alpha: float = 0.05) -> float:
    """The smallest gain that the test finds with that power; nan if too few levels differ to find any."""
    if differing <= 0 or power_of(levels, differing, differing, alpha) < power:
        return math.nan
    if power_of(levels, 0, differing, alpha) >= power:
        return 0.0
    return float(
        optimize.brentq(lambda gain: power_of(levels, gain, differing, alpha) - power, 0, differing, xtol=1e-5)
    )


def plan(levels: int, settings: int, power: float = 0.8, confidence: float = 0.95) -> Finding:
    """Which gains a run will be able to detect, computed before it for some assumed shares of levels that differ.

    Args:
        levels: number of levels that every setting is played on.
        settings: number of settings of thinking, for the correction for multiple tests.
        power: probability of finding a gain.
        confidence: 1 - alpha of the tests.
    """
    alpha = 1 - confidence
    table = pd.DataFrame(
        {
            "differing": share,
            "smallest_gain": detectable_gain(levels, share, power, alpha),
            "corrected": detectable_gain(levels, share, power, alpha / max(1, settings)),
            **{
                f"levels_for_{100 * gain:g}_points": levels_needed(gain, share, power, alpha)
                for gain in GAINS
                if gain <= share
            },
        }
        for share in DIFFERING
    )
    text = (
        f"For shares of levels that may change: before a run nobody knows them. differing: share of levels that only "
        f"one of two settings solves. smallest_gain: of the solve rate, found "
        f"on {levels:,} levels with {power:.0%} power at {confidence:.0%} confidence; corrected: after the correction "
        f"for {settings} settings. levels_for: how many levels other gains need, without it."
    )
    return Finding(
        "power", "Before it was played: which gains can so many levels show?", text, table, in_terminal=False
    )


def in_words(levels: int, settings: int, power: float = 0.8, confidence: float = 0.95) -> str:
    """The result of `plan` as one sentence, to be shown before a long run."""
    table = plan(levels, settings, power, confidence).table.dropna(subset="smallest_gain")
    if table.empty:
        return f"{levels:,} levels are too few to show any gain with {power:.0%} power"
    first, *others = (f"{100 * row.smallest_gain:.1f}" for row in table.itertuples())
    shares = [f"{share:.0%}" for share in table["differing"]]
    more = "".join(f", {gain} if {share}" for gain, share in zip(others, shares[1:], strict=True))
    return (
        f"{levels:,} levels show gains of {first} points and more with {power:.0%} power if at most {shares[0]} of "
        f"the levels change{more}"
    )
