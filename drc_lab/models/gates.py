"""The ConvLSTM's arithmetic between two convolutions, fused: gates, cell, hidden state and its pooling.

Three functions, each in two forms with the same arguments: numba for float32 on the CPU (one pass over memory
instead of one for each operation), torch for everything else. Maps are cell-first, [B, P, ...]
with P = H * W, which is what a channels-last convolution reads and writes.

Arguments that both passes share, for one layer at one tick:
    kind [P] int64: the kind of each cell (`drc_lab.models.spatial.tap_kinds`).
    keep [B]: 0 where an episode starts with this tick, else 1; the carry is multiplied by it before it is used.
    acts [B, P, 4C]: gate activations in the order i, f, g, o.
    x_own [B, P, D]: the recurrent input of this layer at the next tick, whose last C features are its own h.
    pooled [B, 2C]: mean and max over cells of that own h; argmax [B, C]: the cell of each max.
"""

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from drc_lab.numerics import jit, tanh

# One short loop for each line of arithmetic: LLVM vectorises a loop only if it can prove, with few checks, that the
# arrays in it do not overlap; a loop over all of them stays scalar.
HALF, ONE = np.float32(0.5), np.float32(1)


@cache
def _numba_gates(C: int) -> "Gates":
    """Compiled for one C: with a loop length known beforehand LLVM leaves no scalar remainder."""

    @jit
    def forward(z, drive, inject, kind, c_prev, keep, keep_next, acts, c, x_own, x_up, pooled, argmax):
        batch, cells, _ = z.shape
        own = x_own.shape[2] - C
        inv_cells = ONE / np.float32(cells)
        for b in range(batch):
            keep_b, next_b = keep[b], keep_next[b]
            mean, peak, where = pooled[b, :C], pooled[b, C:], argmax[b]
            for j in range(C):
                mean[j], peak[j], where[j] = 0, -np.inf, 0
            for p in range(cells):
                z_p, drive_p, a, inject_p = z[b, p], drive[b, p], acts[b, p], inject[b, kind[p]]
                for j in range(2 * C):  # sigmoid(x) = (1 + tanh(x / 2)) / 2
                    a[j] = HALF + HALF * tanh(HALF * (z_p[j] + drive_p[j] + inject_p[j]))
                for j in range(2 * C, 4 * C):
                    a[j] = tanh(z_p[j] + drive_p[j] + inject_p[j])
                c_p, prev_p, own_p, up_p = c[b, p], c_prev[b, p], x_own[b, p, own:], x_up[b, p]
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
    def backward(dh, dc, acts, c, c_prev, keep, kind, dz, d_drive, d_inject):
        batch, cells, _ = dh.shape
        tanh_c, d_cell = np.empty(C, np.float32), np.empty(C, np.float32)
        for b in range(batch):
            keep_b = keep[b]
            for p in range(cells):
                dh_p, dc_p, c_p, prev_p = dh[b, p], dc[b, p], c[b, p], c_prev[b, p]
                a, dz_p, drive_p, inject_p = acts[b, p], dz[b, p], d_drive[b, p], d_inject[b, kind[p]]
                i, f, g, o = a[:C], a[C : 2 * C], a[2 * C : 3 * C], a[3 * C :]
                di, df, dg, do = dz_p[:C], dz_p[C : 2 * C], dz_p[2 * C : 3 * C], dz_p[3 * C :]
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
                    do[j] = dh_p[j] * tanh_c[j] * (ONE - o[j] * o[j])
                for j in range(4 * C):
                    drive_p[j] += dz_p[j]
                for j in range(4 * C):
                    inject_p[j] += dz_p[j]

    @jit
    def backward_input(dx, d_pooled, argmax, keep, dh_own, dh_low):
        batch, cells, _ = dh_own.shape
        own = dx.shape[2] - C
        inv_cells = ONE / np.float32(cells)
        for b in range(batch):
            keep_b, d_mean, d_peak, where = keep[b], d_pooled[b, :C], d_pooled[b, C:], argmax[b]
            for p in range(cells):
                dx_p, own_p = dx[b, p, own:], dh_own[b, p]
                for j in range(C):
                    own_p[j] = keep_b * (
                        dx_p[j] + d_mean[j] * inv_cells + (d_peak[j] if where[j] == p else np.float32(0))
                    )
                if own:
                    low_p, dx_low = dh_low[b, p], dx[b, p]
                    for j in range(C):
                        low_p[j] += dx_low[j]

    return Gates(*(_on_numpy(f) for f in (forward, backward, backward_input)))


