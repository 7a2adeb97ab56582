"""From an observation to the map of features that every ConvLSTM layer sees."""

from torch import Tensor, nn

from drc_lab.models.init import init_conv


class SimpleConvEncoder(nn.Module):
    """Two convolutions with no nonlinearity, same height and width (guide 2.1).

    Args:
        in_channels: planes of the observation.
        channels: features out, C_e.
        kernel_size: odd.
        conv_init: see `drc_lab.models.init`.
    """

    def __init__(self, in_channels: int, channels: int, kernel_size: int = 3, conv_init: str = "kaiming"):
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, channels, kernel_size, padding=kernel_size // 2)
        self.conv2 = nn.Conv2d(channels, channels, kernel_size, padding=kernel_size // 2)
        for conv in (self.conv1, self.conv2):
            init_conv(conv, conv_init)

    def forward(self, obs: Tensor) -> Tensor:
        """[N, C_in, H, W] -> [N, C_e, H, W]."""
        return self.conv2(self.conv1(obs))
