"""Sokoban as Gymnasium envs: `SokobanVectorEnv` for batches, `SokobanEnv` for one board."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from drc_lab.envs.curriculum import curriculum_levels
from drc_lab.envs.levels import AugmentedLevels, FixedLevels, LevelStream, generated_levels
from drc_lab.envs.render import DEFAULT_CELL_SIZE
from drc_lab.envs.sokoban.files import INVALID_LEVELS, LevelFiles, has_splits, open_levels
from drc_lab.envs.sokoban.generate import LevelGenerator, RoomGenerator
from drc_lab.envs.sokoban.identity import identities
from drc_lab.envs.sokoban.level import WALL, Level, Levels
from drc_lab.envs.sokoban.reverse import ReverseGenerator
from drc_lab.envs.sokoban.solutions import read_solutions
from drc_lab.envs.sokoban.step import Rules, SokobanBatch
from drc_lab.envs.sokoban.symmetry import transform
from drc_lab.envs.sokoban.text import Symbols
from drc_lab.envs.symmetry import TRANSPOSE
from drc_lab.envs.vector import LevelEnv, LevelVectorEnv
from drc_lab.errors import ConfigError, note

GENERATORS = {"rooms": RoomGenerator, "reverse": ReverseGenerator}


class SokobanVectorEnv(LevelVectorEnv):
    """A batch of Sokoban levels.

    Observation: see `SokobanBatch`; by default uint8 [3, H, W], one pixel a cell. Action: 0 up, 1 down, 2 left,
    3 right, then the no-op if there is one. Reward: see `Rules`. An episode is terminated when all boxes are on
    targets, and truncated after max_steps.

    Levels come, in order of precedence, from ``level`` (one or several, `Level` or text), from ``levels`` (a file or
    folder: Boxoban's, .xsb, .sok), or from a generator: endless, or a fixed number of distinct levels if ``num_levels``
    is given.

    Args:
        num_envs: B.
        generator: "rooms" (random walls, proven solvable) or "reverse" (carved rooms, boxes pulled off their targets).
        height, width, num_boxes, min_optimal, max_optimal, min_pushes, max_pushes: see `LevelGenerator`.
        wall_density: see `RoomGenerator`; carving, effort, prove: see `ReverseGenerator`.
        split: of generated levels, or the folder of that name.
        num_levels, level_seed: a fixed set of generated levels, or some of the file's, drawn from this seed whatever
            the env's seed is.
        order: of a fixed set, "shuffled" or "sequential".
        augment: turn and mirror each level at random.
        curriculum: see `CurriculumSpec`; its stages may set the generator's arguments, ``height`` and ``width`` up to
            the env's own (walls fill the rest).
        level, levels: given levels.
        difficulty: folder of Boxoban: unfiltered | medium | hard.
        symbols: what the symbols of levels in another alphabet stand for, see `translation`.
        invalid_levels: in files: "error" refuses them, "skip" leaves them out and says so.
        solutions: a CSV file as `read_solutions` takes, of solutions with the fewest moves; ``optimal`` is the length
            of each level's shortest one in it that solves it when it is replayed. ``{split}`` in its name stands for
            the split; without it, held-out levels of a folder with splits have no solutions.
        max_steps: step limit, or [lowest, highest].
        observation, crop_border: see `SokobanBatch`.
        step_reward, on_reward, off_reward, solved_reward, noop: see `Rules`.
        autoreset, copy, action_masks, render_mode, cell_size: see `LevelVectorEnv`.
    """

    GIVEN_LEVELS = ("level", "levels")

    def __init__(
        self,
        num_envs: int = 1,
        generator: str = "rooms",
        height: int = 7,
        width: int = 7,
        num_boxes: int = 2,
        wall_density: float = 0.15,
        min_optimal: int = 1,
        max_optimal: int | None = None,
        min_pushes: int = 1,
        max_pushes: int | None = None,
        carving: float = 0.65,
        effort: int = 300,
        prove: bool = False,
        split: str = "train",
        num_levels: int | None = None,
        level_seed: int = 0,
        order: str = "shuffled",
        augment: bool = False,
        curriculum: dict[str, Any] | None = None,
        level: Level | str | Sequence[Level | str] | None = None,
        levels: str | None = None,
        difficulty: str | None = None,
        symbols: dict[str, str] | str | None = None,
        invalid_levels: str = "error",
        solutions: str | None = None,
        max_steps: int | Sequence[int] = 120,
        observation: str = "rgb",
        crop_border: bool = False,
        step_reward: float = -0.1,
        on_reward: float = 1.0,
        off_reward: float = -1.0,
        solved_reward: float = 10.0,
        noop: bool = False,
        autoreset: bool = True,
        copy: bool = True,
        action_masks: bool = False,
        render_mode: str | None = None,
        cell_size: int = DEFAULT_CELL_SIZE,
    ):
        if num_envs < 1:
            raise ConfigError("num_envs", num_envs, "at least 1")
        if generator not in GENERATORS:
            raise ConfigError("generator", generator, " | ".join(GENERATORS))
        if invalid_levels not in INVALID_LEVELS or (invalid_levels == "skip" and levels is None):
            allowed = "error, without levels from files" if invalid_levels == "skip" else " | ".join(INVALID_LEVELS)
            raise ConfigError("invalid_levels", invalid_levels, allowed)
        stream: LevelStream[Levels]
        if level is not None or levels is not None:
            if curriculum is not None:
                raise ConfigError("curriculum", "a curriculum", "null with level or levels: it needs a generator")
            given: Levels | LevelFiles
            if level is not None:
                given = given_levels(level, symbols)
            else:
                part = split if has_splits(str(levels), difficulty) else None
                files = open_levels(str(levels), difficulty, part, None, None, symbols, invalid_levels)
                note(files.note())
                if solutions is not None:
                    files.optimal[:] = read_solutions(solutions.format(split=split), files).moves
                    if not (files.optimal >= 0).any():
                        raise ConfigError(
                            "solutions", solutions, "a file with solutions of these levels: none solves one"
                        )
                given = files.sample(num_levels, level_seed)
            height, width = given.height, given.width
            stream = FixedLevels(given, order)
        else:
            own: dict[str, Any] = {"height": height, "width": width, "num_boxes": num_boxes, "min_optimal": min_optimal,
                   "max_optimal": max_optimal, "min_pushes": min_pushes, "max_pushes": max_pushes}  # fmt: skip
            own |= {"wall_density": wall_density} if generator == "rooms" else {"carving": carving, "effort": effort,
                                                                                "prove": prove}  # fmt: skip
            make = GENERATORS[generator]
            last = make(**own, split=split)
            for key, value in (("solutions", solutions), ("difficulty", difficulty), ("symbols", symbols)):
                if value is not None:
                    raise ConfigError(key, value, "null without levels from files")
            if curriculum is not None and num_levels is not None:
                raise ConfigError("num_levels", num_levels, "null with a curriculum")
            if curriculum is None:
                stream = generated_levels(last, num_levels, level_seed, order, identities)
            else:
                stream = curriculum_levels(curriculum, make, own, partial(Padded, height, width), split=split)
        if augment:
            stream = AugmentedLevels(stream, augmented)
        rules = Rules(step_reward, on_reward, off_reward, solved_reward, noop)
        batch = SokobanBatch(num_envs, height, width, rules, observation, crop_border)
        super().__init__(batch, stream, max_steps, autoreset, copy, action_masks, render_mode, cell_size)

    @classmethod
    def held_out(cls, arguments: dict[str, Any], split: str | None, num_levels: int | None, level_seed: int | None):
        own = arguments.get("level") is not None
        if arguments.get("levels") is not None:
            own = own or not has_splits(str(arguments["levels"]), arguments.get("difficulty"))
        if not own and "{split}" not in (arguments.get("solutions") or ""):
            arguments = arguments | {"solutions": None}
        return super().held_out(arguments, *((None,) * 3 if own else (split, num_levels, level_seed)))


class SokobanEnv(LevelEnv):
    """One board of a `SokobanVectorEnv`; takes the same arguments but for the number of envs."""

    def __init__(self, **kwargs):
        super().__init__(SokobanVectorEnv(num_envs=1, autoreset=False, **kwargs))


@dataclass
class Padded:
    """A generator's levels in the upper left corner of larger ones, with walls around.

    Raises:
        ConfigError: its levels are larger than that.
    """

    height: int
    width: int
    generator: LevelGenerator

    def __post_init__(self) -> None:
        for key in ("height", "width"):
            if getattr(self.generator, key) > getattr(self, key):
                raise ConfigError(key, getattr(self.generator, key), f"at most the env's own, {getattr(self, key)}")

    def __call__(self, rng: np.random.Generator, count: int) -> Levels:
        levels = self.generator(rng, count)
        tiles = np.full((count, self.height, self.width), WALL, np.uint8)
        tiles[:, : levels.height, : levels.width] = levels.tiles
        return Levels(tiles, levels.optimal, levels.pushes)


def given_levels(levels: Level | str | Sequence[Level | str], symbols: Symbols = None) -> Levels:
    """Levels as objects or text, packed; see `translation` for the symbols of the text."""
    if isinstance(levels, Level | str):
        levels = [levels]
    if not levels:
        raise ConfigError("level", [], "at least one level")
    return Levels.pack([Level.from_text(x, symbols=symbols) if isinstance(x, str) else x for x in levels])


def augmented(drawn: np.ndarray, levels: Levels) -> Levels:
    """Each level under a random symmetry that keeps its size; by a random uint64 [N]."""
    symmetry = drawn % np.uint64(8 if levels.height == levels.width else TRANSPOSE)
    return transform(levels, symmetry.astype(np.int64))
