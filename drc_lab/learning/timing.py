"""Where the wall time of a training goes."""

import time
from typing import Any

import lightning as L
import torch
from lightning.pytorch.profilers import Profiler

from drc_lab.learning.agent import Agent

ACT, FORWARD, BACKWARD, EVALUATION, TOTAL = PARTS = ("act", "forward", "backward", "evaluation", "total")


class PartsProfiler(Profiler):
    """Adds up the seconds of the parts of a training that Lightning's trainer, the agent and the actor tell it of.

    Attributes:
        seconds: by part.
        timing: whether it does; a GPU is waited for at both ends of each part meanwhile.
    """

    def __init__(self) -> None:
        super().__init__()
        self.timing = True
        self.reset()

    def reset(self) -> None:
        """Everything so far counts for nothing."""
        self.seconds = dict.fromkeys(PARTS, 0.0)
        self._started: dict[str, float] = {}

    def start(self, action_name: str) -> None:
        if self.timing and (part := _part(action_name)):
            self._started[part] = _now()

    def stop(self, action_name: str) -> None:
        if (part := _part(action_name)) in self._started:
            self.seconds[part] += _now() - self._started.pop(part)


def _part(action: str) -> str | None:
    """Of `PARTS`, for what Lightning and we call it."""
    return action if action in PARTS else BACKWARD if action.endswith("Strategy.backward") else None


class TimeShares(L.Callback):
    """Times the policy's forward passes, the backward pass and held-out evaluation over a whole fit.

    A GPU is waited for at both ends of each part, which takes time itself and keeps groups of envs from overlapping
    with the policy: there the parts are those of the first half of the fit, and its speed is that of the second.

    Args:
        skip_rollouts: at the start, for compilation and first allocations.

    Attributes:
        profiler: has to be the trainer's.
        frames_per_second: of the fit.
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
            # What plays after the last rollout is not of the training.
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
        """Each part of the total: "act" (the policy's steps while collecting), "forward" (its passes over rollouts),
        "backward", "evaluation" (all of it); "policy" is the first three together, "outside" all the rest, "other"
        what of it is not evaluation."""
        parts = {part: seconds / self._measured[TOTAL] for part, seconds in self._measured.items() if part != TOTAL}
        policy = parts[ACT] + parts[FORWARD] + parts[BACKWARD]
        return parts | {"policy": policy, "outside": 1 - policy, "other": 1 - policy - parts[EVALUATION]}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
