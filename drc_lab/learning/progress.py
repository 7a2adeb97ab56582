"""The progress bar of a training."""

import time

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from drc_lab.evaluation.measure import SOLVE_RATE, judged_by
from drc_lab.learning.agent import Agent


class TrainingProgress(L.Callback):
    """A rich bar with frames, frames a second, solve rates (or returns) and time left."""

    def __init__(self, console: Console, refresh_seconds: float = 0.5):
        self.console, self.refresh_seconds = console, refresh_seconds
        self.bar: Progress | None = None

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        texts = (
            "{task.completed:,.0f}/{task.total:,.0f} frames",
            "{task.fields[speed]:,.0f}/s",
            "{task.fields[rates]}",
        )
        columns = [TextColumn(text) for text in texts]
        self.bar = Progress(BarColumn(12), *columns, TimeRemainingColumn(), console=self.console)
        total = agent.spec.rollouts * agent.spec.frames_per_rollout
        self.task = self.bar.add_task("", total=total, completed=agent.frames, speed=0.0, rates="")
        self.started, self.start_frames, self.drawn = time.monotonic(), agent.frames, 0.0
        self.bar.start()

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch, batch_idx) -> None:
        assert isinstance(agent, Agent) and self.bar is not None
        now = time.monotonic()
        if now - self.drawn < self.refresh_seconds and trainer.global_step != trainer.max_steps:
            return
        self.drawn = now
        seen = trainer.callback_metrics
        judged = {"train": judged_by(seen, "train/"), "held-out": judged_by(seen, "valid/")}
        rates = [f"{name} {_shown(key, float(seen[key]))}" for name, key in judged.items() if key in seen]
        speed = (agent.frames - self.start_frames) / max(now - self.started, 1e-9)
        self.bar.update(self.task, completed=agent.frames, speed=speed, rates=" ".join(rates))

    def _stop(self) -> None:
        if self.bar is not None:
            self.bar.stop()
            self.bar = None

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        self._stop()

    def on_exception(self, trainer: L.Trainer, agent: L.LightningModule, exception: BaseException) -> None:
        self._stop()


def _shown(metric: str, value: float) -> str:
    return f"{value:.0%}" if metric.endswith(SOLVE_RATE) else f"{value:.3g}"
