"""Exact breadth-first search over robot positions, compiled.

Robots other than the target robot are interchangeable as far as the distance to the goal goes, so positions are
compared with the others sorted (Lireer's ricochet-robot-solver does the same); moves are kept unsorted, for the path.
"""

from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import mix64
from drc_lab.envs.ricochet.level import Board, Boards
from drc_lab.envs.ricochet.step import slide
from drc_lab.errors import UserError
from drc_lab.numerics import jit

UNSOLVABLE, LIMIT = -1, -2
DEFAULT_MAX_STATES = 20_000_000


@jit
def _pack(robots, target, bits):
    """Positions as one number: the target robot's, then the others' sorted."""
    others = np.empty(len(robots), np.int64)
    count = 0
    for i in range(len(robots)):
        if i != target:
            place = count
            while place > 0 and others[place - 1] > robots[i]:
                others[place] = others[place - 1]
                place -= 1
            others[place] = robots[i]
            count += 1
    key = np.uint64(robots[target])
    for i in range(count):
        key = (key << np.uint64(bits)) | np.uint64(others[i])
    return key


@jit
def _insert(table, key):
    """Adds key to an open-addressing set (entries are key + 1, 0 is empty). False if it was there."""
    mask = np.uint64(len(table) - 1)
    place = mix64(key) & mask
    while table[place] != 0:
        if table[place] == key + np.uint64(1):
            return False
        place = (place + np.uint64(1)) & mask
    table[place] = key + np.uint64(1)
    return True


@jit
def search(walls, width, robots, goal, target, max_depth, max_states):
    """Breadth-first search from one position.

    Args:
        walls: uint8 [P]; robots: int64 [R]; goal, target: ints.
        max_depth: positions that need more moves count as unsolvable.
        max_states: give up after this many distinct positions.

    Returns:
        length (or UNSOLVABLE, LIMIT), and the actions of an optimal solution (int64 [length]).
    """
    count = len(robots)
    bits = 1
    while (1 << bits) < len(walls):
        bits += 1
    capacity = 256
    states = np.empty((capacity, count), np.int64)
    parent, action = np.empty(capacity, np.int64), np.empty(capacity, np.int64)
    table = np.zeros(4 * capacity, np.uint64)
    states[0], parent[0] = robots, -1
    _insert(table, _pack(robots, target, bits))
    head, size, depth, level_end = 0, 1, 0, 1
    moved = robots.copy()
    while head < size:
        if head == level_end:
            depth, level_end = depth + 1, size
        if depth >= max_depth:
            break
        for a in range(4 * count):
            robot = a // 4
            cell = slide(walls, width, states[head], robot, a % 4)
            if cell == states[head, robot]:
                continue
            moved[:] = states[head]
            moved[robot] = cell
            if robot == target and cell == goal:
                path = np.empty(depth + 1, np.int64)
                path[depth], node = a, head
                for i in range(depth - 1, -1, -1):
                    path[i], node = action[node], parent[node]
                return depth + 1, path
            if not _insert(table, _pack(moved, target, bits)):
                continue
            if size >= max_states:
                return LIMIT, np.empty(0, np.int64)
            if size == capacity:
                more_states, more_parent = np.empty((2 * capacity, count), np.int64), np.empty(2 * capacity, np.int64)
                more_action, more_table = np.empty(2 * capacity, np.int64), np.zeros(8 * capacity, np.uint64)
                more_states[:capacity], more_parent[:capacity] = states, parent
                more_action[:capacity] = action
                for entry in table:
                    if entry:
                        _insert(more_table, entry - np.uint64(1))
                states, parent, action, table, capacity = (
                    more_states,
                    more_parent,
                    more_action,
                    more_table,
                    2 * capacity,
                )
            states[size], parent[size], action[size] = moved, head, a
            size += 1
        head += 1
    return UNSOLVABLE, np.empty(0, np.int64)


@dataclass(frozen=True)
class Solution:
    """An optimal solution: ``actions`` in the env's numbering, 4 * robot + direction."""

    actions: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.actions)


class SearchLimitReached(Exception):
    """The search stopped at its limit: the board is neither solved nor proven unsolvable."""


def check_packable(cells: int, robots: int) -> None:
    """Positions of all robots have to fit in one 64-bit number (with one value to spare)."""
    bits = max(1, (cells - 1).bit_length())
    if robots * bits > 63:
        raise UserError(f"solver: found {robots} robots on {cells} cells, allowed: at most {63 // bits} robots")


def solve(board: Board, max_states: int = DEFAULT_MAX_STATES) -> Solution | None:
    """A solution with the fewest moves, or None when it is proven that there is none.

    Raises:
        SearchLimitReached: more than ``max_states`` positions were seen without an answer.
        UserError: too many robots for the size of the board.
    """
    check_packable(board.height * board.width, len(board.robots))
    one = Boards.pack([board], [-1])
    length, actions = search(one.walls[0].reshape(-1), board.width, one.robots[0], one.goal[0], one.target[0],
                             np.iinfo(np.int64).max, max_states)  # fmt: skip
    if length == LIMIT:
        raise SearchLimitReached(f"no answer within {max_states} positions")
    return None if length == UNSOLVABLE else Solution(tuple(actions.tolist()))
