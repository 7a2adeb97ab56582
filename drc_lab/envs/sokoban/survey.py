"""What the searches need to know about a level's walls and targets, computed once for each level.

Only cells that the player could walk to on a board without boxes matter; they are numbered 0 to n - 1, row by row.
"""

from typing import NamedTuple

import numpy as np

from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, PLAYER, PLAYER_ON_TARGET, TARGET, WALL
from drc_lab.numerics import jit

FAR = 1 << 20  # number of pushes where there is no way; sums of it do not overflow


class Survey(NamedTuple):
    """A level for the searches. n cells, B boxes.

    Attributes:
        neighbour: int16 [n, 4], the cell up, down, left, right; -1 is a wall.
        target: bool [n], whether the cell is a target.
        side: uint8 [n, n]; a single box can divide the board into parts, and side[box, player] is the part that the
            player is in: the first direction in which the box has a neighbour in that part.
        pushes: int32 [B, n, 4]; pushes[t, box, part] is the fewest pushes that bring a box to target t on a board
            without other boxes, if the player starts in that part; FAR if there is no way.
        dead: bool [n], cells from which a box can never get to a target.
        boxes: uint16 [B], where they start, ascending.
        player: where it starts.
        hopeless: whether there is no solution because the player can never get to some target, or to some box that is
            not on a target.
    """

    neighbour: np.ndarray
    target: np.ndarray
    side: np.ndarray
    pushes: np.ndarray
    dead: np.ndarray
    boxes: np.ndarray
    player: np.int64
    hopeless: bool


@jit
def number_cells(tiles, start, number):
    """Numbers the cells that the player can walk to from ``start`` (row * W + column), row by row. Returns n.

    number: int16 [H, W], -1 everywhere before the call; cells that the player cannot walk to stay -1.
    """
    height, width = tiles.shape
    queue = np.empty(height * width, np.int64)
    queue[0], head, tail = start, 0, 1
    number[start // width, start % width] = 0
    while head < tail:
        r, c = queue[head] // width, queue[head] % width
        head += 1
        for d in range(4):
            y, x = r + (d == 1) - (d == 0), c + (d == 3) - (d == 2)
            if 0 <= y < height and 0 <= x < width and tiles[y, x] != WALL and number[y, x] < 0:
                number[y, x] = 0
                queue[tail] = y * width + x
                tail += 1
    count = 0
    for r in range(height):
        for c in range(width):
            if number[r, c] == 0:
                number[r, c] = count
                count += 1
    return count


@jit
def _parts(neighbour, box, side, queue):
    """Fills side uint8 [n] for a box in one cell, see `Survey`; 4 in that cell itself."""
    side[:] = 4
    for d in range(4):
        start = neighbour[box, d]
        if start < 0 or side[start] < 4:
            continue
        side[start] = d
        queue[0], head, tail = start, 0, 1
        while head < tail:
            cell = queue[head]
            head += 1
            for e in range(4):
                following = neighbour[cell, e]
                if following >= 0 and following != box and side[following] == 4:
                    side[following] = d
                    queue[tail] = following
                    tail += 1


@jit
def _pushes_to(neighbour, side, target, pushes, queue):
    """Fills pushes int32 [n, 4] for one target, see `Survey`, by pulling a box away from it, breadth first."""
    pushes[:] = FAR
    head = tail = 0
    for d in range(4):
        if neighbour[target, d] >= 0 and pushes[target, side[target, neighbour[target, d]]] == FAR:
            pushes[target, side[target, neighbour[target, d]]] = 0
            queue[tail] = target * 4 + side[target, neighbour[target, d]]
            tail += 1
    while head < tail:
        box, part = queue[head] // 4, queue[head] % 4
        head += 1
        for back in range(4):  # where the box was pushed from
            before = neighbour[box, back]
            if before < 0 or side[box, before] != part or neighbour[before, back] < 0:
                continue
            part_before = side[before, neighbour[before, back]]
            if pushes[before, part_before] == FAR:
                pushes[before, part_before] = pushes[box, part] + 1
                queue[tail] = before * 4 + part_before
                tail += 1


@jit
def survey(tiles):
    """Surveys a level. tiles: uint8 [H, W], one player and as many targets as boxes; cells outside count as walls."""
    height, width = tiles.shape
    start = 0
    for place in range(height * width):
        if tiles[place // width, place % width] in (PLAYER, PLAYER_ON_TARGET):
            start = place
    number = np.full((height, width), -1, np.int16)
    n = number_cells(tiles, start, number)
    neighbour, target = np.full((n, 4), -1, np.int16), np.zeros(n, np.bool_)
    boxes, targets = np.empty(n, np.uint16), np.empty(n, np.uint16)
    num_boxes = num_targets = 0
    hopeless = False
    for r in range(height):
        for c in range(width):
            cell, tile = number[r, c], tiles[r, c]
            if cell < 0:  # a box out of the player's reach has to be on a target, and is no more than a wall
                hopeless |= tile == BOX
                continue
            for d in range(4):
                y, x = r + (d == 1) - (d == 0), c + (d == 3) - (d == 2)
                if 0 <= y < height and 0 <= x < width:
                    neighbour[cell, d] = number[y, x]
            if tile in (BOX, BOX_ON_TARGET):
                boxes[num_boxes] = cell
                num_boxes += 1
            if tile in (TARGET, BOX_ON_TARGET, PLAYER_ON_TARGET):
                target[cell] = True
                targets[num_targets] = cell
                num_targets += 1
    hopeless |= num_boxes != num_targets
    side, pushes = np.empty((n, n), np.uint8), np.empty((num_targets, n, 4), np.int32)
    dead, queue = np.ones(n, np.bool_), np.empty(4 * n, np.int64)
    if not hopeless:
        for cell in range(n):
            _parts(neighbour, cell, side[cell], queue)
        for t in range(num_targets):
            _pushes_to(neighbour, side, targets[t], pushes[t], queue)
            for cell in range(n):
                for part in range(4):
                    if pushes[t, cell, part] < FAR:
                        dead[cell] = False
    player = np.int64(number[start // width, start % width])  # the type that Python passes back, to compile once
    return Survey(neighbour, target, side, pushes, dead, boxes[:num_boxes].copy(), player, hopeless)
