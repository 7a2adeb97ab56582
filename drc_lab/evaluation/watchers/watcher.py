"""The interface for observing an evaluation while it runs."""

from typing import Any

import numpy as np

from drc_lab.models.policy import PolicyValue


class Watcher:
    """Is called at each event of an evaluation; an exception that it raises ends the evaluation.

    In all methods ``envs`` holds the indices of the envs concerned, int64 [n].
    """

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        """Called at the start and after each step, with the envs that were still playing before it.

        ``obs`` and ``info`` are those of the whole batch.
        """

    def thought(self, envs: np.ndarray, out: PolicyValue) -> None:
        """Called after each extra pass, with its output for these envs."""

    def decided(self, envs: np.ndarray, out: PolicyValue, actions: np.ndarray, waits: np.ndarray) -> None:
        """Called before each step, possibly several times with different envs.

        Args:
            envs: int64 [n].
            out: the policy's output for them.
            actions: int64 [n], the actions that will be taken.
            waits: bool [n], whether an action leaves the board as it is on purpose: a no-op from the setting, or a
                think.
        """

    def columns(self) -> dict[str, np.ndarray]:
        """The columns that it adds to the records: arrays [N] by name."""
        return {}
