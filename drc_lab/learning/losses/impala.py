"""The loss of IMPALA (Espeholt et al. 2018, arXiv 1802.01561), whose targets correct for data of an older policy."""

from jaxtyping import Float
from torch import Tensor

from drc_lab.learning.losses.base import ActorCriticLoss, Targets
from drc_lab.learning.returns import vtrace
from drc_lab.learning.specs import VTraceSpec


class VTraceLoss(VTraceSpec, ActorCriticLoss):
    """Actor-critic with V-trace targets; see `VTraceSpec` for the arguments."""

    def targets(
        self,
        values: Float[Tensor, "T1 B"],
        rewards: Float[Tensor, "T1-1 B"],
        discounts: Float[Tensor, "T1-1 B"],
        ratios: Float[Tensor, "T1-1 B"],
    ) -> Targets:
        corrected = vtrace(values, rewards, discounts, ratios, self.lam, self.clip_rho, self.clip_pg_rho)
        return Targets(corrected.pg_advantages, corrected.errors + values[:-1])
