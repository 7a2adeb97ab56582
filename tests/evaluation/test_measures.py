"""What the records say, from records written by hand; and sizes of levels that lie in larger boards."""

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from no_thinking import thinking
from scipy import stats

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.external import GymVectorEnv
from drc_lab.envs.vector import game_of
from drc_lab.evaluation.measures.cycle_measures import cycles, vanished_cycles
from drc_lab.evaluation.measures.findings import (
    by_optimal_length,
    by_size,
    only_with_thinking,
    optimality,
    time_to_solve,
)
from drc_lab.evaluation.measures.shipped import findings, measures_of
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.sweep import sweep
from drc_lab.evaluation.stats.intervals import mean_interval, ratio_interval
from drc_lab.evaluation.watchers.sizes import Sizes
from drc_lab.models.drc import DRCPolicy
from drc_lab.models.random import RandomPolicy


def setting(kind, amount, solved, length, is_baseline=False, **more):
    """Records of one setting on four levels."""
    columns = {"optimal": [1, 3, 3, -1], "height": [5, 5, 7, 7], "width": 5, "cycles": 0, "cycle_steps": 0,
               "cycle_start": -1, "cycle_length": 0, "ticks": 3 * np.array(length)} | more  # fmt: skip
    return pd.DataFrame({"kind": kind, "amount": float(amount), "baseline": is_baseline, "level": range(4),
                         "solved": np.array(solved, bool), "length": length, **columns})  # fmt: skip


PLAIN = setting("first_passes", 0, [1, 1, 0, 0], [1, 5, 20, 20], True)
FEW = setting("first_passes", 2, [1, 0, 1, 0], [2, 20, 3, 20])
MANY = setting("first_passes", 4, [1, 1, 1, 1], [1, 3, 3, 9])
RANDOM = setting("random", 0, [0, 0, 0, 0], [20, 20, 20, 20])
RECORDS = pd.concat([PLAIN, FEW, MANY, RANDOM], ignore_index=True)


def rows(finding):
    return dict(finding.table.set_index([*finding.table.columns[:2]]).iterrows())


def test_solve_rates_by_optimal_length_and_by_size():
    lines = rows(by_optimal_length(RECORDS))
    assert lines["first_passes", 0].to_dict() == {"all": 0.5, "1": 1, "3": 0.5, "unknown": 0}
    assert lines["first_passes", 4].to_dict() == {"all": 1, "1": 1, "3": 1, "unknown": 1}
    finding = by_size(RECORDS)
    assert rows(finding)["first_passes", 2].to_dict() == {"all": 0.5, "5": 0.5, "7": 0.5}
    assert "all: 4, 5: 2, 7: 2" in finding.text
    assert by_size(RECORDS.assign(height=5)) is None and by_size(RECORDS.drop(columns="height")) is None
    assert by_optimal_length(RECORDS.assign(optimal=-1)) is None


def test_the_gap_is_over_solved_levels_whose_optimum_is_known():
    lines = rows(optimality(RECORDS))
    plain, many, none = lines["first_passes", 0], lines["first_passes", 4], lines["random", 0]
    assert (plain["solved_levels"], plain["gap"], plain["optimal"]) == (2, 1, 0.5)  # 0 and 2 steps too many
    assert (many["solved_levels"], many["gap"], many["optimal"], many["gap_high"]) == (3, 0, 1, 0)
    assert none["solved_levels"] == 0 and np.isnan(none["gap"]) and np.isnan(none["optimal_low"])
    assert optimality(RECORDS.assign(optimal=-1)) is None


def test_time_to_solve_counts_levels_that_are_never_solved():
    lines = rows(time_to_solve(RECORDS))
    assert list(lines["first_passes", 0].index) == [f"within {n}" for n in (1, 2, 4, 8, 16, 20)] + ["median"]
    assert lines["first_passes", 0].tolist() == [0.25, 0.25, 0.25, 0.5, 0.5, 0.5, 5]
    assert lines["first_passes", 4].tolist() == [0.25, 0.25, 0.75, 0.75, 1, 1, 3]
    assert lines["random", 0].tolist()[:6] == [0] * 6 and np.isnan(lines["random", 0]["median"])


def test_gains_and_losses_are_counted_apart_and_say_how_hard_the_levels_are():
    finding = only_with_thinking(RECORDS)
    largest, any_of_them = rows(finding).items()
    assert largest[0] == ("first_passes", "4") and largest[1][["gained", "lost"]].tolist() == [2, 0]
    assert any_of_them[0] == ("first_passes", "any") and any_of_them[1][["gained", "lost"]].tolist() == [2, 1]
    assert largest[1]["optimum"] == 3  # that of the other gained level is unknown
    assert any_of_them[1]["optimum_lost"] == 3 and "of all levels it is 2.33" in finding.text
    assert only_with_thinking(pd.concat([PLAIN, RANDOM])) is None
    thresholds = [setting("adaptive", 0.1, [1, 1, 0, 0], 1), setting("adaptive", 0.01, [1, 1, 1, 0], 1)]
    assert rows(only_with_thinking(pd.concat([PLAIN, *thresholds])))["adaptive", "0.01"]["gained"] == 1


def test_fewer_ticks_than_its_own_are_no_thinking():
    one, nine = (setting("repeats", n, [1, 1, 1, 0], [1, 1, 1, 1], ticks=n) for n in (1, 9))
    assert only_with_thinking(pd.concat([PLAIN, one])) is None
    assert list(rows(only_with_thinking(pd.concat([PLAIN, one, nine])))) == [("repeats", "9")]


