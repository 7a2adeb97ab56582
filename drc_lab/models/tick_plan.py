"""Inputs of the DRC's tick loops: the plan of the ticks, and the weights in the layout that each loop reads."""

from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

import torch
from jaxtyping import Float, Int64
from torch import Tensor


class TickPlan(NamedTuple):
    """What a tick loop needs besides the tensors that have gradients.

    repeats: ticks of each step, length T; N in total.
    keep: 0 where the carry is zeroed before that tick, else 1; the last row, after all ticks, is all ones.
    kind: the kind of each cell, for pool-and-inject; kinds: the number of kinds, K.
    height, width: size of the board, P = H * W.
    sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
    bfloat16: whether convolutions and their input gradients multiply numbers rounded to bfloat16.
    """

    repeats: tuple[int, ...]
    keep: Float[Tensor, "N+1 B"]
    kind: Int64[Tensor, "P"]
    kinds: int
    height: int
    width: int
    sigmoid_output: bool
    bfloat16: bool = False


@dataclass(frozen=True, eq=False)
class TickWeights:
    """The weights of all layers.

    Args:
        drive: convolution of the encoding, the layers' outputs one after another; LC4 is L * 4C.
        base: added to the drive: biases and boundary plane.
        recurrent: L convolutions of the recurrent input [below, own h], with 2C inputs, or C where nothing is below.
        inject: L matrices [K * 4C, 2C], which map [mean, max] of the layer's own h to what is added to the
            pre-activations of each kind of cell; empty without pool-and-inject.
    """

    drive: Float[Tensor, "LC4 C k k"]
    base: Float[Tensor, "P LC4"]
    recurrent: list[Float[Tensor, "4*C _ k k"]]
    inject: list[Float[Tensor, "..."]]

    @property
    def channels(self) -> int:
        """C."""
        return self.drive.shape[1]

    @property
    def below(self) -> list[int]:
        """The layer that each layer reads besides itself, -1 for none.

        The first layer reads the top one's h of the previous tick, if the wiring connects them.
        """
        from_top = len(self.recurrent) - 1 if self.recurrent[0].shape[1] > self.channels else -1
        return [from_top, *range(len(self.recurrent) - 1)]

    @cached_property
    def forward_layout(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The weights in the layout of `drc_lab.models.compiled.forward.Maps`: drive, base, recurrent, inject."""
        C, kk = self.channels, self.drive.shape[2] ** 2
        recurrent = self.drive.new_zeros(len(self.recurrent), 2, kk, C, 4 * C)
        for layer, weight in zip(recurrent, self.recurrent, strict=True):
            parts = weight.permute(2, 3, 1, 0).reshape(kk, -1, C, 4 * C).transpose(0, 1)  # (1 or 2, k*k, C, 4C)
            layer[2 - len(parts) :] = parts
        drive = self.drive.permute(2, 3, 1, 0).reshape(kk, C, -1).contiguous()
        injects = self.inject[0].numel() > 0
        inject = (
            torch.stack([matrix.t() for matrix in self.inject])
            if injects
            else self.drive.new_zeros(len(self.inject), 0, 0)
        )
        return drive, self.base.detach().contiguous(), recurrent, inject

    @cached_property
    def backward_layout(self) -> tuple[Tensor, Tensor, Tensor]:
        """The weights in the layout of `drc_lab.models.compiled.backward.Gradients`: drive, recurrent, inject."""
        C, kk = self.channels, self.drive.shape[2] ** 2
        recurrent = self.drive.new_zeros(len(self.recurrent), kk, 4 * C, 2 * C)
        for layer, weight in zip(recurrent, self.recurrent, strict=True):
            layer[:, :, 2 * C - weight.shape[1] :] = weight.flip(2, 3).permute(2, 3, 0, 1).reshape(kk, 4 * C, -1)
        drive = self.drive.flip(2, 3).permute(2, 3, 0, 1).reshape(kk, -1, C).contiguous()
        return drive, recurrent, self.forward_layout[3].transpose(1, 2).contiguous()

    @cached_property
    def forward_pairs(self) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """`forward_layout` with two bfloat16 inputs of a convolution in one: drive and recurrent [.., C / 2, ..]."""
        drive, base, recurrent, inject = self.forward_layout
        return in_pairs(drive), base, in_pairs(recurrent), inject

    @cached_property
    def backward_pairs(self) -> tuple[Tensor, Tensor, Tensor]:
        """`backward_layout`, packed in the same way: drive [k * k, L * 2C, C], recurrent [L, k * k, 2C, 2C], inject."""
        drive, recurrent, inject = self.backward_layout
        return in_pairs(drive), in_pairs(recurrent), inject

    def as_given(self, drive: Tensor, base: Tensor, recurrent: Tensor, inject: list[Tensor]) -> list[Tensor]:
        """Converts gradients from the layout of `forward_layout` to the shapes of this class's attributes.

        Returns:
            The gradients of drive and base, then of recurrent for each layer, then of inject for each layer.
        """
        (_, C, k, _), G = self.drive.shape, self.recurrent[0].shape[0]

        def kernel(taps: Tensor) -> Tensor:  # (k*k, D, F) -> (F, D, k, k)
            return taps.unflatten(0, (k, k)).permute(3, 2, 0, 1).contiguous()

        layers = [
            kernel(gradient[2 - weight.shape[1] // C :].transpose(0, 1).reshape(k * k, -1, G))
            for gradient, weight in zip(recurrent, self.recurrent, strict=True)
        ]
        return [kernel(drive), base, *layers, *inject]


def in_pairs(weight: Float[Tensor, "*taps D F"]) -> Float[Tensor, "*taps D//2 F"]:
    """[.., D, F] -> [.., D / 2, F]: each float32 holds two bfloat16, of an even input and the one after it."""
    pairs = weight.detach().bfloat16().unflatten(-2, (-1, 2)).transpose(-1, -2).contiguous()  # (.., D / 2, F, 2)
    return pairs.view(torch.float32)[..., 0]
