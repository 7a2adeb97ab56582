"""The tick loop over a whole sequence, as one compiled function for a range of samples.

A few samples go through all steps, ticks and layers before the next few, so that their activations stay in the cache.
All maps are [P, features], with cell (y, x) at index y * W + x.
"""

from typing import NamedTuple

import numpy as np

from drc_lab.models.compiled.memory import MapLayout, at, call, copy, floats, lines, map_at
from drc_lab.models.compiled.sizes import saved_maps
from drc_lab.numerics import jit

ZERO = np.float32(0)


class Maps(NamedTuple):
    """Addresses of what `forward` reads and fills; float32 unless noted.

    e: [T, B, P, C], the encoded observations.
    h, c: [L, B, P, C], the carry before the first tick.
    drive: [k * k, C, L * 4C].
    base: [P, L * 4C].
    recurrent: [L, 2, k * k, C, 4C], for the h of the layer below and for the layer's own h. In bfloat16, it and the
        drive hold pairs [.., C / 2, .., 2], each pair in place of a float32.
    inject: [L, 2C, K * 4C]; not read without pool-and-inject.
    h_top: [T, B, P, C], filled with the top layer's h after each step.
    h_end, c_end: [L, B, P, C], filled with the carry after the last tick.
    gates [B, L, N, P, 4C], cells and hidden [B, L, N + 1, P, C], pooled [B, L, N, 2C], argmax int32 [B, L, N, C]:
        filled with the activations for the backward pass, if they are saved.
    """

    e: int
    h: int
    c: int
    drive: int
    base: int
    recurrent: int
    inject: int
    h_top: int
    h_end: int
    c_end: int
    gates: int
    cells: int
    hidden: int
    pooled: int
    argmax: int


class Work(NamedTuple):
    """Buffers for the G samples that go through the ticks together.

    drive: [G, P, L * 4C], what the observation adds to the pre-activations of all layers during one step.
    z: [P, 4C], the pre-activations of one layer; a convolution may add to them in place.
    h, c: [G * L, P, C], the state of each layer, unless all states are saved.
    low_e [P, C / 2], low_h [G * L, P, C / 2]: one encoded observation, and the state h, in bfloat16.
    total, peak, where: [G, L, C], the sum over the board of each h before the coming tick, its maximum, and the
        maximum's cell.
    seen [G, 2C], added [G, K * 4C]: what pool-and-inject reads and adds to the pre-activations of each kind of cell.
    blank: [P, 4C], zeros.
    """

    drive: np.ndarray
    z: np.ndarray
    h: np.ndarray
    c: np.ndarray
    low_e: np.ndarray
    low_h: np.ndarray
    total: np.ndarray
    peak: np.ndarray
    where: np.ndarray
    seen: np.ndarray
    added: np.ndarray
    blank: np.ndarray


class States(NamedTuple):
    """Where the maps of these G samples lie, by sample, layer and number of ticks done.

    h, c: the hidden and the cell state after n ticks.
    gates: what the tick after n ticks computes.
    read: what convolutions read, h in float32 or in bfloat16, with cells ``read_row`` bytes apart.
    """

    h: MapLayout
    c: MapLayout
    gates: MapLayout
    read: MapLayout
    read_row: int


@jit
def forward(first, last, kernels, sizes, schedule, maps):
    """Runs all ticks for samples ``first`` to ``last``, without ``last``, and fills ``maps`` for these samples.

    Args:
        first, last: ints.
        kernels: see `drc_lab.models.compiled.kernels.Kernels`.
        sizes, schedule: see `drc_lab.models.compiled.sizes`.
        maps: see `Maps`.
    """
    numbers, layers, batch = sizes.cells * sizes.channels, sizes.layers, sizes.batch
    work, map_bytes = _work(kernels, sizes), 4 * numbers
    for group in range(first, last, kernels.samples):
        samples, states = min(kernels.samples, last - group), _states(kernels, sizes, maps, work, group)
        for g in range(samples):
            for i in range(layers):
                offset = (i * batch + group + g) * map_bytes
                _load_carry(kernels, sizes, work, states, g, i, maps.h + offset, maps.c + offset)
        n = 0  # ticks done
        for t in range(len(schedule.repeats)):
            for g in range(samples):
                b = group + g
                if schedule.keep[n, b] == ZERO:
                    work.total[g], work.peak[g], work.where[g] = ZERO, ZERO, 0
                _drive(kernels, sizes, maps, work, g, maps.e + (t * batch + b) * map_bytes)
            for _ in range(schedule.repeats[t]):
                for i in range(layers):
                    if sizes.injects:
                        _inject(kernels, sizes, maps, work, group, samples, i, n)
                    for g in range(samples):
                        _tick(
                            kernels, sizes, schedule, maps, work, states, g, schedule.keep[n, group + g] == ZERO, i, n
                        )
                n += 1
            for g in range(samples):
                copy(numbers, map_at(states.h, g, layers - 1, n), maps.h_top + (t * batch + group + g) * map_bytes)
        for g in range(samples):
            for i in range(layers):
                offset = (i * batch + group + g) * map_bytes
                copy(numbers, map_at(states.h, g, i, n), maps.h_end + offset)
                copy(numbers, map_at(states.c, g, i, n), maps.c_end + offset)


