"""Learning from the games' exact solvers, on the states that the policy itself comes to.

States come from the policy's own actions, and the teacher says what would have been right there: the idea of DAgger
(Ross et al. 2011, arXiv 1011.0686), with sampled actions, without a mixture and without a growing data set.
"""

from typing import ClassVar

import torch
from torch import Tensor

from drc_lab.envs.batch import Batch
from drc_lab.envs.judge import Judge, TableJudge
from drc_lab.learning.losses.a2c import A2CLoss
from drc_lab.learning.losses.base import Transitions
from drc_lab.learning.ranks import OneRank, Ranks
from drc_lab.learning.specs import ImitationSpec


class ImitationLoss(ImitationSpec, A2CLoss):
    """Cross-entropy to the SET of optimal actions: minus the log of their total probability, in nats.

    Of the game's own actions alone: whether to think (``env.thinks``) is nothing that the solver could teach.

    Its mean is over the steps that the solver has a verdict on, of all ranks; others give it no gradient. A truncated
    step has its verdict, too: it does not depend on what comes after. The value goes on learning the returns of the
    policy as with `A2CLoss`, so that reinforcement learning can start from the weights. See `ImitationSpec` for the
    arguments.
    """

    uses_optimal_actions: ClassVar[bool] = True

    def judge(self, game: Batch) -> Judge:
        return TableJudge(game, self.max_positions, self.max_states, self.threads)

    def policy_loss(
        self, log_probs: Tensor, ratios: Tensor, advantages: Tensor, mask: Tensor, batch: Transitions, ranks: Ranks
    ) -> Tensor:
        optimal, judged = _verdicts(batch)
        log_probs = torch.log_softmax(log_probs[..., : optimal.shape[-1]], -1)  # (T, B, K)
        among = optimal | ~judged[..., None]  # all where there is none, as the log of nothing has no gradient
        total = log_probs.masked_fill(~among, -torch.inf).logsumexp(-1)  # (T, B)
        count = ranks.mean(judged.sum().to(total.dtype)).clamp(min=1 / ranks.size)
        return -torch.where(judged, total, 0).sum() / count

    def __call__(
        self, logits: Tensor, values: Tensor, batch: Transitions, ranks: Ranks | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `ActorCriticLoss`; more parts:

        judged: share of the steps that the solver has a verdict on, passes left out.
        optimal: share of those of which the action was an optimal one.
        """
        loss, parts = super().__call__(logits, values, batch, ranks)
        optimal, judged = _verdicts(batch)
        own = batch.actions < optimal.shape[-1]  # and not to think
        taken = own & optimal.gather(-1, torch.where(own, batch.actions, 0)[..., None])[..., 0]
        steps = torch.ones_like(judged) if batch.passes is None else ~batch.passes
        counts = torch.stack([taken.sum(), judged.sum(), steps.sum()]).to(loss.dtype)
        hits, verdicts, of = (ranks or OneRank()).mean(counts)
        return loss, parts | {"judged": verdicts / of.clamp(min=1), "optimal": hits / verdicts.clamp(min=1)}


def _verdicts(batch: Transitions) -> tuple[Tensor, Tensor]:
    """Which actions are optimal, bool [T, B, K], and whether there is a verdict, bool [T, B]."""
    assert batch.optimal_actions is not None
    return batch.optimal_actions, batch.optimal_actions.any(-1)
