"""Generates random boards of a split that are proven solvable, with their optimal lengths."""

import time
from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import split_of
from drc_lab.envs.ricochet.identity import identity
from drc_lab.envs.ricochet.level import CLOSED, Boards
from drc_lab.envs.ricochet.official import CORNERS, official_walls
from drc_lab.envs.ricochet.search import search
from drc_lab.envs.ricochet.solve import ANY_DEPTH
from drc_lab.envs.ricochet.walls import random_walls
from drc_lab.envs.specs.levels import split_index
from drc_lab.envs.specs.ricochet import BoardSpec
from drc_lab.errors import ConfigError
from drc_lab.numerics import jit
from drc_lab.progress import working

ANY_SPLIT = -1
TRIES_AT_FIRST, SECONDS_AT_ONCE = 16, 0.1  # of one compiled call; Ctrl-C takes effect between calls
TRIES_IN_VAIN, STATES_IN_VAIN = 50_000, 50_000_000  # draws or searched states without any board before giving up
TRIES, STATES = 0, 1


@jit
def _draw(rng, official, height, width, wall_density, walls, robots):
    """Draws one board into walls (uint8 [P]) and robots (int64 [R]). Returns goal and target robot."""
    cells, corners = height * width, np.empty(CORNERS, np.int64)
    if official:
        official_walls(rng, height, width, walls, corners)
    else:
        random_walls(rng, height, width, wall_density, walls)
    for robot in range(len(robots)):
        free = False
        while not free:
            robots[robot] = rng.integers(0, cells)
            free = not (official and walls[robots[robot]] == CLOSED)
            for other in range(robot):
                free &= robots[other] != robots[robot]
    target = rng.integers(0, len(robots))
    goal = corners[rng.integers(0, CORNERS)] if official else rng.integers(0, cells)
    return goal, target


@jit
def padded(cell, width, room):
    """The index of a cell in an array whose rows have room for ``room`` cells instead of ``width``."""
    return cell // width * room + cell % width


@jit
def _generate(
    rng,
    filled,
    tries,
    in_vain,
    official,
    height,
    width,
    num_robots,
    wall_density,
    least,
    most,
    split,
    max_states,
    room,
    walls,
    robots,
    goal,
    target,
    optimal,
):
    """Fills the arrays of `Boards`, whose rows have room for ``room`` cells, from board ``made`` on.

    Makes at most ``tries`` draws. ``in_vain`` counts the draws and the searched positions since the last board. Returns
    the number of boards that are filled by then.
    """
    w, r = np.empty(height * width, np.uint8), np.empty(num_robots, np.int64)
    for _ in range(tries):
        # Checked here and not between calls, because the number of tries in a call depends on the machine's speed.
        if filled == len(optimal) or in_vain[TRIES] >= TRIES_IN_VAIN or in_vain[STATES] >= STATES_IN_VAIN:
            break
        in_vain[TRIES] += 1
        goal_cell, goal_robot = _draw(rng, official, height, width, wall_density, w, r)
        if goal_cell == r[goal_robot]:
            continue
        if split != ANY_SPLIT and split_of(identity(w, width, r, goal_cell, goal_robot)) != split:
            continue
        length, states = search(w, width, r, goal_cell, goal_robot, most, max_states)
        in_vain[STATES] += states
        if length < least:
            continue
        for cell in range(height * width):
            walls[filled, padded(cell, width, room)] = w[cell]
        for robot in range(num_robots):
            robots[filled, robot] = padded(r[robot], width, room)
        goal[filled], target[filled], optimal[filled] = padded(goal_cell, width, room), goal_robot, length
        in_vain[:] = 0
        filled += 1
    return filled


@dataclass
class BoardGenerator(BoardSpec):
    """Draws boards as `BoardSpec` describes them.

    Raises:
        ConfigError: a setting that cannot work; when boards are drawn, settings that (almost) no board fulfils.
    """

    def __call__(self, rng: np.random.Generator, count: int) -> Boards:
        """``count`` boards of the split; the same generator state gives the same boards."""
        shape = (count, self.pad_height or self.height, self.pad_width or self.width)
        numbers = (np.zeros(count, np.int64) for _ in range(3))
        robots = np.full((count, self.pad_robots or self.num_robots), -1, np.int64)
        boards = Boards(np.full(shape, CLOSED, np.uint8), robots, *numbers)
        most = ANY_DEPTH if self.max_optimal is None else self.max_optimal
        split = ANY_SPLIT if self.split is None else split_index(self.split)
        filled, tries, in_vain = 0, TRIES_AT_FIRST, np.zeros(2, np.int64)
        with working(f"making {count:,} Ricochet Robots boards", count) as advance:
            while filled < count:
                start, before = time.perf_counter(), filled
                filled = _generate(
                    rng,
                    filled,
                    tries,
                    in_vain,
                    self.style == "official",
                    self.height,
                    self.width,
                    self.num_robots,
                    self.wall_density,
                    self.min_optimal,
                    most,
                    split,
                    self.max_states,
                    shape[2],
                    boards.walls.reshape(count, -1),
                    boards.robots,
                    boards.goal,
                    boards.target,
                    boards.optimal,
                )
                advance(filled - before)
                tries = 2 * tries if time.perf_counter() - start < SECONDS_AT_ONCE / 2 else max(1, tries // 2)
                if filled < count and (in_vain[TRIES] >= TRIES_IN_VAIN or in_vain[STATES] >= STATES_IN_VAIN):
                    raise ConfigError(
                        "min_optimal",
                        self.min_optimal,
                        f"less (or another max_optimal = {self.max_optimal}, wall_density = {self.wall_density}): not "
                        f"one such board of {self.height} x {self.width} with {self.num_robots} robots in "
                        f"{in_vain[TRIES]:,} draws",
                    )
        return boards
