"""Levels for envs that have none: the seeds that their episodes start from."""

from dataclasses import dataclass
from operator import attrgetter

import numpy as np

from drc_lab.envs.levels import LevelSet, split_of
from drc_lab.envs.specs.levels import split_index
from drc_lab.envs.streams import LevelStream, generated_levels
from drc_lab.numerics import jit

LIMIT = 2**31  # not every env takes larger seeds


@dataclass
class Seeds(LevelSet):
    """A set of seeds.

    Attributes:
        seed: int64 [N], each 0 to 2^31 - 1.
    """

    seed: np.ndarray


@jit
def _draw(rng, split, seeds):
    """Fills the array with seeds of a split."""
    for i in range(len(seeds)):
        seeds[i] = rng.integers(0, LIMIT)
        while split_of(np.uint64(seeds[i])) != split:
            seeds[i] = rng.integers(0, LIMIT)


@dataclass
class SeedGenerator:
    """Draws seeds of the split with an index into SPLITS."""

    split: int

    def __call__(self, rng: np.random.Generator, count: int) -> Seeds:
        seeds = np.zeros(count, np.int64)
        _draw(rng, self.split, seeds)
        return Seeds(seeds)


def seed_stream(split: str, num_levels: int | None, level_seed: int, order: str) -> LevelStream[Seeds]:
    """An endless stream of seeds of a split, or a fixed set of ``num_levels`` drawn from ``level_seed``."""
    return generated_levels(SeedGenerator(split_index(split)), num_levels, level_seed, order, attrgetter("seed"))
