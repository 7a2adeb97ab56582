"""The LightningModule: a policy, a loss on rollouts, an optimizer with a schedule in frames."""

from collections.abc import Callable, Mapping
from typing import Any

import lightning as L
import torch
from torch import Tensor

from drc_lab.errors import ConfigError
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

    Attributes:
        frames: env steps that the weights have learned from.
        parts: of the last minibatch's loss, and "grad_norm" before clipping.
    """

    def __init__(
        self,
        policy: Policy,
        loss: Loss,
        optimizer: Callable[[Any], torch.optim.Optimizer],
        spec: RolloutSpec,
        lr_final_fraction: float = 1.0,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        if not 0 <= lr_final_fraction <= 1:
            raise ConfigError("lr_final_fraction", lr_final_fraction, "0 to 1")
        self.policy, self.loss, self.make_optimizer, self.spec = policy, loss, optimizer, spec
        self.lr_final_fraction, self.config = lr_final_fraction, dict(config or {})
        self.frames = 0
        self.parts: dict[str, Tensor] = {}

    def training_step(self, rollout: Rollout, batch_idx: int) -> Tensor:
        out, _ = self.policy.unroll(rollout.obs, rollout.carry, rollout.transitions.resets, rollout.repeats)
        loss, self.parts = self.loss(out.policy_logits, out.value[..., 0], rollout.transitions)
        self.frames = rollout.frames
        return loss

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        gradients = [p.grad for p in self.policy.parameters() if p.grad is not None]
        self.parts["grad_norm"] = torch.nn.utils.get_total_norm(gradients)

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = True  # the stream is one epoch; a second would find it empty, over and over

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """To all loggers with env frames as the step, and to callbacks (progress bar)."""
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=self.frames)
        self.trainer.callback_metrics.update({k: torch.tensor(v) for k, v in metrics.items()})

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.policy.parameters())
        schedule = torch.optim.lr_scheduler.LinearLR(
            optimizer, 1.0, self.lr_final_fraction, total_iters=self.spec.optimizer_steps
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["frames"] = self.frames

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.frames = checkpoint["frames"]
