"""The loss of IMPALA (Espeholt et al. 2018, arXiv 1802.01561), whose targets allow for data of an older policy."""

from dataclasses import dataclass

from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import vtrace


@dataclass(frozen=True)
class VTraceLoss(ActorCriticLoss):
    """Actor-critic with V-trace targets; the other arguments are `ActorCriticLoss`'s.

    Args:
        clip_rho, clip_pg_rho: upper bounds of the ratios in value targets and in advantages.
    """

    clip_rho: float = 1.0
    clip_pg_rho: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        for key in ("clip_rho", "clip_pg_rho"):
            if getattr(self, key) <= 0:
                raise ConfigError(key, getattr(self, key), "more than 0")

    def targets(self, values: Tensor, rewards: Tensor, discounts: Tensor, ratios: Tensor) -> Targets:
        corrected = vtrace(values, rewards, discounts, ratios, self.lam, self.clip_rho, self.clip_pg_rho)
        return Targets(corrected.pg_advantages, corrected.errors + values[:-1])
