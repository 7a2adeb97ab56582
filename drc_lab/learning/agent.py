"""The LightningModule: a policy, a loss on rollouts, an optimizer with a schedule in frames."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from drc_lab.learning.rollouts import Rollout, RolloutSpec
from drc_lab.models.policy import Policy

Loss = Callable[..., tuple[Tensor, dict[str, Tensor]]]


class Agent(L.LightningModule):
    """Trains a policy with an actor-critic loss by Lightning's automatic optimization.

    Args:
        policy: see `drc_lab.models.policy.Policy`.
        loss: (logits [T + 1, B, A], values [T + 1, B], Transitions) -> loss, parts for logging.
        optimizer: parameters -> torch optimizer.
        spec: sizes of the rollouts; the schedule's length comes from it.
        lr_final_fraction: the learning rate falls linearly, in frames, to this fraction of its start.
        config: the whole resolved config as plain types; goes into every checkpoint.
        log_every_rollouts: training metrics are means over this many rollouts.
    """

    def __init__(
        self,
        policy: Policy,
        loss: Loss,
        optimizer: Callable[[Any], torch.optim.Optimizer],
        spec: RolloutSpec,
        lr_final_fraction: float = 1.0,
        config: Mapping[str, Any] | None = None,
        log_every_rollouts: int = 20,
    ):
        super().__init__()
        self.policy, self.loss, self.make_optimizer, self.spec = policy, loss, optimizer, spec
        self.lr_final_fraction, self.config = lr_final_fraction, dict(config or {})
        self.window = MetricWindow(log_every_rollouts)
        self.frames = 0

    def training_step(self, rollout: Rollout, batch_idx: int) -> Tensor:
        out, _ = self.policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
        loss, parts = self.loss(out.policy_logits, out.value[..., 0], rollout.transitions)
        self.window.add(rollout, parts)
        self.frames = rollout.frames
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in self.policy.parameters() if p.grad is not None]
        self.window.sums["loss/grad_norm"] += float(torch.nn.utils.get_total_norm(gradients))

    def on_train_batch_end(self, outputs: Any, batch: Rollout, batch_idx: int) -> None:
        if batch.last and self.window.full:
            learning_rate = self.trainer.optimizers[0].param_groups[0]["lr"]
            self.log_metrics(self.window.flush() | {"lr": learning_rate})

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """To all loggers with env frames as the step, and to callbacks (progress bar, checkpoints)."""
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=self.frames)
        self.log_dict({k: torch.tensor(v, dtype=torch.float32) for k, v in metrics.items()}, logger=False, batch_size=1)

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.policy.parameters())
        schedule = torch.optim.lr_scheduler.LinearLR(
            optimizer, 1.0, self.lr_final_fraction, total_iters=self.spec.optimizer_steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["frames"] = self.frames
        checkpoint["window"] = self.window.state_dict()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.frames = checkpoint["frames"]
        self.window.load_state_dict(checkpoint["window"])


class MetricWindow:
    """Sums of training metrics over some rollouts."""

    def __init__(self, rollouts: int):
        self.rollouts = rollouts
        self._clear()

    def _clear(self) -> None:
        self.seen, self.minibatches, self.episodes = 0, 0, 0
        names = ("loss/total", "loss/policy", "loss/value", "loss/entropy", "loss/rho", "loss/explained_variance")
        self.sums = dict.fromkeys((*names, "loss/grad_norm", "train/solve_rate", "train/return", "train/length"), 0.0)

    def add(self, rollout: Rollout, parts: Mapping[str, Tensor]) -> None:
        """One minibatch; its rollout's episodes are counted once, with the last minibatch."""
        self.minibatches += 1
        for name, value in parts.items():
            self.sums[f"loss/{name}"] += float(value)
        if rollout.last:
            self.seen += 1
            self.episodes += len(rollout.episodes.solved)
            self.sums["train/solve_rate"] += float(rollout.episodes.solved.sum())
            self.sums["train/return"] += float(rollout.episodes.returns.sum())
            self.sums["train/length"] += float(rollout.episodes.lengths.sum())

    @property
    def full(self) -> bool:
        return self.seen >= self.rollouts

    def flush(self) -> dict[str, float]:
        """Means, and an empty window. Episode metrics are left out when no episode ended."""
        means = {k: v / self.minibatches for k, v in self.sums.items() if k.startswith("loss/")}
        if self.episodes:
            means |= {k: v / self.episodes for k, v in self.sums.items() if k.startswith("train/")}
        self._clear()
        return means

    def state_dict(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, dict) else v for k, v in vars(self).items()}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        vars(self).update({k: dict(v) if isinstance(v, dict) else v for k, v in state.items()})
