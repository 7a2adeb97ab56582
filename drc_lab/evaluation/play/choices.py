"""How actions are chosen from a policy's logits."""

from collections.abc import Callable

import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from drc_lab.envs.interface import BatchEnv

Choose = Callable[[Float[Tensor, "n A"], Int64[Tensor, "n"]], Int64[Tensor, "n"]]  # logits, indices of envs -> actions
IMPOSSIBLE = -1e9  # a logit with probability 0; finite, so that entropies and KL divergences are not nan


def most_probable(logits: Float[Tensor, "n A"], envs: Int64[Tensor, "n"]) -> Int64[Tensor, "n"]:
    return logits.argmax(-1)


def sampled(seed: int) -> Choose:
    """Samples actions from the policy's probabilities, with a random generator of its own."""
    generator = torch.Generator().manual_seed(seed)
    return lambda logits, envs: torch.multinomial(torch.softmax(logits, -1), 1, generator=generator)[:, 0]


def never(action: int | None, choose: Choose) -> Choose:
    """Makes ``choose`` ignore one action by setting its logit to IMPOSSIBLE; None leaves ``choose`` as it is."""
    if action is None:
        return choose
    return lambda logits, envs: choose(logits.index_fill(-1, torch.tensor([action]), IMPOSSIBLE), envs)


def as_env_counts(logits: Float[Tensor, "n A"], env: BatchEnv) -> Float32[Tensor, "n K"]:
    """Aligns a policy's logits with the env's action numbers, on the CPU.

    A policy trained without the no-op has one logit fewer. In an env with the action "think", which is the last one,
    the no-op comes just before it and gets IMPOSSIBLE as its logit. In an env without "think" the no-op is the last
    action, and its logit stays missing.
    """
    logits = logits.float().cpu()
    if env.think_action is None or logits.shape[-1] > env.think_action:
        return logits
    game, think = logits[:, :-1], logits[:, -1:]
    return torch.cat([game, torch.full_like(think, IMPOSSIBLE), think], dim=-1)
