"""Agreement with the exact solver: verdicts by hand on small boards, and each position asked for once."""

import gymnasium as gym
import numpy as np
import pandas as pd
import pytest
import torch

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.judge import Judge
from drc_lab.envs.ricochet.level import Board, border
from drc_lab.envs.search import LIMIT, UNSOLVABLE
from drc_lab.envs.vector import game_of
from drc_lab.errors import ConfigError
from drc_lab.evaluation.kinds.first_passes import BASELINE
from drc_lab.evaluation.measures.agreement import Agreement, agreement_findings
from drc_lab.evaluation.play.evaluator import evaluate
from drc_lab.evaluation.play.played import play
from drc_lab.evaluation.play.records import records_of
from drc_lab.models.random import RandomPolicy

UP, DOWN, LEFT, RIGHT = range(4)
CORRIDOR = "#######\n#@ $ .#\n#######"
ROOM = "#####\n#   #\n#@$ #\n#.  #\n#####"  # up, right, down, right, down, left; right at once is the end of it


def sokoban(level, **kwargs):
    return gym.make_vec("drc_lab/Sokoban-v0", num_envs=1, level=level, autoreset=False, **kwargs)


def v0(**kwargs):
    return gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, layout="v0", autoreset=False, **kwargs)


def acting(env, actions):
    """A policy and a choice that take these actions one after the other."""
    script = iter(actions)
    policy = RandomPolicy(env.single_observation_space.shape, int(env.single_action_space.n))
    return policy, lambda logits, envs: torch.full((len(envs),), next(script))


def columns(env, actions, levels=1, max_states=10_000):
    watcher = Agreement(env, levels, max_states)
    policy, choose = acting(env, actions)
    evaluate(policy, env, watchers=[watcher], choose=choose)
    return {name: column[0] for name, column in watcher.columns().items()}


@pytest.mark.parametrize(
    ("env", "actions", "verdicts", "lost_at"),
    [
        (sokoban(CORRIDOR), [LEFT, RIGHT, RIGHT, RIGHT], "-+++", -1),  # bumps into the wall first
        (sokoban(CORRIDOR), [RIGHT, LEFT, RIGHT, RIGHT, RIGHT], "+-+++", -1),  # and back again
        (sokoban(ROOM), [UP, RIGHT, DOWN, RIGHT, DOWN, LEFT], "++++++", -1),
        (sokoban(ROOM, max_steps=4), [UP, DOWN, RIGHT, LEFT], "+--?", 3),  # pushed against the wall
        (v0(), [DOWN, RIGHT, UP], "-++", -1),  # from (0, 1) to (3, 1), (3, 3) and the goal (0, 3)
        (v0(noop=True), [4, RIGHT], "-+", -1),
    ],
)
def test_a_move_is_optimal_if_the_fewest_remaining_steps_go_down_by_one(env, actions, verdicts, lost_at):
    assert columns(env, actions) == {
        "judged_moves": len(verdicts.replace("?", "")),
        "optimal_moves": verdicts.count("+"),
        "lost_at": lost_at,
        "verdicts": verdicts,
    }


def test_what_the_solver_cannot_tell_is_left_open_and_other_levels_are_not_judged():
    assert columns(sokoban(ROOM, max_steps=2), [UP, RIGHT], max_states=1)["verdicts"] == "??"
    # Four positions are enough for the start and the way to the goal, but not once it has gone down.
    assert columns(sokoban(ROOM, max_steps=3), [DOWN, UP, UP], max_states=4)["verdicts"] == "??+"
    assert columns(sokoban(ROOM, max_steps=2), [UP, RIGHT], levels=0) == {
        "judged_moves": 0,
        "optimal_moves": 0,
        "lost_at": -1,
        "verdicts": "",
    }


def test_remaining_steps_are_those_of_the_boards_as_they_are_now():
    env = gym.make_vec("drc_lab/Sokoban-v0", num_envs=3, level=[ROOM] * 3, order="sequential", autoreset=False)
    env.reset(seed=0)
    game = game_of(env)
    assert game.steps_to_solve(np.arange(3), 10_000).tolist() == [6, 6, 6]
    env.step(np.array([UP, DOWN, RIGHT]))
    assert game.steps_to_solve(np.arange(3), 10_000).tolist() == [5, 7, UNSOLVABLE]
    assert game.steps_to_solve(np.array([1, 0]), 1).tolist() == [LIMIT, LIMIT]
    assert game.steps_to_solve(np.empty(0, np.int64), 1).tolist() == []
    for action in (RIGHT, DOWN, RIGHT, DOWN, LEFT):
        env.step(np.full(3, action))
    assert game.steps_to_solve(np.array([0]), 10_000).tolist() == [0]


