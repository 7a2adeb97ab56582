"""Whether two ways to play differ on the same levels by more than chance, one comparison or many."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests


class Paired(NamedTuple):
    """A paired comparison: levels solved only with a setting, only without, and McNemar's two-sided p-value; of returns
    the levels with a higher and a lower one, and the t test's."""

    helped: int
    hurt: int
    p_value: float


def paired_test(solved: np.ndarray, baseline: np.ndarray) -> Paired:
    """McNemar's exact test (Biometrika 1947): of the levels on which the two differ, are as many helped as hurt?

    Args:
        solved, baseline: bool [N], on the same levels.
    """
    helped, hurt = int((solved & ~baseline).sum()), int((~solved & baseline).sum())
    both, neither = int((solved & baseline).sum()), int((~solved & ~baseline).sum())
    return Paired(helped, hurt, float(mcnemar([[both, helped], [hurt, neither]], exact=True).pvalue))


def paired_t_test(returns: np.ndarray, baseline: np.ndarray) -> Paired:
    """Student's paired t test of returns, two-sided. Where all levels differ by the same, which leaves it no spread to
    go by, the exact sign test.

    Args:
        returns, baseline: float [N], on the same levels.
    """
    difference = returns - baseline
    helped, hurt = int((difference > 0).sum()), int((difference < 0).sum())
    if np.ptp(difference) == 0:
        return Paired(helped, hurt, float(stats.binomtest(helped, helped + hurt).pvalue) if helped + hurt else 1.0)
    return Paired(helped, hurt, float(stats.ttest_1samp(difference, 0).pvalue))


def holm(p_values: Sequence[float] | np.ndarray) -> np.ndarray:
    """Holm's adjusted p-values (1979), float [N]; nan stays nan, and counts for none of the comparisons.

    Below alpha, all at once: the chance of one false finding or more is at most alpha, however the tests depend on
    each other.
    """
    adjusted = np.array(p_values, float)
    tested = ~np.isnan(adjusted)
    if tested.any():
        adjusted[tested] = multipletests(adjusted[tested], method="holm")[1]
    return adjusted
