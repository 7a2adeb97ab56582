"""Finds the tensor where a NaN or an infinity first appeared."""

from collections.abc import Iterable, Iterator
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from drc_lab.models.policy import Policy


def first_not_finite(tensors: Iterable[tuple[str, Any]]) -> tuple[str, str] | None:
    """The name of the first tensor that has a NaN or an infinity, and "nan" or "inf"; None if all are finite.

    Args:
        tensors: pairs of a name and a tree of tensors; leaves that are not floating-point tensors are skipped.
    """
    for name, tree in tensors:
        for tensor in tree_leaves(tree):
            if isinstance(tensor, Tensor) and tensor.is_floating_point() and not torch.isfinite(tensor).all():
                return name, "nan" if tensor.isnan().any() else "inf"
    return None


def weights(policy: Policy) -> Iterator[tuple[str, Tensor]]:
    """The policy's weights by name."""
    return ((f"weight {name}", weight) for name, weight in policy.named_parameters())
