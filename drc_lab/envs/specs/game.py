"""The arguments that a game begins with whose levels have the usual splits, games from outside included."""

from dataclasses import dataclass

from drc_lab.envs.specs.levels import LevelEnvSpec, Split


@dataclass(frozen=True)
class GameSpec(LevelEnvSpec):
    """The arguments of a game, to which it adds fields of its own, with defaults; see `LevelEnvSpec` for the others.

    Two fields have a meaning here if a game adds them: ``noop``, whether there is a last action that does nothing, and
    ``augment``, whether training levels are changed by a random symmetry.

    Args:
        split: of the levels: "train", "valid" or "test".
    """

    split: Split = "train"
