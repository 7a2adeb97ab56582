"""Reading and replacing the intermediate tensors of a policy while it runs.

A policy exposes each intermediate under a name by calling `Policy.tapped`, which returns the tensor unchanged if no
`Taps` is set.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from jaxtyping import Float
from torch import Tensor

CARRY = frozenset({"h", "c"})  # what the compiled tick loop can expose
AROUND_TICKS = frozenset({"encoding", "head_input", "head_hidden", "logits", "value"})


class Point(NamedTuple):
    """A place in a policy's computation. Layers, ticks and steps are counted from 0.

    what: name of the intermediate, for example "h"; docs/interpretation.md lists those of each policy.
    layer, tick: None for what is computed before or after the ticks.
    step: index in the sequence that is unrolled.
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
    """A callback that receives every intermediate of a policy and returns its replacement.

    Args:
        on: called with the point and its tensor [B, ...]; the policy continues with the tensor it returns.
        only_reads: the names of the intermediates that ``on`` uses, if it returns every tensor unchanged; a policy may
            then take a faster path that exposes only these. None: ``on`` may read and change anything.
        step: index of the current step; a policy sets it.

    Attributes:
        tick: index of the current tick; a policy sets it.
    """

    on: Callable[[Point, Tensor], Tensor]
    only_reads: frozenset[str] | None = None
    step: int = 0
    tick: int | None = field(default=None, init=False)

    @property
    def only_read_carry(self) -> bool:
        """Whether, between encoding and head, ``on`` only reads hidden and cell states."""
        return self.only_reads is not None and self.only_reads <= CARRY | AROUND_TICKS

    def __call__(
        self, what: str, value: Float[Tensor, "B *what"], layer: int | None = None
    ) -> Float[Tensor, "B *what"]:
        return self.on(Point(what, layer, None if layer is None else self.tick, self.step), value)


def tapped(
    taps: Taps | None, what: str, value: Float[Tensor, "B *what"], layer: int | None = None
) -> Float[Tensor, "B *what"]:
    """Returns the intermediate, or what the taps replace it with; see `Policy.tapped`."""
    return value if taps is None else taps(what, value, layer)
