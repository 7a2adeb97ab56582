"""Drawing walls into a board, compiled. Walls are uint8 [P] as in `drc_lab.envs.ricochet.level.Boards`."""

from drc_lab.envs.directions import stride_of
from drc_lab.numerics import jit


@jit
def border_only(height, width, walls):
    """Overwrites walls with those of a board that has only its border."""
    for cell in range(height * width):
        r, c = cell // width, cell % width
        walls[cell] = (1 * (r == 0)) | (2 * (r == height - 1)) | (4 * (c == 0)) | (8 * (c == width - 1))


@jit
def close_side(walls, width, cell, direction):
    """Adds a wall on one side of a cell, to both of the cells that it separates."""
    if not walls[cell] & (1 << direction):  # on the border there is a wall already, and no cell beyond
        walls[cell] |= 1 << direction
        walls[cell + stride_of(direction, width)] |= 1 << (direction ^ 1)


@jit
def close_cell(walls, width, cell):
    """Adds walls on all sides of a cell."""
    for direction in range(4):
        close_side(walls, width, cell, direction)


@jit
def random_walls(rng, height, width, density, walls):
    """Overwrites walls: every inner edge becomes a wall with probability ``density``."""
    border_only(height, width, walls)
    for cell in range(height * width):
        if cell // width < height - 1 and rng.random() < density:
            close_side(walls, width, cell, 1)
        if cell % width < width - 1 and rng.random() < density:
            close_side(walls, width, cell, 3)
