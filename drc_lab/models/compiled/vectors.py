"""The innermost loops, emitted as LLVM vector instructions: auto-vectorised code was only half as fast.

Numba code calls these as functions. Arguments that shape the generated code (rows, vectors, lanes, switches) have to
be compile-time constants at the call. All others are int64: addresses, strides in bytes, counts. Nothing is checked.
"""

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, NamedTuple

import llvmlite.binding as llvm
import numpy as np
from llvmlite import ir
from numba import extending, types
from numba.core import cgutils

FLAGS = ("contract", "reassoc", "arcp", "nsz")  # as in `drc_lab.numerics`; without "nnan", so that NaNs propagate
intrinsic: Any = extending.intrinsic  # its type asks callers for the typing context, which Numba adds itself
INT64, INT32, INT16, FLOAT = ir.IntType(64), ir.IntType(32), ir.IntType(16), ir.FloatType()

# Coefficients of tanh as the ratio of two polynomials, within 3e-7 of the exact value; the ones that Eigen uses.
TANH_P = (-2.76076847742355e-16, 2.00018790482477e-13, -8.60467152213735e-11, 5.12229709037114e-08,
          1.48572235717979e-05, 6.37261928875436e-04, 4.89352455891786e-03)  # fmt: skip
TANH_Q = (1.19825839466702e-06, 1.18534705686654e-04, 2.26843463243900e-03, 4.89352518554385e-03)
TANH_LIMIT = 7.90531110763549805  # from here on tanh is 1

SINGLE, PAIRS, PLAIN_PAIRS = range(3)  # kinds of product, see `Code.add_product`
SUMS_UNDER_WAY = 10  # independent sums that a CPU needs to add to in turn, so as not to wait for earlier results


class Registers(NamedTuple):
    """A CPU's vector registers: floats per register, and number of registers."""

    lanes: int
    number: int


