"""The loss of proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347)."""

from typing import ClassVar

import torch
from torch import Tensor

from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import gae
from drc_lab.learning.specs import PPOSpec


class PPOLoss(PPOSpec, ActorCriticLoss):
    """PPO's clipped surrogate, with advantages from the values while acting; see `PPOSpec` for the arguments."""

    uses_behaviour_values: ClassVar[bool] = True

    def targets(self, values: Tensor, rewards: Tensor, discounts: Tensor, ratios: Tensor) -> Targets:
        advantages = gae(values, rewards, discounts, self.lam)
        return Targets(advantages, advantages + values[:-1])

    def policy_terms(self, log_prob: Tensor, ratios: Tensor, advantages: Tensor) -> Tensor:
        clipped = ratios.clamp(1 - self.clip_ratio, 1 + self.clip_ratio)
        return -torch.minimum(ratios * advantages, clipped * advantages)

    def value_terms(self, values: Tensor, targets: Tensor, behaviour: Tensor | None) -> Tensor:
        errors = (targets - values).square()
        if self.clip_value is None or behaviour is None:
            return errors
        old = behaviour[:-1]
        clipped = old + (values - old).clamp(-self.clip_value, self.clip_value)
        return torch.maximum(errors, (targets - clipped).square())

    def diagnostics(self, ratios: Tensor) -> dict[str, Tensor]:
        """Low-variance estimate "kl" of KL(behaviour, current), and the share "clipped" of ratios out of range.

        See http://joschu.net/blog/kl-approx.html.
        """
        return {
            "kl": (ratios - 1 - ratios.log()).mean(),
            "clipped": ((ratios - 1).abs() > self.clip_ratio).to(ratios.dtype).mean(),
        }
