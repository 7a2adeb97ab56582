"""The arguments of Sokoban: of its generators and its envs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from annotated_types import Ge, Gt, Le, MinLen

from drc_lab.arguments import Spec
from drc_lab.envs.specs.level_files import InvalidLevels, has_splits, level_files, level_folder, translation
from drc_lab.envs.specs.levels import (
    Density,
    LevelEnvSpec,
    NumLevels,
    OneLevel,
    Split,
    Steps,
    stages,
)
from drc_lab.errors import ConfigError
from drc_lab.rules import NUMBER, NotNegative, Positive, Real, Whole
from drc_lab.untrusted import opened

LARGEST_SOLUTIONS = 2**28  # bytes of a file of solutions
MIN_SIZE, MAX_SIZE = 3, 50  # 3: one cell surrounded by walls
Side = Annotated[int, NUMBER, Ge(MIN_SIZE), Le(MAX_SIZE)]
Carving = Annotated[float, NUMBER, Gt(0), Le(100)]


def obs_shape(observation: str, height: int, width: int, crop_border: bool) -> tuple[int, int, int]:
    """The shape of one board's observation, see `drc_lab.envs.sokoban.step.SokobanBatch`."""
    channels = 3 if observation == "rgb" else 7
    return channels, height - 2 * crop_border, width - 2 * crop_border


@dataclass
class LevelSpec(Spec):
    """Levels of one size and split, with limits on the length of their solutions.

    Args:
        height, width: cells, the outer walls included.
        num_boxes: at least 1.
        min_optimal, max_optimal: moves of a solution with the fewest moves. None is no upper limit.
        min_pushes, max_pushes: pushes of a solution with the fewest pushes. None is no upper limit.
        split: "train", "valid" or "test" (`drc_lab.envs.levels`).

    Raises:
        ConfigError: a setting that cannot work.
    """

    height: Side = 7
    width: Side = 7
    num_boxes: Whole = 2
    min_optimal: Positive = 1
    max_optimal: Positive | None = None
    min_pushes: Positive = 1
    max_pushes: Positive | None = None
    split: Split = "train"

    def __post_init__(self) -> None:
        super().__post_init__()
        most = (self.height - 2) * (self.width - 2) - 2  # one cell for the player, one to push a box to
        if most < 1:
            raise ConfigError("height", self.height, "at least 3 cells within the walls")
        if not 1 <= self.num_boxes <= most:
            raise ConfigError("num_boxes", self.num_boxes, f"1 to {most} on this board")
        for name in ("optimal", "pushes"):
            least, most = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if most is not None and most < least:
                raise ConfigError(f"max_{name}", most, f"at least min_{name} = {least}, or null")


@dataclass
class RoomSpec(LevelSpec):
    """Rooms in which each inner cell is a wall with the same probability.

    Args:
        wall_density: probability of a wall.
    """

    wall_density: Density = 0.15


@dataclass
class ReverseSpec(LevelSpec):
    """Levels that look like Boxoban's, made by playing backwards from the solved position.

    Args:
        carving: steps of the random walk that carves the room, per cell within the outer walls.
        effort: positions that the reverse play visits; more give longer solutions.
        prove: whether to compute the fewest moves and pushes, and discard levels whose search exceeds a limit of
            states. Otherwise both are -1, unless limits on them require the search.
    """

    height: Side = 10
    width: Side = 10
    num_boxes: Whole = 4
    carving: Carving = 0.65
    effort: Positive = 300
    prove: bool = False


GENERATORS: dict[str, type[LevelSpec]] = {"rooms": RoomSpec, "reverse": ReverseSpec}


