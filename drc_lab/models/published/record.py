"""The converted contents of a file of published weights."""

import inspect
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import ConfigError, UserError
from drc_lab.models.policy import Policy

Board = tuple[int, int] | None
NEVER = -1000.0  # logit bias of added actions, with which the published code makes sure that they are never taken

# The inputs of a layer's gate convolution, in the order of `drc_cell.ConvLSTMCell.parts`.
GATE_INPUTS = ("e", "pooled", "below", "boundary", "own")


@dataclass(frozen=True)
class Published:
    """A published policy that has been read and converted, but not built yet.

    Args:
        path: path that it was read from.
        policy_class: class of the policy.
        arguments: arguments of its constructor; missing ones keep their defaults.
        obs_shape: (C, H, W).
        num_actions: |A|.
        weights: its state dict, float32.
        planes, actions: original indices of the planes and actions, in the order of this project's Sokoban; empty if
            the order is the same.
    """

    path: Path
    policy_class: type[Policy]
    arguments: dict[str, Any]
    obs_shape: tuple[int, int, int]
    num_actions: int
    weights: dict[str, Tensor]
    planes: tuple[int, ...] = ()
    actions: tuple[int, ...] = ()

    @property
    def config(self) -> dict[str, Any]:
        """The ``policy`` node of a config that builds this policy, with all keys."""
        known = inspect.signature(self.policy_class).parameters
        defaults = {name: p.default for name, p in known.items() if p.default is not p.empty}
        target = f"{self.policy_class.__module__}.{self.policy_class.__qualname__}"
        values = {"_target_": target} | defaults | self.arguments
        return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}

    def build(self) -> Policy:
        """Builds the policy and loads its weights; it is in evaluation mode.

        Raises:
            UserError: it has a switch or size that this project's networks do not support.
        """
        try:
            policy = self.policy_class(self.obs_shape, self.num_actions, **self.arguments)
        except ConfigError as error:
            raise UserError(f"{self.path}: {error}") from None
        policy.load_state_dict(self.weights)
        return policy.eval()

    def with_repeats(self, repeats: int | None) -> "Published":
        """A copy with another number of ticks per step; unchanged for None or if the policy has no ticks."""
        if repeats is None or "repeats_per_step" not in self.arguments:
            return self
        return replace(self, arguments=self.arguments | {"repeats_per_step": repeats})

    def with_actions(self, num_actions: int | None) -> "Published":
        """A copy with actions added at the end, up to ``num_actions``; None adds none.

        They have weight 0 and bias `NEVER`, as a no-op has in the published code.

        Raises:
            ConfigError: ``num_actions`` is smaller than in the weights.
        """
        more = 0 if num_actions is None else num_actions - self.num_actions
        if more < 0:
            raise ConfigError("num_actions", num_actions, f"at least {self.num_actions}, as the weights have")
        weight, bias = self.weights["head.policy.weight"], self.weights["head.policy.bias"]
        heads = {
            "head.policy.weight": torch.cat([weight, weight.new_zeros(more, weight.shape[1])]),
            "head.policy.bias": torch.cat([bias, bias.new_full((more,), NEVER)]),
        }
        return replace(self, num_actions=self.num_actions + more, weights=self.weights | heads)

    def for_sokoban(self) -> "Published":
        """A copy whose observation planes and actions are in the order of this project's Sokoban."""
        weights = dict(self.weights)
        if self.planes:
            weights["encoder.convs.0.weight"] = weights["encoder.convs.0.weight"][:, self.planes]
        order = [*self.actions, *range(len(self.actions), self.num_actions)]
        for name in ("head.policy.weight", "head.policy.bias"):
            weights[name] = weights[name][order]
        return replace(self, weights=weights, planes=(), actions=())


def find_board(path: Path, cells: int, boards: Sequence[Board]) -> tuple[int, int]:
    """The height and width of a board with this number of cells: the first of ``boards`` that is not None, or a square.

    Raises:
        UserError: that board has a different number of cells.
    """
    side = math.isqrt(cells)
    height, width = next((board for board in boards if board is not None), (side, side))
    if min(height, width) < 1 or height * width != cells:
        raise UserError(
            f"{path}: found weights for a board of {cells} cells, and {height} x {width} is not one; "
            "board=[HEIGHT,WIDTH] says its shape"
        )
    return height, width
