"""Random boards that are proven solvable, with their optimal length, each in its split."""

import time
from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import split_index, split_of
from drc_lab.envs.ricochet.identity import identity
from drc_lab.envs.ricochet.level import CLOSED, ROBOT_NAMES, Boards
from drc_lab.envs.ricochet.official import CORNERS, MIN_SIZE, official_walls
from drc_lab.envs.ricochet.search import search
from drc_lab.envs.ricochet.solve import ANY_DEPTH, check_packable
from drc_lab.envs.ricochet.walls import random_walls
from drc_lab.errors import ConfigError
from drc_lab.numerics import jit
from drc_lab.progress import working

STYLES = ("random", "official")
MAX_SIZE = 255
ANY_SPLIT = -1
TRIES_AT_FIRST, SECONDS_AT_ONCE = 16, 0.1  # between two looks at Ctrl-C
TRIES_IN_VAIN, STATES_IN_VAIN = 50_000, 50_000_000  # without one board before giving up
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
    """A cell's index where rows have room for more cells than the board's width."""
    return cell // width * room + cell % width


@jit
def _generate(rng, made, tries, in_vain, official, height, width, num_robots, wall_density, least, most, split,
              max_states, room, walls, robots, goal, target, optimal):  # fmt: skip
    """Fills the arrays of `Boards`, whose rows have room for ``room`` cells, from board ``made`` on.

    Makes at most ``tries`` draws, and counts draws and positions searched since the last board in ``in_vain``. Returns
    how many boards are filled.
    """
    w, r = np.empty(height * width, np.uint8), np.empty(num_robots, np.int64)
    for _ in range(tries):
        # Here and not in between calls, whose number of tries depends on the machine's pace.
        if made == len(optimal) or in_vain[TRIES] >= TRIES_IN_VAIN or in_vain[STATES] >= STATES_IN_VAIN:
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
            walls[made, padded(cell, width, room)] = w[cell]
        for robot in range(num_robots):
            robots[made, robot] = padded(r[robot], width, room)
        goal[made], target[made], optimal[made] = padded(goal_cell, width, room), goal_robot, length
        in_vain[:] = 0
        made += 1
    return made


@dataclass
class BoardGenerator:
    """Draws boards with uniform robots and target robot, in one of two styles.

    "random": every inner edge is a wall with the same probability, the goal is uniform. "official": see
    `drc_lab.envs.ricochet.official`.

    Args:
        height, width: cells.
        num_robots: at least 1.
        wall_density: probability of a wall on an inner edge (style "random").
        min_optimal, max_optimal: moves of an optimal solution; others are thrown away. None is no upper limit.
        split: "train", "valid" or "test" (`drc_lab.envs.levels`); None is any.
        style: "random" or "official".
        pad_height, pad_width, pad_robots: what the arrays have room for, if it is more: the board lies in the upper
            left corner among closed cells, and robots from ``num_robots`` on are absent. The split is the same.
        max_states: a board is thrown away if its search sees more positions than this.

    Raises:
        ConfigError: a setting that cannot work; on drawing, settings that (almost) no board fulfils.
    """

    height: int = 5
    width: int = 5
    num_robots: int = 2
    wall_density: float = 0.15
    min_optimal: int = 1
    max_optimal: int | None = None
    split: str | None = "train"
    style: str = "random"
    pad_height: int | None = None
    pad_width: int | None = None
    pad_robots: int | None = None
    max_states: int = 1_000_000

    def __post_init__(self) -> None:
        if self.style not in STYLES:
            raise ConfigError("style", self.style, " | ".join(STYLES))
        official = self.style == "official"
        for key in ("height", "width"):
            size = getattr(self, key)
            if not 1 <= size <= MAX_SIZE:
                raise ConfigError(key, size, f"1 to {MAX_SIZE}")
            if official and (size < MIN_SIZE or size % 2):
                raise ConfigError(key, size, f"an even number from {MIN_SIZE} on with style=official")
        cells = self.height * self.width - 4 * official
        if cells < 2:
            raise ConfigError("height", self.height, "a board of at least 2 cells")
        if not 1 <= self.num_robots <= min(cells - 1, len(ROBOT_NAMES)):
            raise ConfigError("num_robots", self.num_robots, f"1 to {min(cells - 1, len(ROBOT_NAMES))} on this board")
        rooms = {"height": self.pad_height, "width": self.pad_width, "num_robots": self.pad_robots}
        for key, room in rooms.items():
            if room is not None and room < getattr(self, key):
                raise ConfigError(key, getattr(self, key), f"at most {room}, which there is room for")
        if not 0 <= self.wall_density < 1:
            raise ConfigError("wall_density", self.wall_density, "0 or more and less than 1")
        if self.min_optimal < 1:
            raise ConfigError("min_optimal", self.min_optimal, "at least 1")
        if self.max_optimal is not None and self.max_optimal < self.min_optimal:
            raise ConfigError("max_optimal", self.max_optimal, f"at least min_optimal = {self.min_optimal}, or null")
        if self.max_states < 1:
            raise ConfigError("max_states", self.max_states, "at least 1")
        if self.split is not None:
            split_index(self.split)
        check_packable(self.height * self.width, self.num_robots)

    def __call__(self, rng: np.random.Generator, count: int) -> Boards:
        """``count`` boards of the split; the same generator state gives the same boards."""
        shape = (count, self.pad_height or self.height, self.pad_width or self.width)
        numbers = (np.zeros(count, np.int64) for _ in range(3))
        robots = np.full((count, self.pad_robots or self.num_robots), -1, np.int64)
        boards = Boards(np.full(shape, CLOSED, np.uint8), robots, *numbers)
        most = ANY_DEPTH if self.max_optimal is None else self.max_optimal
        split = ANY_SPLIT if self.split is None else split_index(self.split)
        made, tries, in_vain = 0, TRIES_AT_FIRST, np.zeros(2, np.int64)
        with working(f"making {count:,} Ricochet Robots boards", count) as advance:
            while made < count:
                start, before = time.perf_counter(), made
                made = _generate(rng, made, tries, in_vain, self.style == "official", self.height, self.width,
                                 self.num_robots, self.wall_density, self.min_optimal, most, split, self.max_states,
                                 shape[2], boards.walls.reshape(count, -1), boards.robots, boards.goal, boards.target,
                                 boards.optimal)  # fmt: skip
                advance(made - before)
                tries = 2 * tries if time.perf_counter() - start < SECONDS_AT_ONCE / 2 else max(1, tries // 2)
                if made < count and (in_vain[TRIES] >= TRIES_IN_VAIN or in_vain[STATES] >= STATES_IN_VAIN):
                    raise ConfigError(
                        "min_optimal", self.min_optimal,
                        f"less (or another max_optimal = {self.max_optimal}, wall_density = {self.wall_density}): not "
                        f"one such board of {self.height} x {self.width} with {self.num_robots} robots in "
                        f"{in_vain[TRIES]:,} draws",
                    )  # fmt: skip
        return boards
