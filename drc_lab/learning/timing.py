"""Where the wall time of a training goes."""

import time
from collections.abc import Callable
from typing import Any

import lightning as L
import torch

from drc_lab.learning.agent import Agent
from drc_lab.learning.validation import HeldOutEvaluation


class TimeShares(L.Callback):
    """Times the policy's forward passes, the backward pass and held-out evaluation over a whole fit.

    A GPU is waited for at both ends of each part, which takes time itself and keeps groups of envs from overlapping
    with the policy: there the parts are those of the first half of the fit, and its speed is that of the second.

    Args:
        evaluation: the callback that evaluates.
        skip_rollouts: at the start, for compilation and first allocations.

    Attributes:
        seconds: "act" (policy forward while collecting), "forward" (over whole rollouts), "backward", "evaluation"
            (all of it), "total".
        frames_per_second: of the fit.
    """

    def __init__(self, evaluation: HeldOutEvaluation, skip_rollouts: int = 5):
        self.evaluation, self.skip_rollouts = evaluation, skip_rollouts
        self.seconds = dict.fromkeys(("act", "forward", "backward", "evaluation", "total"), 0.0)
        self.timing, self.frames_per_second = True, 0.0

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        actor = trainer.datamodule.stream.actor  # type: ignore[attr-defined]
        evaluate = self.evaluation._evaluate
        self._within = False  # a call that is timed: what it calls is part of it, and may not wait for the GPU

        def timed(call: Callable[..., Any], part: str) -> Callable[..., Any]:
            def run(*args: Any, **kwargs: Any) -> Any:
                if self._within or self.evaluation.running or not self.timing:
                    return call(*args, **kwargs)
                started, self._within = _now(), True
                try:
                    return call(*args, **kwargs)
                finally:
                    self._within = False
                    self.seconds[part] += _now() - started

            return run

        def timed_evaluate(*args: Any, **kwargs: Any) -> None:
            if not self.timing:
                return evaluate(*args, **kwargs)
            started = _now()
            evaluate(*args, **kwargs)
            self.seconds["evaluation"] += _now() - started

        actor.act = timed(actor.act, "act")
        agent.policy.unroll = timed(agent.policy.unroll, "forward")  # type: ignore[method-assign]
        if agent.unroll is not None:
            agent.unroll = timed(agent.unroll, "forward")
        self.evaluation._evaluate = timed_evaluate  # type: ignore[method-assign]

    def on_before_backward(self, *args: Any) -> None:
        if self.timing:
            self._backward = _now()

    def on_after_backward(self, *args: Any) -> None:
        if self.timing:
            self.seconds["backward"] += _now() - self._backward

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        if not batch.last:
            return
        skipped = self.skip_rollouts * agent.spec.frames_per_rollout
        if agent.frames <= skipped:
            self._begin(agent)
            self.seconds = dict.fromkeys(self.seconds, 0.0)
            return
        if self.timing:
            self.seconds["total"] = _now() - self._started
            self._measured = dict(self.seconds)  # what plays after the last rollout is not of the training
        if agent.frames > self._start_frames:
            self.frames_per_second = (agent.frames - self._start_frames) / (_now() - self._started)
        half = (skipped + agent.spec.rollouts * agent.spec.frames_per_rollout) / 2
        if self.timing and agent.device.type == "cuda" and agent.frames >= half:
            self.timing = False
            self._begin(agent)

    def _begin(self, agent: Agent) -> None:
        self._started, self._start_frames = _now(), agent.frames

    def shares(self) -> dict[str, float]:
        """Each part of the total; "policy" is acting, forward and backward together, "outside" all the rest, "other"
        what of it is not evaluation."""
        parts = {k: v / self._measured["total"] for k, v in self._measured.items() if k != "total"}
        policy = parts["act"] + parts["forward"] + parts["backward"]
        return parts | {"policy": policy, "outside": 1 - policy, "other": 1 - policy - parts["evaluation"]}


def _now() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()