def test_cycles_by_setting():
    plain = setting("first_passes", 0, [1, 1, 0, 0], [1, 5, 10, 4], True, cycles=[0, 0, 3, 1], cycle_steps=[0, 0, 8, 2])
    (line,) = cycles(plain).table.to_dict("records")
    assert (line["episodes"], line["cycles"], line["steps"], line["of_all_steps"]) == (0.5, 1, 2.5, 0.5)


def test_a_cycle_has_vanished_if_none_closes_within_as_many_steps_after_the_thinking():
    # First cycles of length 4 before step 2; on the last level there is none.
    first = {"cycle_start": [2, 2, 2, -1], "cycle_length": [4, 4, 4, 0]}
    plain = setting("first_passes", 0, [0, 0, 0, 1], [20] * 4, True, **first)
    # Passes: the same cycle again; one that closes at step 7, a step too late to count; none.
    passes = setting(
        "cycle_passes", 1, [0, 0, 1, 1], [20, 20, 4, 20], cycle_start=[2, 5, -1, -1], cycle_length=[4, 2, 0, 0]
    )
    # Waits of 4 steps, so that step 2 + 4 + 4 = 10 is the last; the third episode ends before, unsolved.
    waits = setting(
        "cycle_noops", 1, [0, 0, 0, 1], [20, 20, 9, 20], cycle_start=[8, 9, -1, -1], cycle_length=[2, 2, 0, 0]
    )
    lines = rows(vanished_cycles(pd.concat([plain, passes, waits])))
    assert lines["cycle_passes", 1][["levels", "solved_before"]].tolist() == [3, 0]
    assert lines["cycle_passes", 1]["vanished"] == pytest.approx(2 / 3)
    assert lines["cycle_passes", 1]["solved"] == pytest.approx(1 / 3)
    assert lines["cycle_noops", 1][["levels", "vanished"]].tolist() == [2, 0.5]
    assert vanished_cycles(pd.concat([plain.assign(cycle_start=-1), passes])) is None


def test_intervals_equal_what_they_are_defined_by():
    rng = np.random.default_rng(0)
    x = rng.normal(size=30)
    expected = stats.ttest_1samp(x, 0).confidence_interval(0.9)
    assert mean_interval(np.append(x, np.nan), 0.9) == pytest.approx((expected.low, expected.high))
    # The moves of a level are all right or all wrong: 100 levels of 10 moves are as good as 100 moves.
    right = 10 * (rng.random(100) < 0.5)
    low, high = ratio_interval(right, np.full(100, 10))
    assert high - low == pytest.approx(2 * 1.96 * 0.05, rel=0.1)
    assert ratio_interval(np.array([2, 4]), np.array([4, 8])) == (0.5, 0.5)
    assert np.isnan(ratio_interval(np.array([1]), np.array([2]))).all()


def sizes(env):
    watcher = Sizes(env)
    policy = RandomPolicy(env.single_observation_space.shape, int(env.single_action_space.n))
    evaluate(policy, env, watchers=[watcher])
    return [tuple(column.tolist()) for column in watcher.columns().values()]


def test_sizes_are_the_levels_own_and_not_those_of_the_board_that_they_lie_in(tmp_path):
    (tmp_path / "two.xsb").write_text("#####\n#@$.#\n#####\n\n; two\n\n ####\n## .###\n#@ $  #\n#     #\n#######\n")
    collection = gym.make_vec(
        "drc_lab/Sokoban-v0",
        num_envs=2,
        levels=str(tmp_path / "two.xsb"),
        max_steps=2,
        order="sequential",
        autoreset=False,
    )
    assert collection.single_observation_space.shape == (3, 5, 7)
    assert sizes(collection) == [(3, 5), (5, 7)]
    robots = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=2, max_steps=2, autoreset=False)
    assert sizes(robots) == [(5, 5), (5, 5)]
    game = game_of(robots)
    game.walls.reshape(2, 5, 5)[1, 3:] = game.walls.reshape(2, 5, 5)[1, :, 4:] = 15  # as a smaller stage's are
    assert game.sizes().tolist() == [[5, 5], [3, 4]]
    assert sizes(GymVectorEnv("CartPole-v1", max_steps=2, autoreset=False)) == [(-1,), (-1,)]


def test_all_findings_of_a_real_sweep_can_be_drawn():
    env = gym.make_vec(
        "drc_lab/RicochetRobots-v0",
        num_envs=30,
        num_levels=30,
        order="sequential",
        max_steps=8,
        autoreset=False,
        noop=True,
    )
    policy = DRCPolicy(env.single_observation_space.shape, 8, 4, 2, 2, proj_dim=8, head_init="orthogonal").eval()
    spec = thinking(first_passes=[1, 3], noops=[1], cycle_passes=[1], cycle_noops=[1], controls=None, solver_levels=20)
    measures = measures_of(spec)
    records = sweep(policy, env, spec.settings(policy, env), 30, measures=measures)
    made = findings(records, 0.95, measures)
    names = [finding.name for finding in made]
    assert names == ["solve_rate_by_optimal_length", "optimality", "time_to_solve", "only_with_thinking", "cycles",
                     "vanished_cycles", "agreement", "agreement_by_step"]  # fmt: skip
    judged = records[records["judged_moves"] > 0]
    assert set(judged["level"]) == set(range(20))
    assert set(map(tuple, judged[["kind", "amount"]].to_numpy())) == {
        ("first_passes", 0),
        ("first_passes", 3),
        ("noops", 0),
    }
    assert (judged["optimal_moves"][judged["solved"]] >= judged["optimal"][judged["solved"]]).all()
    for finding in made:
        assert len(finding.table)
        if finding.draw:
            axes = Figure().subplots()
            finding.draw(axes)
            assert axes.get_xlabel() and axes.get_ylabel()
