"""What the loss learns from: some steps of all envs, or of a minibatch of them."""

from typing import Any, NamedTuple

import numpy as np
from torch import Tensor
from torch.utils._pytree import tree_map

from drc_lab.learning.losses import Transitions


class EndedEpisodes(NamedTuple):
    """Episodes that ended in a rollout, one entry each: return (undiscounted), length in steps, whether solved, and how
    often the policy chose to think. The last two are empty where the env does not say, or has no such action."""

    returns: np.ndarray
    lengths: np.ndarray
    solved: np.ndarray
    thinks: np.ndarray


class Context(NamedTuple):
    """The K steps of each env before a rollout, to bring its carry up to date with the present weights.

    obs [K, B, ...]; carry before the first of them, as it was then; resets bool [K, B]; repeats: K of them.
    """

    obs: Tensor
    carry: Any
    resets: Tensor
    repeats: tuple[int, ...]


class Progressive(NamedTuple):
    """For the progressive loss: the carry before each of the T + 1 steps, and how many ticks go on from there.

    carries [T + 1, B, ...]; free ticks run without gradient, then learned ones with it.
    """

    carries: Any
    free: int
    learned: int


class Rollout(NamedTuple):
    """T steps of B envs, or the minibatch of some of those envs.

    obs [T + 1, B, ...] as the env gave it, the last is the one to bootstrap from; carry before the first step;
    repeats: ticks of each of the T + 1 steps; frames: env steps taken since the start of training, this rollout
    included; last: whether this is the last minibatch of its rollout.
    """

    obs: Tensor
    carry: Any
    repeats: tuple[int, ...]
    transitions: Transitions
    episodes: EndedEpisodes
    frames: int
    last: bool
    context: Context | None = None
    progressive: Progressive | None = None


def select(rollout: Rollout, envs: Tensor) -> Rollout:
    """The same rollout for some of the envs. A carry has envs first, everything else time first."""

    here = {envs.device: envs}  # on each device once: what lies on a GPU would wait for the CPU's numbers

    def chosen(x: Tensor) -> Tensor:
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