def registers() -> Registers:
    """The vector registers of this CPU."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f"):
        return Registers(16, 32)
    if features.get("avx"):
        return Registers(8, 16)
    return Registers(4, 16 if llvm.get_default_triple().startswith("x86") else 32)


def multiplies_pairs() -> bool:
    """Whether this CPU has an instruction for PAIRS in `Code.add_product` (AVX512-BF16)."""
    return bool(llvm.get_host_cpu_features().get("avx512bf16"))


class Code:
    """Emits vector instructions.

    Args:
        builder: LLVM's builder of instructions.
        lanes: floats per vector.
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
        """A vector with the same number in all lanes."""
        kind = ir.VectorType(value.type, self.lanes)
        one = self.b.insert_element(ir.Constant(kind, ir.Undefined), value, INT32(0))
        places = ir.Constant(ir.VectorType(INT32, self.lanes), [0] * self.lanes)
        return self.b.shuffle_vector(one, ir.Constant(kind, ir.Undefined), places)

    def spread(self, address: ir.Value) -> ir.Value:
        """A vector with the float at this address in all lanes."""
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
        """x * y + z.

        x and y are floats (SINGLE), or two bfloat16 in each lane, both of whose products are added: by the CPU's
        instruction for it (PAIRS), or by ordinary instructions that compute its definition on any CPU (PLAIN_PAIRS).
        """
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
        """tanh of each argument, within 5e-7; NaN stays NaN.

        Division is the slowest instruction, so there is only one, by the product of all denominators.
        """
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
    """A loop in the emitted code, whose body is what a ``with`` block emits.

    Values are carried from round to round: the body reads those of the current round from ``self.values`` and sets
    ``self.after`` to those of the next.

    Args:
        code: emits the instructions.
        count: number of rounds, at least 1.
        values: the values in the first round.
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
    """What an intrinsic without a result returns: its signature, and a code generator.

    Args:
        sizes: types of the compile-time constants, which come first.
        numbers: types of the other arguments.
        write: emits the code when called as ``write(builder, *numbers)``.
    """
    signature = types.void(*sizes, *(number if isinstance(number, types.Float) else types.int64 for number in numbers))

    def codegen(context: Any, builder: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        write(builder, *args[len(sizes) :])
        return context.get_dummy_value()

    return signature, codegen


@intrinsic
def call(typingctx, address, numbers):
    """Calls the function at an address with a tuple of int64; it returns nothing."""

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
    """Computes ``vectors`` x ``lanes`` features of a convolution for a row of ``width`` cells.

    Taps that fall outside of the row are skipped: nothing is read or computed for them.

    Args:
        width: cells in a row.
        rows: cells whose sums are in registers at a time.
        vectors, lanes: see above.
        kernel_size: size of the convolution's kernel; an even one reaches one cell less before than after.
        kind: kind of inputs and weights, see `Code.add_product`; a pair consists of consecutive inputs and counts as
            one input.
        out, out_row: address of the first cell's first output feature, float32, and stride to the next cell.
        init, init_row: the same for the initial values of the sums; may be the same memory as ``out``.
        x, x_row: address of the first cell's D inputs in the uppermost row that is read, and stride to the next cell.
        ups: number of consecutive rows that are read, at least 1.
        D: number of inputs per cell.
        w, w_row: address of the weights of the first input of the first tap in the uppermost row, and stride to the
            next input; the taps follow one another.
    """
    W, R, V, L, k, of = (n.literal_value for n in (width, rows, vectors, lanes, kernel_size, kind))
    before = (k - 1) // 2

    def write(b, out, out_row, init, init_row, x, x_row, ups, D, w, w_row):
        code = Code(b, L)
        zero, of_tap, up = code.const(0), b.mul(D, w_row), b.mul(x_row, INT64(W))
        for start in range(0, W, R):
            cells = range(start, min(start + R, W))
            pairs = [(cell, tap) for tap in range(-before, k - before) for cell in cells if 0 <= cell + tap < W]
            apart = len(cells) * V < SUMS_UNDER_WAY  # separate sums for each tap, so that none waits for another
            order = [(cell, tap, j) for cell, tap in pairs for j in range(V)]
            if len(cells) + k - 1 > V * k:  # fewer weights than inputs: keep the weights in registers
                order.sort(key=lambda each: each[0] + each[1])
            keys = list(dict.fromkeys((cell, apart * tap, j) for cell, tap, j in order))

            def place(base, row, cell, j):
                return code.plus(code.step(base, row, cell), 4 * L * j)

            sums = [code.load(place(init, init_row, cell, j)) if tap == 0 else zero for cell, tap, j in keys]
            with Loop(code, ups, [w, x, *sums]) as seen:
                with Loop(code, D, seen.values) as feature:
                    at, here, *sums = feature.values
                    total = dict(zip(keys, sums, strict=True))
                    for cell, tap, j in order:  # LLVM merges repeated loads
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
    """Rounds ``lanes`` floats to bfloat16, to nearest with ties to even; NaN stays NaN."""
    L = lanes.literal_value

    def write(b, x, out):
        code = Code(b, L)
        words, value = ir.VectorType(INT32, L), code.load(x)
        bits = b.bitcast(value, words)

        def of(number: int) -> ir.Value:
            return ir.Constant(words, [number] * L)

        odd = b.and_(b.lshr(bits, of(16)), of(1))
        nearest = b.add(bits, b.add(odd, of(0x7FFF)))
        quiet = b.or_(bits, of(0x00400000))  # sets a mantissa bit that survives truncation, so that NaN stays NaN
        rounded = b.select(b.fcmp_unordered("uno", value, value), quiet, nearest)
        halves = b.trunc(b.lshr(rounded, of(16)), ir.VectorType(INT16, L))
        b.store(halves, code.at(out, halves.type)).align = 2

    return _void((lanes,), (x, out), write)


@intrinsic(prefer_literal=True)
def outer_tile(typingctx, rows, vectors, lanes, out, out_row, x, x_row, x_up, z, z_row, z_up, cells, ups):
    """Adds to ``out`` the outer products of ``rows`` features of x and ``vectors`` x ``lanes`` of z, summed over cells.

    Args:
        rows, vectors, lanes: see above.
        out, out_row: address of the result for the first feature of x and of z, float32, and stride to the next
            feature of x.
        x, x_row, x_up: address of the first cell's features, strides to the next cell and to the next row of the board.
        z, z_row, z_up: the same for z.
        cells, ups: number of cells in a row, and of rows.
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
    """Computes ``lanes`` channels of the new cell and hidden state of one cell of the board from its pre-activations.

    Args:
        lanes: see above.
        sigmoid_output: whether the output gate is a sigmoid instead of a tanh.
        save: whether the gates are stored at ``kept``.
        gate: stride from one gate to the next, in the order i, f, g, o.
        z, inject: addresses of the pre-activations and of what is added to them.
        c, c_new, h: addresses of the cell state before and after, which may be the same, and of the new hidden state.
        kept: address where the gates are stored.
        total, peak, where: addresses of the running sum and maximum of h over the board, and of the maximum's cell
            (int32); they are updated.
        cell: index of this cell.
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
    """Backward pass of `gates_forward`: the gradient of the pre-activations from those of h and c.

    Args:
        lanes, sigmoid_output: as in `gates_forward`.
        gate: stride from one gate to the next, in the order i, f, g, o.
        kept: address of the stored gates.
        c, c_new: addresses of the cell state before and after.
        dh, dc: addresses of the gradients of h and c; the gradient of the previous cell state overwrites the second.
        keep: float32, 0 where the episode begins with this tick, else 1.
        dz: address where the gradient of the pre-activations is written.
        d_drive, d_inject: addresses of sums that this gradient is added to.
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
