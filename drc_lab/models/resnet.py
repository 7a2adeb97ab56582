"""The residual network of Guez et al. (2019), the baseline without memory of the published agents."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.grid import GridPolicy


class ResNetStage(nn.Module):
    """A convolution, then two residual blocks of ReLU and convolution; all keep height and width.

    Args:
        in_channels, channels: planes in and out.
        kernel_size: of all three, padded as `SimpleConvEncoder` pads.
        conv_init: see `drc_lab.models.init`.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, conv_init: str):
        super().__init__()
        self.conv = SimpleConvEncoder(in_channels, channels, kernel_size, conv_init, num_layers=1)
        self.residuals = nn.ModuleList(
            SimpleConvEncoder(channels, channels, kernel_size, conv_init, num_layers=1) for _ in range(2)
        )

    def forward(self, x: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C, H, W]."""
        x = self.conv(x)
        for residual in self.residuals:
            x = x + residual(torch.relu(x))
        return x


class ResNetPolicy(GridPolicy):
    """Stages of convolutions, ReLU, head. No memory: more ticks, or more passes, change nothing.

    The defaults are the published ones (Guez et al. 2019, Taufeeque et al. 2024).

    Args:
        obs_shape: (C_in, H, W).
        num_actions: |A|.
        channels: of each stage.
        kernel_sizes: of each stage's convolutions.
        proj_dim: width of the head's shared layer.
        head: "flatten" (one board size), "mean", "pool" or "cells" (any size), see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: how weights start, see `drc_lab.models.init`.

    Raises:
        ConfigError: a size that cannot work.
    """

    def __init__(
        self,
        obs_shape: tuple[int, int, int],
        num_actions: int,
        channels: Sequence[int] = (32, 32, 64, 64, 64, 64, 64, 64, 64),
        kernel_sizes: Sequence[int] = (4, 4, 4, 4, 4, 4, 4, 4, 4),
        proj_dim: int = 256,
        head: str = "flatten",
        conv_init: str = "lecun",
        proj_init: str = "lecun",
        head_init: str = "orthogonal",
    ):
        super().__init__(obs_shape, num_actions, proj_dim=proj_dim)
        if not channels or min(channels) < 1:
            raise ConfigError("channels", list(channels), "one or more, each at least 1")
        if len(kernel_sizes) != len(channels) or min(kernel_sizes) < 1:
            raise ConfigError("kernel_sizes", list(kernel_sizes), f"{len(channels)} as channels, each at least 1")
        planes, height, width = self.obs_shape
        sizes = zip([planes, *channels[:-1]], channels, kernel_sizes, strict=True)
        self.stages = nn.Sequential(*(ResNetStage(*size, conv_init) for size in sizes))
        self.attach_head(head, (channels[-1], height, width), proj_dim, proj_init, head_init)

    def encode(self, x: Tensor) -> Tensor:
        return torch.relu(self.stages(x))  # (N, C_in, H, W) -> (N, C, H, W)
