"""The encoder, which maps an observation to the features that every ConvLSTM layer reads."""

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.models.init import init_conv


class SimpleConvEncoder(nn.Module):
    """Convolutions that keep height and width, with no nonlinearity after the last (guide 2.1).

    Args:
        in_channels: planes of the observation.
        channels: C_e, channels of the encoding.
        kernel_size: even kernels are padded by one cell less before than after, like flax's SAME, so that the
            published 4 x 4 kernels shift the map by (1/2, 1/2) cells; odd kernels do not shift it.
        conv_init: see `drc_lab.models.init`.
        num_layers: number of convolutions.
        relu_between: whether there is a ReLU between consecutive convolutions.
    """

    def __init__(
        self,
        in_channels: int,
        channels: int,
        kernel_size: int = 3,
        conv_init: str = "kaiming",
        num_layers: int = 2,
        relu_between: bool = False,
    ):
        super().__init__()
        self.relu_between = relu_between
        before, after = (kernel_size - 1) // 2, kernel_size // 2
        self.pad = None if before == after else (before, after, before, after)
        self.convs = nn.ModuleList(
            nn.Conv2d(channels if layer else in_channels, channels, kernel_size, padding=0 if self.pad else before)
            for layer in range(num_layers)
        )
        for conv in self.convs:
            assert isinstance(conv, nn.Conv2d)
            init_conv(conv, conv_init)

    def forward(self, obs: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N C_e H W"]:
        """Encodes observations; C_e is ``channels``."""
        x = obs
        for layer, conv in enumerate(self.convs):
            if layer and self.relu_between:
                x = F.relu(x)
            x = conv(x) if self.pad is None else conv(F.pad(x, self.pad))
        return x
