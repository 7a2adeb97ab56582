"""Draws random rooms: walls, then targets, boxes and the player in random cells."""

import numpy as np

from drc_lab.envs.sokoban.level import BOX, BOX_ON_TARGET, FLOOR, PLAYER, PLAYER_ON_TARGET, TARGET, WALL
from drc_lab.envs.sokoban.survey import number_cells
from drc_lab.numerics import jit


@jit
def draw_room(rng, tiles, num_boxes, wall_density):
    """Draws a room into tiles (uint8 [H, W]). False if the cell that it should start from is a wall, or if it is too
    small for the boxes."""
    height, width = tiles.shape
    tiles[:] = WALL
    for r in range(1, height - 1):
        for c in range(1, width - 1):
            if rng.random() >= wall_density:
                tiles[r, c] = FLOOR
    start = rng.integers(1, height - 1) * width + rng.integers(1, width - 1)
    if tiles[start // width, start % width] == WALL:
        return False
    number = np.full((height, width), -1, np.int16)
    cells = np.empty(number_cells(tiles, start, number), np.int64)
    for place in range(height * width):
        r, c = place // width, place % width
        if number[r, c] >= 0:
            cells[number[r, c]] = place
        else:
            tiles[r, c] = WALL
    if len(cells) <= num_boxes:
        return False
    _furnish(rng, tiles, cells, num_boxes)
    return True


@jit
def _furnish(rng, tiles, cells, num_boxes):
    """Puts the player, boxes and targets on random ``cells`` (int64 [n], all floor), which it shuffles.

    No two boxes share a cell, nor do two targets, and the player is not on a box. There must be more cells than boxes.
    """
    width = tiles.shape[1]
    for i in range(num_boxes):
        other = rng.integers(i, len(cells))
        cells[i], cells[other] = cells[other], cells[i]
        tiles[cells[i] // width, cells[i] % width] = TARGET
    for i in range(num_boxes + 1):
        other = rng.integers(i, len(cells))
        cells[i], cells[other] = cells[other], cells[i]
        r, c = cells[i] // width, cells[i] % width
        if i < num_boxes:
            tiles[r, c] = BOX if tiles[r, c] == FLOOR else BOX_ON_TARGET
        else:
            tiles[r, c] = PLAYER if tiles[r, c] == FLOOR else PLAYER_ON_TARGET


@jit
def cornered(tiles):
    """Whether to discard a level at once, as happens to most draws: a box that is not on a target is in a corner, or
    all boxes are on targets."""
    none_off = True
    for r in range(1, tiles.shape[0] - 1):
        for c in range(1, tiles.shape[1] - 1):
            if tiles[r, c] == BOX:
                none_off = False
                vertical = tiles[r - 1, c] == WALL or tiles[r + 1, c] == WALL
                if vertical and (tiles[r, c - 1] == WALL or tiles[r, c + 1] == WALL):
                    return True
    return none_off
