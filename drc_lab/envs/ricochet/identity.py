"""The identity of a board: a hash that is the same for its symmetric copies, compiled."""

import numpy as np

from drc_lab.envs.levels import mix64
from drc_lab.envs.ricochet.level import CLOSED, Boards
from drc_lab.envs.ricochet.symmetry import WALLS
from drc_lab.envs.symmetry import COUNT, TRANSPOSE, place
from drc_lab.numerics import jit


@jit
def identity(walls, width, robots, goal, target):
    """64-bit number of a board, equal for its 8 mirrored and rotated copies and for any numbering of the robots.

    Closed cells around the board are ignored, so it is also equal for the same board inside a larger array.

    Args:
        walls: uint8 [P]; robots: int64 [R], -1 where a robot is absent; goal, target: ints.

    Returns:
        uint64.
    """
    # What is in a cell besides walls, in bits that do not depend on the order of cells or robots.
    content = np.zeros(len(walls), np.uint64)
    content[goal] = 16
    for robot in range(len(robots)):
        if robots[robot] >= 0:
            content[robots[robot]] |= np.uint64(32 if robot == target else 64)
    top, bottom, left, right = len(walls), -1, width, -1
    for cell in range(len(walls)):
        if walls[cell] != CLOSED or content[cell]:
            r, c = cell // width, cell % width
            top, bottom, left, right = min(top, r), max(bottom, r), min(left, c), max(right, c)
    height, inner = bottom + 1 - top, right + 1 - left
    smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
    for symmetry in range(COUNT):
        rows, cols = (inner, height) if symmetry & TRANSPOSE else (height, inner)
        total = mix64(np.uint64(rows * 1024 + cols))
        for r in range(height):
            for c in range(inner):
                cell = (top + r) * width + left + c
                here = content[cell] | np.uint64(WALLS[symmetry, walls[cell]])
                total += mix64(np.uint64(place(r * inner + c, symmetry, height, inner)) * np.uint64(128) + here)
        smallest = min(smallest, total)
    return smallest


@jit
def _identities(walls, width, robots, goal, target, numbers):
    for i in range(len(numbers)):
        numbers[i] = identity(walls[i], width, robots[i], goal[i], target[i])


def identities(boards: Boards) -> np.ndarray:
    """uint64 [N]: the identity of each board."""
    N, height, width = boards.walls.shape
    numbers = np.zeros(N, np.uint64)
    _identities(boards.walls.reshape(N, height * width), width, boards.robots, boards.goal, boards.target, numbers)
    return numbers
