"""The gradient of the compiled tick loop, as one compiled function for a range of samples."""

from typing import NamedTuple

import numpy as np

from drc_lab.models.compiled.forward import ZERO
from drc_lab.models.compiled.memory import MapLayout, add, at, call, copy, floats, integers, lines, map_at
from drc_lab.models.compiled.sizes import saved_maps
from drc_lab.numerics import jit


class Gradients(NamedTuple):
    """Addresses of what `backward` reads and fills; float32. Fields not listed are as in `forward.Maps`.

    drive [k * k, L * 4C, C], recurrent [L, k * k, 4C, 2C], inject [L, K * 4C, 2C]: the weights in the layout of the
        backward pass, taps in reverse order; the first two hold pairs of inputs in bfloat16. Of recurrent's 2C outputs,
        the first C are for the h of the layer below, the others for the layer's own.
    d_top: [T, B, P, C], the gradient of h_top.
    d_h, d_c: [L, B, P, C], on entry the gradients of h_end and c_end, on return those of the carry before the first
        tick.
    d_e: [T, B, P, C], is filled.
    d_drive, d_base, d_recurrent: have the shapes of the weights of the forward pass; the gradients are added to them.
    d_injected: [B, L, N, K * 4C], is filled if there is pool-and-inject.
    """

    e: int
    drive: int
    recurrent: int
    inject: int
    gates: int
    cells: int
    hidden: int
    argmax: int
    d_top: int
    d_h: int
    d_c: int
    d_e: int
    d_drive: int
    d_base: int
    d_recurrent: int
    d_injected: int


class Work(NamedTuple):
    """Buffers for the G samples that go through the ticks together.

    dz: [G, P, 4C], the gradient of one layer's pre-activations.
    dz_drive: [G, P, L * 4C], its sum over the ticks of one step, for all layers.
    low: [P, L * 2C], a gradient in bfloat16.
    d_pooled [G, 2C], d_injected [G, K * 4C]: the gradients of what pool-and-inject reads and adds.
    blank: [2C], zeros.
    """

    dz: np.ndarray
    dz_drive: np.ndarray
    low: np.ndarray
    d_pooled: np.ndarray
    d_injected: np.ndarray
    blank: np.ndarray


class States(NamedTuple):
    """Where the saved maps of these G samples, and their gradients, lie: by sample, layer and tick."""

    h: MapLayout
    c: MapLayout
    gates: MapLayout
    d_h: MapLayout
    d_c: MapLayout


class Gradient(NamedTuple):
    """The address of a map of gradients; and of what a convolution reads of it, rounded if it multiplies bfloat16, with
    the bytes from one cell to the next."""

    exact: int
    rounded: int
    rounded_row: int


@jit
def backward(first, last, kernels, sizes, schedule, maps):
    """The gradient of `drc_lab.models.compiled.forward.forward`, for samples ``first`` to ``last``.

    Args: as those of the forward pass; see `Gradients`.
    """
    P, C, layers, batch = sizes.cells, sizes.channels, sizes.layers, sizes.batch
    work, map_bytes = _work(kernels, sizes), 4 * P * C
    for group in range(first, last, kernels.samples):
        samples, states = min(kernels.samples, last - group), _states(sizes, maps, group)
        n = sizes.num_ticks  # ticks before the one whose gradient comes next
        for t in range(len(schedule.repeats) - 1, -1, -1):
            for g in range(samples):
                add(P * C, maps.d_top + (t * batch + group + g) * map_bytes, map_at(states.d_h, g, layers - 1, 0))
            work.dz_drive[:] = ZERO
            for _ in range(schedule.repeats[t]):
                n -= 1
                for i in range(layers - 1, -1, -1):
                    _gates(kernels, sizes, schedule, maps, work, states, group, samples, i, n)
                    for g in range(samples):
                        dz = _for_convolution(kernels, work, P * 4 * C, at(work.dz) + g * P * 16 * C, 16 * C)
                        if schedule.keep[n, group + g] != ZERO:
                            _through_own(kernels, sizes, maps, work, states, dz, group, g, i, n)
                        else:
                            floats(map_at(states.d_h, g, i, 0), (P * C,))[:] = ZERO
                        _through_below(kernels, sizes, schedule, maps, states, dz, group, g, i, n)
            for g in range(samples):
                _drive(kernels, sizes, maps, work, g, (t * batch + group + g) * map_bytes)


