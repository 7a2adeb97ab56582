"""How many levels a gain needs: against simulation, against Connor's formula, and what a run says of itself."""

import math

import numpy as np
import pytest
from scipy import stats

from drc_lab.evaluation.stats.power import detectable_gain, in_words, levels_needed, plan, power_of
from drc_lab.evaluation.stats.significance import paired_test


def connor(gain, differing, power=0.8, alpha=0.05):
    """Biometrics 43 (1987), equation 2: the normal approximation without continuity correction."""
    at_none, at_gain = stats.norm.isf(alpha / 2), stats.norm.ppf(power)
    return ((at_none * math.sqrt(differing) + at_gain * math.sqrt(differing - gain**2)) / gain) ** 2


@pytest.mark.parametrize(("levels", "gain", "differing"), [(200, 0.06, 0.1), (60, 0.1, 0.2), (400, 0.0, 0.1)])
def test_the_power_is_the_share_of_simulated_runs_that_find_the_gain(levels, gain, differing):
    rng, runs, found = np.random.default_rng(0), 1500, 0
    chances = [(differing + gain) / 2, (differing - gain) / 2, 1 - differing]
    for helped, hurt, same in rng.multinomial(levels, chances, runs):
        solved = np.repeat([True, False, True], (helped, hurt, same))
        found += paired_test(solved, np.repeat([False, True, True], (helped, hurt, same))).p_value <= 0.05
    power = power_of(levels, gain, differing)
    assert abs(found / runs - power) < 3 * math.sqrt(max(power * (1 - power), 0.01) / runs)


@pytest.mark.parametrize(("gain", "differing"), [(0.01, 0.05), (0.02, 0.1), (0.014, 0.12), (0.05, 0.2)])
def test_the_levels_needed_are_a_little_more_than_connors_approximation(gain, differing):
    """The exact test keeps a true alpha below the nominal one, which costs levels."""
    assert 1 < levels_needed(gain, differing) / connor(gain, differing) < 1.1


def test_the_levels_needed_have_the_power_and_one_less_has_not():
    levels = levels_needed(0.03, 0.1, 0.9, 0.01)
    assert power_of(levels, 0.03, 0.1, 0.01) >= 0.9 > power_of(levels - 1, 0.03, 0.1, 0.01)


def test_a_published_gain_of_1_4_points_takes_two_to_five_thousand_levels():
    """DRC(3,3) on Boxoban's medium levels after 2e7 frames, where 5 to 12.5% of the levels differ."""
    assert 2000 < levels_needed(0.014, 0.05) < levels_needed(0.014, 0.12) < 5000


def test_the_detectable_gain_is_what_so_many_levels_are_needed_for():
    levels = levels_needed(0.03, 0.1)
    assert detectable_gain(levels, 0.1) == pytest.approx(0.03, abs=2e-4)
    assert detectable_gain(levels, 0.1, alpha=0.05 / 13) > 0.035


def test_where_too_few_levels_differ_no_gain_is_detectable():
    assert math.isnan(detectable_gain(1000, 0.004)) and math.isnan(detectable_gain(1000, 0))
    assert "too few to show any gain" in in_words(20, 13)


def test_the_plan_says_in_a_line_and_in_a_table_what_a_run_can_see():
    table = plan(1000, 13).table.set_index("differing")
    assert table.loc[0.05, "smallest_gain"] == pytest.approx(detectable_gain(1000, 0.05))
    assert table.loc[0.05, "corrected"] == pytest.approx(detectable_gain(1000, 0.05, alpha=0.05 / 13))
    assert table.loc[0.1, "levels_for_2_points"] == levels_needed(0.02, 0.1)
    assert math.isnan(table.loc[0.02, "levels_for_5_points"])  # a gain that so few levels cannot make
    assert in_words(1000, 13) == (
        "1,000 levels show gains of 1.3 points and more with 80% power if at most 2% of the levels change, "
        "2.0 if 5%, 2.9 if 10%, 4.0 if 20%"
    )


def test_a_power_that_chance_alone_has_needs_no_gain():
    assert detectable_gain(1000, 0.1, power=0.02) == 0
    assert in_words(1000, 20, power=0.02).startswith("1,000 levels show gains of 0.0 points")
