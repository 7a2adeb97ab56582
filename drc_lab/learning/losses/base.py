"""The bases of all losses, and of those of an actor with a critic."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.judge import Judge
from drc_lab.learning.ranks import OneRank, Ranks, standardized
from drc_lab.learning.specs import LossSpec

LossAndParts = tuple[Float[Tensor, ""], dict[str, Float[Tensor, ""]]]


class Transitions(NamedTuple):
    """The part of a rollout that a loss needs.

    Attributes:
        actions: int64 [T, B].
        rewards: [T, B].
        behaviour_logits: [T, B, A], of the policy that acted.
        resets: bool [T + 1, B], true where the observation is the first of its episode.
        truncated: bool [T, B], true where the step ended its episode at the step limit.
        behaviour_values: [T + 1, B], estimated while acting; None unless the loss needs them
            (`ActorCriticLoss.uses_behaviour_values`).
        passes: bool [T, B], true where the policy did not choose the action: in extra passes and no-ops. None in
            trainings without such steps.
        optimal_actions: bool [T, B, K], which of the game's own K actions (they come first) the exact solver finds
            optimal. All false in passes, and where the solver has no verdict because the level is unsolvable or too
            hard. None unless the loss needs them (`ActorCriticLoss.uses_optimal_actions`).
    """

    actions: Int64[Tensor, "T B"]
    rewards: Float[Tensor, "T B"]
    behaviour_logits: Float[Tensor, "T B A"]
    resets: Bool[Tensor, "T+1 B"]
    truncated: Bool[Tensor, "T B"]
    behaviour_values: Float[Tensor, "T+1 B"] | None = None
    passes: Bool[Tensor, "T B"] | None = None
    optimal_actions: Bool[Tensor, "T B K"] | None = None


class Targets(NamedTuple):
    """Advantages for the policy and targets for the value, both [T, B] and without gradient."""

    advantages: Float[Tensor, "T B"]
    values: Float[Tensor, "T B"]


class Loss(ABC):
    """What a policy learns from a rollout. A subclass may use as much or as little of it as it likes.

    One with parameters of its own is also an `nn.Module`: they are then optimised with the policy's.

    Attributes:
        uses_behaviour_values: whether the loss needs the values estimated while acting.
        uses_optimal_actions: whether the loss needs the optimal actions; it then has to implement `judge`.
        target_kl: see `PPOSpec`; a loss that has one needs a part "kl".
    """

    uses_behaviour_values: ClassVar[bool] = False
    uses_optimal_actions: ClassVar[bool] = False
    target_kl: ClassVar[float | None] = None

    @abstractmethod
    def __call__(
        self,
        logits: Float[Tensor, "T1 B A"],
        values: Float[Tensor, "T1 B"],
        batch: Transitions,
        ranks: Ranks | None = None,
    ) -> LossAndParts:
        """Computes the loss and its parts.

        Args:
            logits: [T + 1, B, A], of the current policy; the last row is that of the bootstrap step.
            values: [T + 1, B], of the current policy.
            batch: the transitions.
            ranks: the ranks whose gradients will be averaged; None is this process alone.

        Returns:
            the loss (scalar with gradient), and detached scalars, which are logged as ``loss/NAME``.
        """

    def judge(self, game: Batch) -> Judge:
        """Makes the judge that finds the optimal actions on a game's boards, for a loss that uses them."""
        raise NotImplementedError(f"{type(self).__name__} uses optimal actions, and has no judge")


