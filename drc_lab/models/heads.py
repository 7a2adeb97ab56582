"""Heads, which map features to policy logits and value: for one fixed board size, or for boards of any size."""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.init import init_linear
from drc_lab.models.specs import HeadKind, HeadSpec
from drc_lab.models.taps import Taps, tapped


class Head(nn.Module, ABC):
    """A shared linear layer -> ReLU -> policy logits and value. A subclass defines what the shared layer reads.

    Args:
        shape: (C, H, W) of the map that the head reads on boards of the size the policy was built for.
        num_actions: |A|.
        proj_dim: width of the shared layer.
        proj_init, head_init: initialisation of the shared layer and of the two outputs, see `drc_lab.models.init`.
        fan_in: number of features that the shared layer reads.
    """

    any_size = True

    def __init__(
        self,
        shape: tuple[int, int, int],
        num_actions: int,
        proj_dim: int,
        proj_init: str,
        head_init: str,
        *,
        fan_in: int,
    ):
        super().__init__()
        self.shape = shape
        self.proj = nn.Linear(fan_in, proj_dim)
        self.policy = nn.Linear(proj_dim, num_actions)
        self.value = nn.Linear(proj_dim, 1)
        init_linear(self.proj, proj_init, "proj_init")
        for head in (self.policy, self.value):
            init_linear(head, head_init, "head_init")

    def forward(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None = None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        """[N, C, H, W] -> logits [N, A], value [N, 1]."""
        logits, value = self.answers(hidden, taps)
        return tapped(taps, "logits", logits), tapped(taps, "value", value)

    @abstractmethod
    def answers(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        """Computes what `forward` returns; each kind of head implements this."""

    def outputs(
        self, features: Float[Tensor, "*N F"], taps: Taps | None
    ) -> tuple[Float[Tensor, "*N A"], Float[Tensor, "*N V"]]:
        """The shared layer and the outputs: [..., fan_in] -> logits [..., A], value [..., V = 1].

        Both are of other sizes where the output layers have been replaced, as in `drc_lab.sb3`.
        """
        shared = tapped(taps, "head_hidden", torch.relu(self.proj(features)))  # (..., proj_dim)
        return self.policy(shared), self.value(shared)


class ActorCriticHead(Head):
    """Reads the flattened map (guide 3), and so works for one board size only."""

    any_size = False

    def __init__(self, shape: tuple[int, int, int], *args: Any, **kwargs: Any):
        channels, height, width = shape
        super().__init__(shape, *args, **kwargs, fan_in=channels * height * width)

    def answers(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        if tuple(hidden.shape[1:]) != self.shape:
            raise ConfigError(
                "board size", tuple(hidden.shape[2:]), f"{self.shape[1:]}, which this flatten head was built for"
            )
        return self.outputs(hidden.flatten(1), taps)  # (N, C*H*W)


class MeanHead(Head):
    """Reads the mean of each channel over the board (global average pooling)."""

    def __init__(self, shape: tuple[int, int, int], *args: Any, **kwargs: Any):
        super().__init__(shape, *args, **kwargs, fan_in=shape[0])

    def answers(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        return self.outputs(hidden.mean((2, 3)), taps)  # (N, C)


class PooledHead(Head):
    """Reads the mean and the max of each channel over the board."""

    def __init__(self, shape: tuple[int, int, int], *args: Any, **kwargs: Any):
        super().__init__(shape, *args, **kwargs, fan_in=2 * shape[0])

    def answers(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        return self.outputs(torch.cat([hidden.mean((2, 3)), hidden.amax((2, 3))], dim=1), taps)  # (N, 2C)


class PerCellHead(Head):
    """Computes logits and a value for every cell, and averages them with weights from a learned attention over cells.

    Where the best action depends on one place, such as the cell of the robot that moves, the attention can select it on
    a board of any size.
    """

    def __init__(self, shape: tuple[int, int, int], *args: Any, **kwargs: Any):
        super().__init__(shape, *args, **kwargs, fan_in=shape[0])
        self.attention = nn.Linear(shape[0], 1, bias=False)  # a bias would cancel in the softmax
        init_linear(self.attention, "small", "head_init")

    def answers(
        self, hidden: Float[Tensor, "N C H W"], taps: Taps | None
    ) -> tuple[Float[Tensor, "N A"], Float[Tensor, "N V"]]:
        cells = hidden.flatten(2).transpose(1, 2)  # (N, P, C)
        weight = self.attention(cells).softmax(dim=1)  # (N, P, 1)
        logits, value = self.outputs(cells, taps)  # (N, P, A), (N, P, 1)
        return (weight * logits).sum(1), (weight * value).sum(1)


HEADS: dict[HeadKind, Callable[..., Head]] = {
    "flatten": ActorCriticHead,
    "mean": MeanHead,
    "pool": PooledHead,
    "cells": PerCellHead,
}


def make_head(spec: HeadSpec, shape: tuple[int, int, int], num_actions: int) -> Head:
    """Creates the head that a spec describes, for maps of this shape (C, H, W)."""
    return HEADS[spec.head](shape, num_actions, spec.proj_dim, spec.proj_init, spec.head_init)
