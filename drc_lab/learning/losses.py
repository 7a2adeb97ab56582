"""Actor-critic losses as pure functions of tensors."""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from drc_lab.errors import ConfigError
from drc_lab.learning.returns import vtrace


class Transitions(NamedTuple):
    """What a loss needs of a rollout.

    actions [T, B] int64; rewards [T, B]; behaviour_logits [T, B, A];
    resets bool [T + 1, B], true where the observation is the first of an episode;
    truncated bool [T, B], true where the step ended its episode at the time limit.
    """

    actions: Tensor
    rewards: Tensor
    behaviour_logits: Tensor
    resets: Tensor
    truncated: Tensor


@dataclass(frozen=True)
class VTraceLoss:
    """The on-policy actor-critic loss with V-trace.

    loss = policy gradient + vf_coef * value error^2 - ent_coef * entropy + logit_l2_coef * sum of squared logits.
    Means are over all T x B steps. A truncated step has no successor that the rollout could see: its reward becomes
    its own value, its discount 0, and it is left out of all three terms (as in train-learned-planner).

    Args:
        gamma: discount.
        lam: V-trace lambda.
        clip_rho, clip_pg_rho: importance ratio bounds.
        vf_coef: weight of the value loss, the mean of plain squares.
        ent_coef: weight of the entropy bonus.
        logit_l2_coef: weight of the SUM of squared logits, the last step's included.
        normalize_advantages: whether advantages are brought to mean 0 and std 1 (the guide says not to).
    """

    gamma: float = 0.97
    lam: float = 0.95
    clip_rho: float = 1.0
    clip_pg_rho: float = 1.0
    vf_coef: float = 0.25
    ent_coef: float = 0.01
    logit_l2_coef: float = 0.0
    normalize_advantages: bool = False

    def __post_init__(self) -> None:
        for key in ("gamma", "lam"):
            if not 0 <= getattr(self, key) <= 1:
                raise ConfigError(key, getattr(self, key), "0 to 1")

    def __call__(self, logits: Tensor, values: Tensor, batch: Transitions) -> tuple[Tensor, dict[str, Tensor]]:
        """Loss and its parts.

        Args:
            logits: [T + 1, B, A] of the current policy; the last step is there for its value alone.
            values: [T + 1, B].

        Returns:
            the loss (scalar with gradient), and detached scalars for logging.
        """
        log_probs = torch.log_softmax(logits[:-1], dim=-1)  # (T, B, A)
        action = batch.actions[..., None]
        log_prob = log_probs.gather(-1, action)[..., 0]  # (T, B)
        behaviour = torch.log_softmax(batch.behaviour_logits, dim=-1).gather(-1, action)[..., 0]
        rhos = torch.exp(log_prob.detach() - behaviour)
        rewards = torch.where(batch.truncated, values[:-1].detach(), batch.rewards)
        discounts = self.gamma * (~batch.resets[1:]).to(values.dtype)
        target = vtrace(values.detach(), rewards, discounts, rhos, self.lam, self.clip_rho, self.clip_pg_rho)
        mask = (~batch.truncated).to(values.dtype)
        advantages = target.pg_advantages
        if self.normalize_advantages:
            used = advantages[~batch.truncated]
            advantages = (advantages - used.mean()) / (used.std() + 1e-8)
        pg_loss = -(log_prob * advantages * mask).mean()
        value_target = target.errors + values[:-1].detach()
        v_loss = ((value_target - values[:-1]).square() * mask).mean()
        entropy = (-(log_probs.exp() * log_probs).sum(-1) * mask).mean()
        loss = pg_loss + self.vf_coef * v_loss - self.ent_coef * entropy
        if self.logit_l2_coef:
            loss = loss + self.logit_l2_coef * logits.square().sum()
        unexplained = target.errors.var(correction=0) / value_target.var(correction=0).clamp(min=1e-12)
        parts = {
            "total": loss,
            "policy": pg_loss,
            "value": v_loss,
            "entropy": entropy,
            "rho": rhos.mean(),
            "explained_variance": 1 - unexplained,
        }
        return loss, {name: part.detach() for name, part in parts.items()}
