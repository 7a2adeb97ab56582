"""What happens around training: held-out evaluation, a graceful stop, and the progress bar."""

import signal
import time
from pathlib import Path
from typing import Any

import gymnasium as gym
import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from drc_lab.evaluation.evaluator import evaluate
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollouts import Rollout


class HeldOutEvaluation(L.Callback):
    """Plays the held-out levels greedily every so many rollouts and at the end of training.

    Logs valid/solve_rate, valid/return, valid/length, valid/optimality_gap. Draws no random number that training uses.

    Args:
        env: a batch env with one held-out level for each env in the batch.
        every_steps: optimizer steps between two evaluations.
    """

    def __init__(self, env: gym.vector.VectorEnv, every_steps: int):
        self.env, self.every_steps = env, every_steps

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch: Rollout, batch_idx):
        assert isinstance(agent, Agent)
        if trainer.global_step % self.every_steps == 0 or trainer.global_step == trainer.max_steps:
            result = evaluate(agent.policy, self.env).summary()
            agent.log_metrics({f"valid/{name}": value for name, value in result.items()})


class GracefulStop(L.Callback):
    """On Ctrl-C or SIGTERM: finishes the rollout, saves a checkpoint that resumes exactly, and ends the fit.

    A second Ctrl-C interrupts at once.

    Attributes:
        signal: its name once it came, else None.
        saved: whether the checkpoint was written.
    """

    def __init__(self, checkpoint: Path):
        self.checkpoint = checkpoint
        self.signal: str | None = None
        self.saved = False
        self._previous: dict[int, Any] = {}

    def _on_signal(self, number: int, frame: Any) -> None:
        if self.signal:
            raise KeyboardInterrupt
        self.signal = signal.Signals(number).name

    def on_train_start(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._previous[number] = signal.signal(number, self._on_signal)

    def on_train_batch_end(self, trainer: L.Trainer, agent, outputs, batch: Rollout, batch_idx) -> None:
        if self.signal and batch.last:
            trainer.save_checkpoint(self.checkpoint)
            self.saved = trainer.should_stop = True

    def teardown(self, trainer: L.Trainer, agent: L.LightningModule, stage: str) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)
        self._previous.clear()


class TrainingProgress(L.Callback):
    """A rich bar with frames, frames a second, solve rates and time left."""

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
        rates = [f"{name} {float(seen[key]):.0%}" for name, key in
                 (("train", "train/solve_rate"), ("held-out", "valid/solve_rate")) if key in seen]  # fmt: skip
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
