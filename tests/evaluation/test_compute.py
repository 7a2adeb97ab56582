"""Adaptive thinking beside fixed passes that cost as much: by hand, by simulation, and nothing extrapolated."""

import math

import numpy as np
import pytest
from hand_records import records

from drc_lab.evaluation.measures.compute import Outcome, compute_findings, equal_compute

OPTIMAL = [1, 1, 2, 2]
PLAIN = {("first_passes", 0, True): [0, 0, 1, 1]}


def fixed(zero, two, four):
    """Numbers of passes of three ticks each."""
    return {
        amount: Outcome(np.array(solved, float), np.full(len(solved), 3.0 * amount), np.full(len(solved), 60.0))
        for amount, solved in ((0.0, zero), (2.0, two), (4.0, four))
    }


def adaptive(solved, ticks):
    return Outcome(np.array(solved, float), np.array(ticks, float), np.array(ticks, float) + 60)


def test_the_mixture_spends_as_many_ticks_and_its_rate_lies_between_its_neighbours():
    """Nine ticks on average are half of the levels with 2 passes (6) and half with 4 (12): (0.5 + 1) / 2."""
    found = equal_compute(adaptive([1, 1, 1, 0], [3, 3, 15, 15]), fixed([0] * 4, [0, 0, 1, 1], [1] * 4))
    assert (found.fewer, found.more, found.share) == (2, 4, 0.5)
    assert (found.mixture_score, found.gain) == (pytest.approx(0.75), pytest.approx(0))


def test_the_neighbours_are_the_nearest_amounts():
    found = equal_compute(adaptive([1, 1, 1, 0], [1, 2, 3, 6]), fixed([0] * 4, [0, 0, 1, 1], [1] * 4))
    assert (found.fewer, found.more, found.share, found.mixture_score) == (0, 2, 0.5, pytest.approx(0.25))


def test_at_the_cost_of_a_fixed_amount_it_is_compared_with_that():
    six = adaptive([1, 1, 1, 1], [6] * 4)
    assert equal_compute(six, fixed([0] * 4, [0, 1, 1, 1], [0] * 4)).gain == pytest.approx(0.25)


@pytest.mark.parametrize("ticks", [12.5, 100])
def test_beyond_the_most_passes_nothing_is_extrapolated(ticks):
    found = equal_compute(adaptive([1, 1, 1, 1], [ticks] * 4), fixed([0] * 4, [0, 0, 1, 1], [1] * 4))
    assert all(math.isnan(x) for x in (found.share, found.mixture_score, found.gain, *found.interval))


def test_without_two_fixed_amounts_there_is_nothing_to_compare_with():
    one = {0.0: Outcome(np.zeros(4), np.zeros(4), np.full(4, 60.0))}
    assert math.isnan(equal_compute(adaptive([1, 1, 1, 1], [6] * 4), one).gain)


def test_the_interval_is_paired_and_covers_the_true_gain():
    """Adaptive thinking is what a mixture would do but for 5% of the levels, which it solves; ticks vary by level."""
    rng, covered, widths, runs = np.random.default_rng(0), 0, [], 100
    for run in range(runs):
        hard = rng.random(300) < 0.5
        with_none, with_many = ~hard, ~hard | (rng.random(300) < 0.2)
        lucky = rng.random(300) < 0.05
        levels = {
            0.0: Outcome(with_none * 1.0, np.zeros(300), np.zeros(300)),
            4.0: Outcome(with_many * 1.0, np.full(300, 12.0), np.zeros(300)),
        }
        own = Outcome((with_many | lucky) * 1.0, rng.choice([9.0, 15.0], 300, p=[0.75, 0.25]), np.zeros(300))
        found = equal_compute(own, levels, seed=run)
        gain = 0.5 * 0.2 + 0.05 * 0.5 * 0.8 - (10.5 / 12) * 0.5 * 0.2
        covered += found.interval.low <= gain <= found.interval.high
        widths.append(found.interval.high - found.interval.low)
    assert abs(covered / runs - 0.95) < 3 * math.sqrt(0.95 * 0.05 / runs)
    assert np.mean(widths) < 2 * 1.96 * math.sqrt(2 * 0.25 / 300) / 2  # of two samples of different levels


def test_thinking_is_counted_without_the_ticks_of_the_steps():
    settings = PLAIN | {
        ("first_passes", 2, False): ([0, 1, 1, 1], 6),
        ("adaptive", 0.1, False): ([0, 1, 1, 1], [1, 3, 4, 8]),
    }
    where, equal = compute_findings(records(settings, OPTIMAL))
    (line,) = where.table.to_dict("records")
    assert (line["all"], line["1"], line["2"]) == (4, 2, 6)
    assert line["rank_correlation"] == pytest.approx(2 / math.sqrt(5))
    (line,) = equal.table.to_dict("records")
    assert (line["ticks"], line["passes"], line["share"]) == (4, "0 or 2", pytest.approx(2 / 3))
    assert line["fixed"] == pytest.approx(0.5 / 3 + 0.75 * 2 / 3)


def test_without_adaptive_settings_there_is_nothing_to_tell():
    assert compute_findings(records(PLAIN, OPTIMAL)) == []


def test_two_fixed_amounts_that_cost_the_same_count_as_one():
    costs = {0.0: 0.0, 1.0: 0.0, 2.0: 5.0}
    amounts = {amount: Outcome(np.zeros(4), np.full(4, cost), np.full(4, cost)) for amount, cost in costs.items()}
    found = equal_compute(adaptive([1] * 4, [0] * 4), amounts)
    assert (found.more, found.share, found.gain) == (2, 0, 1)
