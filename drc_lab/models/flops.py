"""Counts the arithmetic of a DRC, as a reference for measured speeds."""

from typing import NamedTuple

from torch import nn

from drc_lab.models.drc import DRCPolicy
from drc_lab.models.drc_cell import ConvLSTMCell
from drc_lab.models.heads import PerCellHead


class Flops(NamedTuple):
    """Floating-point operations of one env-step, in the forward pass and in the two halves of the backward pass."""

    forward: int
    input_gradient: int
    weight_gradient: int


def hoisted_flops(policy: DRCPolicy, height: int | None = None, width: int | None = None) -> Flops:
    """Operations of one step of one env, if whatever the ticks of a step share is computed once per step.

    A convolution from D to G features with k x k taps on a board of P = H * W cells costs k^2 * D * G * P
    multiply-adds: its number of weights, times P (taps that fall off the board are counted, because libraries compute
    them). Each multiply-add counts as two operations. With C features, L layers and R ticks, a step needs

        encoder      k_e^2 * (C_in * C + (n - 1) * C * C) * P   n convolutions, once per step
        drive        L * k^2 * C * 4C * P                       the encoding's part of all gates, once per step
        recurrence   R * sum over layers of k^2 * D * 4C * P    D = 2C: h of the layer below and own h; D = C where
                                                                no layer is below
        head         its number of weights                      times P, if every cell has its own outputs

    Not counted, because it does not grow with the board or not with the batch: pool-and-inject as a matrix product for
    each kind of cell (1% for C = 32 on 10 x 10), the boundary's map and biases. Not counted either is the arithmetic
    of the gates, which are not multiply-adds.

    In the backward pass each of these needs a product of the same size for the gradient of its weights, and another
    for the gradient of its input. The exception is the encoder's first convolution, because the gradient of the
    observation is not needed. The gradient of the carry is counted: the previous step needs it.

    Args:
        policy: a DRC with any wiring.
        height, width: size of the board; None: the size that the policy was built for.
    """
    cells = (height or policy.obs_shape[1]) * (width or policy.obs_shape[2])
    encoder = [_weights(conv) * cells for conv in policy.encoder.convs]
    drive = recurrence = 0
    for cell in policy.stack.cells:
        assert isinstance(cell, ConvLSTMCell)
        parts, _ = cell.split_gates()
        drive += parts["e"].numel() * cells
        recurrence += (parts["below"].numel() + parts["own"].numel()) * cells
    head = sum(_weights(m) for m in policy.head.modules() if isinstance(m, nn.Linear))
    head *= cells if isinstance(policy.head, PerCellHead) else 1
    forward = 2 * (sum(encoder) + drive + policy.repeats_per_step * recurrence + head)
    return Flops(forward, forward - 2 * encoder[0], forward)


def _weights(layer: nn.Module) -> int:
    return layer.get_parameter("weight").numel()
