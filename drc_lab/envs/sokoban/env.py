"""Sokoban as Gymnasium envs: `SokobanVectorEnv` for batches, `SokobanEnv` for one board."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from drc_lab.arguments import takes
from drc_lab.envs.curriculum import curriculum_levels
from drc_lab.envs.single import LevelEnv
from drc_lab.envs.sokoban.files import LevelFiles, open_levels
from drc_lab.envs.sokoban.generate import LevelGenerator, RoomGenerator
from drc_lab.envs.sokoban.identity import identities
from drc_lab.envs.sokoban.level import WALL, Level, Levels
from drc_lab.envs.sokoban.reverse import ReverseGenerator
from drc_lab.envs.sokoban.solutions import read_solutions
from drc_lab.envs.sokoban.step import Rules, SokobanBatch
from drc_lab.envs.sokoban.symmetry import transform
from drc_lab.envs.specs.level_files import Symbols
from drc_lab.envs.specs.levels import OneLevel
from drc_lab.envs.specs.sokoban import SokobanSpec
from drc_lab.envs.streams import AugmentedLevels, FixedLevels, LevelStream, generated_levels
from drc_lab.envs.symmetry import COUNT, TRANSPOSE
from drc_lab.envs.vector import LevelVectorEnv
from drc_lab.errors import ConfigError, note

GENERATORS: dict[str, Any] = {"rooms": RoomGenerator, "reverse": ReverseGenerator}


def build(spec: SokobanSpec) -> tuple[SokobanBatch, LevelStream[Levels]]:
    """The batch that plays the levels, and the stream that deals them."""
    stream: LevelStream[Levels]
    if spec.given:
        levels = given_levels(spec)
        stream, height, width = FixedLevels(levels, spec.order), levels.height, levels.width
    else:
        stream, height, width = generated(spec), spec.height, spec.width
    if spec.augment:
        stream = AugmentedLevels(stream, augmented)
    rules = Rules(spec.step_reward, spec.on_reward, spec.off_reward, spec.solved_reward, spec.noop)
    return SokobanBatch(spec.num_envs, height, width, rules, spec.observation, spec.crop_border), stream


def generated(spec: SokobanSpec) -> LevelStream[Levels]:
    """The levels of a generator: of a curriculum, or all alike."""
    make = GENERATORS[spec.generator]
    if spec.curriculum is not None:  # a batch has boards of one size, the stages' levels may be smaller
        padded = partial(Padded, spec.height, spec.width)
        return curriculum_levels(spec.curriculum, make, spec.of_a_stage, padded, split=spec.split)
    generator = make(**spec.of_a_stage, split=spec.split)
    return generated_levels(generator, spec.num_levels, spec.level_seed, spec.order, identities)


class SokobanVectorEnv(LevelVectorEnv):
    """A batch of Sokoban levels.

    Observation: see `SokobanBatch`; by default uint8 [3, H, W], one pixel a cell. Action: 0 up, 1 down, 2 left,
    3 right, then the no-op if there is one. Reward: see `Rules`. An episode is terminated when all boxes are on
    targets, and truncated after max_steps.

    Levels come, in order of precedence, from ``level`` (one or several, `Level` or text), from ``levels`` (a file or
    folder: Boxoban's, .xsb, .sok), or from a generator: endless, or a fixed number of distinct levels if ``num_levels``
    is given.

    See `SokobanSpec` for the arguments.
    """

    @takes(SokobanSpec)  # checks the arguments and hands them over as a spec
    def __init__(self, spec: SokobanSpec):
        super().__init__(*build(spec), spec)


class SokobanEnv(LevelEnv):
    """One board of a `SokobanVectorEnv`; takes the same arguments except ``num_envs`` and ``autoreset``."""

    def __init__(self, **kwargs: Any):
        super().__init__(SokobanVectorEnv(num_envs=1, autoreset=False, **kwargs))


@dataclass
class Padded:
    """A generator whose levels are padded with walls, on the right and at the bottom, to a larger size."""

    height: int
    width: int
    generator: LevelGenerator

    def __call__(self, rng: np.random.Generator, count: int) -> Levels:
        levels = self.generator(rng, count)
        tiles = np.full((count, self.height, self.width), WALL, np.uint8)
        tiles[:, : levels.height, : levels.width] = levels.tiles
        return Levels(tiles, levels.optimal, levels.pushes)


def given_levels(spec: SokobanSpec) -> LevelFiles | Levels:
    """The levels that ``level`` or ``levels`` gives."""
    return levels_of_files(spec) if spec.level is None else packed(spec.level, spec.symbols)


def packed(levels: OneLevel | str | Sequence[OneLevel | str], symbols: Symbols = None) -> Levels:
    """Levels that are given as objects or text, with unknown optimal lengths unless they tell them.

    See `translation` for the symbols of the text.
    """
    if isinstance(levels, OneLevel | str):
        levels = [levels]
    read: list[Any] = [Level.from_text(each, symbols=symbols) if isinstance(each, str) else each for each in levels]
    return Levels.pack(read)


def levels_of_files(spec: SokobanSpec) -> LevelFiles | Levels:
    """The levels in files that the arguments ask for, with the optimal lengths from a file of solutions if given."""
    files = open_levels(
        str(spec.levels), spec.difficulty, spec.part, symbols=spec.symbols, invalid_levels=spec.invalid_levels
    )
    note(files.note())
    if (path := spec.solutions_file) is not None:
        files.optimal[:] = read_solutions(path, files).moves
        if not (files.optimal >= 0).any():
            raise ConfigError("solutions", spec.solutions, "a file with solutions of these levels: none solves one")
    return files.sample(spec.num_levels, spec.level_seed)


def augmented(random: np.ndarray, levels: Levels) -> Levels:
    """Applies a random symmetry that keeps the size to each level, by its number of ``random``, uint64 [N]."""
    symmetry = random % np.uint64(COUNT if levels.height == levels.width else TRANSPOSE)  # those below do not transpose
    return transform(levels, symmetry.astype(np.int64))
