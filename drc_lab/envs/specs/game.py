"""Arguments that every game takes, for games from outside of this package to begin with."""

from dataclasses import dataclass

from drc_lab.envs.specs.levels import LevelEnvSpec, NumLevels, Order, RenderMode, Split, Steps, Thinks
from drc_lab.pictures import DEFAULT_CELL_SIZE, CellSize
from drc_lab.rules import NotNegative, Positive


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

    num_envs: Positive = 1
    split: Split = "train"
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
