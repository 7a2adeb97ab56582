"""What all actor-critic losses share: pure functions of a policy's outputs and what was seen in a rollout."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.judge import Judge
from drc_lab.learning.ranks import OneRank, Ranks, standardized
from drc_lab.learning.specs import LossSpec


class Transitions(NamedTuple):
    """What a loss needs of a rollout.

    actions [T, B] int64; rewards [T, B]; behaviour_logits [T, B, A];
    resets bool [T + 1, B], true where the observation is the first of an episode;
    truncated bool [T, B], true where the step ended its episode at the time limit;
    behaviour_values [T + 1, B], where the loss asks for them (`ActorCriticLoss.uses_behaviour_values`);
    passes bool [T, B], true where the policy did not choose: the env stood still, or was told to do nothing; in
    trainings that have such steps;
    optimal_actions bool [T, B, K], where the loss asks for them (`ActorCriticLoss.uses_optimal_actions`): those of the
    game's own K actions, which come first, that the exact solver finds optimal; none where it has no verdict, as the
    level is unsolvable or too hard, nor in passes.
    """

    actions: Tensor
    rewards: Tensor
    behaviour_logits: Tensor
    resets: Tensor
    truncated: Tensor
    behaviour_values: Tensor | None = None
    passes: Tensor | None = None
    optimal_actions: Tensor | None = None


class Targets(NamedTuple):
    """What the policy and the value are moved to, both [T, B] and without gradient."""

    advantages: Tensor
    values: Tensor


@dataclass(frozen=True)
class ActorCriticLoss(LossSpec, ABC):
    """loss = policy + vf_coef * value - ent_coef * entropy + logit_l2_coef * sum of squared logits.

    A subclass says what the targets are and what the policy's and the value's terms look like. Terms are means over
    all T x B steps. A truncated step has no successor that the rollout could see: its reward becomes its own value,
    its discount 0, and it is left out of all three terms (as in train-learned-planner). Passes are no steps: targets
    and means are those of a rollout without them, in which the successor of a step is the next one that is no pass.

    See `LossSpec` for the arguments.
    """

    uses_behaviour_values: ClassVar[bool] = False
    uses_optimal_actions: ClassVar[bool] = False
    target_kl: ClassVar[float | None] = None

    @abstractmethod
    def targets(self, values: Tensor, rewards: Tensor, discounts: Tensor, ratios: Tensor) -> Targets:
        """Where advantages and values should be.

        Args:
            values: [T + 1, B], the last row bootstraps; the behaviour's if the loss asked for them, else the present.
            rewards, discounts: [T, B]; a discount is gamma, or 0 where the episode ended with that step.
            ratios: [T, B], present over behaviour probability of the action taken.
        """

    def policy_terms(self, log_prob: Tensor, ratios: Tensor, advantages: Tensor) -> Tensor:
        """[T, B], of which the mean is minimised. Only ``log_prob`` and ``ratios`` carry gradients."""
        return -log_prob * advantages

    def judge(self, game: Batch) -> Judge:
        """What finds the optimal actions on a game's boards, of a loss that uses them."""
        raise NotImplementedError(f"{type(self).__name__} uses optimal actions, and has no judge")

    def policy_loss(
        self, log_probs: Tensor, ratios: Tensor, advantages: Tensor, mask: Tensor, batch: Transitions, ranks: Ranks
    ) -> Tensor:
        """A scalar: the mean of `policy_terms`. A loss that learns from something else puts it in its place.

        Args:
            log_probs: [T, B, A].
            ratios, advantages: [T, B].
            mask: [T, B], 0 where a step does not count; its mean times terms is the mean over those that do.
        """
        log_prob = log_probs.gather(-1, batch.actions[..., None])[..., 0]  # (T, B)
        return (self.policy_terms(log_prob, ratios, advantages) * mask).mean()

    def value_terms(self, values: Tensor, targets: Tensor, behaviour: Tensor | None) -> Tensor:
        """[T, B], of which the mean is minimised."""
        return (targets - values).square()

    def diagnostics(self, ratios: Tensor) -> dict[str, Tensor]:
        """More scalars for logging, from ratios [T, B]."""
        return {}

    def __call__(
        self, logits: Tensor, values: Tensor, batch: Transitions, ranks: Ranks | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts.

        Args:
            logits: [T + 1, B, A] of the present policy; the last step is there for its value alone.
            values: [T + 1, B].
            ranks: whose gradients will be averaged; statistics are over all of them, and a sum is scaled so that the
                average is the sum over all. None is this process alone.

        Returns:
            the loss (scalar with gradient), and detached scalars for logging.
        """
        ranks = ranks or OneRank()
        logits, values = logits.to(batch.rewards.dtype), values.to(batch.rewards.dtype)  # a net may have half of it
        log_probs = torch.log_softmax(logits[:-1], dim=-1)  # (T, B, A)
        action = batch.actions[..., None]
        log_prob = log_probs.gather(-1, action)[..., 0]  # (T, B)
        behaviour = torch.log_softmax(batch.behaviour_logits, dim=-1).gather(-1, action)[..., 0]
        ratios = torch.exp(log_prob - behaviour)
        old = values.detach() if batch.behaviour_values is None else batch.behaviour_values  # (T + 1, B)
        rewards = torch.where(batch.truncated, old[:-1], batch.rewards)
        discounts = self.gamma * (~batch.resets[1:]).to(values.dtype)
        counts = ~batch.truncated if batch.passes is None else ~(batch.truncated | batch.passes)
        with torch.no_grad():
            if batch.passes is None:
                targets = self.targets(old, rewards, discounts, ratios)
            else:
                targets = self._targets_without(batch.passes, old, rewards, discounts, ratios)
        advantages = targets.advantages
        if self.normalize_advantages:
            advantages = standardized(advantages, counts, ranks)
        mask = counts.to(values.dtype)
        if batch.passes is not None:
            mask = mask / ranks.mean((~batch.passes).to(mask.dtype).mean()).clamp(min=1 / mask.numel())
        pg_loss = self.policy_loss(log_probs, ratios, advantages, mask, batch, ranks)
        v_loss = (self.value_terms(values[:-1], targets.values, batch.behaviour_values) * mask).mean()
        entropy = (-(log_probs.exp() * log_probs).sum(-1) * mask).mean()
        loss = pg_loss + self.vf_coef * v_loss - self.ent_coef * entropy
        if self.logit_l2_coef:
            loss = loss + self.logit_l2_coef * ranks.size * logits.square().sum()
        errors = targets.values - values[:-1].detach()
        if batch.passes is not None:
            errors = torch.where(batch.passes, 0, errors)
        unexplained = errors.var(correction=0) / targets.values.var(correction=0).clamp(min=1e-12)
        parts = {
            "total": loss,
            "policy": pg_loss,
            "value": v_loss,
            "entropy": entropy,
            "rho": ratios.mean(),
            "explained_variance": 1 - unexplained,
        }
        parts |= self.diagnostics(ratios.detach())
        return loss, {name: part.detach() for name, part in parts.items()}

    def _targets_without(
        self, passes: Tensor, values: Tensor, rewards: Tensor, discounts: Tensor, ratios: Tensor
    ) -> Targets:
        """`targets` of each env's steps that are no passes, moved together; 0 where there is a pass."""
        order = passes.to(torch.uint8).argsort(dim=0, stable=True)  # (T, B), the steps before the passes
        steps = ~passes.gather(0, order)  # true for steps; after the last one all is as at the end of the rollout
        found = self.targets(
            torch.cat([torch.where(steps, values[:-1].gather(0, order), values[-1]), values[-1:]]),
            torch.where(steps, rewards.gather(0, order), 0),
            torch.where(steps, discounts.gather(0, order), 1),
            torch.where(steps, ratios.gather(0, order), 1),
        )
        back = order.argsort(dim=0)
        return Targets(*(torch.where(passes, 0, x.gather(0, back)) for x in found))
