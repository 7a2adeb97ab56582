"""What the tick loop calls, compiled for the sizes of a net: convolutions, their gradients, and gates, of one sample.

Each kernel is small and takes a moment to compile; the loop around them is the same for all nets, and compiled once.
They take addresses and distances in bytes, as int64: nothing is checked.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from drc_lab.models.compiled.vectors import conv_tile, gates_backward, gates_forward, number_at, outer_tile, registers
from drc_lab.numerics import FASTMATH

BYTES_OF_A_PANEL = 24 * 1024  # of weights that stay in the first cache, while one block of cells follows the other
SUMS_UNDER_WAY = 10  # that a CPU can keep adding to, one after the other, without waiting for the first

SAMPLES, BYTES_OF_A_GROUP = 4, 64 * 1024  # of the pre-activations of samples that go through a tick together


class Tile(NamedTuple):
    """What is summed at a time: rows, and vectors of lanes."""

    rows: int
    vectors: int
    lanes: int


def tile(features: int) -> Tile:
    """The largest that fits into this CPU's registers, of vectors that make up so many features."""
    lanes, number = registers()
    while features % lanes:
        lanes //= 2
    vectors = next(v for v in (4, 2, 1) if features % (v * lanes) == 0 and (v < 4 or number > 16))
    return Tile(min(16, (number - 1 - vectors) // vectors), vectors, lanes)


@cache
def blocks(features: int, height: int, width: int, kernel_size: int) -> tuple[int, bool]:
    """Cells of a block of a convolution to so many features, and whether blocks begin anew in each row of the board:
    what leaves the least to be computed in vain."""
    pitch, (most, vectors, _) = width + kernel_size // 2, tile(features)
    costs = {}
    for rows in range(1, most + 1):
        load = max(1 + 1 / rows, SUMS_UNDER_WAY / (rows * vectors))  # weights are loaded once a block
        costs[rows, False] = -(-((height - 1) * pitch + width) // rows) * rows * load
        if (across := -(-width // rows) * rows) <= pitch:
            costs[rows, True] = height * across * load
    return min(costs, key=lambda choice: costs[choice])


def kernel(arguments: int) -> Callable[[Callable], Any]:
    """Compiles a function of so many int64, for `drc_lab.models.compiled.vectors.call`."""
    signature = types.void(*[types.int64] * arguments)
    return numba.cfunc(signature, error_model="numpy", fastmath=FASTMATH, cache=True)


@cache
def convolution(R: int, V: int, L: int) -> Any:
    @kernel(14)
    def convolve(out, out_row, init, init_row, x, D, taps, num_taps, w, w_row, columns, up, across, pitch):
        """``columns`` features of ``up`` times ``across`` cells, from ``init`` on."""
        panel = max(1, BYTES_OF_A_PANEL // (4 * D * V * L))  # taps of which the weights are gone through at a time
        for column in range(0, 4 * columns, 4 * V * L):
            for tap in range(0, num_taps, panel):
                begin, begin_row = (out, out_row) if tap else (init, init_row)
                for y in range(up):
                    for cell in range(y * pitch, y * pitch + across, R):
                        conv_tile(R, V, L, out + cell * out_row + column, out_row, begin + cell * begin_row + column,
                                  begin_row, x + cell * 4 * D, 4 * D, taps + 8 * tap, min(panel, num_taps - tap), D,
                                  w + tap * D * w_row + column, w_row)  # fmt: skip

    return convolve


@cache
def product(R: int, V: int, L: int) -> Any:
    @kernel(7)
    def multiply(out, x, D, w, columns, zeros, no_tap):
        """A matrix [R, D] times another [D, columns]."""
        for column in range(0, 4 * columns, 4 * V * L):
            conv_tile(R, V, L, out + column, 4 * columns, zeros, 0, x, 4 * D, no_tap, 1, D, w + column, 4 * columns)

    return multiply


@cache
def correlation(R: int, V: int, L: int) -> Any:
    @kernel(8)
    def correlate(out, x, D, taps, num_taps, z, columns, cells):
        """Adds the gradient of a convolution's weights [k * k, D, columns], from its input and that of its output."""
        for tap in range(num_taps):
            seen = x + number_at(taps + 8 * tap)
            for row in range(0, D, R):
                for column in range(0, 4 * columns, 4 * V * L):
                    outer_tile(R, V, L, out + (tap * D + row) * 4 * columns + column, 4 * columns, seen + 4 * row,
                               4 * D, z + column, 4 * columns, cells)  # fmt: skip

    return correlate


@cache
def gates_there(L: int, sigmoid: bool, save: bool) -> Any:
    @kernel(14)
    def gates(cells, C, place, kind, z, added, c, c_new, board, kept, kept_h, total, peak, where):
        """The gates of all cells of a board."""
        row = 4 * C
        for p in range(cells):
            at, inject = number_at(place + 8 * p), added + number_at(kind + 8 * p) * 4 * row
            for j in range(0, row, 4 * L):
                gates_forward(
                    L, sigmoid, save, row, z + at * 4 * row + j, inject + j, c + p * row + j, c_new + p * row + j,
                    board + at * row + j, kept + p * 4 * row + j, kept_h + p * row + j, total + j, peak + j, where + j,
                    p,
                )  # fmt: skip

    return gates


@cache
def gates_back(L: int, sigmoid: bool) -> Any:
    @kernel(14)
    def gates(cells, C, place, kind, kept, c, c_new, dh, dc, keeps, dz, dz_drive, drive_row, d_injected):
        """Their gradients."""
        row = 4 * C
        for p in range(cells):
            at, inject = number_at(place + 8 * p), d_injected + number_at(kind + 8 * p) * 4 * row
            for j in range(0, row, 4 * L):
                gates_backward(L, sigmoid, row, kept + p * 4 * row + j, c + p * row + j, c_new + p * row + j,
                               dh + p * row + j, dc + p * row + j, np.float32(keeps), dz + at * 4 * row + j,
                               dz_drive + at * drive_row + j, inject + j)  # fmt: skip

    return gates


class Kernels(NamedTuple):
    """Addresses, for one net and board; and how they are to be called."""

    convolve: int
    multiply: int
    gates: int
    convolve_back: int
    multiply_back: int
    correlate: int
    gates_back: int
    anew: int  # whether blocks of `convolve` begin anew in each row of the board
    anew_back: int
    room: int  # cells that a block may compute beyond the last one
    samples: int  # that go through a tick together, for a matrix of injections that is read once for all


@cache
def kernels_for(C: int, height: int, width: int, kernel_size: int, sigmoid: bool, save: bool) -> Kernels:
    """Those of a net with C channels on such a board; ``save`` is whether the gates are kept for the gradient."""
    (_, V, L), (_, back_V, back_L), (_, both_V, both_L) = (tile(n * C) for n in (4, 1, 2))
    rows, anew = blocks(4 * C, height, width, kernel_size)
    back_rows, back_anew = blocks(C, height, width, kernel_size)
    shared = next(rows for rows in (4, 2, 1) if C % rows == 0)
    samples = SAMPLES if height * width * C * 4 * 4 * SAMPLES < BYTES_OF_A_GROUP else 1
    return Kernels(
        convolution(rows, V, L).address, product(samples, V, L).address, gates_there(back_L, sigmoid, save).address,
        convolution(back_rows, back_V, back_L).address, product(samples, both_V, both_L).address,
        correlation(shared, V, L).address, gates_back(back_L, sigmoid).address, int(anew), int(back_anew),
        max(rows, back_rows), samples,
    )  # fmt: skip
