"""The arrays of a foreign file by name, each taken once and checked."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import UserError


class Leaves:
    """Named arrays that are decoded when they are taken.

    Args:
        path: of the file, for messages.
        stored: what the file holds under each name.
        decode: one of those -> a tensor; raises an error where it is none.
    """

    def __init__(self, path: Path, stored: Mapping[str, Any], decode: Callable[[Any], Tensor]):
        self.path, self.stored, self.decode = path, stored, decode
        self.taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.stored

    def take(self, name: str, *shape: int | None) -> Tensor:
        """An array of that shape as float32; None is any size from 1.

        A leading axis too many is taken for copies of one array, as a training on several devices saves them.

        Raises:
            UserError: there is none of that name, or it has another shape, numbers that are not floats, or not finite.
        """
        if name not in self.stored:
            raise UserError(f"{self.path}: found no {name}")
        try:
            array = self.decode(self.stored[name])
        except Exception as error:  # libraries raise whatever the broken bytes lead to
            raise UserError(f"{self.path}: {name} is damaged ({' '.join(str(error).split())})") from None
        if not array.is_floating_point():
            raise UserError(f"{self.path}: found {name} of {array.dtype}, allowed: floats")
        found = tuple(array.shape)
        if array.ndim == len(shape) + 1 and len(array) and bool((array == array[:1]).all()):
            array = array[0]
        if array.ndim != len(shape) or any(n < 1 or n != (m or n) for n, m in zip(array.shape, shape, strict=True)):
            allowed = " x ".join(str(n or "any") for n in shape)
            raise UserError(f"{self.path}: found {name} of shape {found}, allowed: {allowed}")
        array = array.to(torch.float32)
        if not array.isfinite().all():
            raise UserError(f"{self.path}: found numbers in {name} that are not finite")
        self.taken.add(name)
        return array

    def take_bias(self, name: str, size: int, given: bool = True) -> Tensor:
        """A bias, or the zeros that stand for it where the layer has none."""
        return self.take(name, size) if given else torch.zeros(size)

    def finish(self, beside: frozenset[str] = frozenset()) -> None:
        """To be called when all is taken: what is left would be a part of the network that was not understood.

        Args:
            beside: names that have no part in the network.

        Raises:
            UserError: naming what is left.
        """
        left = sorted(set(self.stored) - self.taken - beside)
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise UserError(f"{self.path}: found {left[0]!r:.80}{more}, which its configuration has no place for")
