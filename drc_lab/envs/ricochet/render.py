"""Ricochet Robots as a picture; the text form is `drc_lab.envs.ricochet.level.draw`."""

from functools import lru_cache

import numpy as np

from drc_lab.envs.render import COLOURS, INK, WHITE, Colour, Pen, mosaic, text_colour, tint
from drc_lab.envs.ricochet.level import CLOSED
from drc_lab.envs.specs.ricochet import ROBOT_NAMES
from drc_lab.pictures import DEFAULT_CELL_SIZE


def picture(
    walls: np.ndarray, robots: np.ndarray, goal: int, target: int, cell_size: int = DEFAULT_CELL_SIZE
) -> np.ndarray:
    """The board as seen from above.

    Args:
        walls: uint8 [H, W], bit d set if there is a wall on side d (up, down, left, right) of the cell. Cells with all
            four lie outside the board and are solid.
        robots: int [R], cell index r * W + c of each robot; -1 where it is absent.
        goal: cell index.
        target: index of the robot that has to stop on the goal; it wears a white ring, and the goal has its colour.
        cell_size: side of a cell, in pixels.

    Returns:
        uint8 [H * cell_size, W * cell_size, 3], RGB.
    """
    W = walls.shape[1]
    cells = np.tile(_cell(cell_size, None, None, False), (*walls.shape, 1, 1, 1))
    cells[walls & CLOSED == CLOSED] = INK
    standing = {int(cell): robot for robot, cell in enumerate(robots) if cell >= 0}
    for cell in {int(goal), *standing}:
        robot = standing.get(cell)
        cells[divmod(cell, W)] = _cell(cell_size, int(target) if cell == goal else None, robot, robot == target)
    _paint_walls(cells, walls)
    board = mosaic(cells)
    edge = 2 * _half_wall(cell_size)
    for side in (board[:edge], board[-edge:], board[:, :edge], board[:, -edge:]):
        side[:] = INK  # beyond the border there is no cell to draw the other half of its walls
    return board


def _half_wall(cell_size: int) -> int:
    """Half the thickness of a wall, in pixels: each of the two cells that it separates shows one half."""
    return max(1, round(cell_size / 16))


def _paint_walls(cells: np.ndarray, walls: np.ndarray) -> None:
    """Draws walls into cells (uint8 [H, W, s, s, 3]), in place."""
    H, W, s = cells.shape[:3]
    half = _half_wall(s)
    whole, near, far = slice(None), slice(None, half), slice(s - half, None)
    up, down, left, right = (walls & (1 << side) > 0 for side in range(4))
    for walled, rows, columns in ((up, near, whole), (down, far, whole), (left, whole, near), (right, whole, far)):
        cells[walled, rows, columns] = INK
    # Where a wall ends, all four cells that meet there get a corner, so that walls join without a notch.
    posts = np.zeros((H + 1, W + 1), bool)
    posts[:-1, :-1] |= up | left
    posts[:-1, 1:] |= up
    posts[1:, :-1] |= left
    for dr, rows in enumerate((near, far)):
        for dc, columns in enumerate((near, far)):
            cells[posts[dr : H + dr, dc : W + dc], rows, columns] = INK


@lru_cache(maxsize=4096)
def _cell(cell_size: int, goal_of: int | None, robot: int | None, is_target: bool) -> np.ndarray:
    """uint8 [s, s, 3]: the floor and what stands on it, without walls."""
    pen = Pen(cell_size)
    if goal_of is not None:
        _goal(pen, COLOURS[goal_of])
    if robot is not None:
        _robot(pen, COLOURS[robot], ROBOT_NAMES[robot], is_target)
    return pen.cell()


def _goal(pen: Pen, colour: Colour) -> None:
    pen.box(0, 0, 1, 1, tint(colour, 0.45))
    pen.diamond(0.5, 0.5, 0.46, INK)
    pen.diamond(0.5, 0.5, 0.4, colour)
    pen.diamond(0.5, 0.5, 0.22, WHITE)
    pen.diamond(0.5, 0.5, 0.12, INK)


def _robot(pen: Pen, colour: Colour, letter: str, is_target: bool) -> None:
    pen.disc(0.5, 0.5, 0.35, INK)
    if is_target:
        pen.disc(0.5, 0.5, 0.32, WHITE)
        pen.disc(0.5, 0.5, 0.26, INK)
    pen.disc(0.5, 0.5, 0.24 if is_target else 0.31, colour)
    pen.letter(letter, 0.36, text_colour(colour))
