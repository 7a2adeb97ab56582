"""Exact search for the fewest moves, compiled: A* with partial expansion.

The distance to the goal does not depend on which of the other robots is which, so a position is stored as the target
robot's cell and the sorted cells of the others. Positions are expanded in the order of their total: moves made so far
plus a lower bound of those to go (`drc_lab.envs.ricochet.bounds`). Most moves lead to totals above the optimum and
never matter, so what a move leads to is not stored before the search has reached its total. A move lowers the bound by
at most 1, so that totals never fall along a way, and the bound depends on the position alone: a position is first
stored with the fewest moves that lead to it.
"""

from typing import NamedTuple

import numpy as np

from drc_lab.envs.levels import mix64
from drc_lab.envs.ricochet.bounds import FAR, relaxed_moves, slide_ends
from drc_lab.envs.search import LIMIT, UNSOLVABLE
from drc_lab.numerics import jit

SEARCHING = -3
SIZE, TOTAL, NOW, LATER = range(4)  # indices into Frontier.counters


class Problem(NamedTuple):
    """What a search reads. ``ends``, ``reach`` and ``block`` are tables of `bounds`, ``column`` is each cell's column,
    and ``bits`` is the number of bits of one cell in a packed position."""

    ends: np.ndarray
    column: np.ndarray
    reach: np.ndarray
    block: np.ndarray
    width: int
    goal: int
    bits: int
    num_robots: int


class Frontier(NamedTuple):
    """The positions that a search has seen, and the lists of those to expand.

    Attributes:
        states: int64 [capacity], packed positions.
        link: int64 [capacity], 4 * num_robots * predecessor + move, where move is 4 * place in the packed position +
            direction.
        depth: int32 [capacity], moves from the start.
        waiting: int64 [capacity], a bit for each move whose total the search has not reached yet; all bits at first.
        following: int32 [capacity], the next position in the same list, -1 at its end.
        table: int64 [2 * capacity], open-addressing set of the states, -1 where empty.
        counters: int64 [4], number of states, current total, first position of this total's list and of the next's.
    """

    states: np.ndarray
    link: np.ndarray
    depth: np.ndarray
    waiting: np.ndarray
    following: np.ndarray
    table: np.ndarray
    counters: np.ndarray


@jit
def _slide(ends, column, width, cells, mover, direction):
    """The cell where a robot stops: the end of its slide, or the cell before the nearest robot on the way."""
    cell, sign, stride = cells[mover], 1 if direction & 1 else -1, width if direction < 2 else 1
    free = sign * (ends[cell, direction] - cell)
    for robot in range(len(cells)):
        ahead = sign * (cells[robot] - cell)
        if 0 < ahead <= free and (direction >= 2 or column[cells[robot]] == column[cell]):
            free = ahead - stride
    return cell + sign * free


@jit
def _blockers(block, cells, best):
    """Fills best [num_robots, 4]: for each robot, the fewest relaxed moves by which any robot except it and the target
    robot (robot 0) reaches the cell where it stops the target robot."""
    for direction in range(4):
        first = second = np.int32(FAR)
        place = 0
        for robot in range(1, len(cells)):
            moves = block[cells[robot], direction]
            if moves < first:
                first, second, place = moves, first, robot
            elif moves < second:
                second = moves
        if len(cells) == 1 and block[0, direction] == 0:
            first = second = np.int32(0)
        for robot in range(len(cells)):
            best[robot, direction] = second if robot == place and place > 0 else first


@jit
def _bound(reach, block, cells, best, mover, end):
    """Lower bound of the moves to go once robot ``mover`` is in cell ``end``."""
    least = np.int32(FAR)
    target = end if mover == 0 else cells[0]
    for direction in range(4):
        blocker = best[mover, direction]
        if mover > 0:
            blocker = min(blocker, block[end, direction])
        least = min(least, reach[target, direction] + blocker)
    return least


@jit
def _pack(cells, mover, end, bits):
    """Packs the position in which robot ``mover`` is in cell ``end`` into one number: the target robot's cell, then the
    other robots' in ascending order, which is their order in ``cells``."""
    key, waiting = (end, False) if mover == 0 else (cells[0], True)
    key = np.int64(key)
    for robot in range(1, len(cells)):
        if robot != mover:
            if waiting and end < cells[robot]:
                key, waiting = (key << bits) | end, False
            key = (key << bits) | cells[robot]
    return (key << bits) | end if waiting else key


@jit
def _unpack(key, bits, cells):
    mask = (1 << bits) - 1
    for robot in range(len(cells) - 1, -1, -1):
        cells[robot] = key & mask
        key >>= bits


@jit
def _slot(table, key):
    """The slot of the set that holds this position, or would hold it."""
    mask = len(table) - 1
    slot = np.int64(mix64(np.uint64(key)) & np.uint64(mask))
    while table[slot] >= 0 and table[slot] != key:
        slot = (slot + 1) & mask
    return slot


@jit
def _frontier(capacity, counters):
    """An empty Frontier with room for ``capacity`` positions, a power of two."""
    return Frontier(
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int32),
        np.empty(capacity, np.int64),
        np.empty(capacity, np.int32),
        np.full(2 * capacity, -1),
        counters,
    )


@jit
def _grown(f):
    """The same Frontier with twice the capacity."""
    larger = _frontier(2 * len(f.states), f.counters)
    for i in range(f.counters[SIZE]):  # assigning slices would take seconds to compile
        larger.states[i], larger.link[i], larger.depth[i] = f.states[i], f.link[i], f.depth[i]
        larger.waiting[i], larger.following[i] = f.waiting[i], f.following[i]
        larger.table[_slot(larger.table, f.states[i])] = f.states[i]
    return larger


