"""Levels of envs that know nothing of levels: the seeds that their episodes start from."""

from dataclasses import dataclass

import numpy as np

from drc_lab.envs.levels import LevelSet, LevelStream, generated_levels, split_index, split_of
from drc_lab.numerics import jit

LIMIT = 2**31  # larger seeds do not fit into every env


@dataclass
class Seeds(LevelSet):
    """seed: int64 [N], each 0 to 2^31 - 1."""

    seed: np.ndarray


@jit
def _draw(rng, split, seeds):
    """Fills the array with seeds of a split."""
    for i in range(len(seeds)):
        seeds[i] = rng.integers(0, LIMIT)
        while split_of(np.uint64(seeds[i])) != split:
            seeds[i] = rng.integers(0, LIMIT)


def seed_stream(split: str, num_levels: int | None, level_seed: int, order: str) -> LevelStream[Seeds]:
    """An endless stream of seeds of a split, or a fixed set of ``num_levels`` drawn from ``level_seed``."""
    index = split_index(split)

    def generate(rng: np.random.Generator, count: int) -> Seeds:
        seeds = np.zeros(count, np.int64)
        _draw(rng, index, seeds)
        return Seeds(seeds)

    return generated_levels(generate, num_levels, level_seed, order, lambda levels: levels.seed)
