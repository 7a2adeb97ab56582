"""The identity of a level: a hash that mirroring, rotating and padding with walls do not change; splits use it."""

import numpy as np

from drc_lab.envs.levels import mix64
from drc_lab.envs.sokoban.level import WALL
from drc_lab.envs.symmetry import COUNT, TRANSPOSE, place
from drc_lab.numerics import jit


@jit
def identity(tiles):
    """64-bit number of a level, equal for its 8 mirrored and rotated copies and with any walls around it.

    tiles: uint8 [H, W]. Returns uint64.
    """
    top, left, bottom, right = tiles.shape[0], tiles.shape[1], 0, 0
    for r in range(tiles.shape[0]):
        for c in range(tiles.shape[1]):
            if tiles[r, c] != WALL:
                top, left, bottom, right = min(top, r), min(left, c), max(bottom, r + 1), max(right, c + 1)
    height, width = bottom - top, right - left
    smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
    for symmetry in range(COUNT):
        rows, cols = (width, height) if symmetry & TRANSPOSE else (height, width)
        total = mix64(np.uint64(rows * 1024 + cols))
        for cell in range(height * width):
            content = np.uint64(tiles[top + cell // width, left + cell % width])
            total += mix64(np.uint64(place(cell, symmetry, height, width)) * np.uint64(8) + content)
        smallest = min(smallest, total)
    return smallest


def identities(levels) -> np.ndarray:
    """uint64 [N]: the identity of each level of a `Levels`."""
    return np.array([identity(tiles) for tiles in levels.tiles], np.uint64)
