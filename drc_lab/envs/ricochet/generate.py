"""Random boards that are proven solvable, with their optimal length, each in its split."""

from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import SPLITS, mix64, split_index, split_of
from drc_lab.envs.ricochet.level import ROBOT_NAMES, Boards
from drc_lab.envs.ricochet.search import search
from drc_lab.envs.ricochet.solve import check_packable
from drc_lab.envs.symmetry import COUNT, TRANSPOSE, place, turned
from drc_lab.errors import ConfigError
from drc_lab.numerics import jit

MAX_SIZE = 255
STATES_PER_BOARD = 1_000_000  # a board whose search needs more is thrown away
TRIES_AT_ONCE, TRIES_IN_VAIN = 500, 50_000  # between two looks at Ctrl-C; without one board before giving up


@jit
def identity(walls, height, width, robots, goal, target):
    """64-bit number of a board, equal for its 8 mirrored and turned copies and for any numbering of the robots.

    walls uint8 [P]; robots int64 [R]; goal and target ints. Returns uint64.
    """
    smallest = np.uint64(0xFFFFFFFFFFFFFFFF)
    for symmetry in range(COUNT):
        rows, cols = (width, height) if symmetry & TRANSPOSE else (height, width)
        total = mix64(np.uint64(rows * 1024 + cols))
        for cell in range(height * width):
            # Everything that is in a cell, in bits that do not depend on the order of cells or robots.
            content = np.uint64(0)
            for side in range(4):
                if walls[cell] & (1 << side):
                    content |= np.uint64(1 << turned(side, symmetry))
            if cell == goal:
                content |= np.uint64(16)
            for robot in range(len(robots)):
                if robots[robot] == cell:
                    content |= np.uint64(32 if robot == target else 64)
            total += mix64(np.uint64(place(cell, symmetry, height, width)) * np.uint64(128) + content)
        smallest = min(smallest, total)
    return smallest


@jit
def _generate(rng, made, tries, height, width, wall_density, shortest, longest, split, max_states,
              walls, robots, goal, target, optimal):  # fmt: skip
    """Fills the arrays from board ``made`` on, with at most ``tries`` draws. Returns how many are filled."""
    count, num_robots = robots.shape
    cells = height * width
    for _ in range(tries):
        if made == count:
            break
        w = walls[made]
        for cell in range(cells):
            r, c = cell // width, cell % width
            w[cell] = (1 * (r == 0)) | (2 * (r == height - 1)) | (4 * (c == 0)) | (8 * (c == width - 1))
        for cell in range(cells):
            if cell // width < height - 1 and rng.random() < wall_density:
                w[cell] |= 2
                w[cell + width] |= 1
            if cell % width < width - 1 and rng.random() < wall_density:
                w[cell] |= 8
                w[cell + 1] |= 4
        for robot in range(num_robots):
            robots[made, robot] = rng.integers(0, cells)
            free = False
            while not free:
                free = True
                for other in range(robot):
                    if robots[made, other] == robots[made, robot]:
                        free = False
                if not free:
                    robots[made, robot] = rng.integers(0, cells)
        target[made], goal[made] = rng.integers(0, num_robots), rng.integers(0, cells)
        if goal[made] == robots[made, target[made]]:
            continue
        if split_of(identity(w, height, width, robots[made], goal[made], target[made])) != split:
            continue
        length, _ = search(w, width, robots[made], goal[made], target[made], longest, max_states)
        if length >= shortest:
            optimal[made] = length
            made += 1
    return made


@dataclass
class BoardGenerator:
    """Draws boards: every inner edge is a wall with the same probability, robots, goal and target are uniform.

    Args:
        height, width: cells.
        num_robots: at least 1.
        wall_density: probability of a wall on an inner edge.
        min_optimal, max_optimal: moves of an optimal solution; others are thrown away. None is no upper limit.
        split: "train", "valid" or "test" (`drc_lab.envs.levels`).

    Raises:
        ConfigError: a setting that cannot work; on drawing, settings that (almost) no board fulfils.
    """

    height: int = 5
    width: int = 5
    num_robots: int = 2
    wall_density: float = 0.15
    min_optimal: int = 1
    max_optimal: int | None = None
    split: str = "train"

    def __post_init__(self) -> None:
        for key in ("height", "width"):
            if not 1 <= getattr(self, key) <= MAX_SIZE:
                raise ConfigError(key, getattr(self, key), f"1 to {MAX_SIZE}")
        cells = self.height * self.width
        if cells < 2:
            raise ConfigError("height", self.height, "a board of at least 2 cells")
        if not 1 <= self.num_robots <= min(cells - 1, len(ROBOT_NAMES)):
            raise ConfigError("num_robots", self.num_robots, f"1 to {min(cells - 1, len(ROBOT_NAMES))} on this board")
        if not 0 <= self.wall_density < 1:
            raise ConfigError("wall_density", self.wall_density, "0 or more and less than 1")
        if self.min_optimal < 1:
            raise ConfigError("min_optimal", self.min_optimal, "at least 1")
        if self.max_optimal is not None and self.max_optimal < self.min_optimal:
            raise ConfigError("max_optimal", self.max_optimal, f"at least min_optimal = {self.min_optimal}, or null")
        split_index(self.split)
        check_packable(cells, self.num_robots)

    def __call__(self, rng: np.random.Generator, count: int) -> Boards:
        """``count`` boards of the split; the same generator state gives the same boards."""
        longest = np.iinfo(np.int64).max if self.max_optimal is None else self.max_optimal
        split = SPLITS.index(self.split)
        walls, robots = (count, self.height, self.width), (count, self.num_robots)
        numbers = (np.zeros(count, np.int64) for _ in range(3))
        boards = Boards(np.zeros(walls, np.uint8), np.zeros(robots, np.int64), *numbers)
        made = vain = 0
        while made < count:
            before = made
            made = _generate(rng, made, TRIES_AT_ONCE, self.height, self.width, self.wall_density, self.min_optimal,
                             longest, split, STATES_PER_BOARD, boards.walls.reshape(count, -1), boards.robots,
                             boards.goal, boards.target, boards.optimal)  # fmt: skip
            vain = vain + TRIES_AT_ONCE if made == before else 0
            if vain >= TRIES_IN_VAIN:
                raise ConfigError(
                    "min_optimal", self.min_optimal,
                    f"less (or another max_optimal = {self.max_optimal}, wall_density = {self.wall_density}): not one "
                    f"such board of {self.height} x {self.width} with {self.num_robots} robots in {vain:,} draws",
                )  # fmt: skip
        return boards


def identities(boards: Boards) -> np.ndarray:
    """uint64 [N]: the identity of each board."""
    height, width = boards.walls.shape[1:]
    return np.array([identity(walls.reshape(-1), height, width, robots, goal, target)
                     for walls, robots, goal, target in zip(boards.walls, boards.robots, boards.goal, boards.target,
                                                            strict=True)], np.uint64)  # fmt: skip
