"""The table's rows by hand: pairing, tests, which settings are one family, groups of levels, several checkpoints."""

import math

import numpy as np
import pandas as pd
import pytest
from hand_records import records

from drc_lab.evaluation.measures.gains import comparisons, detectable, sensitivity
from drc_lab.evaluation.measures.table import groups, table
from drc_lab.evaluation.stats.power import detectable_gain

BASE = [1, 0, 0, 0, 0, 0, 0, 1]
BETTER = [1, 1, 1, 1, 1, 1, 1, 1]
OPTIMAL = [1, 1, 1, 1, 2, 2, 2, 2]
SETTINGS = {
    ("first_passes", 0, True): BASE,
    ("first_passes", 4, False): BETTER,
    ("repeats", 3, True): BASE,
    ("repeats", 6, False): [0] * 8,
    ("random", 0, False): BETTER,
}


def rows(**more):
    found = table(records(SETTINGS, OPTIMAL), **more)
    return {(row.kind, row.amount, row.optimal): row for row in found}


def test_rows_by_hand():
    found = rows()
    assert len(found) == 5 * 3
    better, worse = found["first_passes", 4, "all"], found["repeats", 6, "all"]
    assert (better.solve_rate, better.difference, better.helped, better.hurt) == (1, 0.75, 6, 0)
    assert (worse.solve_rate, worse.difference, worse.helped, worse.hurt) == (0, -0.25, 0, 2)
    assert (better.p_value, worse.p_value) == (pytest.approx(2 / 2**6), pytest.approx(0.5))
    assert (found["first_passes", 4, "1"].helped, found["first_passes", 4, "1"].p_value) == (3, pytest.approx(0.25))
    assert better.mean_length == 2 and found["first_passes", 0, "all"].mean_length == 15.5


def test_all_thinking_is_one_family_and_baselines_controls_and_lengths_are_outside_of_it():
    found = rows()
    adjusted = {key: row.p_adjusted for key, row in found.items() if not math.isnan(row.p_adjusted)}
    assert adjusted == {("first_passes", 4, "all"): pytest.approx(2 * 2 / 2**6), ("repeats", 6, "all"): 0.5}
    assert math.isnan(found["first_passes", 0, "all"].p_value) and math.isnan(found["repeats", 3, "all"].p_value)
    assert found["random", 0, "all"].p_value == pytest.approx(2 / 2**6)


def test_without_optimal_lengths_there_is_a_row_for_each_setting():
    assert {optimal for _, _, optimal in rows(by_length=False)} == {"all"}


def test_each_checkpoint_is_compared_with_itself_and_is_a_family_of_its_own():
    other = {**SETTINGS, ("first_passes", 0, True): BETTER, ("repeats", 3, True): BETTER}
    both = pd.concat(
        [
            records(SETTINGS, OPTIMAL, checkpoint="a", seed=3, frames=100),
            records(other, OPTIMAL, checkpoint="b", seed=4, frames=200),
        ]
    )
    found = {(row.checkpoint, row.kind, row.amount): row for row in table(both) if row.optimal == "all"}
    assert found["a", "first_passes", 4].difference == 0.75 and found["b", "first_passes", 4].difference == 0
    assert (found["b", "repeats", 6].seed, found["b", "repeats", 6].frames) == (4, 200)
    assert found["a", "first_passes", 4].p_adjusted == rows()["first_passes", 4, "all"].p_adjusted


def test_groups_cover_every_level_once():
    optimal = np.array([1, 1, 3, 10, 14, -1])
    masks = groups(optimal)
    assert list(masks) == ["all", "1", "3", "10+", "unknown"]
    assert sum(mask.sum() for name, mask in masks.items() if name != "all") == len(optimal)


def test_only_gains_that_survive_the_correction_are_clear():
    """Seven levels helped, none hurt: p = 1/64, which two settings leave below 0.05 and four do not."""
    seven = [0] * 20, [1] * 7 + [0] * 13
    few = {
        ("first_passes", 0, True): seven[0],
        ("first_passes", 1, False): seven[1],
        ("first_passes", 2, False): seven[0],
    }
    many = few | {("first_passes", n, False): seven[0] for n in (3, 4, 5, 6)}
    short, long = (comparisons(table(records(settings, [1] * 20))) for settings in (few, many))
    assert short.table["clear"].tolist() == ["helps", ""] and "1 of 2 settings clearly help" in short.text
    assert set(long.table["clear"]) == {""} and "No gain and no loss stays clear" in long.text
    loss = comparisons(table(records({key: [1 - x for x in solved] for key, solved in few.items()}, [1] * 20)))
    assert loss.table["clear"].tolist() == ["hurts", ""]


def test_the_detectable_gain_comes_from_the_levels_that_did_differ():
    solved = [1] * 30 + [0] * 270, [1] * 20 + [0] * 10 + [1] * 20 + [0] * 250
    found = table(
        records(
            {
                ("first_passes", 0, True): solved[0],
                ("first_passes", 1, False): solved[1],
                ("first_passes", 2, False): solved[0],
            },
            [1] * 300,
        )
    )
    line, still = detectable(found).table.to_dict("records")
    assert (line["differing"], line["alone"]) == (0.1, pytest.approx(detectable_gain(300, 0.1)))
    assert line["corrected"] == pytest.approx(detectable_gain(300, 0.1, alpha=0.025)) and math.isnan(still["alone"])
    assert "At most 10.0% of the 300 levels changed (first_passes 1): with 80% power" in sensitivity(found)
