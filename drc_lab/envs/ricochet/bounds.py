"""Tables that a search makes of a board before it starts, compiled: where slides end, and a bound of the moves to go.

The lower bound counts moves under relaxed rules: a robot may stop anywhere on its slide, and robots pass through each
other. The target robot makes its last move to the goal in one of four directions. If no wall stops it there, some
other robot has to stand on the cell beyond. The bound is the sum of both robots' relaxed moves for the cheapest
direction. A real move changes one robot only, so it changes the bound by -1, 0 or 1.
"""

import numpy as np

from drc_lab.envs.directions import stride_of
from drc_lab.numerics import jit

FAR = 1 << 20  # more than any number of moves; two of them can be added


@jit
def slide_ends(walls, width):
    """int32 [P, 4]: the cell where a robot stops that starts on each cell, in each direction, with no other robot on
    the board. walls: uint8 [P]."""
    cells = len(walls)
    ends = np.empty((cells, 4), np.int32)
    for cell in range(cells):
        ends[cell, 0] = cell if walls[cell] & 1 else ends[cell - width, 0]
        ends[cell, 2] = cell if walls[cell] & 4 else ends[cell - 1, 2]
    for cell in range(cells - 1, -1, -1):
        ends[cell, 1] = cell if walls[cell] & 2 else ends[cell + width, 1]
        ends[cell, 3] = cell if walls[cell] & 8 else ends[cell + 1, 3]
    return ends


@jit
def _spread(ends, width, moves, queue, size):
    """Fills ``moves`` with the relaxed moves from every cell, breadth first from the first ``size`` cells in the queue,
    whose own moves are filled in already."""
    seen = np.zeros((len(moves), 2), np.bool_)  # lines of cells between two walls, by their first cell and axis
    head = 0
    while head < size:
        cell = queue[head]
        head += 1
        for axis in range(2):
            first, last, stride = ends[cell, 2 * axis], ends[cell, 2 * axis + 1], 1 if axis else width
            if not seen[first, axis]:
                seen[first, axis] = True
                for other in range(first, last + 1, stride):
                    if moves[other] == FAR:
                        moves[other] = moves[cell] + 1
                        queue[size] = other
                        size += 1


@jit
def relaxed_moves(ends, width, goal):
    """The two terms of the bound, for each direction of the last move.

    Returns:
        int32 [P, 4]: relaxed moves of the target robot from each cell to the goal, the last of them in this direction.
        int32 [P, 4]: relaxed moves of another robot from each cell to the cell where it stops the target robot; all 0
            if a wall stops it.
    """
    cells = len(ends)
    reach, block = np.full((cells, 4), FAR, np.int32), np.full((cells, 4), FAR, np.int32)
    queue = np.empty(cells, np.int32)
    for direction in range(4):
        stride = stride_of(direction, width)
        size, cell = 0, goal
        while cell != ends[goal, direction ^ 1]:
            cell -= stride
            reach[cell, direction] = 1
            queue[size] = cell
            size += 1
        _spread(ends, width, reach[:, direction], queue, size)
        if ends[goal, direction] == goal:
            block[:, direction] = 0
        else:
            queue[0] = goal + stride
            block[goal + stride, direction] = 0
            _spread(ends, width, block[:, direction], queue, 1)
    return reach, block
