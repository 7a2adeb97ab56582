"""Sokoban as a picture and as text."""

from functools import cache

import numpy as np

from drc_lab.envs.render import FLOOR, INK, WHITE, Colour, Pen, mosaic, tint
from drc_lab.envs.sokoban import level
from drc_lab.envs.sokoban.level import SYMBOLS
from drc_lab.pictures import DEFAULT_CELL_SIZE

BRICK, BRICK_LIGHT, MORTAR = (78, 89, 108), (94, 107, 128), (48, 55, 69)
TARGET: Colour = (214, 66, 66)
WOOD, WOOD_LIGHT = (160, 106, 52), (212, 158, 88)
DONE, DONE_LIGHT = (24, 120, 92), (88, 190, 148)
PLAYER, PLAYER_LIGHT = (32, 98, 190), (86, 150, 232)


def picture(tiles: np.ndarray, cell_size: int = DEFAULT_CELL_SIZE) -> np.ndarray:
    """The board as seen from above.

    Args:
        tiles: uint8 [H, W], codes of `drc_lab.envs.sokoban.level`.
        cell_size: side of a cell, in pixels.

    Returns:
        uint8 [H * cell_size, W * cell_size, 3], RGB.
    """
    return mosaic(_cells(cell_size)[tiles])


def ansi(tiles: np.ndarray) -> str:
    """The board in the usual symbols, one line a row; tiles uint8 [H, W]."""
    return "\n".join("".join(SYMBOLS[tile] for tile in row) for row in tiles)


@cache
def _cells(cell_size: int) -> np.ndarray:
    """uint8 [7, s, s, 3]: every tile."""
    return np.stack([_cell(tile, cell_size) for tile in range(len(SYMBOLS))])


def _cell(tile: int, cell_size: int) -> np.ndarray:
    pen = Pen(cell_size)
    if tile == level.WALL:
        _wall(pen)
    if tile in (level.TARGET, level.PLAYER_ON_TARGET):
        _target(pen)
    if tile in (level.BOX, level.BOX_ON_TARGET):
        _box(pen, tile == level.BOX_ON_TARGET)
    if tile in (level.PLAYER, level.PLAYER_ON_TARGET):
        _player(pen)
    return pen.cell()


def _wall(pen: Pen) -> None:
    """Draws bricks that continue in the next cell without a seam."""
    pen.box(0, 0, 1, 1, MORTAR)
    for course in range(4):
        top, shift = course / 4, -0.25 * (course % 2)
        for left in (shift, shift + 0.5, shift + 1):
            pen.box(left + 0.02, top + 0.02, left + 0.48, top + 0.23, BRICK)
            pen.box(left + 0.02, top + 0.02, left + 0.48, top + 0.06, BRICK_LIGHT)


def _target(pen: Pen) -> None:
    pen.box(0, 0, 1, 1, tint(TARGET, 0.25))
    pen.disc(0.5, 0.5, 0.45, TARGET)
    pen.disc(0.5, 0.5, 0.34, FLOOR)
    pen.disc(0.5, 0.5, 0.18, TARGET)


def _box(pen: Pen, done: bool) -> None:
    dark, light = (DONE, DONE_LIGHT) if done else (WOOD, WOOD_LIGHT)
    pen.box(0.06, 0.06, 0.94, 0.94, INK, 0.08)
    pen.box(0.1, 0.1, 0.9, 0.9, dark, 0.05)
    pen.box(0.22, 0.22, 0.78, 0.78, light)
    if done:
        pen.line([(0.34, 0.52), (0.46, 0.64), (0.67, 0.37)], 0.1, WHITE)
    else:
        for a, b in ((0.27, 0.73), (0.73, 0.27)):
            pen.line([(a, 0.27), (b, 0.73)], 0.11, dark)


def _player(pen: Pen) -> None:
    pen.disc(0.5, 0.5, 0.35, INK)
    pen.disc(0.5, 0.5, 0.31, PLAYER)
    pen.disc(0.5, 0.47, 0.25, PLAYER_LIGHT)
    for x in (0.39, 0.61):
        pen.disc(x, 0.44, 0.09, WHITE)
        pen.disc(x, 0.46, 0.045, INK)
