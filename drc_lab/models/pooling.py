"""Pool-and-inject: the mean and the max of a map over the board, mixed and sent back to every cell."""

import math

import torch
from torch import Tensor, nn

from drc_lab.models.init import init_conv_weight


class PoolAndInject(nn.Module):
    """A learned linear mix of mean and max (guide 2.3; the other mixes are those of the published agents).

    Args:
        channels: C of the map, and of the mix.
        projection: "linear": 2C -> C with bias; "full": without; "per_channel": one weight each for the mean and the
            max of a channel; "per_channel_bias": and a bias; "overall": one weight for all means and one for all
            maxima; "max", "mean": no weights.
        conv_init: of the 2C -> C weights, see `drc_lab.models.init`.
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
            nn.init.trunc_normal_(self.weight, std=1 / math.sqrt(2))  # published: scaled by a fan-in of 2

    def matrix(self, like: Tensor) -> Tensor:
        """The mix as one matrix [C, 2C] that multiplies [mean, max]; without the bias. Made on the device of ``like``
        where it isn't a weight: a CUDA graph can't wait for a copy."""
        C = self.channels
        if self.weight is None:
            scale = like.new_zeros(2, C)
            scale[0 if self.projection == "mean" else 1].fill_(1)
        elif self.weight.shape == (C, 2 * C):
            return self.weight
        else:
            scale = self.weight.expand(2, C)
        return torch.cat([scale[0].diag(), scale[1].diag()], dim=1)

    def forward(self, h: Tensor) -> Tensor:
        """[B, C, H, W] -> [B, C, H, W], the same at every cell."""
        pooled = torch.cat([h.mean((2, 3)), h.amax((2, 3))], dim=1)  # (B, 2C)
        mixed = nn.functional.linear(pooled, self.matrix(h).to(h), self.bias)  # (B, C)
        return mixed[:, :, None, None].expand_as(h)
