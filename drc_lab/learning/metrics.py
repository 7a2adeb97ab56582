"""The training's own metrics, as means over some rollouts."""

from typing import Any

import lightning as L

from drc_lab.errors import ConfigError
from drc_lab.learning.agent import Agent
from drc_lab.learning.rollout import Rollout

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
        self.rollouts = 0
        self.sums: dict[str, list[float]] = {}  # of each metric: its total, and how many it is the mean of

    def _add(self, name: str, total: Any, count: int = 1) -> None:
        so_far = self.sums.setdefault(name, [0.0, 0.0])
        so_far[0] += float(total)
        so_far[1] += count

    def on_train_batch_end(self, trainer: L.Trainer, agent: L.LightningModule, outputs, batch: Rollout, batch_idx):
        assert isinstance(agent, Agent)
        for name, value in agent.parts.items():
            self._add(f"loss/{name}", value)
        if not batch.last:
            return
        self.rollouts += 1
        for name, field in EPISODE_METRICS.items():
            values = getattr(batch.episodes, field)
            self._add(name, values.sum(), len(values))
        if self.rollouts >= self.log_every_rollouts:
            means = {name: total / count for name, (total, count) in self.sums.items() if count}
            more = {"lr": trainer.optimizers[0].param_groups[0]["lr"]}
            env = trainer.datamodule.stream.env  # type: ignore[attr-defined]
            agent.log_metrics(means | more | env.metrics())
            self._clear()

    def state_dict(self) -> dict[str, Any]:
        return {"rollouts": self.rollouts, "sums": {name: list(sums) for name, sums in self.sums.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)
