"""Cycles: an episode returns to an earlier state, so that the steps in between have achieved nothing."""

from typing import Any

import numpy as np
from jaxtyping import Shaped, UInt64

from drc_lab.evaluation.watchers.watcher import Actions, Columns, Envs, Observations, Waits, Watcher
from drc_lab.models.policy import PolicyValue

NONE = -1


class Cycles(Watcher):
    """Finds the cycles of each episode. They do not overlap: each begins where the previous one closed, or later.

    Two states are the same if their observations are equal byte for byte. A step in which nothing moves is a cycle of
    length 1, unless it is a no-op from the setting or a think. Such a step may also be part of a longer cycle, but a
    cycle never closes with it.

    Attributes:
        count, steps: int64 [N], number of cycles in each episode so far, and number of steps in them.
        start, length: int64 [N], step at which the first cycle begins, and its number of steps: it closes before step
            ``start + length``. NONE and 0 if there is no cycle.
    """

    def __init__(self) -> None:
        self.states: list[np.ndarray] = []  # for each step, hashes of the observations, uint64 [N]

    def seen(self, envs: Envs, obs: Observations, info: dict[str, Any]) -> None:
        step = len(self.states)
        if step == 0:
            N = len(envs)
            self.weights = np.random.default_rng(0).integers(2**64, size=obs[0].nbytes, dtype=np.uint64)
            self.since = np.zeros(N, np.int64)  # the earliest step at which the next cycle may begin
            self.waits = np.zeros(N, bool)
            self.count, self.steps, self.length = (np.zeros(N, np.int64) for _ in range(3))
            self.start = np.full(N, NONE)
        state = np.zeros(len(self.since), np.uint64)
        state[envs] = self._hash(obs[envs])
        if step:
            self._close(step, envs, state)
        self.states.append(state)

    def decided(self, envs: Envs, out: PolicyValue, actions: Actions, waits: Waits) -> None:
        self.waits[envs] = waits

    def columns(self) -> Columns:
        return {"cycles": self.count, "cycle_steps": self.steps, "cycle_start": self.start, "cycle_length": self.length}

    def _close(self, step: int, envs: Envs, state: UInt64[np.ndarray, "N"]) -> None:
        envs = envs[~self.waits[envs]]
        before = np.stack(self.states)[:, envs]  # (step, n)
        again = (before == state[envs]) & (np.arange(step)[:, None] >= self.since[envs])
        closed = again.any(axis=0)
        envs, again = envs[closed], again[:, closed]
        start = step - 1 - again[::-1].argmax(axis=0)  # the last step with that state
        first = self.count[envs] == 0
        self.start[envs[first]], self.length[envs[first]] = start[first], (step - start)[first]
        self.count[envs] += 1
        self.steps[envs] += step - start
        self.since[envs] = step

    def _hash(self, obs: Shaped[np.ndarray, "n *obs"]) -> UInt64[np.ndarray, "n"]:
        """Hashes of observations: randomly weighted sums of their bytes, so collisions are unlikely."""
        each = np.ascontiguousarray(obs).reshape(len(obs), -1).view(np.uint8)
        return each.astype(np.uint64) @ self.weights
