"""Arrays of a compiled call by their addresses: one small table of numbers instead of twenty arguments.

Handing an array to a compiled function costs 70 ns, as much as a row of features. The owner of such a table keeps the
arrays alive for as long as it is used.
"""

from __future__ import annotations

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils, types
from numba.extending import intrinsic


@intrinsic
def _pointer(context, address):
    """A number as a pointer."""
    return types.voidptr(types.int64), lambda c, builder, s, args: builder.inttoptr(args[0], cgutils.voidptr_t)


@intrinsic
def bits(context, number):
    """The 64 bits of a float as an integer."""
    return types.int64(types.float64), lambda c, builder, s, args: builder.bitcast(args[0], ir.IntType(64))


@intrinsic
def prefetch(context, address):
    """Ask for the memory at an address, to have it near when it is needed a few rows later."""

    def code(c, builder, signature, args):
        pointer, word = builder.inttoptr(args[0], cgutils.voidptr_t), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [cgutils.voidptr_t, word, word, word])
        wanted = builder.module.declare_intrinsic("llvm.prefetch", [cgutils.voidptr_t], kind)
        builder.call(wanted, [pointer, word(1), word(3), word(1)])
        return c.get_dummy_value()

    return types.none(types.int64), code


@numba.njit(forceinline=True)
def array_of(address, size):
    """Integers at an address."""
    return numba.carray(_pointer(address), (size,), dtype=np.int64)


@numba.njit(forceinline=True)
def floats_of(address, size):
    """Floats at an address."""
    return numba.carray(_pointer(address), (size,), dtype=np.float64)


@numba.njit(forceinline=True)
def table_of(address, rows, columns):
    """A table of integers at an address."""
    return numba.carray(_pointer(address), (rows, columns), dtype=np.int64)


@numba.njit(forceinline=True)
def float_table_of(address, rows, columns):
    """A table of floats at an address."""
    return numba.carray(_pointer(address), (rows, columns), dtype=np.float64)