@jit
def _work(kernels, sizes):
    P, C, L, G = sizes.cells, sizes.channels, sizes.layers, kernels.samples
    state_rows, low_rows = (0 if sizes.save else G * L * P), (0 if kernels.packed == 1 else P)
    total, peak = lines(G * L, C).reshape(G, L, C), lines(G * L, C).reshape(G, L, C)
    return Work(
        lines(G * P, L * 4 * C),
        lines(P, 4 * C),
        lines(state_rows, C),
        lines(state_rows, C),
        lines(low_rows, C // 2),
        lines(G * L * low_rows, C // 2),
        total,
        peak,
        np.zeros((G, L, C), np.int32),
        lines(G, 2 * C),
        lines(G, sizes.kinds * 4 * C),
        lines(P, 4 * C),
    )


@jit
def _states(kernels, sizes, maps, work, group):
    """With ``save``, each tick has its own maps, for the whole batch; otherwise it overwrites those of the last."""
    L, layer = sizes.layers, 4 * sizes.cells * sizes.channels
    if sizes.save:
        h, c, gates = saved_maps(sizes, maps, group)
    else:
        h, c = MapLayout(at(work.h), L * layer, layer, 0), MapLayout(at(work.c), L * layer, layer, 0)
        gates = MapLayout(0, 0, 0, 0)
    if kernels.packed == 2:
        return States(h, c, gates, MapLayout(at(work.low_h), L * layer // 2, layer // 2, 0), 2 * sizes.channels)
    return States(h, c, gates, h, 4 * sizes.channels)


@jit
def _load_carry(kernels, sizes, work, states, g, i, h, c):
    """Copies the carry of a layer to the state before the first tick, and pools its h."""
    numbers = sizes.cells * sizes.channels
    copy(numbers, h, map_at(states.h, g, i, 0))
    copy(numbers, c, map_at(states.c, g, i, 0))
    if kernels.packed == 2:
        call(kernels.round, (numbers, h, map_at(states.read, g, i, 0)))
    source, total, peak, where = floats(h, (sizes.cells, sizes.channels)), work.total, work.peak, work.where
    total[g, i], peak[g, i], where[g, i] = ZERO, -np.inf, 0
    for p in range(sizes.cells):
        for j in range(sizes.channels):
            total[g, i, j] += source[p, j]
            where[g, i, j] = p if source[p, j] > peak[g, i, j] else where[g, i, j]
            peak[g, i, j] = max(source[p, j], peak[g, i, j])


@jit
def _drive(kernels, sizes, maps, work, g, e):
    """Convolves an encoded observation, once for all ticks of its step."""
    C, columns = sizes.channels, sizes.layers * 4 * sizes.channels
    e_row = 4 * C
    if kernels.packed == 2:
        call(kernels.round, (sizes.cells * C, e, at(work.low_e)))
        e, e_row = at(work.low_e), 2 * C
    call(kernels.convolve, (
        at(work.drive) + g * sizes.cells * 4 * columns, 4 * columns, maps.base, 4 * columns, e, e_row,
        C // kernels.packed, maps.drive, 4 * columns, columns, sizes.height,
    ))  # fmt: skip


@jit
def _inject(kernels, sizes, maps, work, group, samples, i, n):
    """Fills ``work.added`` from the mean and the maximum of each sample's h before this tick."""
    C, L, N, columns = sizes.channels, sizes.layers, sizes.num_ticks, work.added.shape[1]
    for g in range(samples):
        for j in range(C):
            work.seen[g, j] = work.total[g, i, j] / np.float32(sizes.cells)
            work.seen[g, C + j] = work.peak[g, i, j]
        if sizes.save:
            tick = ((group + g) * L + i) * N + n
            copy(2 * C, at(work.seen[g]), maps.pooled + tick * 8 * C)
            copy(C, at(work.where[g, i]), maps.argmax + tick * 4 * C)
    call(kernels.multiply, (
        at(work.added), at(work.seen), 2 * C, maps.inject + i * 8 * C * columns, columns, at(work.blank), 0,
    ))  # fmt: skip


@jit
def _tick(kernels, sizes, schedule, maps, work, states, g, begins, i, n):
    """One tick of a layer: its pre-activations from the drive, the layer below and its own h; then the gates.

    Args:
        begins: whether an episode begins with this tick: the state before it is zeros then.
        g, i, n: sample in the group, layer, ticks done.
    """
    P, C, H, below = sizes.cells, sizes.channels, sizes.height, schedule.below[i]
    inputs, columns, z_row, drive_row = C // kernels.packed, 4 * C, 16 * C, sizes.layers * 16 * C  # rows are in bytes
    weight_bytes = sizes.taps * inputs * z_row  # of one convolution
    z, weights = at(work.z), maps.recurrent + 2 * i * weight_bytes
    init, init_row = at(work.drive) + g * P * drive_row + i * z_row, drive_row
    if below >= 0:
        already = below < i  # the layer below has had this tick, the top layer has not
        h = at(work.blank) if begins and not already else map_at(states.read, g, below, n + already)
        call(kernels.convolve, (z, z_row, init, init_row, h, states.read_row, inputs, weights, z_row, columns, H))
        init, init_row = z, z_row
    h, c = map_at(states.read, g, i, n), map_at(states.c, g, i, n)
    if begins:
        h = c = at(work.blank)
    weights += weight_bytes
    call(kernels.convolve, (z, z_row, init, init_row, h, states.read_row, inputs, weights, z_row, columns, H))
    work.total[g, i], work.peak[g, i], work.where[g, i] = ZERO, -np.inf, 0
    new_h, pools = map_at(states.h, g, i, n + 1), (g * sizes.layers + i) * 4 * C
    call(kernels.gates, (
        P, C, at(schedule.kind), z, at(work.added) + 4 * g * work.added.shape[1], c, map_at(states.c, g, i, n + 1),
        new_h, map_at(states.gates, g, i, n), at(work.total) + pools, at(work.peak) + pools, at(work.where) + pools,
    ))  # fmt: skip
    if kernels.packed == 2:
        call(kernels.round, (P * C, new_h, map_at(states.read, g, i, n + 1)))
