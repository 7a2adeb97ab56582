"""The ConvLSTM's arithmetic between two convolutions, fused: gates, cell, hidden state and its pooling.

Three functions, each in two forms with the same arguments: numba for float32 on the CPU (one pass over memory
instead of one for each operation), torch for everything else. Maps are cell-first, [B, P, ...] with P = H * W, which
is what a channels-last convolution reads and writes. What is kept for a later tick has slots in front, [S, B, P, ...].

Arguments that the passes share, for one layer at one tick n:
    drive [B, P, L*4C], at: what the ticks of a step share, for all layers; this layer's begins at ``at``.
    kind [P] int64: the kind of each cell (`drc_lab.models.spatial.tap_kinds`).
    keep [N + 1, B]: 0 where an episode starts with a tick, else 1; the carry is multiplied by it before it is used.
    x [S, B, P, D]: the recurrent input, whose last C features are the layer's own h, times keep.
    c [S, B, P, C]: the cell state.
    acts [S, B, P, 4C]: gate activations in the order i, f, g, o.
    pooled [S, B, 2C]: mean and max over cells of own h in x; argmax [S, B, C]: the cell of each max.
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

    forward(z, drive, base, at, inject, kind, keep, n, now, then, x, c, pooled, argmax, acts, act, up, up_slot,
        up_from):
        from the convolution's output z [B, P, 4C], the drive, what is added to it at every step (base [P, L*4C])
        and the injection per kind of cell (inject [B, K, 4C]) to the gates (slot ``act`` of acts), c and the pooling
        (slot ``then``), and h: times keep into x (slot ``then``), and as it is into the first C features of
        up[up_slot, up_from:].
    backward(dh, dc, acts, c, keep, n, kind, d_drive, at, d_inject, slot): from the gradients of this tick's h and c
        [B, P, C] to that of the pre-activations, written over acts[n]; turns dc into the gradient of the c before, in
        place, and adds to d_drive and d_inject[slot].
    backward_input(dx, d_pooled, argmax, n, keep_n, dh_own, keep_below, dh_below): splits the gradient of the recurrent
        input [B, P, D]: sets dh_own (of this layer one tick earlier), then adds to dh_below, which may be the same.
    view(tensor): the tensor as the three functions take it.
    """

    forward: Callable
    backward: Callable
    backward_input: Callable
    view: Callable[[Tensor], Any]


# One short loop for each line of arithmetic: LLVM vectorises a loop only if it can prove, with few checks, that the
# arrays in it do not overlap; a loop over all of them stays scalar.
HALF, ONE, ZERO = np.float32(0.5), np.float32(1), np.float32(0)


