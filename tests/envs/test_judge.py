"""Optimal moves of every position, by tables and by searches, against brute force through the env's own steps."""

from collections import deque

import gymnasium as gym
import numpy as np
import pytest

import drc_lab  # noqa: F401 - registers the envs
from drc_lab.envs.judge import Judge, TableJudge
from drc_lab.envs.ricochet.level import Board, border
from drc_lab.envs.search import UNSOLVABLE
from drc_lab.envs.vector import game_of

SOKOBAN, RICOCHET = "drc_lab/Sokoban-v0", "drc_lab/RicochetRobots-v0"
TWO_BOXES = "######\n#@   #\n# $$ #\n# .. #\n#    #\n######"
OUT_OF_REACH = "########\n#@ $.#*#\n#    # #\n########"  # the box behind the wall is where it belongs
LOST = "#####\n#$@.#\n#####"
GAMES = {
    "generated": (SOKOBAN, {"height": 6, "width": 6, "num_boxes": 2, "max_optimal": 8}),
    "two boxes": (SOKOBAN, {"level": TWO_BOXES, "observation": "planes", "noop": True}),
    "out of reach": (SOKOBAN, {"level": OUT_OF_REACH}),
    "lost": (SOKOBAN, {"level": LOST}),
    "ricochet": (RICOCHET, {"height": 4, "width": 4, "num_robots": 2, "noop": True}),
    "absent robot": (RICOCHET, {"board": Board(*border(3, 4), ((0, 0), (1, 1), (2, 1)), (1, 3), 2)}),
}


def game(id, num_envs=1, **kwargs):
    env = gym.make_vec(id, num_envs=num_envs, autoreset=False, **kwargs)
    env.reset(seed=3)
    return game_of(env)


def key(state):
    return b"".join(array.tobytes() for array in state.values())


def brute_force(game):
    """Of each position that can be reached: its state, its fewest remaining steps (None if there are none), and what
    each action leads to."""
    first = game.get_state()
    states, following, waiting = {key(first): first}, {}, deque([first])
    while waiting:
        state = waiting.popleft()
        following[key(state)] = []
        for action in range(len(game.action_names)):
            game.set_state(state)
            game.step(np.array([action]))
            after = game.get_state()
            following[key(state)].append(key(after))
            if key(after) not in states:
                states[key(after)] = after
                if not after["solved"][0]:
                    waiting.append(after)
    left = {name: 0 for name, state in states.items() if state["solved"][0]}
    while new := {
        name: 1 + min(left[after] for after in afters if after in left)
        for name, afters in following.items()
        if name not in left and set(afters) & set(left)
    }:
        left |= {name: steps for name, steps in new.items() if steps == min(new.values())}
    game.set_state(first)
    return states, left, following


@pytest.mark.parametrize("name", GAMES)
def test_tables_and_searches_say_of_every_position_what_brute_force_does(name):
    id, kwargs = GAMES[name]
    board = game(id, **kwargs)
    if name == "absent robot":  # as in the smaller stages of a curriculum
        board.robots[0, 1] = -1
        board.observe(np.array([0]))
    states, left, following = brute_force(board)
    judges, one = [TableJudge(board, 100_000, 1), TableJudge(board, 0, 100_000), Judge(board, 100_000)], np.array([0])
    several = 0
    for place, state in states.items():
        board.set_state(state)
        now = left.get(place)
        best = [now is not None and now > 0 and left.get(after) == now - 1 for after in following.get(place, [])]
        several += sum(best) > 1
        for judge in judges:
            assert judge.steps_to_solve(one)[0] == (UNSOLVABLE if now is None else now)
            if not state["solved"][0]:
                moves = judge.optimal_moves(one)[0]
                assert (moves == 1).tolist() == best and np.isnan(moves).all() == (now is None)
    assert judges[0].at_once[0] and not judges[0].known[0], "a table, and no search"
    assert not judges[1].at_once[0]
    assert several > 0 or name in ("lost", "absent robot"), "sets of several actions"


def test_a_new_level_is_judged_as_itself_once_the_old_one_is_forgotten():
    env = gym.make_vec(SOKOBAN, num_envs=3, height=6, width=6, num_boxes=2, max_optimal=8, autoreset=False)
    for judge_of in (lambda g: TableJudge(g, 100_000, 1), lambda g: TableJudge(g, 500, 100_000)):
        env.reset(seed=0)
        judge, envs = judge_of(game_of(env)), np.arange(3)
        for _ in range(4):
            np.testing.assert_array_equal(judge.steps_to_solve(envs), game_of(env).steps_to_solve(envs, 100_000))
            env.reset(options={"reset_mask": np.array([True, False, True])})
            judge.forget(np.array([0, 2]))


def test_levels_of_many_sizes_have_tables_of_their_own():
    """As in a curriculum: the longest table grows, the others stay."""
    levels = [TWO_BOXES, "######\n#@$ .#\n#    #\n#    #\n#    #\n######"]
    board = game(SOKOBAN, num_envs=2, level=levels, order="sequential")
    judge, envs = TableJudge(board, 100_000, 1), np.arange(2)
    for order in ([1], [0, 1], [1, 0]):
        np.testing.assert_array_equal(judge.steps_to_solve(envs[order]), board.steps_to_solve(envs[order], 100_000))


def test_too_large_a_level_or_search_has_no_verdict_and_no_wrong_one():
    board = game(SOKOBAN, level=TWO_BOXES)
    assert np.isnan(TableJudge(board, 50, 1).optimal_moves(np.array([0]))).all()
    assert (TableJudge(board, 100_000, 1).optimal_moves(np.array([0])) == 1).any()
    many = game(RICOCHET, height=8, width=8, num_robots=3)  # 262,144 positions, which a search finds quicker
    judge = TableJudge(many, 1_000_000, 100_000)
    assert judge.steps_to_solve(np.array([0])) == many.steps_to_solve(np.array([0]), 100_000) and not judge.at_once[0]


def test_several_threads_find_what_one_does():
    board = game(SOKOBAN, num_envs=16, height=7, width=7, num_boxes=2)
    one, four = (TableJudge(board, 100_000, 1, threads).optimal_moves(np.arange(16)) for threads in (1, 4))
    np.testing.assert_array_equal(one, four)
