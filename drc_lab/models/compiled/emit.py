"""Emits LLVM vector instructions, for functions that Numba code calls: auto-vectorised code was only half as fast.

Arguments of such a function that shape the emitted code (rows, vectors, lanes, switches) have to be compile-time
constants at the call. All others are int64: addresses, strides in bytes, counts. Nothing is checked.
"""

from collections.abc import Callable, Sequence
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


def without_result(sizes: Sequence[types.Type], numbers: Sequence[types.Type], write: Callable[..., None]) -> Any:
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
