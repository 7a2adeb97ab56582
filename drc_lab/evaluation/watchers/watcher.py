"""Seeing an evaluation go by."""

from typing import Any

import numpy as np

from drc_lab.models.policy import PolicyValue


class Watcher:
    """Sees an evaluation go by; what it raises ends it. ``envs`` is int64 [n], those that it is told of."""

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        """At the start and after each step, of all envs that were still playing; obs and info are the whole batch's."""

    def thought(self, envs: np.ndarray, out: PolicyValue) -> None:
        """After each extra pass."""

    def decided(self, envs: np.ndarray, out: PolicyValue, actions: np.ndarray, waits: np.ndarray) -> None:
        """Before each step, perhaps several times for different envs: what the policy says, the actions int64 [n] that
        follow, and bool [n] which of them leave the board as it is on purpose: told to do nothing, or a think."""

    def columns(self) -> dict[str, np.ndarray]:
        """What it has to add to the record of each level, arrays [N] by name."""
        return {}
