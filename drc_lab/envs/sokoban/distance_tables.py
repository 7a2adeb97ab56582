"""Tables of the fewest moves from every position of a Sokoban level, breadth first from all solved positions by walking
and pulling.

A position's number combines the number of its set of box cells and the player's cell. Sets of box cells are numbered in
the combinatorial number system, among the cells from which a box can get to some target.
"""

import numpy as np

from drc_lab.envs.distance_tables import MOST_STEPS, DistanceTables
from drc_lab.envs.search import UNSOLVABLE
from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET
from drc_lab.envs.sokoban.survey import number_cells, survey
from drc_lab.numerics import jit

MOST_BOXES = 16  # with more there are too many positions anyway
MANY = 1 << 40  # limit on numbers of ways, so that their sums and products do not overflow


@jit
def _binomials(cells):
    """int64 [cells + 1, MOST_BOXES + 1]: entry [i, k] is the number of ways to choose k of i, at most MANY."""
    ways = np.zeros((cells + 1, MOST_BOXES + 1), np.int64)
    ways[:, 0] = 1
    for i in range(1, cells + 1):
        for k in range(1, MOST_BOXES + 1):
            ways[i, k] = min(MANY, ways[i - 1, k - 1] + ways[i - 1, k])
    return ways


@jit
def _reach(steps, queue, tail, position, length):
    """Records and queues a position if it is new. Returns the queue's end."""
    if steps[position] >= 0:
        return tail
    steps[position], queue[tail] = length, position
    return tail + 1


@jit
def _table(tiles, player, ways, max_positions, number, place):
    """The table of one level.

    Args:
        tiles: uint8 [H, W].
        player: its cell, row * W + column.
        ways: see `_binomials`.
        max_positions: see `DistanceTables`.
        number: int16 [H, W], overwritten: numbers the cells that the player can walk to on a board without boxes, -1 in
            other cells.
        place: int16 [H * W], overwritten: for each cell number, its index among the cells that a box may be on, else
            -1.

    Returns:
        int16 [positions], empty if there are too many positions.
    """
    level = survey(tiles)
    number[:], place[:] = -1, -1
    number_cells(tiles, player, number)
    n, num_boxes = len(level.target), len(level.boxes)
    nothing = np.full(n, UNSOLVABLE, np.int16)
    if level.hopeless:
        return nothing
    live = np.flatnonzero(~level.dead)
    if num_boxes > MOST_BOXES or ways[len(live), num_boxes] * n > max_positions:
        return nothing[:0]
    for i in range(len(live)):
        place[live[i]] = i
    steps = np.full(ways[len(live), num_boxes] * n, UNSOLVABLE, np.int16)
    queue = np.empty(len(steps), np.int64)
    boxes, chosen, occupied = np.empty(num_boxes, np.int64), 0, np.zeros(n, np.bool_)
    head = tail = boxes_number = 0
    for cell in range(n):
        if level.target[cell]:
            chosen += 1
            boxes_number += ways[place[cell], chosen]
    for cell in range(n):
        if not level.target[cell]:
            tail = _reach(steps, queue, tail, boxes_number * n + cell, 0)
    while head < tail:
        position = queue[head]
        head += 1
        boxes_number, here = position // n, position % n
        length, remainder, last = steps[position] + 1, boxes_number, len(live) - 1
        if length > MOST_STEPS:
            return nothing[:0]
        for i in range(num_boxes - 1, -1, -1):
            while ways[last, i + 1] > remainder:
                last -= 1
            boxes[i] = last
            remainder -= ways[last, i + 1]
            occupied[live[last]] = True
        for d in range(4):  # direction of the move that led here
            before, ahead = level.neighbour[here, d ^ 1], level.neighbour[here, d]
            if before < 0 or occupied[before]:
                continue
            tail = _reach(steps, queue, tail, boxes_number * n + before, length)
            if ahead >= 0 and occupied[ahead] and place[here] >= 0:
                pulled = _moved(boxes, place[ahead], place[here], ways)
                tail = _reach(steps, queue, tail, pulled * n + before, length)
        for box in boxes:
            occupied[live[box]] = False
    return steps


@jit
def _moved(boxes, old, new, ways):
    """The number of a set of box cells (``boxes``, ascending) after one box has moved from ``old`` to ``new``."""
    number, rank, placed = 0, 1, False
    for box in boxes:
        if not placed and box > new:
            number += ways[new, rank]
            rank, placed = rank + 1, True
        if box != old:
            number += ways[box, rank]
            rank += 1
    return number if placed else number + ways[new, rank]


@jit
def _look_up(envs, tiles, player, number, place, ways, cells, steps, remaining):
    for i in range(len(envs)):
        b = envs[i]
        boxes_number, rank, solvable = 0, 1, True
        for cell in range(tiles.shape[1]):
            if tiles[b, cell] in (BOX, BOX_ON_TARGET) and number[b, cell] >= 0:
                box = place[b, number[b, cell]]
                solvable &= box >= 0
                if solvable:
                    boxes_number += ways[box, rank]
                    rank += 1
        remaining[i] = steps[b, boxes_number * cells[b] + number[b, player[b]]] if solvable else UNSOLVABLE


class SokobanTables(DistanceTables):
    """Distance tables of B boards. The arrays belong to a `SokobanBatch`, which keeps writing to them.

    Args:
        tiles: uint8 [B, H * W]; player: int64 [B].
        width: W.
        max_positions: see `DistanceTables`.
    """

    def __init__(self, tiles: np.ndarray, player: np.ndarray, width: int, max_positions: int):
        super().__init__(len(tiles), max_positions)
        self.tiles, self.player, self.width = tiles, player, width
        self.number, self.place = (np.full(tiles.shape, -1, np.int16) for _ in range(2))
        self.cells = np.zeros(len(tiles), np.int64)  # number of cells that the player can walk to
        self.ways = _binomials(tiles.shape[1])

    def table(self, env: int) -> np.ndarray:
        tiles, number = (of_all[env].reshape(-1, self.width) for of_all in (self.tiles, self.number))
        steps = _table(tiles, self.player[env], self.ways, self.max_positions, number, self.place[env])
        self.cells[env] = (number >= 0).sum()
        return steps

    def look_up(self, envs: np.ndarray) -> np.ndarray:
        remaining = np.empty(len(envs), np.int64)
        _look_up(envs, self.tiles, self.player, self.number, self.place, self.ways, self.cells, self.steps, remaining)
        return remaining
