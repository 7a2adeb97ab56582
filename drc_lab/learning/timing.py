"""Measures where the wall time of a training goes."""

import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.profilers import Profiler

from drc_lab.learning.agent import Agent

ACT, FORWARD, BACKWARD, EVALUATION, TOTAL = PARTS = ("act", "forward", "backward", "evaluation", "total")


class PartsProfiler(Profiler):
    """Adds up the seconds of the parts of a training, as reported by Lightning's trainer, the agent and the actor.

    Attributes:
        seconds: seconds by part.
        timing: whether it measures. If so, it waits for the GPU at the start and end of each part.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timing = True
        self.reset()

    def reset(self) -> None:
        """Discards everything that was measured so far."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._started: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        if self.timing and (part := _part(action_name)):
            self._started[part] = _now()

    def stop(self, action_name: str) -> None:
        if (part := _part(action_name)) in self._started:
            self.seconds[part] += _now() - self._started.pop(part)


def _part(action: str) -> str | None:
    """The one of `PARTS` that an action's name stands for (Lightning's names or ours); None for other actions."""
    return action if action in PARTS else BACKWARD if action.endswith("Strategy.backward") else None


class TimeShares(L.Callback):
    """Times the policy's forward passes, the backward pass and held-out evaluation over a whole fit.

    Timing waits for the GPU at the start and end of each part, which costs time and keeps the envs of one group from
    running at the same time as the policy for another. So on a GPU the parts are measured in the first half of the fit,
    and the speed in the second.

    Args:
        skip_rollouts: rollouts at the start that are not measured, because of compilation and first allocations.

    Attributes:
        profiler: must also be the trainer's profiler.
        frames_per_second: speed of the fit.
    """

    def __init__(self, skip_rollouts: int = 5):
        self.skip_rollouts, self.profiler, self.frames_per_second = skip_rollouts, PartsProfiler(), 0.0

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        if not batch.last:
            return
        skipped = self.skip_rollouts * agent.spec.frames_per_rollout
        if agent.frames <= skipped:
            self._begin(agent)
            self.profiler.reset()
            return
        if self.profiler.timing:
            # Updated after every rollout, so that what runs after the last one (a final evaluation) does not count.
            self._measured = self.profiler.seconds | {TOTAL: _now() - self._started}
        if agent.frames > self._start_frames:
            self.frames_per_second = (agent.frames - self._start_frames) / (_now() - self._started)
        half = (skipped + agent.spec.rollouts * agent.spec.frames_per_rollout) / 2
        if self.profiler.timing and agent.device.type == "cuda" and agent.frames >= half:
            self.profiler.timing = False
            self._begin(agent)

    def _begin(self, agent: Agent) -> None:
        self._started, self._start_frames = _now(), agent.frames

    def shares(self) -> dict[str, float]:
        """Shares of the total time by part.

        Returns:
            "act" (the policy's steps while collecting), "forward" (its passes over rollouts), "backward" and
            "evaluation"; "policy" (the sum of the first three), "outside" (everything else), and "other" (everything
            else but evaluation).
        """
        parts = {part: seconds / self._measured[TOTAL] for part, seconds in self._measured.items() if part != TOTAL}
        policy = parts[ACT] + parts[FORWARD] + parts[BACKWARD]
        return parts | {"policy": policy, "outside": 1 - policy, "other": 1 - policy - parts[EVALUATION]}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
