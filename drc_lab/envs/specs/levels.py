"""Arguments that all games with levels share: splits, orders, step limits, curricula, settings of held-out levels."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal, TypeVar, get_args

from annotated_types import Ge, Gt, Le, Lt, MinLen

from drc_lab.arguments import Spec, errors_under, fit, from_mapping
from drc_lab.errors import ConfigError
from drc_lab.pictures import DEFAULT_CELL_SIZE, CellSize
from drc_lab.rules import NUMBER, NotNegative, Positive, text_of

Split = Literal["train", "valid", "test"]
Order = Literal["shuffled", "sequential"]
RenderMode = Literal["ansi", "rgb_array", "human"]
SPLITS, RENDER_MODES = get_args(Split), list(get_args(RenderMode))

Density = Annotated[float, NUMBER, Ge(0), Lt(1)]
NumLevels = Annotated[
    Positive | None, "at least 1, or null for all there are (an endless stream, if they are generated)"
]
Steps = Annotated[Positive | Sequence[Positive], "a whole number of at least 1, or [lowest, highest]"]
Thinks = Annotated[NotNegative | None, "0 or more, or null for no action that thinks"]
THINK = "think"  # name of the think action, which is an env's last action if it has one

Generator = TypeVar("Generator")


class OneLevel:
    """Base of the classes that hold a single level of a game."""


@dataclass(frozen=True)
class LevelEnvSpec(Spec):
    """The arguments that every game takes, but for ``split``. A game is a subclass, which adds that and its own.

    Args:
        num_envs: B.
        num_levels, level_seed: size and seed of a fixed set of levels, which does not depend on the env's seed.
        order: of a fixed set, "shuffled" or "sequential".
        max_steps: step limit, or [lowest, highest].
        thinks, autoreset, copy, action_masks, render_mode, cell_size: see `drc_lab.envs.vector.LevelVectorEnv`.

    Raises:
        ConfigError: a setting that cannot work.
    """

    num_envs: Positive = 1
    num_levels: NumLevels = None
    level_seed: NotNegative = 0
    order: Order = "shuffled"
    max_steps: Steps = 100
    thinks: Thinks = None
    autoreset: bool = True
    copy: bool = True
    action_masks: bool = False
    render_mode: RenderMode | None = None
    cell_size: CellSize = DEFAULT_CELL_SIZE

    noop = False  # unless a subclass has such a field

    GIVEN_LEVELS: ClassVar[tuple[str, ...]] = ()  # arguments that provide levels in place of a generator

    def __post_init__(self) -> None:
        super().__post_init__()
        step_limits(self.max_steps)
        given = [name for name in self.GIVEN_LEVELS if getattr(self, name) is not None]
        for name in given[1:]:
            raise ConfigError(name, getattr(self, name), f"null, as {given[0]} gives the levels")

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
class CurriculumSpec(Spec):
    """How the difficulty of levels rises. The env's own settings are the last stage, after those listed here.

    Args:
        stages: for each stage, easiest first, the generator settings that replace the env's own.
        advance_at: solve rate that starts the next stage.
        window: training episodes of the current stage over which one solve rate is measured.
        review: share of levels that come from earlier stages, each of these equally likely.
    """

    stages: Annotated[list[dict[str, Any]], MinLen(1), "at least one stage before the env's own settings"]
    advance_at: Annotated[float, NUMBER, Gt(0), Le(1)] = 0.8
    window: Positive = 1000
    review: Density = 0.1


def stage_key(number: int) -> str:
    return f"curriculum.stages[{number}]"


def stages(
    curriculum: Mapping[str, Any],
    make: Callable[..., Generator],
    own: Mapping[str, Any],
    fits: Callable[[Generator], None] = lambda made: None,
    **fixed: Any,
) -> tuple[CurriculumSpec, list[Generator]]:
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


def split_index(split: str) -> int:
    """Index of a split's name, or a ConfigError."""
    fit(Split, split, "split")
    return SPLITS.index(split)


def step_limits(max_steps: int | Sequence[int]) -> tuple[int, int]:
    """The lowest and the highest step limit of an episode, or a ConfigError."""
    fitting = fit(Steps, max_steps, "max_steps")
    limits = list(fitting) if isinstance(fitting, Sequence) else [fitting] * 2
    if len(limits) != 2 or limits[0] > limits[1]:
        raise ConfigError("max_steps", max_steps, text_of(Steps))
    return limits[0], limits[1]
