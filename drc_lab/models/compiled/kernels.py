"""The kernels of the tick loop, compiled for the sizes of a net: convolutions, their gradients, and gates.

Most process one sample. Each kernel is small and compiles quickly; the loop around them is the same for all nets, and
is compiled only once. Kernels take addresses and strides in bytes, as int64. Nothing is checked.
"""

from collections.abc import Callable
from functools import cache
from typing import Any, NamedTuple

import numba
import numpy as np
from numba import types

from drc_lab.models.compiled.emit import PAIRS, PLAIN_PAIRS, SINGLE, multiplies_pairs, registers
from drc_lab.models.compiled.gates import gates_backward, gates_forward
from drc_lab.models.compiled.memory import number_at
from drc_lab.models.compiled.products import conv_row, outer_tile, round_row
from drc_lab.numerics import CACHED, FASTMATH

BYTES_OF_A_PANEL = 24 * 1024  # weights that fit into the L1 cache while the rows of the board are processed
# This many samples go through a tick together if their pre-activations take fewer than BYTES_OF_A_GROUP bytes.
SAMPLES, BYTES_OF_A_GROUP = 4, 64 * 1024


class Tile(NamedTuple):
    """The block of sums that a kernel keeps in registers: ``rows`` cells by ``vectors`` vectors of ``lanes`` floats."""

    rows: int
    vectors: int
    lanes: int


