"""Generates levels of a split: what all generators share, and rooms with random walls, boxes and targets."""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import split_of
from drc_lab.envs.sokoban.identity import identity
from drc_lab.envs.sokoban.level import Levels
from drc_lab.envs.sokoban.rooms import cornered, draw_room
from drc_lab.envs.sokoban.search import fewest
from drc_lab.envs.sokoban.survey import survey
from drc_lab.envs.specs.levels import SPLITS
from drc_lab.envs.specs.sokoban import LevelSpec, RoomSpec
from drc_lab.errors import ConfigError
from drc_lab.numerics import jit
from drc_lab.progress import working

STATES_PER_LEVEL = 200_000  # a level whose search needs more is discarded
TRIES_AT_ONCE, STATES_AT_ONCE = 500, 100_000  # of one compiled call; Ctrl-C takes effect between calls
TRIES_IN_VAIN, STATES_IN_VAIN = 50_000, 50_000_000  # draws or searched states without any level before giving up
TRIES, STATES = 0, 1


@jit
def measure(tiles, limits):
    """The fewest moves and pushes of a level's solutions, if they are within limits.

    Args:
        tiles: uint8 [H, W].
        limits: int64 [5], least and most moves, least and most pushes, and the most states that a search may store.

    Returns:
        moves, pushes, and the states that were stored; moves are negative if the level is not solvable within the
        limits.
    """
    level = survey(tiles)
    moves, pushes, states = 0, 0, 0
    # The cheaper search first; in a loop, because numba compiles a function anew for each constant it is called with.
    for by_moves in (False, True):
        least, most = (limits[0], limits[1]) if by_moves else (limits[2], limits[3])
        length, searched = fewest(level, by_moves, most, limits[4])
        states += searched
        if length < least:
            return -1, -1, states
        if by_moves:
            moves = length
        else:
            pushes = length
    return moves, pushes, states


@dataclass
class LevelGenerator(LevelSpec, ABC):
    """Draws levels as `LevelSpec` describes them.

    Raises:
        ConfigError: a setting that cannot work; when levels are drawn, settings that (almost) no level fulfils.
    """

    @property
    def limited(self) -> bool:
        """Whether there are limits on moves or pushes that some solvable levels do not meet."""
        return (self.min_optimal, self.max_optimal, self.min_pushes, self.max_pushes) != (1, None, 1, None)

    def __call__(self, rng: np.random.Generator, count: int) -> Levels:
        """``count`` levels of the split; the same generator state gives the same levels."""
        unknown = (np.full(count, -1, np.int64) for _ in range(2))
        levels = Levels(np.zeros((count, self.height, self.width), np.uint8), *unknown)
        unbounded = np.iinfo(np.int64).max
        limits = np.array(
            [
                self.min_optimal,
                self.max_optimal or unbounded,
                self.min_pushes,
                self.max_pushes or unbounded,
                STATES_PER_LEVEL,
            ]
        )
        filled, in_vain = 0, np.zeros(2, np.int64)
        with working(f"making {count:,} Sokoban levels", count) as advance:
            while filled < count:
                before = filled
                filled = self.fill(rng, levels, filled, SPLITS.index(self.split), limits, in_vain)
                advance(filled - before)
                if filled > before:
                    in_vain[:] = 0
                if in_vain[TRIES] >= TRIES_IN_VAIN or in_vain[STATES] >= STATES_IN_VAIN:
                    raise self._nothing_fits(int(in_vain[TRIES]))
        return levels

    def _nothing_fits(self, tries: int) -> ConfigError:
        none = f"not one such level of {self.height} x {self.width} in {tries:,} draws"
        if not self.limited:
            return ConfigError("num_boxes", self.num_boxes, f"fewer, or a larger or less walled board: {none}")
        return ConfigError(
            "min_optimal",
            self.min_optimal,
            f"less (or other limits: max_optimal = {self.max_optimal}, min_pushes = {self.min_pushes}, max_pushes = "
            f"{self.max_pushes}, num_boxes = {self.num_boxes}): {none}",
        )

    @abstractmethod
    def fill(
        self, rng: np.random.Generator, levels: Levels, filled: int, split: int, limits: np.ndarray, spent: np.ndarray
    ) -> int:
        """Fills ``levels`` from level ``filled`` on, for at most TRIES_AT_ONCE draws or STATES_AT_ONCE searched states.

        Args:
            split: index into SPLITS.
            limits: see `measure`.
            spent: int64 [2]; the draws are added to entry TRIES, the searched states to entry STATES.

        Returns:
            the number of levels that are filled by then.
        """


class RoomGenerator(RoomSpec, LevelGenerator):
    """Rooms whose inner cells are walls with the same probability; boxes, targets and player are drawn uniformly.

    Cells that the player cannot reach are filled with wall. Every level is proven solvable, and its fewest moves and
    pushes are known.
    """

    def fill(
        self, rng: np.random.Generator, levels: Levels, filled: int, split: int, limits: np.ndarray, spent: np.ndarray
    ) -> int:
        return _fill_rooms(
            rng,
            levels.tiles,
            levels.optimal,
            levels.pushes,
            filled,
            self.num_boxes,
            float(self.wall_density),
            split,
            limits,
            spent,
        )


@jit
def _fill_rooms(rng, tiles, optimal, pushes, filled, num_boxes, wall_density, split, limits, spent):
    states = 0
    for _ in range(TRIES_AT_ONCE):
        if filled == len(tiles) or states >= STATES_AT_ONCE:
            break
        spent[TRIES] += 1
        level = tiles[filled]
        if not draw_room(rng, level, num_boxes, wall_density) or cornered(level):
            continue
        if split_of(identity(level)) != split:
            continue
        moves, fewest_pushes, searched = measure(level, limits)
        states += searched
        if moves >= 0:
            optimal[filled], pushes[filled] = moves, fewest_pushes
            filled += 1
    spent[STATES] += states
    return filled
