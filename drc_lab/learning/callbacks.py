"""What happens around training: metrics, held-out evaluation, a graceful stop, and the progress bar."""

import math
import signal
import time
from pathlib import Path
from typing import Any

import lightning as L
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from drc_lab.envs.interface import BatchEnv
from drc_lab.errors import ConfigError
from drc_lab.evaluation.evaluator import evaluate
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollouts import Rollout

EPISODE_METRICS = {"train/solve_rate": "solved", "train/return": "returns", "train/length": "lengths"}


class TrainingMetrics(L.Callback):
    """Logs loss/*, train/* and lr as means over some rollouts. Has to come before whatever saves a checkpoint.

    Args:
        log_every_rollouts: rollouts in one mean.
    """

    def __init__(self, log_every_rollouts: int):
        if log_every_rollouts < 1:
            raise ConfigError("log_every_rollouts", log_every_rollouts, "at least 1")
        self.log_every_rollouts = log_every_rollouts
        self._clear()

    def _clear(self) -> None:
        self.rollouts = self.minibatches = self.episodes = 0
        self.sums: dict[str, float] = {}

    def _add(self, name: str, value: Any) -> None:
        self.sums[name] = self.sums.get(name, 0.0) + float(value)

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch: Rollout, batch_idx):
        assert isinstance(agent, Agent)
        self.minibatches += 1
        for name, value in agent.parts.items():
            self._add(f"loss/{name}", value)
        if not batch.last:
            return
        self.rollouts += 1
        self.episodes += len(batch.episodes.solved)
        for name, field in EPISODE_METRICS.items():
            self._add(name, getattr(batch.episodes, field).sum())
        if self.rollouts >= self.log_every_rollouts:
            counts = {name: self.episodes if name in EPISODE_METRICS else self.minibatches for name in self.sums}
            means = {name: total / counts[name] for name, total in self.sums.items() if counts[name]}
            more = {"lr": trainer.optimizers[0].param_groups[0]["lr"]}
            env = trainer.datamodule.stream.env  # type: ignore[attr-defined]
            agent.log_metrics(means | more | env.metrics())
            self._clear()

    def state_dict(self) -> dict[str, Any]:
        counts = {name: getattr(self, name) for name in ("rollouts", "minibatches", "episodes")}
        return counts | {"sums": dict(self.sums)}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


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


class HeldOutEvaluation(L.Callback):
    """Plays the held-out levels greedily every so many steps and when training ends, and keeps the best weights.

    Logs valid/solve_rate, valid/return, valid/length, valid/optimality_gap and best/solve_rate. Draws no random number
    that training uses.

    Args:
        env: a batch env with one held-out level for each env in the batch.
        every_steps: optimizer steps between two evaluations, a whole number of rollouts.
        best: where the checkpoint with the highest solve rate goes.
        stop: a training that is stopped is not evaluated at its end, it will go on.

    Attributes:
        running: whether an evaluation is going on.
    """

    def __init__(self, env: BatchEnv, every_steps: int, best: Path, stop: GracefulStop):
        self.env, self.every_steps, self.best, self.stop = env, every_steps, best, stop
        self.best_path, self.best_solve_rate, self.best_return, self.evaluated_at = "", -1.0, -math.inf, -1
        self.running = False

    def _evaluate(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        assert isinstance(agent, Agent)
        self.running = True
        result, self.evaluated_at = evaluate(agent.policy, self.env).summary(), trainer.global_step
        # Where nothing is solved yet, or everything, the return decides.
        better = (result["solve_rate"], result["return"]) > (self.best_solve_rate, self.best_return)
        if better:
            self.best_path = str(self.best)
            self.best_solve_rate, self.best_return = result["solve_rate"], result["return"]
        metrics = {f"valid/{name}": value for name, value in result.items()}
        agent.log_metrics(metrics | {"best/solve_rate": self.best_solve_rate})
        if better:
            trainer.save_checkpoint(self.best)
        self.running = False

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch, batch_idx) -> None:
        if trainer.global_step % self.every_steps == 0:
            self._evaluate(trainer, agent)

    def on_train_end(self, trainer: L.Trainer, agent: L.LightningModule) -> None:
        if self.evaluated_at != trainer.global_step and not self.stop.saved:
            self._evaluate(trainer, agent)

    def state_dict(self) -> dict[str, Any]:
        names = ("best_path", "best_solve_rate", "best_return", "evaluated_at")
        return {name: getattr(self, name) for name in names}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


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
