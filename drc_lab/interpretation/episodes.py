"""An episode as labels read it: the boards, what was done on them, and what came of it."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episode:
    """One episode of T steps on one level.

    Args:
        level: its number.
        boards: the game's arrays (`drc_lab.envs.batch.Batch.STATE`) by name, [T + 1, ...]: before each step, and at the
            end.
        actions: int64 [T].
        waits: bool [T], which steps moved nothing on purpose: a no-op that the policy was told to do, or a think.
        returns: float64 [T + 1], the undiscounted return so far.
        solved: at the end. An episode that is not was cut off by the step limit.
        height, width: of the boards.
    """

    level: int
    boards: Mapping[str, np.ndarray]
    actions: np.ndarray
    waits: np.ndarray
    returns: np.ndarray
    solved: bool
    height: int
    width: int

    def __len__(self) -> int:
        return len(self.actions)
