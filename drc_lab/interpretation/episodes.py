"""A recorded episode, from which labels are computed: its boards, actions and outcome."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Episode:
    """One episode of T steps on one level.

    Args:
        level: number of the level.
        boards: the game's arrays (`drc_lab.envs.batch.Batch.STATE`) by name, [T + 1, ...]: before each step and at the
            end.
        actions: int64 [T].
        waits: bool [T], which steps leave the board as it is on purpose: no-ops that the evaluation forces, and thinks.
        returns: float64 [T + 1], the undiscounted return so far.
        solved: whether the level is solved at the end; if not, the step limit cut the episode off.
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
