"""The residual network of Guez et al. (2019), the memoryless baseline among the published agents."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from drc_lab.arguments import takes
from drc_lab.models.encoders import SimpleConvEncoder
from drc_lab.models.grid import GridPolicy
from drc_lab.models.specs import ResNetSpec


class ResNetStage(nn.Module):
    """A convolution, then two residual blocks of ReLU and convolution; all keep height and width.

    Args:
        in_channels, channels: input and output channels.
        kernel_size: kernel size of all three convolutions, padded as in `SimpleConvEncoder`.
        conv_init: see `drc_lab.models.init`.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int, conv_init: str):
        super().__init__()
        self.conv = SimpleConvEncoder(in_channels, channels, kernel_size, conv_init, num_layers=1)
        self.residuals = nn.ModuleList(
            SimpleConvEncoder(channels, channels, kernel_size, conv_init, num_layers=1) for _ in range(2)
        )

    def forward(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N C H W"]:
        """Runs the stage on maps."""
        x = self.conv(x)
        for residual in self.residuals:
            x = x + residual(torch.relu(x))
        return x


class ResNetPolicy(GridPolicy):
    """Stages of convolutions, a ReLU, and a head. Without memory, more ticks or more passes change nothing.

    The defaults are the published ones (Guez et al. 2019, Taufeeque et al. 2024).

    See `ResNetSpec` for the arguments.
    """

    @takes(ResNetSpec)
    def __init__(self, spec: ResNetSpec):
        super().__init__(spec.obs_shape, spec.num_actions)
        channels = spec.channels
        planes, height, width = self.obs_shape
        sizes = zip([planes, *channels[:-1]], channels, spec.kernel_sizes, strict=True)
        self.stages = nn.Sequential(*(ResNetStage(*size, spec.conv_init) for size in sizes))
        self.attach_head(spec, (channels[-1], height, width))

    def encode(self, x: Float[Tensor, "N C_in H W"]) -> Float[Tensor, "N C H W"]:
        return torch.relu(self.stages(x))
