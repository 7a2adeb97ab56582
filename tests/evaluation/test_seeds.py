"""Several trainings: the seed is the unit. Closed forms, how often intervals hold, and what seeds that agree say."""

import math

import numpy as np
import pandas as pd
import pytest
from hand_records import records
from matplotlib.figure import Figure

from drc_lab.evaluation.measures.seeds import iqm_interval, over_seeds, seed_findings, seed_names

OPTIMAL = [1] * 4 + [2] * 4


def three(*gains):
    """Three seeds, of whose eight levels the first two are solved as they are, and some more with thinking."""
    return pd.concat(
        [
            records(
                {
                    ("first_passes", 0, True): [1, 1] + [0] * 6,
                    ("first_passes", 4, False): [1] * (2 + more) + [0] * (6 - more),
                    ("random", 0, False): [0] * 8,
                },
                OPTIMAL,
                checkpoint=f"{seed}.ckpt",
                seed=seed,
                frames=100,
            )
            for seed, more in enumerate(gains)
        ]
    )


def test_means_over_seeds_by_hand():
    """Gains of 1, 2 and 3 levels in 8: mean 2/8, standard error (1/8) / sqrt(3); t(0.975, 2) = 4.30265."""
    rate, gain, single, iqm = (finding.table for finding in seed_findings(three(1, 2, 3)))
    (line,) = gain[gain["kind"] == "first_passes"].to_dict("records")
    half = 4.30265 / 8 / math.sqrt(3)
    assert (line["mean"], line["low"], line["high"]) == pytest.approx((0.25, 0.25 - half, 0.25 + half), abs=1e-5)
    assert line["p"] == pytest.approx(0.074180, abs=1e-5) == line["p_holm"]  # t test of 1, 2, 3 against 0
    assert single.iloc[0][["seed_0", "seed_1", "seed_2"]].tolist() == [1 / 8, 2 / 8, 3 / 8]
    assert rate["mean"].tolist() == [0.25, 0.5, 0]
    assert iqm["solved"].tolist()[0] == 0.25  # of 1/2, 1/2, 1/2, 0, 0, 0


def test_controls_are_no_part_of_the_family():
    table = seed_findings(three(1, 2, 3))[1].table.set_index("kind")
    assert math.isnan(table.loc["random", "p_holm"]) and math.isnan(table.loc["random", "amount"])


def test_a_gain_that_all_seeds_share_is_clear_and_one_of_a_single_lucky_seed_is_not():
    table = seed_findings(three(5, 6, 5))[1].table
    assert table.loc[0, "clear"] == "helps"
    table = seed_findings(three(0, 6, 0))[1].table
    assert table.loc[0, "clear"] == "" and table.loc[0, "low"] < 0


def test_seeds_that_agree_to_the_last_level_give_no_interval_and_no_test():
    table = seed_findings(three(2, 2, 2))[1].table
    assert table.loc[0, "mean"] == 0.25 and table.loc[0, ["low", "high", "p", "p_holm"]].isna().all()


def test_one_seed_has_no_spread():
    found = over_seeds(np.array([[0.5, 0.4, 0.6]]))
    assert found.mean == 0.5 and all(math.isnan(x) for x in (found.low, found.p, found.iqm_low))


def test_seeds_are_named_by_number_where_trainings_share_one():
    assert seed_names(three(1, 2)) == ["seed_0", "seed_1"]
    assert seed_names(three(1, 2).assign(seed=0)) == ["no_0", "no_1"]


def test_the_interquartile_mean_leaves_out_the_best_and_the_worst_quarter():
    scores = np.array([[0.0, 0.5, 0.5], [0.1, 0.4, 9.0], [0.2, 0.3, 9.0], [0.2, 0.6, 0.7]])
    whole = np.column_stack([scores.mean(1), scores])
    assert over_seeds(whole).iqm == pytest.approx(np.sort(scores, axis=None)[3:9].mean())


def test_the_t_interval_holds_with_few_seeds_and_the_bootstrap_comes_near_it_with_ten():
    """Gains that differ between trainings (sd 0.02) and between a training's groups of levels (sd 0.01)."""
    rng, runs = np.random.default_rng(0), 150

    def covered(n):
        t = bootstrap = 0
        for run in range(runs):
            groups = 0.03 + rng.normal(0, 0.02, (n, 1)) + rng.normal(0, 0.01, (n, 6))
            found = over_seeds(np.column_stack([groups.mean(1), groups]), seed=run)
            t += found.low <= 0.03 <= found.high
            bootstrap += found.iqm_low <= 0.03 <= found.iqm_high
        return t / runs, bootstrap / runs

    few, many = covered(3), covered(10)
    assert few[0] > 0.91 and many[0] > 0.91
    assert few[1] < 0.85 and many[1] > 0.84  # why the interquartile mean does not decide


def test_a_resample_takes_a_seed_with_all_its_groups():
    """Were groups drawn apart, differences between trainings would average out, and the interval be too narrow."""
    shared = np.array([0.0, 0.1, 0.2, 0.3])[:, None] + np.zeros((4, 25))
    low, high = iqm_interval(shared)
    assert high - low > 0.15


def test_one_group_that_all_seeds_fail_or_master_moves_no_interval():
    """The bootstrap is of the interquartile mean: a group apart from the others is not in it."""
    rng = np.random.default_rng(0)
    scores = 0.5 + rng.normal(0, 0.01, (5, 8))
    scores[:, 0] = [0, 0, 0, 1, 1]
    low, high = iqm_interval(scores)
    assert 0.48 < low < high < 0.52


def test_the_picture_has_a_line_for_each_setting_of_thinking():
    axis = Figure().subplots()
    seed_findings(three(5, 6, 5))[1].draw(axis)
    assert [label.get_text() for label in axis.get_yticklabels()] == ["first_passes 4"]
    dots, interval, mean = axis.get_lines()[:3]
    assert sorted(dots.get_xdata()) == pytest.approx([62.5, 62.5, 75]) and mean.get_xdata()[0] == pytest.approx(200 / 3)
    assert interval.get_xdata()[0] > 0
