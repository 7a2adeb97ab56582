"""The tick loop of some samples over a whole sequence, and its gradient, as two compiled functions.

A sample goes through all steps, ticks and layers before the next one begins, so that what it computes stays in the
cache. Its maps lie in rows with a margin of zeros: cell (y, x) at y * pitch + x, where pitch is the board's width and
half a kernel: a row's margin on the right is that of the next row on the left. Convolutions are computed on margins
too, in blocks of neighbouring cells; nobody reads what comes out there.
"""

import numpy as np

from drc_lab.models.compiled.vectors import call
from drc_lab.numerics import jit

ZERO, ONE = np.float32(0), np.float32(1)
LINE = 64  # bytes that a CPU loads at a time


@jit
def at(array):
    """The address of its first element, as a number that may be calculated with."""
    return np.int64(array.ctypes.data)


@jit
def lines(rows, columns):
    """Zeros [rows, columns] that begin where a line of the cache does."""
    room = np.zeros(rows * columns + LINE // 4, np.float32)
    start = (-at(room) % LINE) // 4
    return room[start : start + rows * columns].reshape(rows, columns)


@jit
def taps_of(k, pitch, row):
    """int64 [k * k]: distances in bytes from a cell to those that a convolution reads, on a map with such rows."""
    reach, taps = k // 2, np.empty(k * k, np.int64)
    for y in range(k):
        for x in range(k):
            taps[y * k + x] = ((y - reach) * pitch + x - reach) * row
    return taps


@jit
def put(source, target, place):
    """A map [P, C] into one with margins."""
    for p in range(len(source)):
        for j in range(source.shape[1]):
            target[place[p], j] = source[p, j]


@jit
def take(source, target, place):
    """The reverse of `put`."""
    for p in range(len(target)):
        for j in range(target.shape[1]):
            target[p, j] = source[place[p], j]


@jit
def pool(source, total, peak, where):
    """Sum, maximum and its cell of each feature of a map [P, C]."""
    total[:], peak[:], where[:] = ZERO, -np.inf, 0
    for p in range(len(source)):
        for j in range(source.shape[1]):
            total[j] += source[p, j]
            where[j] = p if source[p, j] > peak[j] else where[j]
            peak[j] = max(source[p, j], peak[j])


@jit
def add(source, target):
    """One map [P, F] to another."""
    for p in range(len(target)):
        for j in range(target.shape[1]):
            target[p, j] += source[p, j]


@jit
def add_part(source, begin, weight, target, place):
    """Some features of a map with margins, times a number, to a map [P, F]."""
    for p in range(len(target)):
        for j in range(target.shape[1]):
            target[p, j] += weight * source[place[p], begin + j]


@jit
def forward(first, last, kernels, shape, kind, repeats, keep, below, e, h, c, drive, base, recurrent, inject, h_top,
            h_end, c_end, gates, cells, hidden, pooled, argmax):  # fmt: skip
    """Fills samples ``first`` to ``last`` of h_top [T, B, P, C], of h_end and c_end [L, B, P, C], and of what is kept.

    Args, float32 unless said:
        kernels: see `drc_lab.models.compiled.kernels.Kernels`.
        shape: H, W, k.
        kind: int64 [P], of each cell, K of them (`drc_lab.models.spatial.tap_kinds`).
        repeats: int64 [T]: ticks of each step, N in all.
        keep: [N + 1, B]: 0 where the episode begins with that tick, else 1.
        below: int64 [L]: the layer that each layer sees besides itself, or -1; the first sees it as of the last tick.
        e: [T, B, P, C].
        h, c: [L, B, P, C].
        drive: [k * k, C, L * 4C].
        base: [P, L * 4C].
        recurrent: [L, 2, k * k, C, 4C], of what is below and of own h.
        inject: [L, 2C, K * 4C], or [.., 0, ..] where nothing is injected.
        gates [B, L, N, P, 4C], cells and hidden [B, L, N + 1, P, C], pooled [B, L, N, 2C], argmax int32 [B, L, N, C]:
            what is kept, or empty.
    """
    (H, W, k), (L, _, P, C), N, G = shape, h.shape, len(keep) - 1, kernels.samples
    kk, row, gates_row, wide, save = k * k, 4 * C, 16 * C, L * 16 * C, gates.size > 0  # bytes of a cell
    pitch = W + k // 2
    up, across = (H, W) if kernels.anew else (1, (H - 1) * pitch + W)
    margin, count = (k // 2) * (pitch + 1), H * pitch + kernels.room
    size = (count + 2 * margin) * row  # bytes of a map
    place = np.array([y * pitch + x for y in range(H) for x in range(W)])
    taps, no_tap = taps_of(k, pitch, row), np.zeros(1, np.int64)
    maps = lines(G * (L + 1) * (count + 2 * margin), C).reshape(G, L + 1, count + 2 * margin, C)[:, :, margin:]
    base_map, drive_map, z = lines(count, wide // 4), lines(G * count, wide // 4), lines(count, 4 * C)
    state, blank = lines(G * L * P, C).reshape(G, L, P, C), lines(P, C)
    added, seen, zeros = lines(G, 4 * C * (np.max(kind) + 1)), lines(G, 2 * C), lines(1, 4 * C)
    total, peak = lines(G * L, C).reshape(G, L, C), lines(G * L, C).reshape(G, L, C)
    where = np.zeros((G, L, C), np.int32)
    put(base, base_map, place)
    for group in range(first, last, G):
        samples = min(G, last - group)
        for g in range(samples):
            for i in range(L):
                put(h[i, group + g], maps[g, i], place)
                pool(h[i, group + g], total[g, i], peak[g, i], where[g, i])
                state[g, i] = c[i, group + g]
                if save:
                    cells[group + g, i, 0], hidden[group + g, i, 0] = c[i, group + g], h[i, group + g]
        n = 0
        for t in range(len(repeats)):
            for g in range(samples):
                if keep[n, group + g] == ZERO:
                    maps[g, :L], state[g] = ZERO, ZERO
                    total[g], peak[g], where[g] = ZERO, ZERO, 0
                put(e[t, group + g], maps[g, L], place)
                call(kernels.convolve, (
                    at(drive_map) + g * count * wide, wide, at(base_map), wide, at(maps) + (g * (L + 1) + L) * size, C,
                    at(taps), kk, at(drive), wide, L * 4 * C, up, across, pitch,
                ))  # fmt: skip
            for _ in range(repeats[t]):
                for i in range(L):
                    if inject.shape[1]:
                        for g in range(samples):
                            for j in range(C):
                                seen[g, j], seen[g, C + j] = total[g, i, j] / np.float32(P), peak[g, i, j]
                                if save:
                                    argmax[group + g, i, n, j] = where[g, i, j]
                            if save:
                                pooled[group + g, i, n] = seen[g]
                        call(kernels.multiply, (
                            at(added), at(seen), 2 * C, at(inject) + 4 * i * inject.shape[1] * inject.shape[2],
                            inject.shape[2], at(zeros), at(no_tap),
                        ))  # fmt: skip
                    for g in range(samples):
                        of_layer, of_maps = g * L + i, at(maps) + g * (L + 1) * size
                        weights = at(recurrent) + 2 * i * kk * C * gates_row
                        begin, begin_row = at(drive_map) + g * count * wide + i * gates_row, wide
                        if below[i] >= 0:
                            call(kernels.convolve, (
                                at(z), gates_row, begin, begin_row, of_maps + below[i] * size, C, at(taps), kk, weights,
                                gates_row, 4 * C, up, across, pitch,
                            ))  # fmt: skip
                            begin, begin_row = at(z), gates_row
                        call(kernels.convolve, (
                            at(z), gates_row, begin, begin_row, of_maps + i * size, C, at(taps), kk,
                            weights + kk * C * gates_row, gates_row, 4 * C, up, across, pitch,
                        ))  # fmt: skip
                        for j in range(C):
                            total[g, i, j], peak[g, i, j], where[g, i, j] = ZERO, -np.inf, 0
                        old = new = at(state) + of_layer * P * row
                        kept = kept_h = at(zeros)
                        if save:
                            sample = (group + g) * L + i
                            new = at(cells) + (sample * (N + 1) + n + 1) * P * row
                            old = new - P * row if keep[n, group + g] else at(blank)
                            kept_h = at(hidden) + (sample * (N + 1) + n + 1) * P * row
                            kept = at(gates) + (sample * N + n) * P * gates_row
                        call(kernels.gates, (
                            P, C, at(place), at(kind), at(z), at(added) + 4 * g * added.shape[1], old, new,
                            of_maps + i * size, kept, kept_h, at(total) + of_layer * row, at(peak) + of_layer * row,
                            at(where) + of_layer * row,
                        ))  # fmt: skip
                n += 1
            for g in range(samples):
                take(maps[g, L - 1], h_top[t, group + g], place)
        for g in range(samples):
            for i in range(L):
                take(maps[g, i], h_end[i, group + g], place)
                c_end[i, group + g] = cells[group + g, i, N] if save else state[g, i]


@jit
def backward(first, last, kernels, shape, kind, repeats, keep, below, e, drive, recurrent, inject, gates, cells, hidden,
             argmax, h_top, h, c, d_e, d_drive, d_base, d_recurrent, d_injected):  # fmt: skip
    """The gradient of `forward`, for samples ``first`` to ``last``.

    Args, beside those of `forward`:
        drive [k * k, L * 4C, C], recurrent [L, k * k, 4C, 2C], inject [L, K * 4C, 2C] or [.., 0, ..]: the same
            weights for the way back, taps in the reverse order.
        h_top [T, B, P, C], h, c [L, B, P, C]: gradients. The last two turn from those of the carry after all ticks to
            those of the carry before.
        d_e: [T, B, P, C], is filled.
        d_drive, d_base, d_recurrent: in the shapes of the weights of `forward`, are added to.
        d_injected: [B, L, N, K * 4C], is filled where something is injected.
    """
    (H, W, k), (L, _, P, C), N, G = shape, h.shape, len(keep) - 1, kernels.samples
    kk, row, gates_row, wide = k * k, 4 * C, 16 * C, L * 16 * C
    pitch = W + k // 2
    up, across = (H, W) if kernels.anew_back else (1, (H - 1) * pitch + W)
    margin, count = (k // 2) * (pitch + 1), H * pitch + kernels.room
    inside = (H - 1) * pitch + W  # from the first cell to the last
    place = np.array([y * pitch + x for y in range(H) for x in range(W)])
    taps, z_taps, drive_taps = taps_of(k, pitch, row), taps_of(k, pitch, gates_row), taps_of(k, pitch, wide)
    no_tap, rows = np.zeros(1, np.int64), count + 2 * margin
    own, other = lines(rows, C)[margin:], lines(rows, C)[margin:]
    dz = lines(G * rows, 4 * C).reshape(G, rows, 4 * C)[:, margin:]
    dz_drive = lines(G * rows, wide // 4).reshape(G, rows, wide // 4)[:, margin:]
    dx, zeros, d_pooled = lines(count, 2 * C), lines(1, 2 * C), lines(G, 2 * C)
    injected = lines(G, 4 * C * (np.max(kind) + 1))
    for group in range(first, last, G):
        samples, n = min(G, last - group), N
        for t in range(len(repeats) - 1, -1, -1):
            for g in range(samples):
                add(h_top[t, group + g], h[L - 1, group + g])
            dz_drive[:] = ZERO
            for _ in range(repeats[t]):
                n -= 1
                for i in range(L - 1, -1, -1):
                    injected[:] = ZERO
                    for g in range(samples):
                        b = group + g
                        cell = at(cells) + ((b * L + i) * (N + 1) + n) * P * row
                        carry = (i * h.shape[1] + b) * P * row
                        call(kernels.gates_back, (
                            P, C, at(place), at(kind), at(gates) + ((b * L + i) * N + n) * P * gates_row, cell,
                            cell + P * row, at(h) + carry, at(c) + carry, np.int64(keep[n, b]),
                            at(dz) + g * rows * gates_row, at(dz_drive) + g * rows * wide + i * gates_row, wide,
                            at(injected) + 4 * g * injected.shape[1],
                        ))  # fmt: skip
                        if inject.shape[1]:
                            d_injected[b, i, n] = injected[g]
                    if inject.shape[1]:
                        call(kernels.multiply_back, (
                            at(d_pooled), at(injected), inject.shape[1],
                            at(inject) + 4 * i * inject.shape[1] * inject.shape[2], 2 * C, at(zeros), at(no_tap),
                        ))  # fmt: skip
                    for g in range(samples):
                        b = group + g
                        kept, gradient = keep[n, b], at(dz) + g * rows * gates_row
                        weights = at(d_recurrent) + 2 * i * kk * C * gates_row
                        if kept == ZERO:
                            own[:inside] = ZERO
                        else:
                            put(hidden[b, i, n], own, place)
                        call(kernels.correlate, (weights + kk * C * gates_row, at(own), C, at(taps), kk, gradient,
                                                 4 * C, inside))  # fmt: skip
                        begin, of_last_tick = C, below[i] >= i
                        if below[i] >= 0:
                            begin = 0
                            if of_last_tick and kept == ZERO:
                                other[:inside] = ZERO
                            else:
                                put(hidden[b, below[i], n if of_last_tick else n + 1], other, place)
                            call(kernels.correlate, (weights, at(other), C, at(taps), kk, gradient, 4 * C, inside))
                        call(kernels.convolve_back, (
                            at(dx) + 4 * begin, 2 * row, at(zeros), 0, gradient, 4 * C, at(z_taps), kk,
                            at(recurrent) + i * kk * gates_row * 2 * C + 4 * begin, 2 * row, 2 * C - begin, up, across,
                            pitch,
                        ))  # fmt: skip
                        own_h, mean = h[i, b], d_pooled[g]
                        for p in range(P):
                            for j in range(C):
                                own_h[p, j] = kept * mean[j] / np.float32(P)
                        add_part(dx, C, kept, own_h, place)
                        if inject.shape[1]:
                            for j in range(C):
                                own_h[argmax[b, i, n, j], j] += kept * mean[C + j]
                        if below[i] >= 0:
                            add_part(dx, 0, kept if of_last_tick else ONE, h[below[i], b], place)
            for g in range(samples):
                gradient = at(dz_drive) + g * rows * wide
                put(e[t, group + g], own, place)
                call(kernels.correlate, (at(d_drive), at(own), C, at(taps), kk, gradient, L * 4 * C, inside))
                add_part(dz_drive[g], 0, ONE, d_base, place)
                call(kernels.convolve_back, (
                    at(dx), row, at(zeros), 0, gradient, L * 4 * C, at(drive_taps), kk, at(drive), row, C, up, across,
                    pitch,
                ))  # fmt: skip
                take(dx.reshape(-1, C), d_e[t, group + g], place)
