"""The LightningModule: a policy, a loss on rollouts, an optimizer with a schedule in frames."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.errors import ConfigError
from drc_lab.learning.losses import ActorCriticLoss
from drc_lab.learning.ranks import Ranks
from drc_lab.learning.rollout import Progressive, Rollout
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.schedules import Schedule, in_optimizer_steps
from drc_lab.learning.specs import AlgoSpec
from drc_lab.models.policy import Policy, PolicyValue


class Agent(L.LightningModule):
    """Trains a policy with an actor-critic loss by Lightning's automatic optimization.

    Args:
        policy: see `drc_lab.models.policy.Policy`.
        loss: on rollouts.
        optimizer: parameters -> torch optimizer.
        spec: sizes of the rollouts, and how they are gone through.
        schedule: optimizer -> torch schedule, with lengths in frames; None keeps the learning rate.
        head_l2_coef: weight of the SUM of squares of all weights and biases that give logits and value.
        config: the whole resolved config as plain types; goes into every checkpoint.

    Attributes:
        frames: env steps that the weights have learned from.
        schedule_share: of the learning-rate schedule that is to be behind, if it is to run ahead of the frames.
        unroll: takes the place of the policy's own where a whole minibatch is one sequence; None is the policy's.
        profile: what passes over a rollout are told to, as the part "forward": the trainer's profiler.
        parts: of the last minibatch's loss, and "grad_norm" before clipping; of a minibatch that was left out only
            "kl_stop" (1 there, else 0).
    """

    def __init__(
        self,
        policy: Policy,
        loss: ActorCriticLoss,
        optimizer: Callable[[Any], torch.optim.Optimizer],
        spec: RolloutSpec,
        schedule: Schedule | None = None,
        head_l2_coef: float = 0.0,
        config: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        AlgoSpec(head_l2_coef=head_l2_coef)  # checks it
        self.policy, self.loss, self.make_optimizer, self.spec = policy, loss, optimizer, spec
        frames_per_step = spec.frames_per_rollout / spec.optimizer_steps_per_rollout
        self.make_schedule = None if schedule is None else in_optimizer_steps(schedule, frames_per_step)
        self.head_l2_coef, self.config = head_l2_coef, dict(config or {})
        if head_l2_coef:
            try:
                policy.output_layers()
            except NotImplementedError:
                allowed = f"0, as {type(policy).__name__} has no output_layers"
                raise ConfigError("head_l2_coef", head_l2_coef, allowed) from None
        self.frames = 0
        self.schedule_share = 0.0
        self.unroll: Callable[..., PolicyValue] | None = None
        self.profile: Callable[[str], AbstractContextManager[Any]] = nullcontext
        self.parts: dict[str, Tensor] = {}
        self._far_enough = False  # the policy has moved as far from the one that acted as it may
        self._left_out = False  # whether the present minibatch is

    def setup(self, stage: str) -> None:
        self.profile = self.trainer.profiler.profile  # type: ignore[attr-defined] # Lightning's connector sets it

    @property
    def rollouts(self) -> int:
        """Rollouts that the weights have learned from."""
        return self.frames // self.spec.frames_per_rollout

    def training_step(self, rollout: Rollout, batch_idx: int) -> Tensor | None:
        """The minibatch's loss. Where the policy has moved far enough in this rollout, the weights stay as they are."""
        self.frames = rollout.frames
        loss = None
        if not self._far_enough:
            loss = self._loss(rollout)
        self._left_out = self._far_enough
        if self._left_out:
            self.parts, loss = {"kl_stop": torch.ones(())}, self._nothing()
        elif self.loss.target_kl is not None:
            self.parts["kl_stop"] = torch.zeros(())
        self._far_enough &= not rollout.last
        return loss

    def _nothing(self) -> Tensor | None:
        """A loss that makes no step: None, or for several ranks, which Lightning lets skip none, a gradient of zero."""
        return 0 * torch.stack([p.sum() for p in self.policy.parameters()]).sum() if Ranks().size > 1 else None

    def on_after_backward(self) -> None:
        if self._left_out:
            self.zero_grad()  # an optimizer with momentum moves by a zero, too

    def _loss(self, rollout: Rollout) -> Tensor:
        ranks = Ranks()
        with self.profile("forward"):
            out = self._replay(rollout)
        loss, self.parts = self.loss(out.policy_logits, out.value[..., 0], rollout.transitions, ranks)
        if rollout.progressive is not None:
            with self.profile("forward"):
                out = self._progressive(rollout, rollout.progressive)
            more, parts = self.loss(out.policy_logits, out.value[..., 0], rollout.transitions, ranks)
            loss = torch.lerp(loss, more, self.spec.progressive_weight)
            self.parts["progressive"] = parts["total"]
        if self.head_l2_coef:
            outputs = [p for layer in self.policy.output_layers() for p in layer.parameters()]
            loss = loss + self.head_l2_coef * torch.stack([p.square().sum() for p in outputs]).sum()
        if self.loss.target_kl is not None:
            self._far_enough = bool(ranks.mean(self.parts["kl"]) > 1.5 * self.loss.target_kl)
        return loss

    def _replay(self, rollout: Rollout) -> PolicyValue:
        """Logits [T + 1, B, A] and values [T + 1, B, 1] of the rollout, with gradients through bptt_steps steps."""
        carry, resets, T = rollout.carry, rollout.transitions.resets, len(rollout.transitions.rewards)
        length = min(self.spec.bptt_steps or T, T)
        if self.unroll is not None and length == T and rollout.context is None:
            return self.unroll(rollout.obs, carry, resets, rollout.repeats)
        if (context := rollout.context) is not None:
            burn_in = max(0, len(context.obs) - self.spec.learned_context)
            carry = context.carry
            for part, learned in ((slice(burn_in), False), (slice(burn_in, None), True)):
                if len(context.obs[part]):
                    with torch.set_grad_enabled(learned):
                        _, carry = self.policy.unroll(
                            context.obs[part], carry, context.resets[part], context.repeats[part]
                        )
        outputs = []
        for start in range(0, T, length):
            end = start + length if start + length < T else T + 1  # the step to bootstrap from goes with the last
            out, carry = self.policy.unroll(
                rollout.obs[start:end], carry, resets[start:end], rollout.repeats[start:end]
            )
            carry = tree_map(torch.Tensor.detach, carry)
            outputs.append(out)
        return PolicyValue(*(torch.cat(each) for each in zip(*outputs, strict=True)))

    def _progressive(self, rollout: Rollout, progressive: Progressive) -> PolicyValue:
        """As `_replay`, but each step by itself, from its own carry: free ticks, then learned ones with gradients."""
        shape = rollout.transitions.resets.shape  # (T + 1, B)
        obs = rollout.obs.flatten(0, 1)[None]  # (1, (T + 1) B, ...)
        resets = rollout.transitions.resets.flatten()[None]  # (1, (T + 1) B)
        carry = tree_map(lambda x: x.flatten(0, 1), progressive.carries)
        if progressive.free:
            with torch.no_grad():
                _, carry = self.policy.unroll(obs, carry, resets, progressive.free)
            resets = torch.zeros_like(resets)
        out, _ = self.policy.unroll(obs, carry, resets, progressive.learned)
        return PolicyValue(*(x.unflatten(1, shape)[0] for x in out))

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        self.measure_gradients()

    def measure_gradients(self) -> None:
        """Puts "grad_norm" among the parts, if there are gradients. Lightning tells callbacks first, and it is once."""
        gradients = [p.grad for p in self.policy.parameters() if p.grad is not None]
        if gradients and "grad_norm" not in self.parts:
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
        if self.make_schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_schedule(optimizer), "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """One step of the schedule, or as many as it takes to come to ``schedule_share``."""
        total = self.spec.optimizer_steps
        ahead = round(self.schedule_share * total) - scheduler.last_epoch
        for _ in range(min(max(1, ahead), total - scheduler.last_epoch)):
            scheduler.step()

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["frames"] = self.frames

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.frames = checkpoint["frames"]