@dataclass(frozen=True)
class SokobanSpec(LevelEnvSpec):
    """Arguments of `drc_lab.envs.sokoban.SokobanVectorEnv`; see `LevelEnvSpec` for the others.

    Args:
        generator: "rooms" (random walls, proven solvable) or "reverse" (carved rooms, boxes pulled off their targets).
        height, width, num_boxes, min_optimal, max_optimal, min_pushes, max_pushes: see `LevelSpec`.
        wall_density: see `RoomSpec`; carving, effort, prove: see `ReverseSpec`.
        split: of generated levels, or the name of the folder of levels in files that have splits.
        num_levels, level_seed: size and seed of a fixed set of generated levels, or of a sample of the files'; the set
            does not depend on the env's seed.
        augment: whether to rotate and mirror each level at random.
        curriculum: see `CurriculumSpec`; its stages may set the generator's arguments, ``height`` and ``width`` up to
            the env's own (walls fill the rest).
        level, levels: given levels, see `drc_lab.envs.sokoban.SokobanVectorEnv`.
        difficulty: folder of Boxoban: unfiltered | medium | hard.
        symbols: what the symbols of levels in another alphabet stand for, see `translation`.
        invalid_levels: what to do with invalid levels in files: "error" refuses the file, "skip" leaves the level out
            and prints a note.
        solutions: a CSV file of solutions with the fewest moves, in the format of
            `drc_lab.envs.sokoban.solutions.read_solutions`. A level's ``optimal`` is the length of its shortest
            solution in the file that solves it when replayed. ``{split}`` in the file's name stands for the split;
            without it, held-out levels of a folder with splits have no solutions.
        observation, crop_border: see `drc_lab.envs.sokoban.step.SokobanBatch`.
        step_reward, on_reward, off_reward, solved_reward, noop: see `drc_lab.envs.sokoban.step.Rules`.
    """

    generator: Literal["rooms", "reverse"] = "rooms"
    height: Side = 7
    width: Side = 7
    num_boxes: Whole = 2
    wall_density: Density = 0.15
    min_optimal: Positive = 1
    max_optimal: Positive | None = None
    min_pushes: Positive = 1
    max_pushes: Positive | None = None
    carving: Carving = 0.65
    effort: Positive = 300
    prove: bool = False
    split: str = "train"
    augment: bool = False
    curriculum: dict[str, Any] | None = None
    level: OneLevel | str | Sequence[OneLevel | str] | None = None
    levels: Annotated[str, MinLen(1), "a file or folder of levels"] | None = None
    difficulty: str | None = None
    symbols: dict[str, str] | str | None = None
    invalid_levels: InvalidLevels = "error"
    solutions: str | None = None
    max_steps: Steps = 120
    observation: Literal["rgb", "planes"] = "rgb"
    crop_border: bool = False
    step_reward: Real = -0.1
    on_reward: Real = 1.0
    off_reward: Real = -1.0
    solved_reward: Real = 10.0
    noop: bool = False

    GIVEN_LEVELS = ("level", "levels")

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.invalid_levels == "skip" and self.levels is None:
            raise ConfigError("invalid_levels", self.invalid_levels, "error, without levels from files")
        if self.given:
            self._check_given()
        else:
            self._check_generated()

    def _check_given(self) -> None:
        if self.curriculum is not None:
            raise ConfigError("curriculum", "a curriculum", "null with level or levels: it needs a generator")
        translation(self.symbols)
        if self.level is not None:
            if not isinstance(self.level, OneLevel | str) and not self.level:
                raise ConfigError("level", [], "at least one level")
        else:
            level_files(level_folder(str(self.levels), self.difficulty, self.part))
            if (path := self.solutions_file) is not None:
                with opened(path, LARGEST_SOLUTIONS):
                    pass

    def _check_generated(self) -> None:
        make = GENERATORS[self.generator]
        make(**self.of_a_stage, split=self.split)  # type: ignore[arg-type]  # which the generator checks
        for key in ("solutions", "difficulty", "symbols"):
            if getattr(self, key) is not None:
                raise ConfigError(key, getattr(self, key), "null without levels from files")
        if self.curriculum is not None:
            if self.num_levels is not None:
                raise ConfigError("num_levels", self.num_levels, "null with a curriculum")
            stages(self.curriculum, make, self.of_a_stage, self._check_room, split=self.split)

    def _check_room(self, stage: LevelSpec) -> None:
        for key in ("height", "width"):
            if getattr(stage, key) > getattr(self, key):
                raise ConfigError(key, getattr(stage, key), f"at most the env's own, {getattr(self, key)}")

    @property
    def io(self) -> tuple[tuple[int, ...], int] | None:
        """Shape of an observation and number of actions; None if they depend on given levels."""
        if self.given:
            return None
        shape = obs_shape(self.observation, self.height, self.width, self.crop_border)
        return shape, 4 + self.noop + (self.thinks is not None)

    @property
    def part(self) -> str | None:
        """The split if the level files are divided into splits, else None."""
        return self.split if has_splits(str(self.levels), self.difficulty) else None

    @property
    def solutions_file(self) -> str | None:
        """The path of the solutions of this split, if a file is given."""
        return None if self.solutions is None else self.solutions.replace("{split}", self.split)

    @property
    def of_a_stage(self) -> dict[str, Any]:
        """Arguments of the generator, all of which a stage of a curriculum may replace."""
        keys = ("height", "width", "num_boxes", "min_optimal", "max_optimal", "min_pushes", "max_pushes")
        more = ("wall_density",) if self.generator == "rooms" else ("carving", "effort", "prove")
        return {key: getattr(self, key) for key in (*keys, *more)}

    @classmethod
    def held_out(
        cls, arguments: dict[str, Any], split: str | None, num_levels: NumLevels, level_seed: NotNegative | None
    ) -> dict[str, Any]:
        own = arguments.get("level") is not None
        if arguments.get("levels") is not None:
            own = own or not has_splits(str(arguments["levels"]), arguments.get("difficulty"))
        if not own and "{split}" not in (arguments.get("solutions") or ""):
            arguments = arguments | {"solutions": None}
        return super().held_out(arguments, *((None,) * 3 if own else (split, num_levels, level_seed)))
