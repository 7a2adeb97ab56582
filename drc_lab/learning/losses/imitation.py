"""Imitation of the games' exact solvers, on the states that the policy itself visits.

The policy's own actions determine the states, and the solver says which actions are optimal there. This is the idea of
DAgger (Ross et al. 2011, arXiv 1011.0686), but with sampled actions, without mixing in the teacher's actions, and
without a growing data set.
"""

from typing import ClassVar

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.judge import Judge, TableJudge
from drc_lab.learning.losses.a2c import A2CLoss
from drc_lab.learning.losses.base import LossAndParts, Transitions
from drc_lab.learning.ranks import OneRank, Ranks
from drc_lab.learning.specs import ImitationSpec


class ImitationLoss(ImitationSpec, A2CLoss):
    """Cross-entropy to the SET of optimal actions: minus the log of their total probability, in nats.

    Only the game's own actions are considered: the solver cannot teach when to think (``env.thinks``).

    The loss is the mean over the steps of all ranks for which the solver has a verdict; other steps contribute no
    gradient to it. Truncated steps count too, because a verdict does not depend on what follows. The value still learns
    the policy's returns as with `A2CLoss`, so that reinforcement learning can start from these weights. See
    `ImitationSpec` for the arguments.
    """

    uses_optimal_actions: ClassVar[bool] = True

    def judge(self, game: Batch) -> Judge:
        return TableJudge(game, self.max_positions, self.max_states, self.threads)

    def policy_loss(
        self,
        log_probs: Float[Tensor, "T B A"],
        ratios: Float[Tensor, "T B"],
        advantages: Float[Tensor, "T B"],
        mask: Float[Tensor, "T B"],
        batch: Transitions,
        ranks: Ranks,
    ) -> Float[Tensor, ""]:
        optimal, judged = _verdicts(batch)
        log_probs = torch.log_softmax(log_probs[..., : optimal.shape[-1]], -1)  # (T, B, K)
        among = optimal | ~judged[..., None]  # all actions where there is no verdict: log(0) would make gradients NaN
        total = log_probs.masked_fill(~among, -torch.inf).logsumexp(-1)  # (T, B)
        count = ranks.mean(judged.sum().to(total.dtype)).clamp(min=1 / ranks.size)
        return -torch.where(judged, total, 0).sum() / count

    def __call__(
        self,
        logits: Float[Tensor, "T1 B A"],
        values: Float[Tensor, "T1 B"],
        batch: Transitions,
        ranks: Ranks | None = None,
    ) -> LossAndParts:
        """See `ActorCriticLoss`. There are two more parts:

        judged: share of steps (without passes) for which the solver has a verdict.
        optimal: share of those steps in which the action taken was optimal.
        """
        loss, parts = super().__call__(logits, values, batch, ranks)
        optimal, judged = _verdicts(batch)
        of_game = batch.actions < optimal.shape[-1]  # false for the think action, which is not the game's
        taken = of_game & optimal.gather(-1, torch.where(of_game, batch.actions, 0)[..., None])[..., 0]
        steps = torch.ones_like(judged) if batch.passes is None else ~batch.passes
        counts = torch.stack([taken.sum(), judged.sum(), steps.sum()]).to(loss.dtype)
        hits, verdicts, of = (ranks or OneRank()).mean(counts)
        return loss, parts | {"judged": verdicts / of.clamp(min=1), "optimal": hits / verdicts.clamp(min=1)}


def _verdicts(batch: Transitions) -> tuple[Bool[Tensor, "T B K"], Bool[Tensor, "T B"]]:
    """Which actions are optimal, bool [T, B, K], and whether there is a verdict, bool [T, B]."""
    assert batch.optimal_actions is not None
    return batch.optimal_actions, batch.optimal_actions.any(-1)
