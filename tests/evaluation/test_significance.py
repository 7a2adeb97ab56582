"""Tests and their correction: against closed forms, textbooks and scipy, and by simulation without any effect."""

import math

import numpy as np
import pytest
from scipy import stats

from drc_lab.evaluation.stats.intervals import paired_difference, rate_interval
from drc_lab.evaluation.stats.significance import holm, paired_test


def pairs(both, helped, hurt, neither):
    """Levels solved with and without a setting, bool [N] each."""
    counts = (both, helped, hurt, neither)
    return np.repeat([True, True, False, False], counts), np.repeat([True, False, True, False], counts)


@pytest.mark.parametrize(
    ("helped", "hurt", "p"),
    [(0, 0, 1), (4, 4, 1), (5, 0, 2 / 2**5), (0, 6, 2 / 2**6), (9, 1, 2 * (1 + 10) / 2**10)],
)
def test_few_levels_that_differ_give_the_binomial_sum(helped, hurt, p):
    assert paired_test(*pairs(50, helped, hurt, 7)) == (helped, hurt, pytest.approx(p))


def test_mcnemar_is_a_binomial_test_of_the_levels_that_differ_whatever_the_others_are():
    rng = np.random.default_rng(0)
    for both, helped, hurt, neither in rng.integers(1, 60, (20, 4)):
        wanted = stats.binomtest(int(helped), int(helped + hurt), 0.5).pvalue
        assert paired_test(*pairs(both, helped, hurt, neither)).p_value == pytest.approx(wanted)


def test_mcnemar_on_agrestis_two_ratings_of_a_prime_minister():
    """Categorical Data Analysis, section 10.1: 1,600 people, 150 and 86 of whom changed their minds; z^2 = 17.36."""
    exact = paired_test(*pairs(794, 150, 86, 570)).p_value
    assert pytest.approx((150 - 86) ** 2 / (150 + 86), abs=0.01) == 17.36
    assert exact == pytest.approx(stats.chi2.sf(17.36, 1), rel=0.3)


def test_holm_multiplies_the_smallest_by_all_and_never_falls():
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])


def test_what_is_not_tested_costs_nothing():
    adjusted = holm([math.nan, 0.01, math.nan, 0.04])
    assert np.isnan(adjusted[[0, 2]]).all() and adjusted[[1, 3]] == pytest.approx([0.02, 0.04])
    assert np.isnan(holm([math.nan])).all() and len(holm([])) == 0


def test_where_thinking_changes_levels_at_random_one_of_many_settings_seldom_looks_clear(monkeypatch):
    """Twenty settings that share half of their flips, 300 levels: a false finding in 5% of the sweeps at most."""
    monkeypatch.setattr("gc.collect", lambda: 0)  # statsmodels collects garbage at each correction
    rng, sweeps, settings = np.random.default_rng(0), 300, 20
    found_any, raw_any = 0, 0
    for _ in range(sweeps):
        base = rng.random(300) < 0.5
        shared = rng.random(300) < 0.15
        flips = np.where(rng.random((settings, 300)) < 0.5, shared, rng.random((settings, 300)) < 0.15)
        p = [paired_test(base ^ flip, base).p_value for flip in flips]
        raw_any += min(p) <= 0.05
        found_any += holm(p).min() <= 0.05
    assert found_any / sweeps < 0.05 + 3 * math.sqrt(0.05 * 0.95 / sweeps)
    assert raw_any / sweeps > 0.2  # what the correction is there for


def test_the_paired_interval_covers_the_true_gain_as_often_as_it_says():
    rng, covered, runs = np.random.default_rng(0), 0, 200
    for run in range(runs):
        change = rng.choice([1, -1, 0], 300, p=[0.1, 0.06, 0.84])
        base = np.where(change == 0, rng.random(300) < 0.6, change < 0).astype(bool)
        solved = np.where(change == 0, base, change > 0).astype(bool)
        low, high = paired_difference(solved, base, seed=run)
        covered += low <= 0.04 <= high
    assert abs(covered / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)


def test_the_rate_interval_is_wilsons():
    k, n, z = 37, 50, 1.959963984540054
    centre, p = (k + z * z / 2) / (n + z * z), k / n
    half = z / (n + z * z) * math.sqrt(n * p * (1 - p) + z * z / 4)
    assert rate_interval(np.arange(n) < k) == (pytest.approx(centre - half), pytest.approx(centre + half))


def test_the_paired_interval_is_narrow_where_levels_agree_and_as_wide_as_theory_says():
    rng = np.random.default_rng(0)
    base = rng.random(2000) < 0.5
    better = base | (rng.random(2000) < 0.04)
    gain = better.mean() - base.mean()
    low, high = paired_difference(better, base)
    width = 1.96 * math.sqrt(gain * (1 - gain) / 2000)
    assert low == pytest.approx(gain - width, abs=0.002) and high == pytest.approx(gain + width, abs=0.002)
    assert high - low < 2 * 1.96 * math.sqrt(2 * 0.25 / 2000) / 3  # of an unpaired one
    assert paired_difference(base, base) == (0, 0)
