"""Tables of the fewest moves from every position of a Ricochet board, breadth first from all solved positions by
undoing slides.

A position is a number whose digits are the robots' cells.
"""

import numpy as np

from drc_lab.envs.directions import stride_of
from drc_lab.envs.distance_tables import MOST_STEPS, DistanceTables
from drc_lab.envs.ricochet.slide import slide
from drc_lab.envs.search import UNSOLVABLE
from drc_lab.numerics import jit

WORTHWHILE = 20_000  # positions; instead of a larger table it is faster to search from the positions asked for


@jit
def _place(position, place_values, cells, robots):
    """Decodes a position: fills robots int64 [R] with their cells. Returns whether no two are on the same cell.

    place_values: int64 [R], that of each robot's digit in the position's number, 0 for an absent robot.
    """
    apart = True
    for robot in range(len(robots)):
        robots[robot] = position // place_values[robot] % cells if place_values[robot] else -1
        for other in range(robot):
            apart &= robots[robot] < 0 or robots[robot] != robots[other]
    return apart


@jit
def _table(walls, width, goal, target, place_values, positions):
    """The table of one board: int16 [positions], empty if a position needs more than MOST_STEPS."""
    cells, robots = len(walls), np.empty(len(place_values), np.int64)
    steps, queue = np.full(positions, UNSOLVABLE, np.int16), np.empty(positions, np.int64)
    head = tail = 0
    for position in range(positions):
        if position // place_values[target] % cells == goal and _place(position, place_values, cells, robots):
            steps[position], queue[tail] = 0, position
            tail += 1
    while head < tail:
        position = queue[head]
        head += 1
        length = steps[position] + 1
        if length > MOST_STEPS:
            return steps[:0]
        _place(position, place_values, cells, robots)
        for robot in range(len(robots)):
            here = robots[robot]
            for d in range(4):  # direction of the slide that ended here
                first = slide(walls, width, robots, robot, d ^ 1)
                if first == here or slide(walls, width, robots, robot, d) != here:
                    continue
                stride = stride_of(d ^ 1, width)
                cell = here
                while cell != first:  # the slide may have begun on any cell up to ``first``
                    cell += stride
                    before = position + (cell - here) * place_values[robot]
                    if steps[before] < 0:
                        steps[before], queue[tail] = length, before
                        tail += 1
    return steps


@jit
def _look_up(envs, robots, place_values, steps, remaining):
    for i in range(len(envs)):
        b, position = envs[i], 0
        for robot in range(robots.shape[1]):
            position += robots[b, robot] * place_values[b, robot]
        remaining[i] = steps[b, position]


class RicochetTables(DistanceTables):
    """Distance tables of B boards. The arrays belong to a `RicochetBatch`, which keeps writing to them.

    Args:
        walls: uint8 [B, H * W]; robots: int64 [B, R], -1 where one is absent; goal, target: int64 [B].
        width: W.
        max_positions: see `DistanceTables`.
    """

    def __init__(
        self,
        walls: np.ndarray,
        robots: np.ndarray,
        goal: np.ndarray,
        target: np.ndarray,
        width: int,
        max_positions: int,
    ):
        super().__init__(len(walls), max_positions)
        self.walls, self.robots, self.goal, self.target, self.width = walls, robots, goal, target, width
        self.place_values = np.zeros(robots.shape, np.int64)

    def table(self, env: int) -> np.ndarray:
        cells, present = self.walls.shape[1], np.flatnonzero(self.robots[env] >= 0)
        positions = cells ** len(present)
        if positions > min(self.max_positions, WORTHWHILE) or self.target[env] not in present:
            return np.empty(0, np.int16)
        self.place_values[env] = 0
        self.place_values[env, present] = cells ** np.arange(len(present))
        return _table(self.walls[env], self.width, self.goal[env], self.target[env], self.place_values[env], positions)

    def look_up(self, envs: np.ndarray) -> np.ndarray:
        remaining = np.empty(len(envs), np.int64)
        _look_up(envs, self.robots, self.place_values, self.steps, remaining)
        return remaining
