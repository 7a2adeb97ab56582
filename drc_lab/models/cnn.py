"""A small convolutional policy without memory: the rival that cannot think longer."""

from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor, nn

from drc_lab.errors import ConfigError
from drc_lab.models.grid import GridPolicy
from drc_lab.models.init import init_conv


class SmallCNNPolicy(GridPolicy):
    """3 x 3 convolutions with a ReLU after each, global average pooling, head.

    Padding keeps every cell, so that boards down to 1 x 1 work, which kernels made for large pictures refuse.

    Args:
        obs_shape: (C_in, H, W); any other height and width works with the same weights.
        num_actions: |A|.
        channels: of each convolution.
        stride: of each convolution; 2 for pictures, where what matters is larger than a pixel.
        proj_dim: width of the head's shared layer.
        head: "mean" (global average pooling), "pool" or "cells", which take any board size, or "flatten", which takes
            one; see `drc_lab.models.heads`.
        conv_init, proj_init, head_init: how weights start, see `drc_lab.models.init`.

    Raises:
        ConfigError: a size that cannot work.
    """

    def __init__(
        self,
        obs_shape: tuple[int, int, int],
        num_actions: int,
        channels: Sequence[int] = (32, 64, 64),
        stride: int = 1,
        proj_dim: int = 128,
        head: str = "mean",
        conv_init: str = "kaiming",
        proj_init: str = "orthogonal",
        head_init: str = "orthogonal",
    ):
        super().__init__(obs_shape, num_actions, stride=stride, proj_dim=proj_dim)
        if not channels or min(channels) < 1:
            raise ConfigError("channels", list(channels), "at least one number, each at least 1")
        _, height, width = self.obs_shape
        layers: list[nn.Module] = []
        for fan_in, fan_out in pairwise([self.obs_shape[0], *channels]):
            conv = nn.Conv2d(fan_in, fan_out, kernel_size=3, stride=stride, padding=1)
            init_conv(conv, conv_init)
            layers += [conv, nn.ReLU()]
            height, width = -(-height // stride), -(-width // stride)
        self.convs = nn.Sequential(*layers)
        self.attach_head(head, (channels[-1], height, width), proj_dim, proj_init, head_init)

    def encode(self, x: Tensor) -> Tensor:
        return self.convs(x)  # (N, C_in, H, W) -> (N, C, H', W')
