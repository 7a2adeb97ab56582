"""The metrics of training itself, as means over several rollouts."""

from statistics import fmean
from typing import Any

import lightning as L
import torch

from drc_lab.learning.agent import Agent
from drc_lab.learning.ranks import Ranks
from drc_lab.learning.rollout import Rollout
from drc_lab.learning.specs import AlgoSpec

Sums = dict[str, list[float]]  # for each metric: the sum of its values, and their number
EPISODE_METRICS = {
    "train/solve_rate": "solved",
    "train/return": "returns",
    "train/length": "lengths",
    "train/thinks": "thinks",
}


class TrainingMetrics(L.Callback):
    """Logs loss/* and train/* as means over several rollouts and all ranks, and the current lr.

    It has to come before callbacks that save checkpoints.

    Args:
        log_every_rollouts: number of rollouts in each mean.

    Attributes:
        sums: totals since metrics were last logged, over all ranks.
        of_rollout: totals of this rank in the current rollout.
    """

    def __init__(self, log_every_rollouts: int):
        AlgoSpec(log_every_rollouts=log_every_rollouts)  # checks it
        self.log_every_rollouts = log_every_rollouts
        self._clear()

    def _clear(self) -> None:
        self.rollouts = 0
        self.sums: Sums = {}
        self.of_rollout: Sums = {}

    def _add(self, name: str, total: Any, count: int = 1) -> None:
        _add(self.of_rollout, name, float(total), count)

    def on_train_batch_end(
        self, trainer: L.Trainer, agent: L.LightningModule, outputs: Any, batch: Rollout, batch_idx: int
    ) -> None:
        assert isinstance(agent, Agent)
        values = torch.stack([part.to(agent.device) for part in agent.parts.values()]).tolist()
        for name, value in zip(agent.parts, values, strict=True):  # stacked, so that a GPU is waited for only once
            self._add(f"loss/{name}", value)
        if not batch.last:
            return
        self.rollouts += 1
        for name, field in EPISODE_METRICS.items():
            values = getattr(batch.episodes, field)
            self._add(name, values.sum(), len(values))
        for name, (total, count) in _over_ranks(self.of_rollout, agent.device).items():
            _add(self.sums, name, total, count)
        self.of_rollout = {}
        if self.rollouts >= self.log_every_rollouts:
            means = {name: total / count for name, (total, count) in self.sums.items() if count}
            more = {"lr": trainer.optimizers[0].param_groups[0]["lr"]}
            envs = trainer.datamodule.stream.envs  # type: ignore[attr-defined]
            of_ranks = Ranks().gather([env.metrics() for env in envs])
            agent.log_metrics(means | more | _mean([metrics for groups in of_ranks for metrics in groups]))
            self._clear()

    def state_dict(self) -> dict[str, Any]:
        return {"rollouts": self.rollouts, "sums": {name: list(sums) for name, sums in self.sums.items()}}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        vars(self).update(state_dict)


def _add(sums: Sums, name: str, total: float, count: float) -> None:
    so_far = sums.setdefault(name, [0.0, 0.0])
    so_far[0] += total
    so_far[1] += count


def _over_ranks(sums: Sums, device: torch.device) -> Sums:
    """The sums over all ranks; every rank must have the same metrics."""
    if Ranks().size == 1:
        return sums
    totals = Ranks().sum(torch.tensor(list(sums.values()), dtype=torch.float64, device=device))  # (metrics, 2)
    return dict(zip(sums, totals.tolist(), strict=True))


def _mean(metrics: list[dict[str, float]]) -> dict[str, float]:
    """Means over the ranks and groups that have each metric: some envs may not have measured it yet."""
    names = {name for each in metrics for name in each}
    return {name: fmean(each[name] for each in metrics if name in each) for name in sorted(names)}
