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
    (H, W, k), (L, _, P, C) = shape, h.shape
    kk, row, gates_row, wide, save = k * k, 4 * C, 16 * C, L * 16 * C, gates.size > 0  # bytes of a cell
    pitch = W + k // 2
    up, across = (H, W) if kernels.anew else (1, (H - 1) * pitch + W)
    margin, count = (k // 2) * (pitch + 1), H * pitch + kernels.room
    place = np.array([y * pitch + x for y in range(H) for x in range(W)])
    taps, no_tap = taps_of(k, pitch, row), np.zeros(1, np.int64)
    maps = lines((L + 1) * (count + 2 * margin), C).reshape(L + 1, count + 2 * margin, C)[:, margin:]
    base_map, drive_map, z = lines(count, L * 4 * C), lines(count, L * 4 * C), lines(count, 4 * C)
    state = lines(L * P, C).reshape(L, P, C)
    added, seen, zeros = lines(1, 4 * C * (np.max(kind) + 1)), lines(1, 2 * C)[0], lines(1, 4 * C)
    total, peak, where = lines(L, C), lines(L, C), np.zeros((L, C), np.int32)
    put(base, base_map, place)
    for b in range(first, last):
        for i in range(L):
            put(h[i, b], maps[i], place)
            pool(h[i, b], total[i], peak[i], where[i])
            state[i] = c[i, b]
            if save:
                cells[b, i, 0], hidden[b, i, 0] = c[i, b], h[i, b]
        n = 0
        for t in range(len(repeats)):
            if keep[n, b] == ZERO:
                maps[:L], state[:], total[:], peak[:], where[:] = ZERO, ZERO, ZERO, ZERO, 0
            put(e[t, b], maps[L], place)
            call(kernels.convolve, (at(drive_map), wide, at(base_map), wide, at(maps[L]), C, at(taps), kk, at(drive),
                                    wide, L * 4 * C, up, across, pitch))  # fmt: skip
            for _ in range(repeats[t]):
                for i in range(L):
                    if inject.shape[1]:
                        for j in range(C):
                            seen[j], seen[C + j] = total[i, j] / np.float32(P), peak[i, j]
                        call(kernels.multiply, (at(added), at(seen), 2 * C, at(inject[i]), inject.shape[2], at(zeros),
                                                at(no_tap)))  # fmt: skip
                        if save:
                            pooled[b, i, n], argmax[b, i, n] = seen, where[i]
                    begin, begin_row = at(drive_map) + i * gates_row, wide
                    if below[i] >= 0:
                        call(kernels.convolve, (at(z), gates_row, begin, begin_row, at(maps[below[i]]), C, at(taps), kk,
                                                at(recurrent[i, 0]), gates_row, 4 * C, up, across, pitch))  # fmt: skip
                        begin, begin_row = at(z), gates_row
                    call(kernels.convolve, (at(z), gates_row, begin, begin_row, at(maps[i]), C, at(taps), kk,
                                            at(recurrent[i, 1]), gates_row, 4 * C, up, across, pitch))  # fmt: skip
                    total[i], peak[i], where[i] = ZERO, -np.inf, 0
                    kept = at(gates[b, i, n]) if save else at(zeros)
                    call(kernels.gates, (P, C, at(place), at(kind), at(z), at(added), at(state[i]), at(maps[i]), kept,
                                         at(total[i]), at(peak[i]), at(where[i])))  # fmt: skip
                    if save:
                        cells[b, i, n + 1] = state[i]
                        take(maps[i], hidden[b, i, n + 1], place)
                n += 1
            take(maps[L - 1], h_top[t, b], place)
        for i in range(L):
            take(maps[i], h_end[i, b], place)
            c_end[i, b] = state[i]


@jit
def backward(first, last, kernels, shape, kind, repeats, keep, below, e, drive, recurrent, inject, gates, cells, hidden,
             argmax, h_top, h, c, d_e, d_drive, d_base, d_recurrent, d_injected):  # fmt: skip
    """The gradient of `forward`, for samples ``first`` to ``last``.

    Args, beside those of `forward`:
        drive [k * k, L * 4C, C], recurrent [L, k * k, 4C, 2C]: the same weights for the way back, taps in the reverse
            order.
        h_top [T, B, P, C], h, c [L, B, P, C]: gradients. The last two turn from those of the carry after all ticks to
            those of the carry before.
        d_e: [T, B, P, C], is filled.
        d_drive, d_base, d_recurrent: in the shapes of the weights of `forward`, are added to.
        d_injected: [B, L, N, K * 4C], is filled where something is injected.
    """
    (H, W, k), (L, _, P, C) = shape, h.shape
    kk, row, gates_row, wide = k * k, 4 * C, 16 * C, L * 16 * C
    pitch = W + k // 2
    up, across = (H, W) if kernels.anew_back else (1, (H - 1) * pitch + W)
    margin, count = (k // 2) * (pitch + 1), H * pitch + kernels.room
    inside = (H - 1) * pitch + W  # from the first cell to the last
    place = np.array([y * pitch + x for y in range(H) for x in range(W)])
    taps, z_taps, drive_taps = taps_of(k, pitch, row), taps_of(k, pitch, gates_row), taps_of(k, pitch, wide)
    own, other = lines(count + 2 * margin, C)[margin:], lines(count + 2 * margin, C)[margin:]
    dz, dz_drive = lines(count + 2 * margin, 4 * C)[margin:], lines(count + 2 * margin, L * 4 * C)[margin:]
    dx, zeros, d_pooled = lines(count, 2 * C), lines(1, 2 * C), lines(1, 2 * C)[0]
    unused = lines(1, 4 * C * (np.max(kind) + 1))
    for b in range(first, last):
        n = len(keep) - 1
        for t in range(len(repeats) - 1, -1, -1):
            h[L - 1, b] += h_top[t, b]
            dz_drive[:] = ZERO
            for _ in range(repeats[t]):
                n -= 1
                kept = keep[n, b]
                for i in range(L - 1, -1, -1):
                    injected = at(unused)
                    if inject.shape[1]:
                        d_injected[b, i, n] = ZERO
                        injected = at(d_injected[b, i, n])
                    call(kernels.gates_back, (
                        P, C, at(place), at(kind), at(gates[b, i, n]), at(cells[b, i, n]), at(cells[b, i, n + 1]),
                        at(h[i, b]), at(c[i, b]), np.int64(kept), at(dz), at(dz_drive) + i * gates_row, wide, injected,
                    ))  # fmt: skip
                    if kept == ZERO:
                        own[:inside] = ZERO
                    else:
                        put(hidden[b, i, n], own, place)
                    call(kernels.correlate, (at(d_recurrent[i, 1]), at(own), C, at(taps), kk, at(dz), 4 * C, inside))
                    begin = C
                    if below[i] >= 0:
                        begin, of_last_tick = 0, below[i] >= i
                        if of_last_tick and kept == ZERO:
                            other[:inside] = ZERO
                        else:
                            put(hidden[b, below[i], n if of_last_tick else n + 1], other, place)
                        call(kernels.correlate, (at(d_recurrent[i, 0]), at(other), C, at(taps), kk, at(dz), 4 * C,
                                                 inside))  # fmt: skip
                    call(kernels.convolve_back, (
                        at(dx) + 4 * begin, 2 * row, at(zeros), 0, at(dz), 4 * C, at(z_taps), kk,
                        at(recurrent[i]) + 4 * begin, 2 * row, 2 * C - begin, up, across, pitch,
                    ))  # fmt: skip
                    if inject.shape[1]:
                        for j in range(2 * C):
                            d_pooled[j] = ZERO
                            for m in range(inject.shape[2]):
                                d_pooled[j] += d_injected[b, i, n, m] * inject[i, j, m]
                    for p in range(P):
                        for j in range(C):
                            h[i, b, p, j] = kept * (dx[place[p], C + j] + d_pooled[j] / np.float32(P))
                    if inject.shape[1]:
                        for j in range(C):
                            h[i, b, argmax[b, i, n, j], j] += kept * d_pooled[C + j]
                    if below[i] >= 0:
                        passed = kept if of_last_tick else ONE
                        for p in range(P):
                            for j in range(C):
                                h[below[i], b, p, j] += passed * dx[place[p], j]
            put(e[t, b], own, place)
            call(kernels.correlate, (at(d_drive), at(own), C, at(taps), kk, at(dz_drive), L * 4 * C, inside))
            for p in range(P):
                d_base[p] += dz_drive[place[p]]
            call(kernels.convolve_back, (at(dx), row, at(zeros), 0, at(dz_drive), L * 4 * C, at(drive_taps), kk,
                                         at(drive), row, C, up, across, pitch))  # fmt: skip
            take(dx.reshape(-1, C), d_e[t, b], place)
