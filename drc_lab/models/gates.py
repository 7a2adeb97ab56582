"""The ConvLSTM's arithmetic between two convolutions, fused: gates, cell, hidden state and its pooling.

Three functions, each in two forms with the same arguments: numba for float32 on the CPU (one pass over memory
instead of one for each operation), torch for everything else. Maps are cell-first, [B, P, ...] with P = H * W, which
is what a channels-last convolution reads and writes. What is large is overwritten in place: memory sets the pace.

Arguments that the passes share, for one layer at one tick:
    z [B, P, 4C]: pre-activations, then gate activations, then gradients, in the order i, f, g, o.
    drive [B, P, L*4C], at: what the ticks of a step share, for all layers; this layer's begins at ``at``.
    kind [P] int64: the kind of each cell (`drc_lab.models.spatial.tap_kinds`).
    keep [B]: 0 where an episode starts with this tick, else 1; the carry is multiplied by it before it is used.
    x [B, P, D]: the recurrent input, whose last C features are the layer's own h, times keep.
    c [B, P, C]: the cell state.
    pooled [B, 2C]: mean and max over cells of own h in x; argmax [B, C]: the cell of each max.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from drc_lab.numerics import jit, tanh


class Gates(NamedTuple):
    """One set of the three functions. No two arrays may overlap, but where it is said.

    forward(z, drive, base, at, inject, kind, keep, c, keep_next, c_next, x_next, pooled_next, argmax_next, up,
        up_from):
        adds to z the drive, what is added to it at every step (base [P, L*4C]) and the injection per kind of cell
        (inject [B, K, 4C]), and turns it into the gates; sets c, x and its pooling for the next tick; h as it is goes
        into the first C features of up[up_from:].
    backward(z, dh, dc, c, c_next, keep, kind, d_drive, at, d_inject): from the gradients of this tick's h and c
        [B, P, C] to that of the pre-activations, written over the gates in z; turns dc into the gradient of the c
        before, in place, and adds to d_drive and d_inject [B, K, 4C].
    backward_input(dx, d_pooled, argmax, keep, dh_own, keep_below, dh_below): splits the gradient of the recurrent
        input [B, P, D]: sets dh_own (of this layer one tick earlier), then adds to dh_below, which may be the same.
    view(tensor): the tensor as the three functions take it.
    """

    forward: Callable
    backward: Callable
    backward_input: Callable
    view: Callable[[Tensor], Any]


# Short loops, each with few arrays: LLVM vectorises a loop only if it can prove, with few checks, that its arrays do
# not overlap; one loop over all of them stays scalar. Arrays made in the function need no check.
HALF, ONE, ZERO = np.float32(0.5), np.float32(1), np.float32(0)


@cache
def _numba_gates(C: int, sigmoid_output: bool) -> Gates:
    """Compiled for one C: with a loop length known beforehand LLVM leaves no scalar remainder."""

    @jit
    def forward(
        z, drive, base, at, inject, kind, keep, c, keep_next, c_next, x_next, pooled_next, argmax_next, up, up_from
    ):
        batch, cells, _ = z.shape
        own = x_next.shape[2] - C
        inv_cells = ONE / np.float32(cells)
        # sigmoid(x) = 1/2 + tanh(x / 2) / 2
        scale, shift = np.full(4 * C, ONE), np.zeros(4 * C, np.float32)
        scale[: 2 * C], shift[: 2 * C] = HALF, HALF
        if sigmoid_output:
            scale[3 * C :], shift[3 * C :] = HALF, HALF
        h, mean, peak, where = (
            np.empty(C, np.float32),
            np.empty(C, np.float32),
            np.empty(C, np.float32),
            np.empty(C, np.int32),
        )
        for b in range(batch):
            keep_b, next_b = keep[b], keep_next[b]
            for j in range(C):
                mean[j], peak[j], where[j] = ZERO, -np.inf, 0
            for p in range(cells):
                a, drive_p, base_p, inject_p = z[b, p], drive[b, p, at:], base[p, at:], inject[b, kind[p]]
                for j in range(4 * C):
                    a[j] = shift[j] + scale[j] * tanh(scale[j] * (a[j] + drive_p[j] + base_p[j] + inject_p[j]))
                c_p, c_new, own_p, up_p = c[b, p], c_next[b, p], x_next[b, p, own:], up[up_from + b, p]
                for j in range(C):
                    c_new[j] = a[C + j] * (c_p[j] * keep_b) + a[j] * a[2 * C + j]
                    h[j] = a[3 * C + j] * tanh(c_new[j])
                for j in range(C):
                    up_p[j] = h[j]
                    h[j] *= next_b
                    own_p[j] = h[j]
                cell = np.int32(p)
                for j in range(C):
                    mean[j] += h[j]
                    where[j] = cell if h[j] > peak[j] else where[j]
                    peak[j] = h[j] if h[j] > peak[j] else peak[j]
            for j in range(C):
                pooled_next[b, j], pooled_next[b, C + j], argmax_next[b, j] = mean[j] * inv_cells, peak[j], where[j]

    @jit
    def backward(z, dh, dc, c, c_next, keep, kind, d_drive, at, d_inject):
        batch, cells, _ = dh.shape
        tanh_c, d_cell, dz = np.empty(C, np.float32), np.empty(C, np.float32), np.empty(4 * C, np.float32)
        di, df, dg, do = dz[:C], dz[C : 2 * C], dz[2 * C : 3 * C], dz[3 * C :]
        for b in range(batch):
            keep_b = keep[b]
            for p in range(cells):
                dh_p, dc_p, c_p, c_new = dh[b, p], dc[b, p], c[b, p], c_next[b, p]
                a, drive_p, inject_p = z[b, p], d_drive[b, p, at:], d_inject[b, kind[p]]
                i, f, g, o = a[:C], a[C : 2 * C], a[2 * C : 3 * C], a[3 * C :]
                for j in range(C):
                    tanh_c[j] = tanh(c_new[j])
                for j in range(C):
                    d_cell[j] = dc_p[j] + dh_p[j] * o[j] * (ONE - tanh_c[j] * tanh_c[j])
                for j in range(C):
                    dc_p[j] = d_cell[j] * f[j] * keep_b
                for j in range(C):
                    di[j] = d_cell[j] * g[j] * i[j] * (ONE - i[j])
                for j in range(C):
                    df[j] = d_cell[j] * c_p[j] * keep_b * f[j] * (ONE - f[j])
                for j in range(C):
                    dg[j] = d_cell[j] * i[j] * (ONE - g[j] * g[j])
                for j in range(C):
                    slope = o[j] * (ONE - o[j]) if sigmoid_output else ONE - o[j] * o[j]
                    do[j] = dh_p[j] * tanh_c[j] * slope
                for j in range(4 * C):
                    a[j] = dz[j]
                for j in range(4 * C):
                    drive_p[j] += dz[j]
                for j in range(4 * C):
                    inject_p[j] += dz[j]

    @jit
    def backward_input(dx, d_pooled, argmax, keep, dh_own, keep_below, dh_below):
        batch, cells, _ = dh_own.shape
        own = dx.shape[2] - C
        inv_cells = ONE / np.float32(cells)
        for b in range(batch):
            keep_b, below_b, where = keep[b], keep_below[b], argmax[b]
            d_mean, d_peak = d_pooled[b, :C], d_pooled[b, C:]
            for p in range(cells):
                dx_p, own_p = dx[b, p, own:], dh_own[b, p]
                for j in range(C):
                    own_p[j] = keep_b * (dx_p[j] + d_mean[j] * inv_cells + (d_peak[j] if where[j] == p else ZERO))
                if own:
                    below_p, dx_below = dh_below[b, p], dx[b, p]
                    for j in range(C):
                        below_p[j] += below_b * dx_below[j]

    return Gates(forward, backward, backward_input, Tensor.numpy)


@cache
def _torch_gates(sigmoid_output: bool) -> Gates:
    def forward(
        z, drive, base, at, inject, kind, keep, c, keep_next, c_next, x_next, pooled_next, argmax_next, up, up_from
    ):
        B, _, C = c.shape
        z += drive[..., at : at + 4 * C] + base[:, at : at + 4 * C] + inject[:, kind]  # (B, P, 4C)
        i, f, g, o = z.chunk(4, dim=-1)  # (B, P, 4C) -> 4 x (B, P, C)
        for gate, activation in ((i, "sigmoid_"), (f, "sigmoid_"), (g, "tanh_"), (o, output)):
            getattr(gate, activation)()
        torch.add(f * (c * keep[:, None, None]), i * g, out=c_next)
        h = o * torch.tanh(c_next)
        up[up_from : up_from + B, :, :C] = h
        h = h * keep_next[:, None, None]
        x_next[..., -C:] = h
        pooled_next[:, :C] = h.mean(1)
        pooled_next[:, C:], argmax_next[:] = h.max(1)

    def backward(z, dh, dc, c, c_next, keep, kind, d_drive, at, d_inject):
        C = dh.shape[2]
        i, f, g, o = z.chunk(4, dim=-1)
        keep = keep[:, None, None]
        tanh_c = torch.tanh(c_next)
        d_cell = dc + dh * o * (1 - tanh_c**2)
        dc.copy_(d_cell * f * keep)
        slope = o * (1 - o) if sigmoid_output else 1 - o**2
        di, df = d_cell * g * i * (1 - i), d_cell * c * keep * f * (1 - f)
        z.copy_(torch.cat([di, df, d_cell * i * (1 - g**2), dh * tanh_c * slope], dim=-1))
        d_drive[..., at : at + 4 * C] += z
        d_inject.index_add_(1, kind, z)

    def backward_input(dx, d_pooled, argmax, keep, dh_own, keep_below, dh_below):
        cells, C = dh_own.shape[1:]
        d_own = dx[..., -C:] + d_pooled[:, None, :C] / cells
        d_own.scatter_add_(1, argmax[:, None].long(), d_pooled[:, None, C:])
        torch.mul(d_own, keep[:, None, None], out=dh_own)
        if dx.shape[2] > C:
            dh_below += dx[..., :C] * keep_below[:, None, None]

    output = "sigmoid_" if sigmoid_output else "tanh_"
    return Gates(forward, backward, backward_input, lambda tensor: tensor)


def gates_for(h: Tensor, sigmoid_output: bool = False) -> Gates:
    """The faster set for a hidden state [..., C] of this device and dtype.

    Args:
        h: the hidden state.
        sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
    """
    fused = h.device.type == "cpu" and h.dtype == torch.float32
    return _numba_gates(h.shape[-1], sigmoid_output) if fused else _torch_gates(sigmoid_output)
