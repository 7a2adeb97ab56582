"""The ConvLSTM's arithmetic between two convolutions, in torch operations: gates, cell state, hidden state, pooling.

Maps have the layout [B, P, ...] with P = H * W, which is what a channels-last convolution reads and writes. Large
tensors are overwritten in place, because memory bandwidth limits the speed. Arguments that the functions share, for
one layer at one tick:

    z: pre-activations, then gate activations, then gradients, in the order i, f, g, o; C4 is 4C.
    kind: the kind of each cell of the board, of K kinds (`drc_lab.models.spatial.tap_kinds`).
    keep: 0 where an episode starts with this tick, else 1; the carry is multiplied by it before it is used.
    c: the cell state.
    pooled: mean and max of the layer's own h * keep over the board; argmax: the position of each max.
"""

import torch
from jaxtyping import Float, Int32, Int64
from torch import Tensor


def gates_forward(
    z: Float[Tensor, "B P C4"],
    drive: Float[Tensor, "B P C4"],
    inject: Float[Tensor, "B K C4"],
    kind: Int64[Tensor, "P"],
    keep: Float[Tensor, "B"],
    c: Float[Tensor, "B P C"],
    keep_next: Float[Tensor, "B"],
    c_next: Float[Tensor, "B P C"],
    h_next: Float[Tensor, "B P C"],
    pooled_next: Float[Tensor, "B 2*C"],
    argmax_next: Int32[Tensor, "B C"],
    up: Float[Tensor, "B P C"],
    sigmoid_output: bool,
) -> None:
    """Computes the gates and the new state of one layer at one tick.

    Adds the drive and the injection for each kind of cell to z, and overwrites z with the gate activations. Writes the
    new c to ``c_next``, the new h to ``up``, and h * keep_next, which the next tick reads, to ``h_next``, with its
    pooling in ``pooled_next`` and ``argmax_next``.
    """
    z += drive + inject[:, kind]
    C = c.shape[2]
    i, f, g, o = z.chunk(4, dim=-1)  # (B, P, 4C) -> 4 x (B, P, C)
    i.sigmoid_(), f.sigmoid_(), g.tanh_(), o.sigmoid_() if sigmoid_output else o.tanh_()
    torch.add(f * (c * keep[:, None, None]), i * g, out=c_next)
    h = o * torch.tanh(c_next)
    up.copy_(h)
    h = h * keep_next[:, None, None]
    h_next.copy_(h)
    pooled_next[:, :C] = h.mean(1)
    pooled_next[:, C:], argmax_next[:] = h.max(1)


def gates_backward(
    z: Float[Tensor, "B P C4"],
    dh: Float[Tensor, "B P C"],
    dc: Float[Tensor, "B P C"],
    c: Float[Tensor, "B P C"],
    c_next: Float[Tensor, "B P C"],
    keep: Float[Tensor, "B"],
    kind: Int64[Tensor, "P"],
    d_drive: Float[Tensor, "B P C4"],
    d_inject: Float[Tensor, "B K C4"] | None,
    sigmoid_output: bool,
) -> None:
    """Backward pass of `gates_forward` up to the pre-activations.

    Takes the gradients ``dh`` and ``dc`` of this tick's new h and c, and the gates in z. Overwrites z with the gradient
    of the pre-activations and ``dc`` with the gradient of the previous c; adds to ``d_drive`` and sets ``d_inject``.
    """
    i, f, g, o = z.chunk(4, dim=-1)
    keep = keep[:, None, None]
    tanh_c = torch.tanh(c_next)
    d_cell = dc + dh * o * (1 - tanh_c**2)
    dc.copy_(d_cell * f * keep)
    slope = o * (1 - o) if sigmoid_output else 1 - o**2
    di, df = d_cell * g * i * (1 - i), d_cell * c * keep * f * (1 - f)
    z.copy_(torch.cat([di, df, d_cell * i * (1 - g**2), dh * tanh_c * slope], dim=-1))
    d_drive += z
    if d_inject is not None:
        d_inject.zero_().index_add_(1, kind, z)


def input_backward(
    dx: Float[Tensor, "B P D"],
    d_pooled: Float[Tensor, "B C2"],
    argmax: Int32[Tensor, "B C"],
    keep: Float[Tensor, "B"],
    dh_own: Float[Tensor, "B P C"],
    keep_below: Float[Tensor, "B"],
    dh_below: Float[Tensor, "B P C"],
) -> None:
    """Splits the gradient ``dx`` of the recurrent input, [below, own h] or own h alone.

    Sets ``dh_own``, the gradient of this layer's h one tick earlier, including what arrives through pooling; then adds
    the remainder to ``dh_below``, which may be the same tensor.
    """
    cells, C = dh_own.shape[1:]
    d_own = dx[..., -C:] + d_pooled[:, None, :C] / cells
    d_own.scatter_add_(1, argmax[:, None].long(), d_pooled[:, None, C:])
    torch.mul(d_own, keep[:, None, None], out=dh_own)
    if dx.shape[2] > C:
        dh_below += dx[..., :C] * keep_below[:, None, None]
