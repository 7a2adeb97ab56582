"""Communication between the processes (ranks) of a distributed training, as losses and metrics need it."""

from typing import Any

import torch
import torch.distributed as dist
from jaxtyping import Bool, Float, Shaped
from torch import Tensor


class Ranks:
    """All ranks of this training; a single one if nothing is distributed."""

    @property
    def size(self) -> int:
        return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1

    def sum(self, value: Shaped[Tensor, "*x"]) -> Shaped[Tensor, "*x"]:
        """The sum over all ranks, the same on each; without gradient."""
        value = value.detach().clone()
        if self.size > 1:
            dist.all_reduce(value)
        return value

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks in the order of ranks, the same list on each."""
        values = [value] * self.size
        if self.size > 1:
            dist.all_gather_object(values, value)
        return values

    def mean(self, value: Shaped[Tensor, "*x"]) -> Float[Tensor, "*x"]:
        return self.sum(value) / self.size


class OneRank(Ranks):
    """This process alone, even if the training has more ranks."""

    size = 1


def standardized(values: Float[Tensor, "T B"], used: Bool[Tensor, "T B"], ranks: Ranks) -> Float[Tensor, "T B"]:
    """``values`` minus their mean, divided by their standard deviation, both taken over all ranks where ``used``."""
    chosen = values[used]
    count, total = ranks.sum(torch.stack([used.sum().to(values.dtype), chosen.sum()]))
    mean = total / count.clamp(min=1)
    variance = ranks.sum((chosen - mean).square().sum()) / (count - 1).clamp(min=1)
    return (values - mean) / (variance.sqrt() + 1e-8)
