"""Tests of whether two ways to play differ on the same levels by more than chance, for one comparison or many."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests


class Paired(NamedTuple):
    """A paired comparison of a setting with a baseline on the same levels.

    Attributes:
        helped: number of levels solved only with the setting; for returns, levels with a higher return.
        hurt: number of levels solved only by the baseline; for returns, levels with a lower return.
        p_value: two-sided, of McNemar's test; for returns, of the paired t test.
    """

    helped: int
    hurt: int
    p_value: float


def paired_test(solved: Bool[np.ndarray, "N"], baseline: Bool[np.ndarray, "N"]) -> Paired:
    """McNemar's exact test (Psychometrika 1947): of the levels that only one of the two solves, does each solve half?

    Args:
        solved, baseline: on the same levels.
    """
    helped, hurt = int((solved & ~baseline).sum()), int((~solved & baseline).sum())
    both, neither = int((solved & baseline).sum()), int((~solved & ~baseline).sum())
    return Paired(helped, hurt, float(mcnemar([[both, helped], [hurt, neither]], exact=True).pvalue))


def paired_t_test(returns: Float[np.ndarray, "N"], baseline: Float[np.ndarray, "N"]) -> Paired:
    """Student's paired t test of returns, two-sided.

    If the difference is the same on all levels, its standard error is 0 and the exact sign test is used instead.

    Args:
        returns, baseline: on the same levels.
    """
    difference = returns - baseline
    helped, hurt = int((difference > 0).sum()), int((difference < 0).sum())
    if np.ptp(difference) == 0:
        return Paired(helped, hurt, float(stats.binomtest(helped, helped + hurt).pvalue) if helped + hurt else 1.0)
    return Paired(helped, hurt, float(stats.ttest_1samp(difference, 0).pvalue))


def holm(p_values: Sequence[float] | Float[np.ndarray, "N"]) -> Float[np.ndarray, "N"]:
    """Holm's adjusted p-values (1979); nan stays nan and does not count as a comparison.

    If every test with an adjusted p-value of at most alpha is called significant, the probability of one or more false
    positives is at most alpha, whatever the dependence between the tests.
    """
    adjusted = np.array(p_values, float)
    tested = ~np.isnan(adjusted)
    if tested.any():
        adjusted[tested] = multipletests(adjusted[tested], method="holm")[1]
    return adjusted


def is_clear(p_adjusted: Any, confidence: float) -> Any:
    """Whether a p-value after Holm's correction, or each of an array, is at most 1 - ``confidence``; nan never is.

    This is what all tables, sentences and pictures call clear.
    """
    return p_adjusted <= 1 - confidence


def verdict(difference: float, p_adjusted: float, confidence: float) -> str:
    """ "helps" or "hurts" if a difference is clear, see `is_clear`; otherwise ""."""
    if not is_clear(p_adjusted, confidence):
        return ""
    return "helps" if difference > 0 else "hurts"
