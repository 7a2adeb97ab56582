"""The training's own metrics, as means over some rollouts."""

from typing import Any

import lightning as L

from drc_lab.errors import ConfigError
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
