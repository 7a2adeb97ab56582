"""Walls in the style of the original board game, compiled.

The middle 2 x 2 cells are closed. Each quadrant has one wall piece at each of its two outer borders, and four L-shaped
corners, each open toward another diagonal direction; one random quadrant has a fifth corner, of random orientation, so
there are 17. Corners touch neither each other nor any other wall. The goal of a board is in a corner.
"""

import numpy as np

from drc_lab.envs.ricochet.walls import border_only, close_cell, close_side
from drc_lab.numerics import jit

CORNERS = 17
TRIES = 200  # to find room for a corner before the whole board is redrawn


@jit
def _place_corner(rng, height, width, walls, taken, top, left, orientation):
    """Puts a corner on a random cell of a quadrant, no lattice point of which is taken. Returns the cell, or -1."""
    for _ in range(TRIES):
        r, c = top + rng.integers(0, height // 2), left + rng.integers(0, width // 2)
        if not (taken[r, c] or taken[r, c + 1] or taken[r + 1, c] or taken[r + 1, c + 1]):
            taken[r, c] = taken[r, c + 1] = taken[r + 1, c] = taken[r + 1, c + 1] = True
            cell = r * width + c
            close_side(walls, width, cell, orientation % 2)
            close_side(walls, width, cell, 2 + orientation // 2)
            return cell
    return -1


@jit
def _along_border(rng, size, second):
    """After which cell of a half of the border a wall piece stands: at least two cells from the board's corner, and at
    least one from the middle. ``second`` chooses the half."""
    place = rng.integers(1, size // 2 - 1)
    return place + size // 2 - 1 if second else place


@jit
def official_walls(rng, height, width, walls, corners):
    """Draws the walls of a board into walls (uint8 [P]), and writes the cells of its corners (int64 [CORNERS])."""
    taken = np.empty((height + 1, width + 1), np.bool_)  # lattice points that walls touch
    placed = 0
    while placed < CORNERS:
        border_only(height, width, walls)
        for r in range(height + 1):
            for c in range(width + 1):
                down, right = r - height // 2, c - width // 2
                taken[r, c] = r in (0, height) or c in (0, width) or (abs(down) < 2 and abs(right) < 2)
                if down in (-1, 0) and right in (-1, 0):
                    close_cell(walls, width, r * width + c)
        for quadrant in range(4):
            lower, right = quadrant // 2, quadrant % 2
            r, c = _along_border(rng, height, lower), _along_border(rng, width, right)
            close_side(walls, width, lower * (height - 1) * width + c, 3)
            close_side(walls, width, r * width + right * (width - 1), 1)
            taken[height - 1 if lower else 1, c + 1] = taken[r + 1, width - 1 if right else 1] = True
        extra = rng.integers(0, 4)
        placed = 0
        for quadrant in range(4):
            top, left = quadrant // 2 * (height // 2), quadrant % 2 * (width // 2)
            for number in range(5 if quadrant == extra else 4):
                orientation = number if number < 4 else rng.integers(0, 4)
                cell = _place_corner(rng, height, width, walls, taken, top, left, orientation)
                if cell >= 0:
                    corners[placed] = cell
                    placed += 1
