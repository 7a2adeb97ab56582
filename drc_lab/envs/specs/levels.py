"""Arguments that all games with levels share: splits, orders, step limits, curricula, settings of held-out levels."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

from drc_lab.arguments import errors_under, from_mapping
from drc_lab.errors import ConfigError
from drc_lab.pictures import check_cell_size
from drc_lab.rules import one_of

SPLITS = ("train", "valid", "test")
ORDERS = ("shuffled", "sequential")
RENDER_MODES = ["ansi", "rgb_array", "human"]
THINK = "think"  # name of the think action, which is an env's last action if it has one

Generator = TypeVar("Generator")


class OneLevel:
    """Base of the classes that hold a single level of a game."""


class LevelEnvSpec:
    """Base of the arguments of a `drc_lab.envs.vector.LevelVectorEnv`; a subclass is a dataclass with these fields."""

    num_envs: int
    num_levels: int | None
    max_steps: int | Sequence[int]
    thinks: int | None
    autoreset: bool
    copy: bool
    action_masks: bool
    render_mode: str | None
    cell_size: int
    noop = False  # unless a subclass has such a field

    GIVEN_LEVELS: ClassVar[tuple[str, ...]] = ()  # arguments that provide levels in place of a generator

    @classmethod
    def takes(cls, name: str) -> bool:
        """Whether there is an argument of that name."""
        return name in inspect.signature(cls).parameters

    @property
    def io(self) -> tuple[tuple[int, ...], int] | None:
        """Shape of an observation and number of actions; None if only the env itself knows them."""
        return None

    @property
    def given(self) -> bool:
        """Whether levels are given instead of generated."""
        return any(getattr(self, name) is not None for name in self.GIVEN_LEVELS)

    @classmethod
    def resized(cls, arguments: dict[str, Any], height: int, width: int) -> dict[str, Any]:
        """The same arguments for generated levels of another size.

        Raises:
            ConfigError: the game has one size only, or levels are given, so their size is fixed.
        """
        if not (cls.takes("height") and cls.takes("width")):
            raise ConfigError("board", [height, width], "null, as this game takes no height and width")
        for name in cls.GIVEN_LEVELS:
            if arguments.get(name) is not None:
                raise ConfigError("board", [height, width], f"null, as env.{name} gives levels of its own size")
        return arguments | {"height": height, "width": width}

    @classmethod
    def held_out(
        cls, arguments: dict[str, Any], split: str | None, num_levels: int | None, level_seed: int | None
    ) -> dict[str, Any]:
        """The arguments of an env that deals each held-out level once and unaugmented.

        Args:
            arguments: those of the training env, for this class.
            split, num_levels, level_seed: of the held-out levels; None if the levels have no splits, which means that
                all of them are played.
        """
        fixed: dict[str, Any] = {"order": "sequential", "copy": False, "augment": False, "curriculum": None}
        chosen = {"split": split, "num_levels": num_levels, "level_seed": level_seed}
        limit = arguments.get("max_steps")
        if isinstance(limit, Sequence):  # random limits are for training: a solve rate under them means little
            fixed["max_steps"] = limit[-1]
        fixed = {name: value for name, value in fixed.items() if cls.takes(name)}
        return arguments | fixed | ({} if split is None else chosen)


@dataclass(frozen=True)
class CurriculumSpec:
    """How the difficulty of levels rises. The env's own settings are the last stage, after those listed here.

    Args:
        stages: for each stage, easiest first, the generator settings that replace the env's own.
        advance_at: solve rate that starts the next stage.
        window: training episodes of the current stage over which one solve rate is measured.
        review: share of levels that come from earlier stages, each of these equally likely.
    """

    stages: list[dict[str, Any]]
    advance_at: float = 0.8
    window: int = 1000
    review: float = 0.1

    def __post_init__(self) -> None:
        if not self.stages:
            raise ConfigError("stages", self.stages, "at least one stage before the env's own settings")
        if not 0 < self.advance_at <= 1:
            raise ConfigError("advance_at", self.advance_at, "more than 0, at most 1")
        if self.window < 1:
            raise ConfigError("window", self.window, "at least 1")
        if not 0 <= self.review < 1:
            raise ConfigError("review", self.review, "0 or more and less than 1")


def stage_key(number: int) -> str:
    return f"curriculum.stages[{number}]"


def stages(
    curriculum: Mapping[str, Any], make: Callable[..., Generator], own: Mapping[str, Any],
    fits: Callable[[Generator], None] = lambda made: None, **fixed: Any,
) -> tuple[CurriculumSpec, list[Generator]]:  # fmt: skip
    """A curriculum, and the generator of each of its stages.

    Args:
        curriculum: arguments of `CurriculumSpec`.
        make: class of the generator, or of its arguments.
        own: the env's settings that a stage may replace.
        fits: is called with each stage, and raises a ConfigError if the env has no room for its levels.
        fixed: the settings that no stage may replace.

    Raises:
        ConfigError: about ``curriculum.KEY`` or ``curriculum.stages[i].KEY``.
    """
    spec = from_mapping(CurriculumSpec, curriculum, "curriculum")
    found = []
    for number, stage in enumerate([*spec.stages, {}]):
        key = stage_key(number)
        for name, value in stage.items():
            if name not in own:
                raise ConfigError(f"{key}.{name}", value, f"no such key, but {', '.join(own)}")
        found.append(from_mapping(make, {**own, **stage}, key, **fixed))
        with errors_under(key):
            fits(found[-1])
    return spec, found


def split_index(split: str, key: str = "split") -> int:
    """Index of a split's name, or a ConfigError about ``key``."""
    one_of(key, split, SPLITS)
    return SPLITS.index(split)


def check_level_set(num_levels: int | None, level_seed: int, order: str, without: str) -> None:
    """Checks the arguments of a fixed set of levels; ``without`` says what ``num_levels=null`` means, for messages."""
    if num_levels is not None and num_levels < 1:
        raise ConfigError("num_levels", num_levels, f"at least 1, or null for {without}")
    if level_seed < 0:
        raise ConfigError("level_seed", level_seed, "0 or more")
    one_of("order", order, ORDERS)


def step_limits(max_steps: int | Sequence[int]) -> tuple[int, int]:
    """The lowest and the highest step limit of an episode, or a ConfigError."""
    limits = list(max_steps) if isinstance(max_steps, Sequence) else [max_steps] * 2
    if len(limits) != 2 or not 1 <= limits[0] <= limits[1] or any(int(limit) != limit for limit in limits):
        raise ConfigError("max_steps", max_steps, "a whole number of at least 1, or [lowest, highest]")
    return int(limits[0]), int(limits[1])


def check_thinks(thinks: int | None) -> None:
    """Checks how many thinks of an episode do not count toward the step limit."""
    if thinks is not None and thinks < 0:
        raise ConfigError("thinks", thinks, "0 or more, or null for no action that thinks")


def check_rendering(render_mode: str | None, cell_size: int) -> None:
    """Checks how boards are to be shown."""
    if render_mode not in (None, *RENDER_MODES):
        raise ConfigError("render_mode", render_mode, " | ".join(RENDER_MODES) + " | null")
    check_cell_size(cell_size)
