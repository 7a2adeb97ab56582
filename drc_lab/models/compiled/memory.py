"""Addresses, aligned buffers, and calls of kernels by their address, in compiled code."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.np.numpy_support import carray

from drc_lab.models.compiled.emit import INT64, intrinsic
from drc_lab.numerics import jit

LINE = 64  # bytes of a cache line


@jit
def at(array):
    """The address of the array's first element, as an int64 for address arithmetic.

    An address does not keep its array alive: use the array once more after the last use of its address.
    """
    return np.int64(array.ctypes.data)


@jit
def lines(rows, columns):
    """Zeros [rows, columns], float32, aligned to a cache line."""
    room = np.zeros(rows * columns + LINE // 4, np.float32)
    start = (-at(room) % LINE) // 4
    return room[start : start + rows * columns].reshape(rows, columns)


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


@intrinsic
def _pointer(typingctx, address):
    def codegen(context: Any, b: ir.IRBuilder, signature: Any, args: Sequence[ir.Value]) -> ir.Value:
        return b.inttoptr(args[0], cgutils.voidptr_t)

    return types.voidptr(types.int64), codegen


@jit
def floats(address, shape):
    """The float32 numbers at an address, as an array."""
    return carray(_pointer(address), shape, np.float32)


@jit
def integers(address, shape):
    """The int32 numbers at an address, as an array."""
    return carray(_pointer(address), shape, np.int32)


@jit
def copy(numbers, source, target):
    """Copies float32 numbers (or int32 ones, which are as wide) from one address to another."""
    given, out = floats(source, (numbers,)), floats(target, (numbers,))
    for n in range(numbers):
        out[n] = given[n]


@jit
def add(numbers, source, target):
    """Adds float32 numbers at one address to those at another."""
    given, out = floats(source, (numbers,)), floats(target, (numbers,))
    for n in range(numbers):
        out[n] += given[n]


class MapLayout(NamedTuple):
    """Where maps lie: the address of the first, and the bytes from one sample, layer and tick to the next.

    ``tick`` is 0 if each tick overwrites the map of the one before.
    """

    address: int
    sample: int
    layer: int
    tick: int


@jit
def map_at(layout, sample, layer, tick):
    """The address of a map."""
    return layout.address + sample * layout.sample + layer * layout.layer + tick * layout.tick
