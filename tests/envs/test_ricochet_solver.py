"""The exact solver: against plain search, and its three kinds of answers."""

import itertools
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from random_boards import plain_distance, random_board

from drc_lab.envs.ricochet import Board, BoardGenerator, Boards, border, solve
from drc_lab.envs.ricochet.search import LIMIT, SIZE, UNSOLVABLE, advance
from drc_lab.envs.ricochet.solve import robots_moved, solve_many
from drc_lab.envs.ricochet.step import slide
from drc_lab.errors import UserError

HARD = {"height": 16, "width": 16, "num_robots": 4, "wall_density": 0.1}


def pack(*boards: Board) -> Boards:
    return Boards.pack(list(boards), [-1] * len(boards))


def with_absent_robots(boards: Boards, order: list[int | None]) -> Boards:
    """Robots renumbered; None is a robot that is absent."""
    robots = np.stack([np.full(len(boards), -1) if i is None else boards.robots[:, i] for i in order], axis=1)
    target = np.array([order.index(int(t)) for t in boards.target])
    return Boards(boards.walls, robots, boards.goal, target, boards.optimal)


def replay(boards: Boards, i: int, actions) -> list[bool]:
    """After each action: does the target robot stand on the goal?"""
    width, robots, ends = boards.walls.shape[2], boards.robots[i].copy(), []
    for action in actions:
        assert robots[action // 4] >= 0
        present = robots[robots >= 0]
        mover = int(np.flatnonzero(present == robots[action // 4])[0])
        robots[action // 4] = slide(boards.walls[i].reshape(-1), width, present, mover, action % 4)
        ends.append(bool(robots[boards.target[i]] == boards.goal[i]))
    return ends


def plain_moved(board: Board, optimal: int) -> int:
    """Over all action sequences of the optimal length that solve: how many robots move at least."""
    boards = pack(board)
    walls, width, goal = boards.walls[0].reshape(-1), board.width, boards.goal[0]
    now = {(tuple(boards.robots[0]), frozenset())}
    for _ in range(optimal):
        following = set()
        for (robots, moved), mover, direction in itertools.product(now, range(len(board.robots)), range(4)):
            places = list(robots)
            places[mover] = slide(walls, width, np.array(robots), mover, direction)
            if tuple(places) != robots:
                following.add((tuple(map(int, places)), moved | {mover}))
        now = following
    return min(len(moved) for robots, moved in now if robots[board.target] == goal)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.integers(2, 5), st.integers(3, 4), st.integers(1, 4))
def test_solver_equals_plain_search_with_one_to_four_robots(seed, height, width, robots):
    board = random_board(np.random.default_rng(seed), height, width, robots)
    lengths, actions = solve_many(pack(board))
    expected = plain_distance(board)
    assert lengths[0] == (UNSOLVABLE if expected is None else expected)
    if expected is not None:
        assert replay(pack(board), 0, actions[0]) == [False] * (expected - 1) + [True]


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.permutations([0, 1, None, None]))
def test_absent_robots_block_nothing_and_never_move(seed, order):
    boards = pack(random_board(np.random.default_rng(seed), 4, 5, 2))
    lengths, _ = solve_many(boards)
    fewer = with_absent_robots(boards, order)
    again, actions = solve_many(fewer)
    assert again[0] == lengths[0]
    if lengths[0] > 0:
        assert replay(fewer, 0, actions[0])[-1]


def test_solved_unsolvable_and_given_up_are_told_apart():
    close = Board(*border(1, 9), robots=((0, 0),), goal=(0, 8))
    passed_over = Board(*border(1, 9), robots=((0, 0),), goal=(0, 4))
    lengths, actions = solve_many(pack(close, passed_over, close))
    assert lengths.tolist() == [1, UNSOLVABLE, 1]
    assert actions.tolist() == [[3], [-1], [3]] and (lengths.dtype, actions.dtype) == (np.int64, np.int16)
    hard = BoardGenerator(**HARD, min_optimal=9)(np.random.default_rng(0), 1)
    assert solve_many(hard, max_states=100)[0].tolist() == [LIMIT]


def test_a_goal_that_no_slide_enters_is_proven_unsolvable_at_once_however_many_positions_there_are():
    h, v = border(16, 16)
    h[[7, 8], 7] = v[7, [7, 8]] = True
    board = Board(h, v, ((0, 0), (3, 3), (9, 9), (12, 4)), (7, 7))
    assert solve(board, max_states=10) is None


def test_actions_of_many_boards_solve_them_and_are_padded():
    boards = BoardGenerator(8, 8, 4)(np.random.default_rng(0), 60)
    lengths, actions = solve_many(boards)
    np.testing.assert_array_equal(lengths, boards.optimal)
    assert actions.shape == (60, lengths.max())
    for i, length in enumerate(lengths):
        assert replay(boards, i, actions[i, :length]) == [False] * (length - 1) + [True]
        assert (actions[i, length:] == -1).all()


def test_threads_change_nothing():
    boards = BoardGenerator(6, 6, 3)(np.random.default_rng(1), 30)
    for one, two in zip(solve_many(boards), solve_many(boards, threads=2), strict=True):
        np.testing.assert_array_equal(one, two)
    np.testing.assert_array_equal(robots_moved(boards), robots_moved(boards, threads=2))


def test_no_boards_have_no_answers():
    none = BoardGenerator()(np.random.default_rng(0), 1)[:0]
    lengths, actions = solve_many(none)
    assert lengths.shape == (0,) and actions.shape == (0, 0) and robots_moved(none).shape == (0,)


def test_robots_moved_equals_the_least_over_all_optimal_solutions():
    boards = BoardGenerator(5, 5, 3, max_optimal=5)(np.random.default_rng(2), 80)
    moved = robots_moved(boards)
    expected = [plain_moved(boards.board(i), int(boards.optimal[i])) for i in range(len(boards))]
    assert moved.tolist() == expected and set(expected) == {1, 2, 3}
    absent = with_absent_robots(boards, [None, 2, 0, 1])
    np.testing.assert_array_equal(robots_moved(absent), moved)


def test_robots_moved_is_unknown_where_the_optimum_is_or_the_search_is_cut_short():
    boards = BoardGenerator(8, 8, 4, min_optimal=6)(np.random.default_rng(0), 2)
    boards.optimal[0] = -1
    assert robots_moved(boards, max_states=1).tolist() == [-1, -1]


def test_an_absent_target_robot_is_refused():
    boards = BoardGenerator()(np.random.default_rng(0), 3)
    boards.robots[1, boards.target[1]] = -1
    with pytest.raises(UserError, match="board 1 is absent"):
        solve_many(boards)


def test_a_long_search_comes_back_to_python_often_enough_to_hear_ctrl_c(monkeypatch):
    board = BoardGenerator(**HARD, min_optimal=9)(np.random.default_rng(0), 1)
    module, sizes, frontiers = sys.modules[solve_many.__module__], [0], []

    def watched(*args):
        length, link, frontier = advance(*args)
        sizes.append(int(frontier.counters[SIZE]))
        frontiers[:] = [frontier]
        return length, link, frontier

    monkeypatch.setattr(module, "advance", watched)
    monkeypatch.setattr(module, "STATES_AT_ONCE", 1000)
    assert solve_many(board)[0] == board.optimal and sizes[-1] > 4000
    assert np.diff(sizes).max() < 1000 + 2 * 16
    stored, known = frontiers[0].states[: sizes[-1]], frontiers[0].table
    np.testing.assert_array_equal(np.sort(stored), np.sort(known[known >= 0]))  # also after many times growing