def _forward_torch(z, drive, inject, kind, c_prev, keep, keep_next, acts, c, x_own, x_up, pooled, argmax):
    C = c.shape[2]
    pre = z + drive + inject[:, kind]  # (B, P, 4C)
    torch.sigmoid(pre[..., : 2 * C], out=acts[..., : 2 * C])
    torch.tanh(pre[..., 2 * C :], out=acts[..., 2 * C :])
    i, f, g, o = acts.chunk(4, dim=-1)
    c.copy_(f * (c_prev * keep[:, None, None]) + i * g)
    h = o * torch.tanh(c)
    x_up[..., :C] = h
    h = h * keep_next[:, None, None]
    x_own[..., -C:] = h
    pooled[:, :C] = h.mean(1)
    peak, where = h.max(1)
    pooled[:, C:], argmax[:] = peak, where


def _backward_torch(dh, dc, acts, c, c_prev, keep, kind, dz, d_drive, d_inject):
    i, f, g, o = acts.chunk(4, dim=-1)
    keep = keep[:, None, None]
    tanh_c = torch.tanh(c)
    d_cell = dc + dh * o * (1 - tanh_c**2)
    dc.copy_(d_cell * f * keep)
    di, df = d_cell * g * i * (1 - i), d_cell * c_prev * keep * f * (1 - f)
    torch.cat([di, df, d_cell * i * (1 - g**2), dh * tanh_c * (1 - o**2)], dim=-1, out=dz)
    d_drive += dz
    d_inject.index_add_(1, kind, dz)


def _backward_input_torch(dx, d_pooled, argmax, keep, dh_own, dh_low):
    cells, C = dh_own.shape[1:]
    d_own = dx[..., -C:] + d_pooled[:, None, :C] / cells
    d_own.scatter_add_(1, argmax[:, None].long(), d_pooled[:, None, C:])
    torch.mul(d_own, keep[:, None, None], out=dh_own)
    if dx.shape[2] > C:
        dh_low += dx[..., :C]


class Gates(NamedTuple):
    """One set of the three functions.

    forward(z, drive, inject, kind, c_prev, keep, keep_next, acts, c, x_own, x_up, pooled, argmax): from the
        convolution's output z, the drive that is the same at every tick [B, P, 4C] and the injection per kind of cell
        [B, kinds, 4C], writes acts, c, h into the first C features of x_up and (times keep_next) the last C of x_own,
        and the pooling. No two arrays may overlap.
    backward(dh, dc, acts, c, c_prev, keep, kind, dz, d_drive, d_inject): writes the gradient of the pre-activations
        into dz, turns dc into that of c_prev in place, and adds to d_drive and d_inject.
    backward_input(dx, d_pooled, argmax, keep, dh_own, dh_low): splits the gradient of the recurrent input: sets dh_own
        (of this layer one tick earlier), adds to dh_low (of the layer below at the same tick).
    """

    forward: Callable
    backward: Callable
    backward_input: Callable


def _on_numpy(function):
    return lambda *args: function(*(a.numpy() for a in args))


TORCH = Gates(_forward_torch, _backward_torch, _backward_input_torch)


def gates_for(h: Tensor) -> Gates:
    """The faster set for a hidden state [..., C] of this device and dtype."""
    return _numba_gates(h.shape[-1]) if h.device.type == "cpu" and h.dtype == torch.float32 else TORCH
