"""The loss of advantage actor-critic (Mnih et al. 2016, arXiv 1602.01783) with generalised advantage estimation."""

from dataclasses import dataclass

from jaxtyping import Float
from torch import Tensor

from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import gae


@dataclass(frozen=True)
class A2CLoss(ActorCriticLoss):
    """A2C, for rollouts of the current policy that are learned from only once; see `LossSpec` for the arguments."""

    def targets(
        self,
        values: Float[Tensor, "T1 B"],
        rewards: Float[Tensor, "T1-1 B"],
        discounts: Float[Tensor, "T1-1 B"],
        ratios: Float[Tensor, "T1-1 B"],
    ) -> Targets:
        advantages = gae(values, rewards, discounts, self.lam)
        return Targets(advantages, advantages + values[:-1])
