"""Where a robot stops, compiled: the rule of the game, shared by the envs' step and the distance tables.

The solver has a faster way to the same cell, see `drc_lab.envs.ricochet.search`.
"""

import numpy as np

from drc_lab.envs.directions import stride_of
from drc_lab.numerics import jit


@jit
def slide(walls, width, robots, robot, direction):
    """The cell where a robot stops. walls: uint8 [P]; robots: int [R], cell indices, -1 if absent; direction: 0-3."""
    cell, bit = robots[robot], np.uint8(1 << direction)
    if cell < 0:
        return cell
    stride = stride_of(direction, width)
    while not walls[cell] & bit:
        following = cell + stride
        for other in robots:
            if other == following:
                return cell
        cell = following
    return cell
