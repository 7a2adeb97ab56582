"""The loss of proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347)."""

from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import gae
from drc_lab.learning.specs import PPOSpec


class PPOLoss(PPOSpec, ActorCriticLoss):
    """PPO's clipped surrogate, with advantages from the values while acting; see `PPOSpec` for the arguments."""

    uses_behaviour_values: ClassVar[bool] = True

    def targets(
        self,
        values: Float[Tensor, "T1 B"],
        rewards: Float[Tensor, "T1-1 B"],
        discounts: Float[Tensor, "T1-1 B"],
        ratios: Float[Tensor, "T1-1 B"],
    ) -> Targets:
        advantages = gae(values, rewards, discounts, self.lam)
        return Targets(advantages, advantages + values[:-1])

    def policy_terms(
        self, log_prob: Float[Tensor, "T B"], ratios: Float[Tensor, "T B"], advantages: Float[Tensor, "T B"]
    ) -> Float[Tensor, "T B"]:
        clipped = ratios.clamp(1 - self.clip_ratio, 1 + self.clip_ratio)
        return -torch.minimum(ratios * advantages, clipped * advantages)

    def value_terms(
        self, values: Float[Tensor, "T B"], targets: Float[Tensor, "T B"], behaviour: Float[Tensor, "T+1 B"] | None
    ) -> Float[Tensor, "T B"]:
        errors = (targets - values).square()
        if self.clip_value is None or behaviour is None:
            return errors
        old = behaviour[:-1]
        clipped = old + (values - old).clamp(-self.clip_value, self.clip_value)
        return torch.maximum(errors, (targets - clipped).square())

    def diagnostics(self, ratios: Float[Tensor, "T B"]) -> dict[str, Float[Tensor, ""]]:
        """Low-variance estimate "kl" of KL(behaviour, current), and the share "clipped" of ratios out of range.

        See http://joschu.net/blog/kl-approx.html.
        """
        return {
            "kl": (ratios - 1 - ratios.log()).mean(),
            "clipped": ((ratios - 1).abs() > self.clip_ratio).to(ratios.dtype).mean(),
        }
