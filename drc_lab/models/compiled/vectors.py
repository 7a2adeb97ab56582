"""The innermost loops, written for LLVM in whole vectors: a compiler that has to find them leaves half of the speed.

Numba calls these as functions. What is a size of the code (rows, vectors, lanes, switches) has to be a constant where
they are called. Everything else is an int64: addresses, and distances in bytes. Nothing is checked.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

FLAGS = ("contract", "reassoc", "arcp", "nsz")  # as in `drc_lab.numerics`: a NaN has to come through
intrinsic: Any = extending.intrinsic  # as typed it would want the context that Numba adds from callers
INT64, INT32, INT16, FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.FloatType()

# Of tanh as the ratio of two polynomials, within 3e-7 of the exact value; the coefficients that Eigen uses.
TANH_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
          1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)  # fmt: skip
TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
TANH_LIMIT = 7.90531110763549805  # beyond it is 1

SINGLE, PAIRS, PLAIN_PAIRS = range(3)  # what is multiplied, see `Code.add_product`
SUMS_UNDER_WAY = 10  # that a CPU can keep adding to, one after the other, without waiting for the first


class Registers(NamedTuple):
    """Of a CPU: floats in one, and how many there are."""

    lanes: int
    number: int


def registers() -> Registers:
    """Of this CPU."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Registers(16, 32)
    if features.get("avx"):
        return Registers(8, 16)
    return Registers(4, 16 if llvm.get_default_triple().startswith("x86") else 32)


def multiplies_pairs() -> bool:
    """Whether this CPU has an instruction for `Code.add_product` of PAIRS."""
    return bool(llvm.get_host_cpu_features().get("avx512bf16"))


