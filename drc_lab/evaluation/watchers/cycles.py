"""Cycles: an episode comes back to a state that it has been in, so that the steps between have led nowhere."""

from typing import Any

import numpy as np

from drc_lab.evaluation.watchers.watcher import Watcher
from drc_lab.models.policy import PolicyValue

NONE = -1


def in_its_place(amount: float, length: np.ndarray) -> np.ndarray:
    """How many steps, int64 [N], think in place of cycles of that length: ``amount`` times as many."""
    return np.ceil(amount * length).astype(np.int64)


class Cycles(Watcher):
    """Finds the cycles of an evaluation, one after the other: each begins where the one before has closed, or later.

    A state is what the env shows: two observations that are equal byte for byte. A step in which nothing moves is a
    cycle of length 1, but not if the policy was told to wait or chose to think; a cycle may go through such a wait.

    Attributes:
        count, steps: int64 [N], cycles of each episode up to now, and steps taken in them.
        start, length: int64 [N], of the first one, which closes before step ``start + length``; NONE and 0 without any.
    """

    def __init__(self) -> None:
        self.states: list[np.ndarray] = []  # uint64 [N] of each step: a hash of the observation

    def seen(self, envs: np.ndarray, obs: np.ndarray, info: dict[str, Any]) -> None:
        step = len(self.states)
        if step == 0:
            N = len(envs)
            self.weights = np.random.default_rng(0).integers(2**64, size=obs[0].nbytes, dtype=np.uint64)
            self.since = np.zeros(N, np.int64)  # where the next cycle may begin
            self.waits = np.zeros(N, bool)
            self.count, self.steps, self.length = (np.zeros(N, np.int64) for _ in range(3))
            self.start = np.full(N, NONE)
        state = np.zeros(len(self.since), np.uint64)
        state[envs] = self._hash(obs[envs])
        if step:
            self._close(step, envs, state)
        self.states.append(state)

    def decided(self, envs: np.ndarray, out: PolicyValue, actions: np.ndarray, waits: np.ndarray) -> None:
        self.waits[envs] = waits

    def columns(self) -> dict[str, np.ndarray]:
        return {"cycles": self.count, "cycle_steps": self.steps, "cycle_start": self.start, "cycle_length": self.length}

    def _close(self, step: int, envs: np.ndarray, state: np.ndarray) -> None:
        envs = envs[~self.waits[envs]]
        before = np.stack(self.states)[:, envs]  # (step, n)
        again = (before == state[envs]) & (np.arange(step)[:, None] >= self.since[envs])
        closed = again.any(axis=0)
        envs, again = envs[closed], again[:, closed]
        start = step - 1 - again[::-1].argmax(axis=0)  # the last time
        first = self.count[envs] == 0
        self.start[envs[first]], self.length[envs[first]] = start[first], (step - start)[first]
        self.count[envs] += 1
        self.steps[envs] += step - start
        self.since[envs] = step

    def _hash(self, obs: np.ndarray) -> np.ndarray:
        """uint64 [n]: a sum of random weights, which two different observations hardly ever share."""
        each = np.ascontiguousarray(obs).reshape(len(obs), -1).view(np.uint8)
        return each.astype(np.uint64) @ self.weights
