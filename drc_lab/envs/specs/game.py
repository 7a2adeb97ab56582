"""Arguments that every game takes, for games from outside of this package to begin with."""

from collections.abc import Sequence
from dataclasses import dataclass

from drc_lab.envs.specs.levels import (
    LevelEnvSpec,
    check_level_set,
    check_rendering,
    check_thinks,
    split_index,
    step_limits,
)
from drc_lab.errors import ConfigError
from drc_lab.pictures import DEFAULT_CELL_SIZE


@dataclass(frozen=True)
class GameSpec(LevelEnvSpec):
    """The arguments that every game takes. A game adds fields of its own, with defaults.

    Two fields have a meaning here if a game adds them: ``noop``, whether there is a last action that does nothing, and
    ``augment``, whether training levels are changed by a random symmetry.

    Args:
        num_envs: B.
        split: of the levels: "train", "valid" or "test".
        num_levels, level_seed: size and seed of a fixed set of levels, which does not depend on the env's seed.
        order: of a fixed set, "shuffled" or "sequential".
        max_steps: step limit, or [lowest, highest].
        thinks, autoreset, copy, action_masks, render_mode, cell_size: see `drc_lab.envs.vector.LevelVectorEnv`.

    Raises:
        ConfigError: a setting that cannot work.
    """

    num_envs: int = 1
    split: str = "train"
    num_levels: int | None = None
    level_seed: int = 0
    order: str = "shuffled"
    max_steps: int | Sequence[int] = 100
    thinks: int | None = None
    autoreset: bool = True
    copy: bool = True
    action_masks: bool = False
    render_mode: str | None = None
    cell_size: int = DEFAULT_CELL_SIZE

    def __post_init__(self) -> None:
        if self.num_envs < 1:
            raise ConfigError("num_envs", self.num_envs, "at least 1")
        split_index(self.split)
        check_level_set(self.num_levels, self.level_seed, self.order, "an endless stream")
        step_limits(self.max_steps)
        check_thinks(self.thinks)
        check_rendering(self.render_mode, self.cell_size)
