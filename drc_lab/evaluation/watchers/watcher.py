"""The interface for observing an evaluation while it runs."""

from typing import Any

import numpy as np
from jaxtyping import Bool, Int64, Shaped

from drc_lab.models.policy import PolicyValue

Envs = Int64[np.ndarray, "n"]  # indices of the envs concerned, of all B
Actions = Int64[np.ndarray, "n"]  # of these envs
Waits = Bool[np.ndarray, "n"]
Observations = Shaped[np.ndarray, "B *obs"]
Columns = dict[str, Shaped[np.ndarray, "N"]]  # N: the envs that play levels, the first of all B


class Watcher:
    """Is called at each event of an evaluation; an exception that it raises ends the evaluation.

    In all methods ``envs`` holds the indices of the n envs concerned.
    """

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        """Called at the start and after each step, with the envs that were still playing before it.

        ``obs`` and ``info`` are those of the whole batch.
        """

    def thought(self, envs: Envs, out: PolicyValue) -> None:
        """Called after each extra pass, with its output for these envs."""

    def decided(self, envs: Envs, out: PolicyValue, actions: Actions, waits: Waits) -> None:
        """Called before each step, possibly several times with different envs.

        Args:
            out: the policy's output for them.
            actions: the actions that will be taken.
            waits: whether an action leaves the board as it is on purpose: a no-op from the setting, or a think.
        """

    def columns(self) -> Columns:
        """The columns that it adds to the records, by name."""
        return {}