@jit
def _add(f, key, link, depth):
    """Puts a position at the head of the current total's list, if it is new."""
    slot = _slot(f.table, key)
    if f.table[slot] < 0:
        new = f.counters[SIZE]
        f.table[slot], f.states[new], f.link[new], f.depth[new], f.waiting[new] = key, key, link, depth, -1
        f.following[new], f.counters[NOW], f.counters[SIZE] = f.counters[NOW], new, new + 1


@jit
def begin(walls, width, robots, goal, target):
    """Problem and Frontier of a search; see `search`."""
    bits = 1
    while (1 << bits) < len(walls):
        bits += 1
    cells, placed = np.empty(len(robots), np.int64), 1
    cells[0] = robots[target]
    for robot in range(len(robots)):
        if robot != target and robots[robot] >= 0:
            place = placed
            while place > 1 and cells[place - 1] > robots[robot]:
                cells[place] = cells[place - 1]
                place -= 1
            cells[place] = robots[robot]
            placed += 1
    cells = cells[:placed]
    ends = slide_ends(walls, width)
    reach, block = relaxed_moves(ends, width, goal)
    best = np.empty((len(cells), 4), np.int32)
    _blockers(block, cells, best)
    f = _frontier(256, np.array([0, _bound(reach, block, cells, best, 0, cells[0]), -1, -1]))
    _add(f, _pack(cells, 0, cells[0], bits), -1, 0)
    return Problem(ends, np.arange(len(walls)) % width, reach, block, width, goal, bits, len(cells)), f


@jit
def _advance(p, f, max_depth, max_states):
    """Like `advance`, but also stops when the capacity is used up, and does not return the Frontier.

    Each turn of the outer loop takes one position from the list of the current total and makes those of its moves whose
    total, moves so far plus the bound after the move, is this one. If other moves have larger totals, the position is
    put into the next total's list with these moves. One function on purpose: compiled calls that pass tuples of arrays
    cost more than these few lines do.
    """
    ends, column, reach, block, width, goal, bits, num_robots = p
    states, depth, waiting, following, counters = f.states, f.depth, f.waiting, f.following, f.counters
    cells, best = np.empty(num_robots, np.int64), np.empty((num_robots, 4), np.int32)
    moves = 4 * num_robots
    while counters[SIZE] + moves <= len(states) and counters[SIZE] <= max_states:
        if counters[NOW] < 0:  # all positions of this total are done
            counters[NOW], counters[LATER], counters[TOTAL] = counters[LATER], -1, counters[TOTAL] + 1
        if counters[NOW] < 0 or counters[TOTAL] > max_depth or counters[TOTAL] >= FAR:
            return UNSOLVABLE, 0
        node = counters[NOW]
        counters[NOW] = following[node]
        _unpack(states[node], bits, cells)
        _blockers(block, cells, best)
        wanted_bound = counters[TOTAL] - (depth[node] + 1)  # after a move of this total
        moves_now, moves_later = waiting[node] & ((1 << moves) - 1), 0  # a bit for each move
        for move in range(moves):
            if not moves_now & (1 << move):
                continue
            mover, direction = move // 4, move % 4
            end = _slide(ends, column, width, cells, mover, direction)
            if end == cells[mover]:
                continue
            if mover == 0 and end == goal:  # the bound before it was 1, so depth + 1 is the current total
                return depth[node] + 1, node * moves + move
            bound = _bound(reach, block, cells, best, mover, end)
            if wanted_bound < bound < FAR:
                moves_later |= 1 << move
            elif bound == wanted_bound:
                _add(f, _pack(cells, mover, end, bits), node * moves + move, depth[node] + 1)
        if moves_later:
            following[node], waiting[node], counters[LATER] = counters[LATER], moves_later, node
    return SEARCHING, 0


@jit
def advance(p, f, max_depth, max_states):
    """Continues a search until there is an answer or it has seen more than max_states positions.

    Returns:
        length, UNSOLVABLE, or SEARCHING; the last link (as in Frontier) of a solution; the Frontier.
    """
    while True:
        length, link = _advance(p, f, max_depth, max_states)
        if length != SEARCHING or f.counters[SIZE] > max_states:
            return length, link, f
        f = _grown(f)


@jit
def actions_of(p, f, robots, length, link):
    """int64 [length]: the actions, in the env's numbering, of the solution that ends with ``link``."""
    moves, links = 4 * p.num_robots, np.empty(length, np.int64)
    for i in range(length - 1, -1, -1):
        links[i] = link
        link = f.link[link // moves]
    now, cells, actions = robots.copy(), np.empty(p.num_robots, np.int64), np.empty(length, np.int64)
    for i in range(length):
        _unpack(f.states[links[i] // moves], p.bits, cells)
        mover, direction = links[i] % moves // 4, links[i] % 4
        for robot in range(len(now)):
            if now[robot] == cells[mover]:
                actions[i] = 4 * robot + direction
                now[robot] = _slide(p.ends, p.column, p.width, cells, mover, direction)
                break
    return actions


@jit
def search(walls, width, robots, goal, target, max_depth, max_states):
    """Searches from one position, in compiled code.

    Args:
        walls: uint8 [P]; robots: int64 [R], -1 where a robot is absent; goal, target: ints.
        max_depth: positions that need more moves count as unsolvable.
        max_states: give up after this many distinct positions.

    Returns:
        length (or UNSOLVABLE, LIMIT), and the number of distinct positions seen.
    """
    p, f = begin(walls, width, robots, goal, target)
    length, _, f = advance(p, f, max_depth, max_states)
    return LIMIT if length == SEARCHING else length, f.counters[SIZE]
