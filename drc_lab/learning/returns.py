"""Returns and advantages of rollouts, computed backward in time."""

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor


class VTrace(NamedTuple):
    """All without gradients.

    errors: value target minus value.
    pg_advantages: advantages of the policy gradient, which multiply the log-probability.
    q_estimates: the return estimates that the advantages are computed from.
    """

    errors: Float[Tensor, "T B"]
    pg_advantages: Float[Tensor, "T B"]
    q_estimates: Float[Tensor, "T B"]


@torch.no_grad()
def vtrace(
    values: Float[Tensor, "T1 B"],
    rewards: Float[Tensor, "T1-1 B"],
    discounts: Float[Tensor, "T1-1 B"],
    rhos: Float[Tensor, "T1-1 B"],
    lam: float = 1.0,
    clip_rho: float = 1.0,
    clip_pg_rho: float = 1.0,
) -> VTrace:
    """Off-policy corrected n-step returns (Espeholt et al. 2018, arXiv 1802.01561, sections 4.1 and 4.2).

    With rhos of 1 the errors are those of the n-step advantage actor-critic (lam = 1) or GAE(lam).

    Args:
        values: [T + 1, B]; the last row is the bootstrap value.
        rewards, discounts: [T, B]; a discount is gamma, or 0 where the episode ended with that step.
        rhos: [T, B], probability of the action taken under the target policy over that under the behaviour policy.
        lam: lambda, which mixes n-step returns.
        clip_rho, clip_pg_rho: upper bounds of the ratios in value targets and in advantages.
    """
    value, next_value = values[:-1], values[1:]
    deltas = rhos.clamp(max=clip_rho) * (rewards + discounts * next_value - value)  # (T, B)
    errors = _discounted(deltas, discounts * rhos.clamp(max=1.0) * lam)
    next_target = torch.cat([lam * (errors + value)[1:] + (1 - lam) * value[1:], next_value[-1:]])
    q_estimates = rewards + discounts * next_target
    return VTrace(errors, rhos.clamp(max=clip_pg_rho) * (q_estimates - value), q_estimates)


@torch.no_grad()
def gae(
    values: Float[Tensor, "T1 B"],
    rewards: Float[Tensor, "T1-1 B"],
    discounts: Float[Tensor, "T1-1 B"],
    lam: float,
) -> Float[Tensor, "T1-1 B"]:
    """Generalised advantages [T, B] (Schulman et al. 2016, arXiv 1506.02438, equation 16).

    Args:
        values: [T + 1, B]; the last row is the bootstrap value.
        rewards, discounts: [T, B]; a discount is gamma, or 0 where the episode ended with that step.
        lam: lambda; 0 gives the one-step error, 1 the whole return minus the value.
    """
    return _discounted(rewards + discounts * values[1:] - values[:-1], discounts * lam)


def _discounted(terms: Float[Tensor, "T B"], decay: Float[Tensor, "T B"]) -> Float[Tensor, "T B"]:
    """Decayed sums from each step to the end: sum[t] = terms[t] + decay[t] * sum[t + 1]."""
    sums = torch.empty_like(terms)
    following = torch.zeros_like(terms[0])
    for t in reversed(range(len(terms))):
        following = terms[t] + decay[t] * following
        sums[t] = following
    return sums
