"""The progress line of a training."""

from contextlib import ExitStack
from typing import Any

import lightning as L

from drc_lab.evaluation.measures.criterion import SOLVE_RATE, judged_by
from drc_lab.learning.agent import Agent
from drc_lab.progress import Display


class TrainingProgress(L.Callback):
    """Shows frames, frames per second, solve rates (or returns) and time left: live in a terminal, and once at the end.

    Frames per second exclude the time of evaluations and videos.

    Args:
        display: where the line is shown.
        refresh_seconds: minimum seconds between two updates of the line.
    """

    def __init__(self, display: Display, refresh_seconds: float = 0.5):
        self.display, self.refresh_seconds = display, refresh_seconds
        self._shown, self.text = ExitStack(), ""

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        self.total, self.text = agent.spec.rollouts * agent.spec.frames_per_rollout, ""
        self.start_frames, self.drawn = agent.frames, 0.0
        self.started = self.display.clock() - self.display.seconds_aside
        first = f"{agent.frames:,}/{self.total:,} frames, first rollout"
        self.line = self._shown.enter_context(self.display.line(first, self.total, at_once=True, done=agent.frames))

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        now = self.display.clock()
        if now - self.drawn >= self.refresh_seconds or trainer.global_step == trainer.max_steps:
            self.drawn = now
            self._tell(trainer, agent)

    def _tell(self, trainer: L.Trainer, agent: Agent) -> None:
        """Updates the line with the current frames, speed and metrics."""
        seen = trainer.callback_metrics
        judged = {"train": judged_by(seen, "train/"), "held-out": judged_by(seen, "valid/")}
        rates = [f" {name} {_shown(key, float(seen[key]))}" for name, key in judged.items() if key in seen]
        seconds = self.display.clock() - self.display.seconds_aside - self.started
        speed = (agent.frames - self.start_frames) / max(seconds, 1e-9)
        self.text = f"{agent.frames:,}/{self.total:,} frames {speed:,.0f}/s{''.join(rates)}"
        self.line.update(completed=agent.frames, description=self.text)

    def _stop(self) -> None:
        self._shown.close()
        if self.text:
            self.display.console.print(self.text, highlight=False)
            self.text = ""

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        if self.text:
            self._tell(trainer, agent)
        self._stop()

    def on_exception(self, trainer: L.Trainer, agent: L.LightningModule, exception: BaseException) -> None:
        self._stop()


def _shown(metric: str, value: float) -> str:
    return f"{value:.0%}" if metric.endswith(SOLVE_RATE) else f"{value:.3g}"