class Code:
    """Emits vector instructions.

    Args:
        builder: of LLVM's.
        lanes: floats in a vector.
    """

    def __init__(self, builder: ir.IRBuilder, lanes: int):
        self.b, self.lanes = builder, lanes
        self.vector = ir.VectorType(FLOAT, lanes)

    def at(self, address: ir.Value, kind: ir.Type) -> ir.Value:
        return self.b.inttoptr(address, ir.PointerType(kind))

    def plus(self, address: ir.Value, distance: Any) -> ir.Value:
        return self.b.add(address, INT64(distance) if isinstance(distance, int) else distance)

    def step(self, address: ir.Value, distance: ir.Value, times: int) -> ir.Value:
        return self.b.add(address, self.b.mul(distance, INT64(times)))

    def load(self, address: ir.Value, kind: ir.Type | None = None) -> ir.Value:
        value = self.b.load(self.at(address, kind or self.vector))
        value.align = 4
        return value

    def store(self, value: ir.Value, address: ir.Value) -> None:
        self.b.store(value, self.at(address, value.type)).align = 4

    def fill(self, value: ir.Value) -> ir.Value:
        """A vector of one number."""
        kind = ir.VectorType(value.type, self.lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
        places = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)

    def spread(self, address: ir.Value) -> ir.Value:
        """A vector of the one number that is there."""
        return self.fill(self.load(address, FLOAT))

    def const(self, number: float) -> ir.Value:
        return ir.Constant(self.vector, [float(np.float32(number))] * self.lanes)

    def add(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.fadd(x, y, flags=FLAGS)

    def sub(self, x: ir.Value, y: ir.Value) -> ir.Value:
        return self.b.fsub(x, y, flags=FLAGS)

    def mul(self, *factors: ir.Value) -> ir.Value:
        product = factors[0]
        for factor in factors[1:]:
            product = self.b.fmul(product, factor, flags=FLAGS)
        return product

    def fma(self, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z."""
        return self.add(self.mul(x, y), z)

    def add_product(self, kind: int, x: ir.Value, y: ir.Value, z: ir.Value) -> ir.Value:
        """x * y + z. x and y are floats (SINGLE), or two bfloat16 in each lane, whose products are both added: by the
        instruction for it (PAIRS), or as it is defined, on any CPU (PLAIN_PAIRS)."""
        if kind == SINGLE:
            return self.fma(x, y, z)
        words = ir.VectorType(INT32, self.lanes)
        x, y = (self.b.bitcast(value, words) for value in (x, y))
        if kind == PAIRS and self.lanes >= 4:
            name = f"llvm.x86.avx512bf16.dpbf16ps.{32 * self.lanes}"
            function = cgutils.get_or_insert_function(
                self.b.module, ir.FunctionType(self.vector, [self.vector, words, words]), name
            )
            return self.b.call(function, [z, x, y])
        upper, places = (ir.Constant(words, [number] * self.lanes) for number in (0xFFFF0000, 16))
        for part in (lambda word: self.b.and_(word, upper), lambda word: self.b.shl(word, places)):
            one, other = (self.b.bitcast(part(word), self.vector) for word in (x, y))
            z = self.fma(one, other, z)
        return z

    def polynomial(self, x: ir.Value, coefficients: Sequence[float]) -> ir.Value:
        value = self.const(coefficients[0])
        for coefficient in coefficients[1:]:
            value = self.fma(value, x, self.const(coefficient))
        return value

    def tanh(self, *many: ir.Value) -> list[ir.Value]:
        """Of each, within 5e-7; NaN stays NaN. Divisions take longest: there is one, by the product of all."""
        above, beneath = [], []
        for x in many:
            for sign, limit in ((">", TANH_LIMIT), ("<", -TANH_LIMIT)):
                x = self.b.select(self.b.fcmp_ordered(sign, x, self.const(limit)), self.const(limit), x)
            y = self.mul(x, x)
            above.append(self.mul(x, self.polynomial(y, TANH_P)))
            beneath.append(self.polynomial(y, TANH_Q))
        inverse = self.b.fdiv(self.const(1), self.mul(*beneath), flags=FLAGS)
        others = [[y for m, y in enumerate(beneath) if m != n] for n in range(len(many))]
        return [
            self.mul(x, inverse, self.mul(*rest) if rest else self.const(1))
            for x, rest in zip(above, others, strict=True)
        ]

    def one_minus(self, x: ir.Value) -> ir.Value:
        return self.sub(self.const(1), x)


class Loop:
    """A loop in LLVM's code, with values that go round; ``with`` its body.

    Args:
        code: emits.
        count: of rounds, at least 1.
        values: before the first round. ``values`` are those of the present one; set ``after`` to those after it.
    """

    def __init__(self, code: Code, count: ir.Value, values: Sequence[ir.Value]):
        self.code, self.count, self.before = code, count, list(values)

    def __enter__(self) -> "Loop":
        b = self.code.b
        start = b.block
        self.body, self.done = (b.append_basic_block(name) for name in ("round", "done"))
        b.branch(self.body)
        b.position_at_end(self.body)
        self.number = b.phi(INT64)
        self.number.add_incoming(INT64(0), start)
        self.values = [b.phi(value.type) for value in self.before]
        for phi, value in zip(self.values, self.before, strict=True):
            phi.add_incoming(value, start)
        self.after = self.values
        return self

    def __exit__(self, *error: object) -> None:
        b = self.code.b
        following = b.add(self.number, INT64(1))
        self.number.add_incoming(following, b.block)
        for phi, value in zip(self.values, self.after, strict=True):
            phi.add_incoming(value, b.block)
        b.cbranch(b.icmp_signed("<", following, self.count), self.body, self.done)
        b.position_at_end(self.done)


def _void(sizes: Sequence[types.Type], numbers: Sequence[types.Type], write: Callable[..., None]) -> Any:
    """What an intrinsic returns: its signature, and its code by ``write(builder, *numbers)``."""
    signature = types.void(*sizes, *(number if isinstance(number, types.Float) else types.int64 for number in numbers))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        write(builder, *args[len(sizes) :])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def call(typingctx, address, numbers):
    """Calls the function without a result that is at an address, with some int64."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        given = cgutils.unpack_tuple(b, args[1])
        kind = ir.FunctionType(ir.VoidType(), [INT64] * len(given))
        b.call(b.inttoptr(args[0], ir.PointerType(kind)), given)
        return context.get_dummy_value()

    return types.void(types.int64, types.UniTuple(types.int64, len(numbers))), codegen


@intrinsic
def number_at(typingctx, address):
    """The int64 at an address."""

    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        return b.load(b.inttoptr(args[0], ir.PointerType(INT64)))

    return types.int64(types.int64), codegen


@intrinsic(prefer_literal=True)
def conv_row(
    typingctx, width, rows, vectors, lanes, kernel_size, kind, out, out_row, init, init_row, x, x_row, ups, D, w, w_row
):
    """A row of ``width`` cells of a convolution, ``vectors`` x ``lanes`` of its features. What lies outside of the row
    is not read, and nothing is computed with it.

    Args:
        rows: cells whose sums are in registers at a time.
        kernel_size: of the convolution; an even one sees one cell less before than after.
        kind: of the inputs and weights, see `Code.add_product`; pairs are of inputs that follow each other, and count
            as one.
        out, out_row: float32, of the first cell's first feature, and the distance to the next cell's.
        init, init_row: what the sums begin with; may be the same.
        x, x_row: of the first cell's D features in the uppermost row that is seen, and to the next cell's.
        ups: rows that are seen, at least 1, one after the other.
        w, w_row: of the weight of the first input of the first tap in that row, and to the next input's; taps follow
            each other.
    """
    W, R, V, L, k, of = (n.literal_value for n in (width, rows, vectors, lanes, kernel_size, kind))
    before = (k - 1) // 2

    def write(b, out, out_row, init, init_row, x, x_row, ups, D, w, w_row):
        code = Code(b, L)
        zero, of_tap, up = code.const(0), b.mul(D, w_row), b.mul(x_row, INT64(W))
        for start in range(0, W, R):
            cells = range(start, min(start + R, W))
            pairs = [(cell, tap) for tap in range(-before, k - before) for cell in cells if 0 <= cell + tap < W]
            apart = len(cells) * V < SUMS_UNDER_WAY  # sums of each tap by itself: not to wait for the one before
            order = [(cell, tap, j) for cell, tap in pairs for j in range(V)]
            if len(cells) + k - 1 > V * k:  # weights are fewer: they stay in registers, not the inputs
                order.sort(key=lambda each: each[0] + each[1])
            keys = list(dict.fromkeys((cell, apart * tap, j) for cell, tap, j in order))

            def place(base, row, cell, j):
                return code.plus(code.step(base, row, cell), 4 * L * j)

            sums = [code.load(place(init, init_row, cell, j)) if tap == 0 else zero for cell, tap, j in keys]
            with Loop(code, ups, [w, x, *sums]) as seen:
                with Loop(code, D, seen.values) as feature:
                    at, here, *sums = feature.values
                    total = dict(zip(keys, sums, strict=True))
                    for cell, tap, j in order:  # LLVM loads once what comes more than once
                        value = code.spread(place(here, x_row, cell + tap, 0))
                        weight = code.load(code.plus(code.step(at, of_tap, tap + before), 4 * L * j))
                        key = cell, apart * tap, j
                        total[key] = code.add_product(of, value, weight, total[key])
                    feature.after = [code.plus(at, w_row), code.plus(here, 4), *total.values()]
                row = b.mul(of_tap, INT64(k))
                seen.after = [code.plus(seen.values[0], row), code.plus(seen.values[1], up), *feature.after[2:]]
            total = dict(zip(keys, seen.after[2:], strict=True))
            for cell in cells:
                for j in range(V):
                    of_taps = [total[key] for key in keys if (key[0], key[2]) == (cell, j)]
                    code.store(reduce(code.add, of_taps), place(out, out_row, cell, j))

    sizes, numbers = (width, rows, vectors, lanes, kernel_size, kind), (out, out_row, init, init_row, x, x_row, ups, D)
    return _void(sizes, (*numbers, w, w_row), write)


@intrinsic(prefer_literal=True)
def round_row(typingctx, lanes, x, out):
    """``lanes`` floats to as many bfloat16, the nearest, of two as near the even one; NaN stays NaN."""
    L = lanes.literal_value

    def write(b, x, out):
        code = Code(b, L)
        words, value = ir.VectorType(INT32, L), code.load(x)
        bits = b.bitcast(value, words)

        def of(number: int) -> ir.Value:
            return ir.Constant(words, [number] * L)

        odd = b.and_(b.lshr(bits, of(16)), of(1))
        nearest = b.add(bits, b.add(odd, of(0x7FFF)))
        quiet = b.or_(bits, of(0x00400000))  # a bit that is not cut off
        rounded = b.select(b.fcmp_unordered("uno", value, value), quiet, nearest)
        halves = b.trunc(b.lshr(rounded, of(16)), ir.VectorType(INT16, L))
        b.store(halves, code.at(out, halves.type)).align = 2

    return _void((lanes,), (x, out), write)


@intrinsic(prefer_literal=True)
def outer_tile(typingctx, rows, vectors, lanes, out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups):
    """Adds a sum of outer products: ``rows`` features of x by ``vectors`` x ``lanes`` features of z, over the cells.

    Args:
        out, out_row: float32, of the first feature of both, and the distance to the next of x.
        x, x_row, x_up, z, z_row, z_up: of the first cell's, to the next cell's, and to the next row of the board.
        cells, ups: of a row, and how many rows.
    """
    R, V, L = (n.literal_value for n in (rows, vectors, lanes))

    def write(b, out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups):
        code = Code(b, L)
        places = [code.plus(code.step(out, out_row, i), 4 * L * j) for i in range(R) for j in range(V)]
        with Loop(code, ups, [x, z, *(code.load(place) for place in places)]) as up:
            with Loop(code, cells, up.values) as cell:
                of_x, of_z, *sums = cell.values
                inputs = [code.spread(code.plus(of_x, 4 * i)) for i in range(R)]
                others = [code.load(code.plus(of_z, 4 * L * j)) for j in range(V)]
                sums = [code.fma(inputs[n // V], others[n % V], total) for n, total in enumerate(sums)]
                cell.after = [code.plus(of_x, x_row), code.plus(of_z, z_row), *sums]
            up.after = [code.plus(up.values[0], x_up), code.plus(up.values[1], z_up), *cell.after[2:]]
        for place, total in zip(places, up.after[2:], strict=True):
            code.store(total, place)

    return _void((rows, vectors, lanes), (out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups), write)


@intrinsic(prefer_literal=True)
def gates_forward(typingctx, lanes, sigmoid_output, save, gate, z, inject, c, c_new, h, kept, total, peak, where, cell):
    """``lanes`` channels of one cell of the board: from pre-activations to the new cell and hidden state.

    Args:
        gate: distance from a gate to the next, in the order i, f, g, o.
        z, inject: of the pre-activations and what is added to them.
        c, c_new, h: of the cell state before and after, which may be the same, and of the hidden state.
        kept: where the gates go as well, with ``save``.
        total, peak, where: of the sum and the maximum of h over cells, and the cell (int32) of the maximum, so far.
        cell: the number of this one.
    """
    L, sigmoid, saved = (n.literal_value for n in (lanes, sigmoid_output, save))

    def write(b, gate, z, inject, c, c_new, h, kept, total, peak, where, cell):
        code = Code(b, L)
        half = code.const(0.5)
        before = [code.add(*(code.load(code.step(at, gate, n)) for at in (z, inject))) for n in range(4)]
        halved = (True, True, False, sigmoid)  # sigmoid(x) = 1/2 + tanh(x / 2) / 2
        gates = code.tanh(*(code.mul(half, x) if is_half else x for x, is_half in zip(before, halved, strict=True)))
        i, f, g, o = (code.fma(half, x, half) if is_half else x for x, is_half in zip(gates, halved, strict=True))
        state = code.fma(f, code.load(c), code.mul(i, g))
        hidden = code.mul(o, *code.tanh(state))
        code.store(state, c_new)
        code.store(hidden, h)
        if saved:
            for n, value in enumerate((i, f, g, o)):
                code.store(value, code.step(kept, gate, n))
        code.store(code.add(code.load(total), hidden), total)
        most = code.load(peak)
        higher = b.fcmp_ordered(">", hidden, most)
        code.store(b.select(higher, hidden, most), peak)
        here = code.fill(b.trunc(cell, INT32))
        code.store(b.select(higher, here, code.load(where, ir.VectorType(INT32, L))), where)

    numbers = gate, z, inject, c, c_new, h, kept, total, peak, where, cell
    return _void((lanes, sigmoid_output, save), numbers, write)


@intrinsic(prefer_literal=True)
def gates_backward(typingctx, lanes, sigmoid_output, gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject):
    """``lanes`` channels of one cell of the board: from the gradients of h and c to those of the pre-activations.

    Args:
        gate: distance from a gate to the next.
        kept: of the gates.
        c, c_new: of the cell state before and after.
        dh, dc: of the gradients; dc becomes that of the cell state before.
        keep: float32, 0 where the episode begins with this tick, else 1.
        dz: where the gradient goes; it is added to what is at d_drive and d_inject.
    """
    L, sigmoid = (n.literal_value for n in (lanes, sigmoid_output))

    def write(b, gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject):
        code = Code(b, L)
        stays = code.fill(keep)
        i, f, g, o = (code.load(code.step(kept, gate, n)) for n in range(4))
        (tanh_c,), of_h = code.tanh(code.load(c_new)), code.load(dh)
        of_c = code.fma(code.mul(of_h, o), code.one_minus(code.mul(tanh_c, tanh_c)), code.load(dc))
        code.store(code.mul(of_c, f, stays), dc)
        slope = code.mul(o, code.one_minus(o)) if sigmoid else code.one_minus(code.mul(o, o))
        gradients = (
            code.mul(of_c, g, i, code.one_minus(i)),
            code.mul(of_c, code.load(c), stays, f, code.one_minus(f)),
            code.mul(of_c, i, code.one_minus(code.mul(g, g))),
            code.mul(of_h, tanh_c, slope),
        )
        for n, gradient in enumerate(gradients):
            code.store(gradient, code.step(dz, gate, n))
            for place in (d_drive, d_inject):
                there = code.step(place, gate, n)
                code.store(code.add(code.load(there), gradient), there)

    return _void((lanes, sigmoid_output), (gate, kept, c, c_new, dh, dc, keep, dz, d_drive, d_inject), write)
