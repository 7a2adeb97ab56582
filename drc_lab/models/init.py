"""How weights start. Biases start at zero everywhere; the ConvLSTM adds its forget bias itself."""

import math

from torch import nn

from drc_lab.errors import ConfigError

CONV_INITS = ("kaiming", "lecun")
LINEAR_INITS = ("small", "lecun", "orthogonal")
SMALL_STD = 0.01  # guide 6.8 asks for a "small std" in linear layers


def init_conv(conv: nn.Conv2d, how: str) -> None:
    """``kaiming``: normal, fan-in, gain sqrt(2) (guide 6.8). ``lecun``: normal, fan-in, gain 1 (the published runs)."""
    if how not in CONV_INITS:
        raise ConfigError("conv_init", how, " | ".join(CONV_INITS))
    nn.init.kaiming_normal_(conv.weight, mode="fan_in", nonlinearity="relu" if how == "kaiming" else "linear")
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_linear(linear: nn.Linear, how: str, key: str) -> None:
    """``small``: normal with std 0.01 (guide 6.8). ``lecun``: normal, std fan_in^-1/2. ``orthogonal``: gain 1."""
    if how not in LINEAR_INITS:
        raise ConfigError(key, how, " | ".join(LINEAR_INITS))
    if how == "orthogonal":
        nn.init.orthogonal_(linear.weight)
    else:
        nn.init.normal_(linear.weight, std=SMALL_STD if how == "small" else 1 / math.sqrt(linear.in_features))
    nn.init.zeros_(linear.bias)
