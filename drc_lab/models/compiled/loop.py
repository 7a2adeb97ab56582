"""The tick loop over a whole sequence and its gradient, as two compiled functions for a range of samples.

A few samples go through all steps, ticks and layers before the next few, so that their activations stay in the cache.
All maps are [P, features], with cell (y, x) at index y * W + x.
"""

import numpy as np

from drc_lab.models.compiled.memory import at, call, lines
from drc_lab.numerics import jit

ZERO, ONE = np.float32(0), np.float32(1)


@jit
def pool(source, total, peak, where):
    """Writes the sum, the maximum and the cell of the maximum of each feature of a map [P, C]."""
    total[:], peak[:], where[:] = ZERO, -np.inf, 0
    for p in range(len(source)):
        for j in range(source.shape[1]):
            total[j] += source[p, j]
            where[j] = p if source[p, j] > peak[j] else where[j]
            peak[j] = max(source[p, j], peak[j])


@jit
def add(source, target):
    """Adds the map ``source`` [P, F] to ``target``."""
    for p in range(len(target)):
        for j in range(target.shape[1]):
            target[p, j] += source[p, j]


@jit
def forward(first, last, kernels, shape, kind, repeats, keep, below, e, h, c, drive, base, recurrent, inject, h_top,
            h_end, c_end, gates, cells, hidden, pooled, argmax):  # fmt: skip
    """Runs all ticks for samples ``first`` to ``last``.

    Fills h_top [T, B, P, C], h_end and c_end [L, B, P, C], and the activations for the backward pass, for these
    samples.

    Args, float32 unless noted:
        first, last: range of samples, without ``last``.
        kernels: see `drc_lab.models.compiled.kernels.Kernels`.
        shape: H, W, k.
        kind: int64 [P], the kind of each cell, of K kinds (`drc_lab.models.spatial.tap_kinds`).
        repeats: int64 [T], ticks of each step; N in total.
        keep: [N + 1, B], 0 where an episode begins with that tick, else 1.
        below: int64 [L], the layer whose h each layer reads besides its own, or -1; the first layer reads the h of the
            previous tick.
        e: [T, B, P, C], the encoded observations.
        h, c: [L, B, P, C], the carry before the first tick.
        drive: [k * k, C, L * 4C].
        base: [P, L * 4C].
        recurrent: [L, 2, k * k, C, 4C], for the h of the layer below and for the layer's own h. If ``kernels.packed``
            is 2, it and the drive hold pairs of bfloat16 [.., C / 2, .., 2], each pair in place of a float32.
        inject: [L, 2C, K * 4C], or [.., 0, ..] without pool-and-inject.
        h_top, h_end, c_end: outputs: the top layer's h after each step, and the carry after the last.
        gates [B, L, N, P, 4C], cells and hidden [B, L, N + 1, P, C], pooled [B, L, N, 2C], argmax int32 [B, L, N, C]:
            outputs: the activations for the backward pass; empty if they are not needed.
    """
    (H, _, k), (L, B, P, C), N, G = shape, h.shape, len(keep) - 1, kernels.samples
    row, gates_row, wide, save = 4 * C, 16 * C, L * 16 * C, gates.size > 0  # bytes per cell: state, gates, drive
    matrix, layer = k * k * C * gates_row // kernels.packed, P * row  # bytes of a convolution's weights, and of a map
    D, half, half_layer = C // kernels.packed, row // 2, layer // 2  # inputs; bytes of a cell and a map in bfloat16
    drive_map, z, blank = lines(G * P, wide // 4), lines(P, 4 * C), lines(P, C)
    low_e, low_h = lines(P, C // 2), lines(G * L * P, C // 2)  # in bfloat16: e of the current step, current h
    own_h, own_c = lines(G * L * P, C).reshape(G, L, P, C), lines(G * L * P, C).reshape(G, L, P, C)
    added, seen, zeros = lines(G, 4 * C * (np.max(kind) + 1)), lines(G, 2 * C), lines(1, 4 * C)
    total, peak = lines(G * L, C).reshape(G, L, C), lines(G * L, C).reshape(G, L, C)
    where = np.zeros((G, L, C), np.int32)
    for group in range(first, last, G):
        samples = min(G, last - group)
        for g in range(samples):
            for i in range(L):
                pool(h[i, group + g], total[g, i], peak[g, i], where[g, i])
                if save:
                    cells[group + g, i, 0], hidden[group + g, i, 0] = c[i, group + g], h[i, group + g]
                else:
                    own_c[g, i], own_h[g, i] = c[i, group + g], h[i, group + g]
                if kernels.packed == 2:
                    call(kernels.round, (P * C, at(h) + (i * B + group + g) * layer,
                                          at(low_h) + (g * L + i) * half_layer))  # fmt: skip
        n = 0
        for t in range(len(repeats)):
            for g in range(samples):
                if keep[n, group + g] == ZERO:
                    own_h[g], own_c[g] = ZERO, ZERO
                    total[g], peak[g], where[g] = ZERO, ZERO, 0
                seen_e, seen_row = at(e) + (t * B + group + g) * layer, row
                if kernels.packed == 2:
                    if keep[n, group + g] == ZERO:
                        low_h[g * L * P : (g + 1) * L * P] = ZERO
                    call(kernels.round, (P * C, seen_e, at(low_e)))
                    seen_e, seen_row = at(low_e), half
                call(kernels.convolve, (
                    at(drive_map) + g * P * wide, wide, at(base), wide, seen_e, seen_row, D, at(drive), wide,
                    L * 4 * C, H,
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
                            inject.shape[2], at(zeros), 0,
                        ))  # fmt: skip
                    for g in range(samples):
                        old_h = new_h = at(own_h) + (g * L + i) * layer
                        old_c = new_c = at(own_c) + (g * L + i) * layer
                        under, kept = at(own_h) + (g * L + below[i]) * layer, at(zeros)
                        if save:
                            sample = (group + g) * L
                            of_h, of_c = at(hidden) + n * layer, at(cells) + n * layer
                            old_h, old_c = of_h + (sample + i) * (N + 1) * layer, of_c + (sample + i) * (N + 1) * layer
                            new_h, new_c = old_h + layer, old_c + layer
                            under = of_h + (sample + below[i]) * (N + 1) * layer + (below[i] < i) * layer
                            kept = at(gates) + ((sample + i) * N + n) * P * gates_row
                            if keep[n, group + g] == ZERO:
                                old_h = old_c = at(blank)
                                under = under if below[i] < i else at(blank)
                        if kernels.packed == 2:
                            old_h = at(low_h) + (g * L + i) * half_layer
                            under = at(low_h) + (g * L + below[i]) * half_layer
                        weights = at(recurrent) + 2 * i * matrix
                        begin, begin_row = at(drive_map) + g * P * wide + i * gates_row, wide
                        if below[i] >= 0:
                            call(kernels.convolve, (at(z), gates_row, begin, begin_row, under, seen_row, D, weights,
                                                    gates_row, 4 * C, H))  # fmt: skip
                            begin, begin_row = at(z), gates_row
                        call(kernels.convolve, (at(z), gates_row, begin, begin_row, old_h, seen_row, D,
                                                weights + matrix, gates_row, 4 * C, H))  # fmt: skip
                        for j in range(C):
                            total[g, i, j], peak[g, i, j], where[g, i, j] = ZERO, -np.inf, 0
                        pools = (g * L + i) * row
                        call(kernels.gates, (
                            P, C, at(kind), at(z), at(added) + 4 * g * added.shape[1], old_c, new_c, new_h, kept,
                            at(total) + pools, at(peak) + pools, at(where) + pools,
                        ))  # fmt: skip
                        if kernels.packed == 2:
                            call(kernels.round, (P * C, new_h, at(low_h) + (g * L + i) * half_layer))
                n += 1
            for g in range(samples):
                h_top[t, group + g] = hidden[group + g, L - 1, n] if save else own_h[g, L - 1]
        for g in range(samples):
            for i in range(L):
                h_end[i, group + g] = hidden[group + g, i, N] if save else own_h[g, i]
                c_end[i, group + g] = cells[group + g, i, N] if save else own_c[g, i]


@jit
def backward(first, last, kernels, shape, kind, repeats, keep, below, e, drive, recurrent, inject, gates, cells, hidden,
             argmax, h_top, h, c, d_e, d_drive, d_base, d_recurrent, d_injected):  # fmt: skip
    """The gradient of `forward`, for samples ``first`` to ``last``.

    Args, where they differ from those of `forward`:
        drive [k * k, L * 4C, C], recurrent [L, k * k, 4C, 2C], inject [L, K * 4C, 2C] or [.., 0, ..]: the same weights
            in the layout of the backward pass, taps in reverse order; the first two packed if ``kernels.packed`` is 2.
        h_top [T, B, P, C]: the gradient of h_top.
        h, c [L, B, P, C]: on entry the gradients of h_end and c_end, on return those of the carry before the first
            tick.
        d_e: [T, B, P, C], is filled.
        d_drive, d_base, d_recurrent: have the shapes of the weights of `forward`; the gradients are added to them.
        d_injected: [B, L, N, K * 4C], is filled if there is pool-and-inject.
    """
    (H, _, k), (L, B, P, C), N, G = shape, h.shape, len(keep) - 1, kernels.samples
    row, gates_row, wide, packed = 4 * C, 16 * C, L * 16 * C, kernels.packed  # bytes per cell: state, gates, drive
    matrix, layer = k * k * C * gates_row, P * row  # bytes of a convolution's weights in float32, and of a map
    dz, dz_drive = lines(G * P, 4 * C), lines(G * P, wide // 4).reshape(G, P, wide // 4)
    low = lines(P, wide // 8 if packed == 2 else 1)  # a gradient in bfloat16
    zeros, d_pooled, injected = lines(1, 2 * C), lines(G, 2 * C), lines(G, 4 * C * (np.max(kind) + 1))
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
                        cell = at(cells) + ((b * L + i) * (N + 1) + n) * layer
                        carry = (i * B + b) * layer
                        call(kernels.gates_backward, (
                            P, C, at(kind), at(gates) + ((b * L + i) * N + n) * P * gates_row, cell, cell + layer,
                            at(h) + carry, at(c) + carry, np.int64(keep[n, b]), at(dz) + g * P * gates_row,
                            at(dz_drive) + g * P * wide + i * gates_row, wide, at(injected) + 4 * g * injected.shape[1],
                        ))  # fmt: skip
                        if inject.shape[1]:
                            d_injected[b, i, n] = injected[g]
                    if inject.shape[1]:
                        call(kernels.multiply_backward, (
                            at(d_pooled), at(injected), inject.shape[1],
                            at(inject) + 4 * i * inject.shape[1] * inject.shape[2], 2 * C, at(zeros), 0,
                        ))  # fmt: skip
                    for g in range(samples):
                        b = group + g
                        gradient, kept = at(dz) + g * P * gates_row, keep[n, b] != ZERO
                        weights, d_weights = at(recurrent) + 2 * i * matrix // packed, at(d_recurrent) + 2 * i * matrix
                        seen, seen_row = gradient, gates_row
                        if packed == 2:
                            call(kernels.round, (P * 4 * C, gradient, at(low)))
                            seen, seen_row = at(low), gates_row // 2
                        if kept:
                            call(kernels.correlate, (
                                d_weights + matrix, at(hidden) + ((b * L + i) * (N + 1) + n) * layer, C, gradient,
                                gates_row, 4 * C, H,
                            ))  # fmt: skip
                            for j in range(C):
                                d_pooled[g, j] /= np.float32(P)
                            call(kernels.convolve_backward, (
                                at(h) + (i * B + b) * layer, row, at(d_pooled) + 2 * g * row, 0, seen, seen_row,
                                4 * C // packed, weights + row, 2 * row, C, H,
                            ))  # fmt: skip
                            if inject.shape[1]:
                                for j in range(C):
                                    h[i, b, argmax[b, i, n, j], j] += d_pooled[g, C + j]
                        else:
                            h[i, b] = ZERO
                        if below[i] >= 0 and (kept or below[i] < i):
                            to = at(h) + (below[i] * B + b) * layer
                            under = ((b * L + below[i]) * (N + 1) + n + (below[i] < i)) * layer
                            call(kernels.correlate, (d_weights, at(hidden) + under, C, gradient, gates_row, 4 * C, H))
                            call(kernels.convolve_backward, (to, row, to, row, seen, seen_row, 4 * C // packed, weights,
                                                         2 * row, C, H))  # fmt: skip
            for g in range(samples):
                of_e, gradient = (t * B + group + g) * layer, at(dz_drive) + g * P * wide
                call(kernels.correlate, (at(d_drive), at(e) + of_e, C, gradient, wide, L * 4 * C, H))
                add(dz_drive[g], d_base)
                seen, seen_row = gradient, wide
                if packed == 2:
                    call(kernels.round, (P * L * 4 * C, gradient, at(low)))
                    seen, seen_row = at(low), wide // 2
                call(kernels.convolve_backward, (at(d_e) + of_e, row, at(zeros), 0, seen, seen_row, L * 4 * C // packed,
                                             at(drive), row, C, H))  # fmt: skip