@cache
def _numba_gates(C: int, sigmoid_output: bool) -> Gates:
    """Compiled for one C: with a loop length known beforehand LLVM leaves no scalar remainder."""

    @jit
    def forward(
        z, drive, base, at, inject, kind, keep, n, now, then, x, c, pooled, argmax, acts, act, up, up_slot, up_from
    ):
        batch, cells, _ = z.shape
        own = x.shape[3] - C
        inv_cells = ONE / np.float32(cells)
        for b in range(batch):
            keep_b, next_b = keep[n, b], keep[n + 1, b]
            mean, peak, where = pooled[then, b, :C], pooled[then, b, C:], argmax[then, b]
            for j in range(C):
                mean[j], peak[j], where[j] = ZERO, -np.inf, 0
            for p in range(cells):
                z_p, drive_p, base_p = z[b, p], drive[b, p, at:], base[p, at:]
                a, inject_p = acts[act, b, p], inject[b, kind[p]]
                for j in range(2 * C):  # sigmoid(x) = (1 + tanh(x / 2)) / 2
                    a[j] = HALF + HALF * tanh(HALF * (z_p[j] + drive_p[j] + base_p[j] + inject_p[j]))
                if sigmoid_output:
                    for j in range(2 * C, 3 * C):
                        a[j] = tanh(z_p[j] + drive_p[j] + base_p[j] + inject_p[j])
                    for j in range(3 * C, 4 * C):
                        a[j] = HALF + HALF * tanh(HALF * (z_p[j] + drive_p[j] + base_p[j] + inject_p[j]))
                else:
                    for j in range(2 * C, 4 * C):
                        a[j] = tanh(z_p[j] + drive_p[j] + base_p[j] + inject_p[j])
                c_p, prev_p, own_p, up_p = c[then, b, p], c[now, b, p], x[then, b, p, own:], up[up_slot, up_from + b, p]
                for j in range(C):
                    c_p[j] = a[C + j] * (prev_p[j] * keep_b) + a[j] * a[2 * C + j]
                for j in range(C):
                    up_p[j] = a[3 * C + j] * tanh(c_p[j])
                for j in range(C):
                    own_p[j] = up_p[j] * next_b
                for j in range(C):
                    mean[j] += own_p[j]
                for j in range(C):
                    where[j] = p if own_p[j] > peak[j] else where[j]
                for j in range(C):
                    peak[j] = own_p[j] if own_p[j] > peak[j] else peak[j]
            for j in range(C):
                mean[j] *= inv_cells

    @jit
    def backward(dh, dc, acts, c, keep, n, kind, d_drive, at, d_inject, slot):
        batch, cells, _ = dh.shape
        tanh_c, d_cell, dz = np.empty(C, np.float32), np.empty(C, np.float32), np.empty(4 * C, np.float32)
        di, df, dg, do = dz[:C], dz[C : 2 * C], dz[2 * C : 3 * C], dz[3 * C :]
        for b in range(batch):
            keep_b = keep[n, b]
            for p in range(cells):
                dh_p, dc_p, c_p, prev_p = dh[b, p], dc[b, p], c[n + 1, b, p], c[n, b, p]
                a, drive_p, inject_p = acts[n, b, p], d_drive[b, p, at:], d_inject[slot, b, kind[p]]
                i, f, g, o = a[:C], a[C : 2 * C], a[2 * C : 3 * C], a[3 * C :]
                for j in range(C):
                    tanh_c[j] = tanh(c_p[j])
                for j in range(C):
                    d_cell[j] = dc_p[j] + dh_p[j] * o[j] * (ONE - tanh_c[j] * tanh_c[j])
                for j in range(C):
                    dc_p[j] = d_cell[j] * f[j] * keep_b
                for j in range(C):
                    di[j] = d_cell[j] * g[j] * i[j] * (ONE - i[j])
                for j in range(C):
                    df[j] = d_cell[j] * prev_p[j] * keep_b * f[j] * (ONE - f[j])
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
    def backward_input(dx, d_pooled, argmax, n, keep_n, dh_own, keep_below, dh_below):
        batch, cells, _ = dh_own.shape
        own = dx.shape[2] - C
        inv_cells = ONE / np.float32(cells)
        for b in range(batch):
            keep_b, below_b, where = keep_n[b], keep_below[b], argmax[n, b]
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
        z, drive, base, at, inject, kind, keep, n, now, then, x, c, pooled, argmax, acts, act, up, up_slot, up_from
    ):
        B, _, C = c.shape[1:]
        drive = drive[..., at : at + 4 * C] + base[:, at : at + 4 * C] + inject[:, kind]  # (B, P, 4C)
        i, f, g, o = (z + drive).chunk(4, dim=-1)  # (B, P, 4C) -> 4 x (B, P, C)
        output = torch.sigmoid if sigmoid_output else torch.tanh
        i, f, g, o = torch.cat(
            [torch.sigmoid(i), torch.sigmoid(f), torch.tanh(g), output(o)], dim=-1, out=acts[act]
        ).chunk(4, dim=-1)
        torch.add(f * (c[now] * keep[n][:, None, None]), i * g, out=c[then])
        h = o * torch.tanh(c[then])
        up[up_slot, up_from : up_from + B, :, :C] = h
        h = h * keep[n + 1][:, None, None]
        x[then][..., -C:] = h
        pooled[then, :, :C] = h.mean(1)
        pooled[then, :, C:], argmax[then] = h.max(1)

    def backward(dh, dc, acts, c, keep, n, kind, d_drive, at, d_inject, slot):
        C = dh.shape[2]
        i, f, g, o = acts[n].chunk(4, dim=-1)
        keep_n = keep[n][:, None, None]
        tanh_c = torch.tanh(c[n + 1])
        d_cell = dc + dh * o * (1 - tanh_c**2)
        dc.copy_(d_cell * f * keep_n)
        slope = o * (1 - o) if sigmoid_output else 1 - o**2
        dz = torch.cat(
            [d_cell * g * i * (1 - i), d_cell * c[n] * keep_n * f * (1 - f), d_cell * i * (1 - g**2),
             dh * tanh_c * slope], dim=-1,
        )  # fmt: skip
        acts[n] = dz
        d_drive[..., at : at + 4 * C] += dz
        d_inject[slot].index_add_(1, kind, dz)

    def backward_input(dx, d_pooled, argmax, n, keep_n, dh_own, keep_below, dh_below):
        cells, C = dh_own.shape[1:]
        d_own = dx[..., -C:] + d_pooled[:, None, :C] / cells
        d_own.scatter_add_(1, argmax[n][:, None].long(), d_pooled[:, None, C:])
        torch.mul(d_own, keep_n[:, None, None], out=dh_own)
        if dx.shape[2] > C:
            dh_below += dx[..., :C] * keep_below[:, None, None]

    return Gates(forward, backward, backward_input, lambda tensor: tensor)


def gates_for(h: Tensor, sigmoid_output: bool = False) -> Gates:
    """The faster set for a hidden state [..., C] of this device and dtype.

    Args:
        h: the hidden state.
        sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
    """
    fused = h.device.type == "cpu" and h.dtype == torch.float32
    return _numba_gates(h.shape[-1], sigmoid_output) if fused else _torch_gates(sigmoid_output)