def test_ricochet_counts_from_where_the_robots_are_and_zero_on_the_goal():
    env = v0()
    env.reset(seed=0)
    found = []
    for action in (None, DOWN, RIGHT, UP):
        if action is not None:
            env.step(np.array([action]))
        found += game_of(env).steps_to_solve(np.array([0]), 1000).tolist()
    assert found == [1, 2, 1, 0]


def test_more_robots_than_the_solver_takes_are_no_mistake_but_an_open_question():
    robots = tuple(divmod(cell, 8) for cell in range(12))
    board = Board(*border(8, 8), robots, (7, 7))
    env = gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1, autoreset=False, board=board)
    env.reset(seed=0)
    assert game_of(env).steps_to_solve(np.array([0]), 1000).tolist() == [LIMIT]


def test_optimal_first_moves_by_hand_and_the_board_stays():
    env = v0(noop=True)
    obs, _ = env.reset(seed=0)
    assert Judge(game_of(env), 1000).optimal_moves(np.array([0])).tolist() == [[0, 0, 0, 1, 0]]
    np.testing.assert_array_equal(game_of(env).observation, obs)
    room = sokoban(ROOM)
    room.reset(seed=0)
    assert np.isnan(Judge(game_of(room), 1).optimal_moves(np.array([0]))).all()  # too hard to tell
    assert Judge(game_of(room), 1000).optimal_moves(np.array([0])).tolist() == [[1, 0, 0, 0]]


def test_no_position_is_solved_twice(monkeypatch):
    env = sokoban(CORRIDOR, max_steps=20)
    game, asked = game_of(env), []
    real = game.steps_to_solve
    monkeypatch.setattr(game, "steps_to_solve", lambda envs, *more: asked.extend(envs) or real(envs, *more))
    assert columns(env, [RIGHT, LEFT] * 10)["verdicts"] == "+-" * 10
    assert len(asked) == 2


def test_levels_that_look_alike_are_judged_apart():
    h_walls, v_walls = border(4, 4)
    open_board = Board(h_walls, v_walls, ((0, 1),), (0, 3))
    v_walls = v_walls.copy()
    v_walls[0, 2] = True  # right of the robot, which now has to go around
    walled = Board(h_walls, v_walls, ((0, 1),), (0, 3))
    env = gym.make_vec(
        "drc_lab/RicochetRobots-v0",
        num_envs=2,
        board=[open_board, walled],
        order="sequential",
        observation="symbolic",
        autoreset=False,
    )
    obs, info = env.reset(seed=0)
    np.testing.assert_array_equal(obs[0], obs[1])  # symbolic observations show no walls
    assert Judge(game_of(env), 1000).steps_to_solve(np.arange(2)).tolist() == info["optimal"].tolist() == [1, 3]


def test_boards_that_autoreset_would_have_replaced_are_not_judged():
    with pytest.raises(ConfigError, match="autoreset: found True, allowed: false"):
        Agreement(gym.make_vec("drc_lab/RicochetRobots-v0", num_envs=1), 1, 1000)


def test_findings_count_moves_by_length_and_by_step():
    records = pd.DataFrame({
        "kind": "first_passes", "amount": 0.0, "level": range(4), "optimal": [1, 3, 3, 3],
        "judged_moves": [1, 4, 3, 0], "optimal_moves": [1, 3, 0, 0], "lost_at": [-1, -1, 3, -1],
        "verdicts": ["+", "+-++", "---?", ""],
    })  # fmt: skip
    by_length, by_step = agreement_findings(records)
    table = by_length.table.set_index("optimal")
    assert table["moves"].to_dict() == {"all": 8, "1": 1, "3": 7}
    assert table["agreement"].to_dict() == {"all": 0.5, "1": 1.0, "3": pytest.approx(3 / 7)}
    assert table["lost"].to_dict() == {"all": pytest.approx(1 / 3), "1": 0, "3": 0.5}
    assert by_step.table["moves"].tolist() == [3, 2, 2, 1]
    assert by_step.table["agreement"].tolist() == [pytest.approx(2 / 3), 0, 0.5, 1]
    assert agreement_findings(records.assign(judged_moves=0)) == []


def test_verdicts_of_a_played_setting_are_in_its_records():
    env = v0(max_steps=3)
    policy, _ = acting(env, [])
    (played,) = play(policy, env, [BASELINE], watchers=lambda setting: [Agreement(env, 5, 1000)])
    record = records_of(played).iloc[0]
    assert record["verdicts"] == "---" and record["judged_moves"] == 3  # up, against the wall