@jit
def _work(kernels, sizes):
    P, C, wide, G = sizes.cells, sizes.channels, sizes.layers * 4 * sizes.channels, kernels.samples
    return Work(
        lines(G * P, 4 * C),
        lines(G * P, wide),
        lines(P if kernels.packed == 2 else 0, wide // 2),
        lines(G, 2 * C),
        lines(G, sizes.kinds * 4 * C),
        lines(1, 2 * C),
    )


@jit
def _states(sizes, maps, group):
    layer = 4 * sizes.cells * sizes.channels
    h, c, gates = saved_maps(sizes, maps, group)
    d_h = MapLayout(maps.d_h + group * layer, layer, sizes.batch * layer, 0)
    return States(h, c, gates, d_h, MapLayout(maps.d_c + group * layer, layer, sizes.batch * layer, 0))


@jit
def _gates(kernels, sizes, schedule, maps, work, states, group, samples, i, n):
    """The gradients of a layer's pre-activations, of its cell state, and of what pool-and-inject read."""
    P, C, L, N, columns = sizes.cells, sizes.channels, sizes.layers, sizes.num_ticks, work.d_injected.shape[1]
    work.d_injected[:] = ZERO
    for g in range(samples):
        call(kernels.gates_backward, (
            P, C, at(schedule.kind), map_at(states.gates, g, i, n), map_at(states.c, g, i, n),
            map_at(states.c, g, i, n + 1), map_at(states.d_h, g, i, 0), map_at(states.d_c, g, i, 0),
            np.int64(schedule.keep[n, group + g]), at(work.dz) + g * P * 16 * C,
            at(work.dz_drive) + g * P * L * 16 * C + i * 16 * C, L * 16 * C, at(work.d_injected) + 4 * g * columns,
        ))  # fmt: skip
        if sizes.injects:
            tick = ((group + g) * L + i) * N + n
            copy(columns, at(work.d_injected[g]), maps.d_injected + tick * 4 * columns)
    if sizes.injects:
        call(kernels.multiply_backward, (
            at(work.d_pooled), at(work.d_injected), columns, maps.inject + i * 8 * C * columns, 2 * C, at(work.blank),
            0,
        ))  # fmt: skip


@jit
def _through_own(kernels, sizes, maps, work, states, dz, group, g, i, n):
    """Replaces the gradient of a layer's h after a tick by that of its h before it; adds to that of the weights."""
    P, C, L, N = sizes.cells, sizes.channels, sizes.layers, sizes.num_ticks
    weight_bytes = sizes.taps * 16 * C * C  # of one convolution in float32
    d_h = map_at(states.d_h, g, i, 0)
    call(kernels.correlate, (
        maps.d_recurrent + (2 * i + 1) * weight_bytes, map_at(states.h, g, i, n), C, dz.exact, 16 * C, 4 * C,
        sizes.height,
    ))  # fmt: skip
    for j in range(C):
        work.d_pooled[g, j] /= np.float32(P)
    # The sums begin with the gradient of the mean, the same for every cell (stride 0): zeros without pool-and-inject.
    call(kernels.convolve_backward, (
        d_h, 4 * C, at(work.d_pooled) + g * 8 * C, 0, dz.rounded, dz.rounded_row, 4 * C // kernels.packed,
        maps.recurrent + 2 * i * weight_bytes // kernels.packed + 4 * C, 8 * C, C, sizes.height,
    ))  # fmt: skip
    if sizes.injects:
        where = integers(maps.argmax + (((group + g) * L + i) * N + n) * 4 * C, (C,))
        gradient = floats(d_h, (P, C))
        for j in range(C):
            gradient[where[j], j] += work.d_pooled[g, C + j]


@jit
def _through_below(kernels, sizes, schedule, maps, states, dz, group, g, i, n):
    """Adds to the gradient of the h of the layer below, and to that of the weights that read it."""
    C, below = sizes.channels, schedule.below[i]
    already = below < i  # else that h is of the tick before, and zeros where an episode begins
    if below < 0 or (not already and schedule.keep[n, group + g] == ZERO):
        return
    weight_bytes = sizes.taps * 16 * C * C  # of one convolution in float32
    d_h = map_at(states.d_h, g, below, 0)
    call(kernels.correlate, (
        maps.d_recurrent + 2 * i * weight_bytes, map_at(states.h, g, below, n + already), C, dz.exact, 16 * C, 4 * C,
        sizes.height,
    ))  # fmt: skip
    call(kernels.convolve_backward, (
        d_h, 4 * C, d_h, 4 * C, dz.rounded, dz.rounded_row, 4 * C // kernels.packed,
        maps.recurrent + 2 * i * weight_bytes // kernels.packed, 8 * C, C, sizes.height,
    ))  # fmt: skip


@jit
def _drive(kernels, sizes, maps, work, g, step):
    """The gradients of an encoded observation and of the weights that read it; ``step`` is where its map begins."""
    P, C, columns = sizes.cells, sizes.channels, sizes.layers * 4 * sizes.channels
    dz = _for_convolution(kernels, work, P * columns, at(work.dz_drive) + g * P * 4 * columns, 4 * columns)
    call(kernels.correlate, (maps.d_drive, maps.e + step, C, dz.exact, 4 * columns, columns, sizes.height))
    add(P * columns, dz.exact, maps.d_base)
    call(kernels.convolve_backward, (
        maps.d_e + step, 4 * C, at(work.blank), 0, dz.rounded, dz.rounded_row, columns // kernels.packed, maps.drive,
        4 * C, C, sizes.height,
    ))  # fmt: skip


@jit
def _for_convolution(kernels, work, numbers, gradient, row):
    """A gradient as the convolution of `_through_own` and the like reads it: as it is, or rounded into ``work.low``,
    which is valid until the next call."""
    if kernels.packed == 1:
        return Gradient(gradient, gradient, row)
    call(kernels.round, (numbers, gradient, at(work.low)))
    return Gradient(gradient, at(work.low), row // 2)
