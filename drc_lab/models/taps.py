"""Seeing and replacing what a policy computes between observation and logits, while it computes it.

A policy names its intermediates by calling `Policy.tapped`; with no `Taps` set that returns the tensor as it is.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

CARRY = frozenset({"h", "c"})  # what the fused tick loops can show
AROUND_TICKS = frozenset({"encoding", "head_input", "head_hidden", "logits", "value"})


class Point(NamedTuple):
    """A place in a policy's computation. Layers, ticks and steps count from 0.

    what: for example "h"; the names of each policy are in docs/interpretation.md.
    layer, tick: None for what comes before and after the ticks.
    step: of the sequence that is unrolled.
    """

    what: str
    layer: int | None = None
    tick: int | None = None
    step: int = 0

    @property
    def name(self) -> str:
        """``layer.tick.what``, or ``what``; without the step."""
        return self.what if self.layer is None else f"{self.layer}.{self.tick}.{self.what}"


@dataclass
class Taps:
    """Is shown each intermediate of a policy, and returns what takes its place.

    Args:
        on: called with the point and its tensor [B, ...]; what it returns is used from there on.
        only_reads: the names of what ``on`` looks at, where it returns all tensors as they are; then a policy may
            take a faster way that shows just these. None: it may look at anything, and change it.
    """

    on: Callable[[Point, Tensor], Tensor]
    only_reads: frozenset[str] | None = None
    step: int = 0
    tick: int | None = field(default=None, init=False)

    @property
    def only_read_carry(self) -> bool:
        """Whether hidden and cell states are all that is looked at between encoding and head."""
        return self.only_reads is not None and self.only_reads <= CARRY | AROUND_TICKS

    def __call__(self, what: str, value: Tensor, layer: int | None = None) -> Tensor:
        return self.on(Point(what, layer, None if layer is None else self.tick, self.step), value)


def tapped(taps: Taps | None, what: str, value: Tensor, layer: int | None = None) -> Tensor:
    """The intermediate as the taps leave it."""
    return value if taps is None else taps(what, value, layer)
