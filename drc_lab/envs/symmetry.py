"""The 8 symmetries of the square, as every game numbers them.

Symmetry s flips the rows if bit 0 is set, then the columns if bit 1 is set, and then transposes if bit 2 is set.
Directions are 0 up, 1 down, 2 left, 3 right; cells are indices row * width + column.
"""

import numpy as np

from drc_lab.numerics import jit

COUNT = 8
TRANSPOSE = 4  # this bit is set in the symmetries that turn an H x W board into a W x H one


def _direction_table() -> np.ndarray:
    table = np.tile(np.arange(4), (COUNT, 1))
    for symmetry, row in enumerate(table):
        if symmetry & 1:
            row[[0, 1]] = row[[1, 0]]
        if symmetry & 2:
            row[[2, 3]] = row[[3, 2]]
        if symmetry & TRANSPOSE:
            row[:] = (row + 2) % 4
    return table


DIRECTIONS = _direction_table()
"""int64 [8, 4]: DIRECTIONS[s, d] is what direction d becomes under symmetry s."""


@jit
def place(cell, symmetry, height, width):
    """Where one cell of a height x width board goes under a symmetry."""
    r, c = cell // width, cell % width
    r = height - 1 - r if symmetry & 1 else r
    c = width - 1 - c if symmetry & 2 else c
    return c * height + r if symmetry & TRANSPOSE else r * width + c


@jit
def places(height, width):
    """int64 [8, height * width]: `place` of every cell under every symmetry."""
    table = np.empty((COUNT, height * width), np.int64)
    for symmetry in range(COUNT):
        for cell in range(height * width):
            table[symmetry, cell] = place(cell, symmetry, height, width)
    return table
