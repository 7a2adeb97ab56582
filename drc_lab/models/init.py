"""Initialisation of weights. Biases are set to zero; the ConvLSTM adds its forget bias itself."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from drc_lab.arguments import fit
from drc_lab.models.specs import LinearInit
from drc_lab.models.wiring import ConvInit

SMALL_STD = 0.01  # guide 6.8 asks for a "small std" in linear layers
TRUNCATED_STD = 0.87962566  # std of a unit normal truncated at 2, as in flax's lecun_normal


@torch.no_grad()
def init_conv_weight(weight: Tensor, how: str) -> None:
    """Initialises a weight [out, in, ...] in place; see `init_conv`."""
    fit(ConvInit, how, "conv_init")
    if weight.is_meta:  # has no data, and torch would import its compiler to draw it, which takes seconds
        return
    fan_in = weight[0].numel()
    if how == "kaiming":
        weight.normal_(std=math.sqrt(2 / fan_in))
    elif how == "lecun":
        std = math.sqrt(1 / fan_in) / TRUNCATED_STD
        nn.init.trunc_normal_(weight, std=std, a=-2 * std, b=2 * std)
    else:
        weight.uniform_(-math.sqrt(1 / fan_in), math.sqrt(1 / fan_in))


def init_conv(conv: nn.Conv2d, how: str, published_convs: Sequence[int] = ()) -> None:
    """Initialises a convolution in place.

    Args:
        conv: the convolution.
        how: "kaiming": normal, fan-in, gain sqrt(2) (guide 6.8). "lecun": truncated normal, fan-in, gain 1 (Taufeeque
            et al. 2024). "torch": uniform within +-fan_in^-1/2, torch's default.
        published_convs: input channels of the separate convolutions that the published code has instead of this one;
            "lecun" then uses the fan-in of each.
    """
    parts = [n for n in published_convs if n] if how == "lecun" and published_convs else [conv.in_channels]
    for part in conv.weight.split(parts, dim=1):
        init_conv_weight(part, how)
    if conv.bias is not None:
        nn.init.zeros_(conv.bias)


def init_linear(linear: nn.Linear, how: str, key: str) -> None:
    """Initialises a linear layer in place.

    Args:
        linear: the layer.
        how: "small": normal with std 0.01 (guide 6.8). "lecun": truncated normal, std fan_in^-1/2. "orthogonal": gain
            1. "torch": uniform within +-fan_in^-1/2.
        key: config key of ``how``, for the error message.
    """
    fit(LinearInit, how, key)
    if linear.weight.is_meta:  # as in init_conv_weight
        return
    if how == "orthogonal":
        nn.init.orthogonal_(linear.weight)
    elif how == "small":
        nn.init.normal_(linear.weight, std=SMALL_STD)
    else:
        init_conv_weight(linear.weight, how)
    if linear.bias is not None:
        nn.init.zeros_(linear.bias)
