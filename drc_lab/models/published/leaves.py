"""The arrays of another project's file by name, with checks of each, and that all of them are used."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from drc_lab.errors import UserError


class Leaves:
    """Named arrays of a file, which are decoded when they are taken.

    Args:
        path: path of the file, for error messages.
        stored: what the file holds under each name.
        decode: converts one of these values to a tensor, or raises an error.
    """

    def __init__(self, path: Path, stored: Mapping[str, Any], decode: Callable[[Any], Tensor]):
        self.path, self.stored, self.decode = path, stored, decode
        self.taken: set[str] = set()

    def __contains__(self, name: str) -> bool:
        return name in self.stored

    def take(self, name: str, *shape: int | None) -> Tensor:
        """Returns an array of the given shape as float32; None in the shape allows any size of at least 1.

        If there is one extra leading axis along which all entries are equal, the first entry is returned: trainings on
        several devices save one copy for each.

        Raises:
            UserError: there is no array of that name, it is damaged, or its shape, dtype or values (not finite) are
                not allowed.
        """
        if name not in self.stored:
            raise UserError(f"{self.path}: found no {name}")
        try:
            array = self.decode(self.stored[name])
        except Exception as error:  # on damaged files libraries can raise almost any error
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
        """Returns a bias [size], or zeros if the layer has none (``given`` is false)."""
        return self.take(name, size) if given else torch.zeros(size)

    def finish(self, beside: frozenset[str] = frozenset()) -> None:
        """Checks that every array was taken. A remaining one would be a part of the network that was not converted.

        Args:
            beside: names of arrays that do not belong to the network and may remain.

        Raises:
            UserError: naming an array that remains.
        """
        left = sorted(set(self.stored) - self.taken - beside)
        if left:
            more = f" and {len(left) - 1} more" if len(left) > 1 else ""
            raise UserError(f"{self.path}: found {left[0]!r:.80}{more}, which its configuration has no place for")