@cache
def tile(features: int, width: int, kernel_size: int) -> Tile:
    """The tile with the fewest loads per product among those that fit into this CPU's registers.

    Args:
        features: output features, which the tile's vectors have to divide.
        width: cells in a row of the board.
        kernel_size: k of the convolution; 1 for a matrix product.
    """
    lanes, number = registers()
    while features % lanes:
        lanes //= 2
    loads = {}
    for vectors in (4, 2, 1):
        for parts in range(1, width + 1):
            rows = -(-width // parts)
            at_hand = min(rows + kernel_size - 1, width, kernel_size * vectors) + 1
            if features % (vectors * lanes) == 0 and rows * vectors + at_hand <= number:
                loads[Tile(rows, vectors, lanes)] = 1 / rows + 1 / (kernel_size * vectors)
    return min(loads, key=lambda tile: loads[tile]) if loads else Tile(1, 1, lanes)


def kernel(arguments: int) -> Callable[[Callable[..., Any]], Any]:
    """Decorator that compiles a function of this many int64 arguments, for `drc_lab.models.compiled.memory.call`."""
    signature = types.void(*[types.int64] * arguments)
    return numba.cfunc(signature, error_model="numpy", fastmath=FASTMATH, cache=CACHED)


@cache
def convolution(R: int, V: int, L: int, width: int, k: int, kind: int = SINGLE) -> Any:
    before = (k - 1) // 2

    @kernel(11)
    def convolve(out, out_row, init, init_row, x, x_row, D, w, w_row, columns, height):
        """Computes ``columns`` features of all cells, with ``init`` added; D counts inputs, or pairs of them."""
        at_once = k * k * D * V * L * 4 <= BYTES_OF_A_PANEL
        for column in range(0, 4 * columns, 4 * V * L):
            for turn in range(1 if at_once else k):  # rows of taps, the middle one first: it is always on the board
                only = before if turn == 0 else turn - (turn <= before)
                for y in range(height):
                    first, ups = only, 1
                    if at_once:
                        first = max(0, before - y)
                        ups = min(k, height + before - y) - first
                    source, cell = y + first - before, y * width
                    if 0 <= source < height:
                        to = out + cell * out_row + column
                        begin, begin_row = (to, out_row) if turn else (init + cell * init_row + column, init_row)
                        conv_row(
                            width,
                            R,
                            V,
                            L,
                            k,
                            kind,
                            to,
                            out_row,
                            begin,
                            begin_row,
                            x + source * width * x_row,
                            x_row,
                            ups,
                            D,
                            w + first * k * D * w_row + column,
                            w_row,
                        )

    return convolve


@cache
def product(rows: int, R: int, V: int, L: int) -> Any:
    @kernel(7)
    def multiply(out, x, D, w, columns, init, apart):
        """out = x [rows, D] @ w [D, columns] + init; init is [columns] if ``apart`` is 1, and zeros if it is 0."""
        for column in range(0, 4 * columns, 4 * V * L):
            conv_row(
                rows,
                R,
                V,
                L,
                1,
                SINGLE,
                out + column,
                4 * columns,
                init + apart * column,
                0,
                x,
                4 * D,
                1,
                D,
                w + column,
                4 * columns,
            )

    return multiply


@cache
def correlation(R: int, V: int, L: int, width: int, k: int) -> Any:
    reach = k // 2

    @kernel(7)
    def correlate(out, x, D, z, z_row, columns, height):
        """Adds the gradient of a convolution's weights [k * k, D, columns] to ``out``.

        x is the convolution's input, z the gradient of its output.
        """
        for tap in range(k * k):
            up, across = tap // k - reach, tap % k - reach
            ups, cells = height - abs(up), width - abs(across)
            if ups > 0 and cells > 0:
                of_x = x + (max(0, up) * width + max(0, across)) * 4 * D
                of_z = z + (max(0, -up) * width + max(0, -across)) * z_row
                for row in range(0, D, R):
                    for column in range(0, 4 * columns, 4 * V * L):
                        outer_tile(
                            R,
                            V,
                            L,
                            out + (tap * D + row) * 4 * columns + column,
                            4 * columns,
                            of_x + 4 * row,
                            4 * D,
                            width * 4 * D,
                            of_z + column,
                            z_row,
                            width * z_row,
                            cells,
                            ups,
                        )

    return correlate


@cache
def forward_gates(L: int, sigmoid: bool, save: bool) -> Any:
    @kernel(12)
    def gates(cells, C, kind, z, added, c, c_new, h, kept, total, peak, where):
        """Runs `drc_lab.models.compiled.gates.gates_forward` for all cells of a board."""
        row = 4 * C
        for p in range(cells):
            inject = added + number_at(kind + 8 * p) * 4 * row
            for j in range(0, row, 4 * L):
                gates_forward(
                    L,
                    sigmoid,
                    save,
                    row,
                    z + p * 4 * row + j,
                    inject + j,
                    c + p * row + j,
                    c_new + p * row + j,
                    h + p * row + j,
                    kept + p * 4 * row + j,
                    total + j,
                    peak + j,
                    where + j,
                    p,
                )

    return gates


@cache
def backward_gates(L: int, sigmoid: bool) -> Any:
    @kernel(13)
    def gates(cells, C, kind, kept, c, c_new, dh, dc, keeps, dz, dz_drive, drive_row, d_injected):
        """Runs `drc_lab.models.compiled.gates.gates_backward` for all cells of a board."""
        row = 4 * C
        for p in range(cells):
            inject = d_injected + number_at(kind + 8 * p) * 4 * row
            for j in range(0, row, 4 * L):
                gates_backward(
                    L,
                    sigmoid,
                    row,
                    kept + p * 4 * row + j,
                    c + p * row + j,
                    c_new + p * row + j,
                    dh + p * row + j,
                    dc + p * row + j,
                    np.float32(keeps),
                    dz + p * 4 * row + j,
                    dz_drive + p * drive_row + j,
                    inject + j,
                )

    return gates


@cache
def rounding(L: int) -> Any:
    @kernel(3)
    def rounds(numbers, x, out):
        """Rounds ``numbers`` floats at x to bfloat16."""
        for n in range(0, numbers, L):
            round_row(L, x + 4 * n, out + 2 * n)

    return rounds


class Kernels(NamedTuple):
    """The addresses of the kernels for one net and board, and two numbers that say how to call them."""

    convolve: int
    multiply: int
    gates: int
    convolve_backward: int
    multiply_backward: int
    correlate: int
    gates_backward: int
    samples: int  # samples that go through a tick together, so that the injection matrix is read once for all of them
    round: int
    packed: int  # inputs of a convolution that are packed into one number: 2 in bfloat16, else 1


@cache
def kernels_for(
    C: int, height: int, width: int, kernel_size: int, sigmoid: bool, save: bool, bfloat16: bool = False
) -> Kernels:
    """The kernels of a net with C channels on boards of this size.

    Args:
        C, height, width, kernel_size: sizes of the net and the board.
        sigmoid: whether the output gate is a sigmoid instead of a tanh.
        save: whether the gates are stored for the backward pass.
        bfloat16: whether convolutions multiply bfloat16 numbers.
    """
    kind = SINGLE
    if bfloat16:
        kind = PAIRS if multiplies_pairs() else PLAIN_PAIRS
    forward, backward = (tile(n * C, width, kernel_size) for n in (4, 1))
    samples = SAMPLES if height * width * C * 4 * 4 * SAMPLES < BYTES_OF_A_GROUP else 1
    of_samples, of_samples_backward = (tile(n * C, samples, 1) for n in (4, 2))
    outer = tile(4 * C, next(rows for rows in (4, 2, 1) if C % rows == 0), 1)
    return Kernels(
        convolution(*forward, width, kernel_size, kind).address,
        product(samples, *of_samples).address,
        forward_gates(backward.lanes, sigmoid, save).address,
        convolution(*backward, width, kernel_size, kind).address,
        product(samples, *of_samples_backward).address,
        correlation(*outer, width, kernel_size).address,
        backward_gates(backward.lanes, sigmoid).address,
        samples,
        rounding(backward.lanes).address,
        2 if bfloat16 else 1,
    )
