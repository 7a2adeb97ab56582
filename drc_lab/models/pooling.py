"""Pool-and-inject: the mean and the max of a map over the board, mixed and sent back to every cell."""

import math

import torch
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.models.init import init_conv_weight


class PoolAndInject(nn.Module):
    """Mixes the mean and max of each channel linearly, and gives the result to every cell.

    The default "linear" is the guide's (2.3); the other projections are those of the published agents.

    Args:
        channels: C, channels of the map and of the mix.
        projection: "linear": 2C -> C with bias. "full": 2C -> C without bias. "per_channel": two weights per channel,
            for its mean and its max. "per_channel_bias": the same with a bias. "overall": one weight for all means and
            one for all maxima. "max", "mean": the max or the mean alone, no weights.
        conv_init: initialisation of the 2C -> C weights, see `drc_lab.models.init`.
    """

    def __init__(self, channels: int, projection: str = "linear", conv_init: str = "kaiming"):
        super().__init__()
        C = channels
        self.channels, self.projection = C, projection
        shape = {"linear": (C, 2 * C), "full": (C, 2 * C), "overall": (2, 1), "max": None, "mean": None}.get(
            projection, (2, C)
        )
        self.weight = nn.Parameter(torch.empty(shape)) if shape else None
        self.bias = nn.Parameter(torch.zeros(C)) if projection in ("linear", "per_channel_bias") else None
        if self.weight is not None and shape == (C, 2 * C):
            init_conv_weight(self.weight, conv_init)
        elif self.weight is not None:
            nn.init.trunc_normal_(self.weight, std=1 / math.sqrt(2))  # as the published code: scaled by a fan-in of 2

    def matrix(self, like: Tensor) -> Float[Tensor, "C 2*C"]:
        """The mix, without the bias, as one matrix [C, 2C] that multiplies [mean, max].

        If it is not a parameter, it is created on the device of ``like``, because a CUDA graph can't wait for a copy
        from the CPU.
        """
        C = self.channels
        if self.weight is None:
            scale = like.new_zeros(2, C)
            scale[0 if self.projection == "mean" else 1].fill_(1)
        elif self.weight.shape == (C, 2 * C):
            return self.weight
        else:
            scale = self.weight.expand(2, C)
        return torch.cat([scale[0].diag(), scale[1].diag()], dim=1)

    def forward(self, h: Float[Tensor, "B C H W"]) -> Float[Tensor, "B C H W"]:
        """Pools and mixes a map; the result has the same values at every cell."""
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1)  # (B, 2C)
        mixed = nn.functional.linear(pooled, self.matrix(h).to(h), self.bias)  # (B, C)
        return mixed[:, :, None, None].expand_as(h)
