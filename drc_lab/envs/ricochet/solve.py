"""The exact solver: solutions with the fewest moves, for one board or many, and how many robots they have to move."""

from dataclasses import dataclass
from itertools import combinations

import numpy as np

from drc_lab.envs.ricochet.level import Board, Boards
from drc_lab.envs.ricochet.search import SEARCHING, SIZE, actions_of, advance, begin
from drc_lab.envs.ricochet.walls import close_cell
from drc_lab.envs.search import LIMIT, UNSOLVABLE, SearchLimitReached, in_threads
from drc_lab.envs.specs.ricochet import check_packable
from drc_lab.errors import UserError

DEFAULT_MAX_STATES = 20_000_000
STATES_AT_ONCE = 100_000  # of one compiled call; Ctrl-C takes effect between calls
ANY_DEPTH = np.iinfo(np.int64).max


@dataclass(frozen=True)
class Solution:
    """An optimal solution: ``actions`` in the env's numbering, 4 * robot + direction."""

    actions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.actions)


def solve(board: Board, max_states: int = DEFAULT_MAX_STATES) -> Solution | None:
    """A solution with the fewest moves, or None if it is proven that there is none.

    Raises:
        SearchLimitReached: more than ``max_states`` positions were seen without an answer.
        UserError: too many robots for the size of the board.
    """
    lengths, actions = solve_many(Boards.pack([board], [-1]), max_states)
    if lengths[0] == LIMIT:
        raise SearchLimitReached(f"no answer within {max_states} positions")
    return None if lengths[0] == UNSOLVABLE else Solution(tuple(actions[0].tolist()))


def solve_many(boards: Boards, max_states: int = DEFAULT_MAX_STATES, threads: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Solutions with the fewest moves. Robots in cell -1 are absent.

    Args:
        boards: N of them.
        max_states: positions to search for one board before giving up.
        threads: boards solved in parallel.

    Returns:
        int64 [N]: length, or UNSOLVABLE (proven), or LIMIT.
        int16 [N, longest]: actions, 4 * robot + direction, and -1 after the end.

    Raises:
        UserError: too many robots for the size of the boards, or an absent target robot.
    """
    _check(boards)
    answers = list(
        in_threads(lambda i: _search(*_arrays(boards, i), ANY_DEPTH, max_states), range(len(boards)), threads)
    )
    lengths = np.array([length for length, _ in answers], np.int64)
    actions = np.full((len(boards), max(0, lengths.max(initial=0))), -1, np.int16)
    for row, (_, solution) in zip(actions, answers, strict=True):
        row[: len(solution)] = solution
    return lengths, actions


def robots_moved(boards: Boards, max_states: int = DEFAULT_MAX_STATES, threads: int = 1) -> np.ndarray:
    """int64 [N]: the smallest number of robots that move in any solution of length ``boards.optimal``.

    It is -1 where ``optimal`` is unknown, or where a search saw more than ``max_states`` positions without an answer.
    """
    _check(boards)
    return np.array(list(in_threads(lambda i: _moved(boards, i, max_states), range(len(boards)), threads)), np.int64)


def _check(boards: Boards) -> None:
    check_packable(boards.walls[0].size if len(boards) else 1, int((boards.robots >= 0).sum(axis=1).max(initial=0)))
    absent = np.flatnonzero(np.take_along_axis(boards.robots, boards.target[:, None], axis=1)[:, 0] < 0)
    if len(absent):
        raise UserError(f"boards: the target robot of board {absent[0]} is absent")


def _arrays(boards: Boards, i: int) -> tuple[np.ndarray, int, np.ndarray, int, int]:
    width = boards.walls.shape[2]
    return boards.walls[i].reshape(-1), width, boards.robots[i], int(boards.goal[i]), int(boards.target[i])


def _search(
    walls: np.ndarray, width: int, robots: np.ndarray, goal: int, target: int, max_depth: int, max_states: int
) -> tuple[int, np.ndarray]:
    """Like `drc_lab.envs.ricochet.search.search`, but Ctrl-C can stop it, and it returns the actions of the solution
    after its length."""
    p, f = begin(walls, width, robots, goal, target)
    length, link = SEARCHING, 0
    while length == SEARCHING:
        if f.counters[SIZE] > max_states:
            return LIMIT, np.empty(0, np.int64)
        length, link, f = advance(p, f, max_depth, min(max_states, int(f.counters[SIZE]) + STATES_AT_ONCE))
    return length, actions_of(p, f, robots, max(0, length), link)


def _moved(boards: Boards, i: int, max_states: int) -> int:
    """`robots_moved` of board ``i``. Tries with more and more robots; those that may not move become closed cells."""
    walls, width, robots, goal, target = _arrays(boards, i)
    optimal, others = int(boards.optimal[i]), [r for r in np.flatnonzero(robots >= 0) if r != target]
    if optimal < 1:
        return -1
    for still in range(len(others), 0, -1):
        for chosen in map(list, combinations(others, still)):
            closed, moving = walls.copy(), robots.copy()
            moving[chosen] = -1
            for robot in chosen:
                close_cell(closed, width, robots[robot])
            length, _ = _search(closed, width, moving, goal, target, optimal, max_states)
            if length == LIMIT:
                return -1
            if length == optimal:
                return 1 + len(others) - still
    return 1 + len(others)
