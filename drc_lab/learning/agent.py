"""The LightningModule: a policy, a loss on rollouts, and an optimizer whose schedule counts frames."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import lightning as L
import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.errors import ConfigError
from drc_lab.learning.auxiliary import AuxiliaryLoss, HiddenReader
from drc_lab.learning.losses import ActorCriticLoss, Loss
from drc_lab.learning.ranks import Ranks
from drc_lab.learning.rollout import Progressive, Rollout
from drc_lab.learning.rollout_spec import RolloutSpec
from drc_lab.learning.schedules import Schedule, in_optimizer_steps, step_to
from drc_lab.learning.specs import AlgoSpec
from drc_lab.models.policy import Policy, PolicyValue


class Agent(L.LightningModule):
    """Trains a policy with a loss, and maybe auxiliary ones, by Lightning's automatic optimization.

    Args:
        policy: see `drc_lab.models.policy.Policy`.
        loss: the loss on rollouts.
        optimizer: parameters -> torch optimizer.
        spec: sizes of the rollouts, and how the learner goes through them.
        schedule: optimizer -> torch schedule, with lengths in frames; None keeps the learning rate constant.
        head_l2_coef: weight of the SUM of squares of all weights and biases of the output layers (logits and value).
        config: the whole resolved config as plain types; saved in every checkpoint.
        auxiliary: further losses by name, see `AuxiliaryLoss`.

    Attributes:
        frames: env steps that the weights have learned from.
        schedule_share: share of the learning-rate schedule (0 to 1) that should be completed. It only has an effect if
            it is ahead of the frames.
        unroll: replaces `Policy.unroll` where a whole minibatch is one sequence; None uses the policy's.
        profile: makes a context manager that times passes over a rollout under the name "forward" (the trainer's
            profiler).
        parts: the last minibatch's loss by part, and "grad_norm" before clipping. With a ``target_kl`` also "kl_stop",
            which is 1 for a skipped minibatch and its only part, else 0.
    """

    def __init__(
        self,
        policy: Policy,
        loss: Loss,
        optimizer: Callable[[Any], torch.optim.Optimizer],
        spec: RolloutSpec,
        schedule: Schedule | None = None,
        head_l2_coef: float = 0.0,
        config: Mapping[str, Any] | None = None,
        auxiliary: Mapping[str, AuxiliaryLoss] | None = None,
    ):
        super().__init__()
        AlgoSpec(head_l2_coef=head_l2_coef)  # checks it
        self.policy, self.loss, self.make_optimizer, self.spec = policy, loss, optimizer, spec
        self.auxiliary = torch.nn.ModuleDict(auxiliary)
        self._reader = HiddenReader(policy) if auxiliary else None
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
        self.parts: dict[str, Float[Tensor, ""]] = {}
        self._far_enough = False  # whether the policy's KL divergence from the one that acted exceeds the limit
        self._left_out = False  # whether the current minibatch is skipped

    def setup(self, stage: str) -> None:
        self.profile = self.trainer.profiler.profile  # type: ignore[attr-defined] # Lightning's connector sets it

    @property
    def rollouts(self) -> int:
        """Number of rollouts that the weights have learned from."""
        return self.frames // self.spec.frames_per_rollout

    def training_step(self, rollout: Rollout, batch_idx: int) -> Float[Tensor, ""] | None:
        """The minibatch's loss. Once the policy exceeds ``target_kl``, the rollout's other minibatches are skipped."""
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

    def _nothing(self) -> Float[Tensor, ""] | None:
        """The loss of a skipped minibatch: None, or with several ranks, where Lightning cannot skip, a zero loss."""
        return 0 * torch.stack([p.sum() for p in self.parameters()]).sum() if Ranks().size > 1 else None

    def on_after_backward(self) -> None:
        if self._left_out:
            self.zero_grad()  # sets gradients to None: an optimizer with momentum would move even for a gradient of 0

    def _loss(self, rollout: Rollout) -> Float[Tensor, ""]:
        ranks = Ranks()
        with self.profile("forward"), self._reader.reading() if self._reader else nullcontext():
            out, hidden = self._replay(rollout)
        loss, self.parts = self.loss(out.policy_logits, out.value[..., 0], rollout.transitions, ranks)
        for name, auxiliary in self.auxiliary.items():
            more = auxiliary(rollout, out, hidden)
            loss, self.parts[f"auxiliary_{name}"] = loss + auxiliary.coef * more, more.detach()
        if ranks.size > 1 and not isinstance(self.loss, ActorCriticLoss):
            loss = loss + 0 * (out.policy_logits.sum() + out.value.sum())  # DDP waits for gradients of all weights
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

    def _replay(self, rollout: Rollout) -> tuple[PolicyValue, Float[Tensor, "T1 B F"] | None]:
        """Runs the policy over the rollout, with gradients through at most bptt_steps steps.

        Returns:
            logits [T + 1, B, A] and values [T + 1, B, 1]; and what the layer of the logits read, [T + 1, B, F], if
            there are auxiliary losses.
        """
        carry, resets, T = rollout.carry, rollout.transitions.resets, len(rollout.transitions.rewards)
        length = min(self.spec.bptt_steps or T, T)
        if self.unroll is not None and length == T and rollout.context is None and self._reader is None:
            return self.unroll(rollout.obs, carry, resets, rollout.repeats), None
        if (context := rollout.context) is not None:
            burn_in = max(0, len(context.obs) - self.spec.learned_context)
            carry = context.carry
            for part, learned in ((slice(burn_in), False), (slice(burn_in, None), True)):
                if len(context.obs[part]):
                    with torch.set_grad_enabled(learned):
                        _, carry = self.policy.unroll(
                            context.obs[part], carry, context.resets[part], context.repeats[part]
                        )
        outputs, hidden = [], []
        for start in range(0, T, length):
            end = start + length if start + length < T else T + 1  # the last sequence includes the bootstrap step
            out, carry = self.policy.unroll(
                rollout.obs[start:end], carry, resets[start:end], rollout.repeats[start:end]
            )
            carry = tree_map(torch.Tensor.detach, carry)
            outputs.append(out)
            if self._reader is not None:
                hidden.append(self._reader.read(end - start, resets.shape[1]))
        whole = PolicyValue(*(torch.cat(each) for each in zip(*outputs, strict=True)))
        return whole, torch.cat(hidden) if hidden else None

    def _progressive(self, rollout: Rollout, progressive: Progressive) -> PolicyValue:
        """Like `_replay`, but each step runs separately from its own carry: first free ticks, then learned ticks."""
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
        """Adds "grad_norm" to the parts, if there are gradients and it is not there yet.

        Lightning calls the callbacks' `on_before_optimizer_step` first, and one of them may need the norm.
        """
        gradients = [p.grad for p in self.parameters() if p.grad is not None]
        if gradients and "grad_norm" not in self.parts:
            self.parts["grad_norm"] = torch.nn.utils.get_total_norm(gradients)

    def on_train_epoch_end(self) -> None:
        self.trainer.should_stop = True  # the stream is a single epoch: later epochs would be empty and never end

    def log_metrics(self, metrics: Mapping[str, float]) -> None:
        """Sends metrics to all loggers, with env frames as the step, and to callbacks such as the progress bar."""
        for logger in self.loggers:
            logger.log_metrics(dict(metrics), step=self.frames)
        self.trainer.callback_metrics.update({k: torch.tensor(v) for k, v in metrics.items()})

    def configure_optimizers(self) -> Any:
        optimizer = self.make_optimizer(self.parameters())
        if self.make_schedule is None:
            return optimizer
        return {
            "optimizer": optimizer,
            "lr_scheduler": {"scheduler": self.make_schedule(optimizer), "interval": "step"},
        }

    def lr_scheduler_step(self, scheduler: Any, metric: Any) -> None:
        """Advances the schedule by one step, or by as many as it takes to reach ``schedule_share``."""
        total, done = self.spec.optimizer_steps, scheduler.last_epoch
        wanted = min(max(done + 1, round(self.schedule_share * total)), total)
        if wanted == done + 1:
            scheduler.step()
        elif wanted > done:
            step_to(scheduler, wanted)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        checkpoint["config"] = self.config
        checkpoint["frames"] = self.frames

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.frames = checkpoint["frames"]
