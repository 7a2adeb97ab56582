"""Where the wall time of a training goes."""

import time
from typing import Any

import lightning as L

from drc_lab.learning.agent import Agent


class TimeShares(L.Callback):
    """Times the policy's forward passes (acting and learning) and the backward pass of a whole fit.

    Attributes:
        seconds: "act" (policy forward while collecting), "forward" (over whole rollouts), "backward", "total".
    """

    def __init__(self, skip_rollouts: int = 5):
        self.skip_rollouts = skip_rollouts
        self.seconds = dict.fromkeys(("act", "forward", "backward", "total"), 0.0)
        self.frames = 0

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        unroll = agent.policy.unroll

        def timed(obs: Any, *args: Any, **kwargs: Any) -> Any:
            started = time.perf_counter()
            result = unroll(obs, *args, **kwargs)
            self.seconds["act" if len(obs) == 1 else "forward"] += time.perf_counter() - started
            return result

        agent.policy.unroll = timed  # type: ignore[method-assign]

    def on_before_backward(self, *args: Any) -> None:
        self._backward = time.perf_counter()

    def on_after_backward(self, *args: Any) -> None:
        self.seconds["backward"] += time.perf_counter() - self._backward

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch, batch_idx) -> None:
        assert isinstance(agent, Agent)
        if agent.frames <= self.skip_rollouts * agent.spec.frames_per_rollout:  # compilation, first allocations
            self._started, self._start_frames = time.perf_counter(), agent.frames
            self.seconds = dict.fromkeys(self.seconds, 0.0)
        else:
            self.seconds["total"] = time.perf_counter() - self._started
            self.frames = agent.frames - self._start_frames

    def shares(self) -> dict[str, float]:
        """Each part of the total, and "policy" for their sum."""
        parts = {k: v / self.seconds["total"] for k, v in self.seconds.items() if k != "total"}
        return parts | {"policy": sum(parts.values())}
