"""The functions of `drc_lab.models.gates` as Triton kernels for GPUs.

In torch operations each function would launch dozens of kernels, each for only a few thousand numbers; here it is one
or two. Every sum over cells is computed within one program, so results are the same in every run. The functions take
the same arguments as those of `gates`, in float32. The kernels compute addresses from row strides, so arguments may be
slices of wider rows without a copy.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

CELLS, CHANNELS = 128, 16  # largest tile
NUMBERS = 512  # elements per program in kernels without sums


@triton.jit
def _tanh(x):
    return 2 * tl.sigmoid(2 * x) - 1


@triton.jit
def _gates_forward(
    z,
    drive,
    drive_row,
    inject,
    kind,
    keep,
    c,
    keep_next,
    c_next,
    h_next,
    h_row,
    pooled,
    argmax,
    up,
    up_row,
    cells,
    kinds,
    C: tl.constexpr,
    TILE: tl.constexpr,
    WIDTH: tl.constexpr,
    SIGMOID: tl.constexpr,
):
    """Handles all cells of sample ``program_id(0)``, for the block ``program_id(1)`` of WIDTH channels."""
    b = tl.program_id(0).to(tl.int64)
    channel = tl.program_id(1) * WIDTH + tl.arange(0, WIDTH)
    here, following = tl.load(keep + b), tl.load(keep_next + b)
    total = tl.zeros((WIDTH,), tl.float32)
    peak = tl.full((WIDTH,), float("-inf"), tl.float32)
    where = tl.zeros((WIDTH,), tl.int32)
    for start in range(0, cells, TILE):
        p = start + tl.arange(0, TILE)
        inside = (p < cells)[:, None] & (channel < C)[None, :]
        of_kind = tl.load(kind + p, mask=p < cells, other=0)
        row = (b * cells + p)[:, None]
        at_z = z + row * (4 * C) + channel[None, :]
        at_drive = drive + row * drive_row + channel[None, :]
        at_inject = inject + (b * kinds + of_kind)[:, None] * (4 * C) + channel[None, :]
        at_c = row * C + channel[None, :]
        i = tl.load(at_z, inside, 0.0) + tl.load(at_drive, inside, 0.0) + tl.load(at_inject, inside, 0.0)
        f = tl.load(at_z + C, inside, 0.0) + tl.load(at_drive + C, inside, 0.0) + tl.load(at_inject + C, inside, 0.0)
        g = (
            tl.load(at_z + 2 * C, inside, 0.0)
            + tl.load(at_drive + 2 * C, inside, 0.0)
            + tl.load(at_inject + 2 * C, inside, 0.0)
        )
        o = (
            tl.load(at_z + 3 * C, inside, 0.0)
            + tl.load(at_drive + 3 * C, inside, 0.0)
            + tl.load(at_inject + 3 * C, inside, 0.0)
        )
        i, f, g = tl.sigmoid(i), tl.sigmoid(f), _tanh(g)
        if SIGMOID:
            o = tl.sigmoid(o)
        else:
            o = _tanh(o)
        state = f * (tl.load(c + at_c, inside, 0.0) * here) + i * g
        h = o * _tanh(state)
        tl.store(at_z, i, inside)
        tl.store(at_z + C, f, inside)
        tl.store(at_z + 2 * C, g, inside)
        tl.store(at_z + 3 * C, o, inside)
        tl.store(c_next + at_c, state, inside)
        tl.store(up + row * up_row + channel[None, :], h, inside)
        h = h * following
        tl.store(h_next + row * h_row + channel[None, :], h, inside)
        total += tl.sum(tl.where(inside, h, 0.0), 0)
        best, place = tl.max(tl.where(inside, h, float("-inf")), 0, return_indices=True)
        where = tl.where(best > peak, start + place, where)
        peak = tl.maximum(peak, best)
    at_pooled = pooled + b * (2 * C) + channel
    tl.store(at_pooled, total / cells, channel < C)
    tl.store(at_pooled + C, peak, channel < C)
    tl.store(argmax + b * C + channel, where, channel < C)


def gates_forward(
    z: Tensor,
    drive: Tensor,
    inject: Tensor,
    kind: Tensor,
    keep: Tensor,
    c: Tensor,
    keep_next: Tensor,
    c_next: Tensor,
    h_next: Tensor,
    pooled_next: Tensor,
    argmax_next: Tensor,
    up: Tensor,
    sigmoid_output: bool,
) -> None:
    """See `drc_lab.models.gates.gates_forward`."""
    batch, cells, C = c.shape
    tile, width = min(triton.next_power_of_2(cells), CELLS), min(triton.next_power_of_2(C), CHANNELS)
    _gates_forward[batch, triton.cdiv(C, width)](
        z,
        drive,
        drive.stride(1),
        inject,
        kind,
        keep,
        c,
        keep_next,
        c_next,
        h_next,
        h_next.stride(1),
        pooled_next,
        argmax_next,
        up,
        up.stride(1),
        cells,
        inject.shape[1],
        C,
        tile,
        width,
        sigmoid_output,
    )


@triton.jit
def _gates_backward(
    z,
    dh,
    dc,
    c,
    c_next,
    keep,
    d_drive,
    drive_row,
    cells,
    numbers,
    C: tl.constexpr,
    NUMBERS: tl.constexpr,
    SIGMOID: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    inside = n < numbers
    row, channel = n // C, n % C
    here = tl.load(keep + row // cells, inside, 0.0)
    at_z = z + row * (4 * C) + channel
    at_drive = d_drive + row * drive_row + channel
    i, f = tl.load(at_z, inside, 0.0), tl.load(at_z + C, inside, 0.0)
    g, o = tl.load(at_z + 2 * C, inside, 0.0), tl.load(at_z + 3 * C, inside, 0.0)
    d_hidden = tl.load(dh + n, inside, 0.0)
    tanh_c = _tanh(tl.load(c_next + n, inside, 0.0))
    d_cell = tl.load(dc + n, inside, 0.0) + d_hidden * o * (1 - tanh_c * tanh_c)
    tl.store(dc + n, d_cell * f * here, inside)
    if SIGMOID:
        slope = o * (1 - o)
    else:
        slope = 1 - o * o
    di = d_cell * g * i * (1 - i)
    df = d_cell * tl.load(c + n, inside, 0.0) * here * f * (1 - f)
    dg = d_cell * i * (1 - g * g)
    do = d_hidden * tanh_c * slope
    tl.store(at_z, di, inside)
    tl.store(at_z + C, df, inside)
    tl.store(at_z + 2 * C, dg, inside)
    tl.store(at_z + 3 * C, do, inside)
    tl.store(at_drive, tl.load(at_drive, inside, 0.0) + di, inside)
    tl.store(at_drive + C, tl.load(at_drive + C, inside, 0.0) + df, inside)
    tl.store(at_drive + 2 * C, tl.load(at_drive + 2 * C, inside, 0.0) + dg, inside)
    tl.store(at_drive + 3 * C, tl.load(at_drive + 3 * C, inside, 0.0) + do, inside)


@triton.jit
def _sum_by_kind(sums, z, kind, cells, kinds, features, TILE: tl.constexpr, WIDTH: tl.constexpr):
    """Sums z over the cells of kind ``program_id(1)`` of sample ``program_id(0)``, for a block of WIDTH features."""
    b, wanted = tl.program_id(0).to(tl.int64), tl.program_id(1)
    feature = tl.program_id(2) * WIDTH + tl.arange(0, WIDTH)
    total = tl.zeros((WIDTH,), tl.float32)
    for start in range(0, cells, TILE):
        p = start + tl.arange(0, TILE)
        chosen = (tl.load(kind + p, mask=p < cells, other=-1) == wanted)[:, None] & (feature < features)[None, :]
        total += tl.sum(tl.load(z + (b * cells + p)[:, None] * features + feature[None, :], chosen, 0.0), 0)
    tl.store(sums + (b * kinds + wanted) * features + feature, total, feature < features)


def gates_backward(
    z: Tensor,
    dh: Tensor,
    dc: Tensor,
    c: Tensor,
    c_next: Tensor,
    keep: Tensor,
    kind: Tensor,
    d_drive: Tensor,
    d_inject: Tensor | None,
    sigmoid_output: bool,
) -> None:
    """See `drc_lab.models.gates.gates_backward`."""
    batch, cells, C = c.shape
    _gates_backward[(triton.cdiv(c.numel(), NUMBERS),)](
        z, dh, dc, c, c_next, keep, d_drive, d_drive.stride(1), cells, c.numel(), C, NUMBERS, sigmoid_output
    )
    if d_inject is not None:
        kinds = d_inject.shape[1]
        tile, width = min(triton.next_power_of_2(cells), CELLS), min(triton.next_power_of_2(4 * C), 2 * CHANNELS)
        _sum_by_kind[batch, kinds, triton.cdiv(4 * C, width)](d_inject, z, kind, cells, kinds, 4 * C, tile, width)


@triton.jit
def _input_backward(
    dx,
    features,
    d_pooled,
    argmax,
    keep,
    dh_own,
    keep_below,
    dh_below,
    cells,
    numbers,
    C: tl.constexpr,
    NUMBERS: tl.constexpr,
    BELOW: tl.constexpr,
    SAME: tl.constexpr,
):
    n = tl.program_id(0).to(tl.int64) * NUMBERS + tl.arange(0, NUMBERS)
    inside = n < numbers
    row, channel = n // C, n % C
    b = row // cells
    at_pooled = d_pooled + b * (2 * C) + channel
    own = tl.load(dx + row * features + features - C + channel, inside, 0.0) + tl.load(at_pooled, inside, 0.0) / cells
    is_peak = tl.load(argmax + b * C + channel, inside, 0) == row % cells
    own += tl.where(is_peak, tl.load(at_pooled + C, inside, 0.0), 0.0)
    own *= tl.load(keep + b, inside, 0.0)
    if BELOW:
        below = tl.load(dx + row * features + channel, inside, 0.0) * tl.load(keep_below + b, inside, 0.0)
        if SAME:
            own += below
        else:
            tl.store(dh_below + n, tl.load(dh_below + n, inside, 0.0) + below, inside)
    tl.store(dh_own + n, own, inside)


def input_backward(
    dx: Tensor, d_pooled: Tensor, argmax: Tensor, keep: Tensor, dh_own: Tensor, keep_below: Tensor, dh_below: Tensor
) -> None:
    """See `drc_lab.models.gates.input_backward`."""
    cells, C = dh_own.shape[1:]
    _input_backward[(triton.cdiv(dh_own.numel(), NUMBERS),)](
        dx,
        dx.shape[2],
        d_pooled,
        argmax,
        keep,
        dh_own,
        keep_below,
        dh_below,
        cells,
        dh_own.numel(),
        C,
        NUMBERS,
        dx.shape[2] > C,
        dh_own.data_ptr() == dh_below.data_ptr(),
    )


def suits(e: Tensor) -> bool:
    """Whether the kernels support maps of this device and dtype."""
    return e.device.type == "cuda" and e.dtype == torch.float32
