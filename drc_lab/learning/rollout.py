"""The data that the loss learns from: T steps of all envs, or of a minibatch of the envs."""

from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Bool, Float, Int64, Shaped
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.learning.losses import Transitions


class EndedEpisodes(NamedTuple):
    """The episodes that ended in a rollout, one entry each.

    Attributes:
        returns: undiscounted.
        lengths: in steps.
        solved: bool; empty if the env does not report success.
        thinks: how often the policy chose to think; empty if the env has no action for it.
    """

    returns: Float[np.ndarray, "E"]
    lengths: Int64[np.ndarray, "E"]
    solved: Bool[np.ndarray, "E_or_0"]
    thinks: Int64[np.ndarray, "E_or_0"]


class Context(NamedTuple):
    """The K steps of each env before a rollout, from which its carry is recomputed with the current weights.

    Attributes:
        obs: [K, B, ...].
        carry: the carry before the first of these steps, as it was while acting.
        resets: bool [K, B].
        repeats: ticks of each of the K steps.
    """

    obs: Shaped[Tensor, "K B *obs"]
    carry: Any
    resets: Bool[Tensor, "K B"]
    repeats: tuple[int, ...]


class Progressive(NamedTuple):
    """What the progressive loss needs: the carry before each of the T + 1 steps, and how many ticks to run from there.

    Attributes:
        carries: [T + 1, B, ...].
        free: number of ticks that run first, without gradient.
        learned: number of ticks that follow, with gradient.
    """

    carries: Any
    free: int
    learned: int


class Rollout(NamedTuple):
    """T steps of B envs, or a minibatch of some of those envs.

    Attributes:
        obs: [T + 1, B, ...] as the env returned them; the last one is the bootstrap step.
        carry: the carry before the first step.
        repeats: ticks of each of the T + 1 steps.
        transitions: what was done in the T steps, see `Transitions`.
        episodes: the episodes that ended in the rollout, of all envs also in a minibatch.
        frames: env steps since the start of training, including this rollout.
        last: whether this is the last minibatch of its rollout.
        context: the steps before the rollout; None if no step is replayed or there are none yet.
        progressive: None without the progressive loss.
    """

    obs: Shaped[Tensor, "T+1 B *obs"]
    carry: Any
    repeats: tuple[int, ...]
    transitions: Transitions
    episodes: EndedEpisodes
    frames: int
    last: bool
    context: Context | None = None
    progressive: Progressive | None = None


def select(rollout: Rollout, envs: Int64[Tensor, "b"]) -> Rollout:
    """The rollout restricted to some envs. The first axis of a carry is envs; that of all other tensors is time."""

    here = {envs.device: envs}  # copied to each device once: indexing a GPU tensor with CPU indices synchronises

    def chosen(x: Tensor) -> Int64[Tensor, "b"]:
        return here.setdefault(x.device, envs.to(x.device))

    def second(values: Any) -> Any:
        return tree_map(lambda x: None if x is None else x[:, chosen(x)], values)

    def first(carry: Any) -> Any:
        return tree_map(lambda x: x[chosen(x)], carry)

    context, progressive = rollout.context, rollout.progressive
    if context is not None:
        context = Context(second(context.obs), first(context.carry), second(context.resets), context.repeats)
    if progressive is not None:
        progressive = progressive._replace(carries=second(progressive.carries))
    return rollout._replace(
        obs=second(rollout.obs),
        carry=first(rollout.carry),
        transitions=second(rollout.transitions),
        context=context,
        progressive=progressive,
    )
