"""The loss of proximal policy optimization (Schulman et al. 2017, arXiv 1707.06347)."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import gae


@dataclass(frozen=True)
class PPOLoss(ActorCriticLoss):
    """The clipped surrogate on generalised advantages of the policy that acted; other arguments as `ActorCriticLoss`.

    Args:
        clip_ratio: a ratio earns nothing beyond 1 - clip_ratio .. 1 + clip_ratio.
        clip_value: a value earns nothing for moving further than this from the one it had while acting; None is free.
        target_kl: the rest of a rollout's minibatches is left out once the mean KL divergence of one from the policy
            that acted is above 1.5 times this; None never.
    """

    normalize_advantages: bool = True
    clip_ratio: float = 0.2
    clip_value: float | None = 0.2
    target_kl: float | None = None  # type: ignore[misc]

    uses_behaviour_values: ClassVar[bool] = True

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("clip_ratio", "clip_value", "target_kl"):
            value = getattr(self, key)
            if value is not None and value <= 0:
                raise ConfigError(key, value, "more than 0" + ", or null" * (key != "clip_ratio"))

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
        """kl: estimate of KL(behaviour, present) with little variance, see http://joschu.net/blog/kl-approx.html."""
        return {
            "kl": (ratios - 1 - ratios.log()).mean(),
            "clipped": ((ratios - 1).abs() > self.clip_ratio).to(ratios.dtype).mean(),
        }