@dataclass(frozen=True)
class ActorCriticLoss(LossSpec, Loss):
    """loss = policy + vf_coef * value - ent_coef * entropy + logit_l2_coef * sum of squared logits.

    A subclass defines the targets and can replace the policy's and the value's terms. The first three parts are means
    over all T x B steps.

    Truncated steps: the rollout does not contain the observation that follows. So such a step's reward is replaced by
    its own value, its discount is 0, and it contributes 0 to all three means (as in train-learned-planner).

    Passes do not count as steps: targets and means are those of a rollout without them, in which each step is followed
    by the next one that is not a pass.

    See `LossSpec` for the arguments.
    """

    @abstractmethod
    def targets(
        self,
        values: Float[Tensor, "T1 B"],
        rewards: Float[Tensor, "T1-1 B"],
        discounts: Float[Tensor, "T1-1 B"],
        ratios: Float[Tensor, "T1-1 B"],
    ) -> Targets:
        """Computes advantages and value targets.

        Args:
            values: [T + 1, B]; the last row is the bootstrap value. They are those estimated while acting if the loss
                uses these, else the current ones.
            rewards, discounts: [T, B]; a discount is gamma, or 0 where the episode ended with that step.
            ratios: [T, B], probability of the action taken under the current policy over that under the policy that
                acted.
        """

    def policy_terms(
        self, log_prob: Float[Tensor, "T B"], ratios: Float[Tensor, "T B"], advantages: Float[Tensor, "T B"]
    ) -> Float[Tensor, "T B"]:
        """The policy loss of each step, [T, B]; its mean is minimised. Only the first two arguments have gradients."""
        return -log_prob * advantages

    def policy_loss(
        self,
        log_probs: Float[Tensor, "T B A"],
        ratios: Float[Tensor, "T B"],
        advantages: Float[Tensor, "T B"],
        mask: Float[Tensor, "T B"],
        batch: Transitions,
        ranks: Ranks,
    ) -> Float[Tensor, ""]:
        """The policy loss, a scalar: the mean of `policy_terms`. A loss may override it to learn from something else.

        Args:
            log_probs: [T, B, A], of the current policy.
            ratios, advantages: [T, B].
            mask: [T, B], weights of the steps: 0 for truncated steps and passes, and scaled up where there are passes
                so that ``(terms * mask).mean()`` is the mean of a rollout without them.
            batch: the transitions.
            ranks: the ranks whose gradients will be averaged.
        """
        log_prob = log_probs.gather(-1, batch.actions[..., None])[..., 0]  # (T, B)
        return (self.policy_terms(log_prob, ratios, advantages) * mask).mean()

    def value_terms(
        self, values: Float[Tensor, "T B"], targets: Float[Tensor, "T B"], behaviour: Float[Tensor, "T+1 B"] | None
    ) -> Float[Tensor, "T B"]:
        """The value loss of each step, [T, B]; its mean is minimised. ``behaviour`` has the values while acting."""
        return (targets - values).square()

    def diagnostics(self, ratios: Float[Tensor, "T B"]) -> dict[str, Float[Tensor, ""]]:
        """Additional scalars for logging, computed from ratios [T, B]."""
        return {}

    def __call__(
        self,
        logits: Float[Tensor, "T1 B A"],
        values: Float[Tensor, "T1 B"],
        batch: Transitions,
        ranks: Ranks | None = None,
    ) -> LossAndParts:
        """Computes the loss and its parts.

        Args:
            logits: [T + 1, B, A], of the current policy. Those of the bootstrap step count only in the L2 term.
            values: [T + 1, B], of the current policy.
            batch: the transitions.
            ranks: the ranks whose gradients will be averaged. Statistics are over all of them, and sums are scaled by
                their number, so that the average over ranks is the sum. None is this process alone.

        Returns:
            the loss (scalar with gradient), and detached scalars for logging.
        """
        ranks = ranks or OneRank()
        logits, values = logits.to(batch.rewards.dtype), values.to(batch.rewards.dtype)  # nets may use half of it
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
        self,
        passes: Bool[Tensor, "T B"],
        values: Float[Tensor, "T+1 B"],
        rewards: Float[Tensor, "T B"],
        discounts: Float[Tensor, "T B"],
        ratios: Float[Tensor, "T B"],
    ) -> Targets:
        """`targets` as if each env's rollout had no passes; 0 at passes.

        The steps that are not passes are moved to the front, and their targets are moved back.
        """
        order = passes.to(torch.uint8).argsort(dim=0, stable=True)  # (T, B), steps first, then passes
        steps = ~passes.gather(0, order)  # true for steps; the rest is filled so that it carries the bootstrap value
        of_steps = self.targets(
            torch.cat([torch.where(steps, values[:-1].gather(0, order), values[-1]), values[-1:]]),
            torch.where(steps, rewards.gather(0, order), 0),
            torch.where(steps, discounts.gather(0, order), 1),
            torch.where(steps, ratios.gather(0, order), 1),
        )
        back = order.argsort(dim=0)
        return Targets(*(torch.where(passes, 0, x.gather(0, back)) for x in of_steps))
