"""How a kernel is declared: the types of its arguments, and how it and its parts are compiled.

``kernel(result, *arguments)`` is compiled for these types, kept on disk and called from Python or another kernel; a
``part`` is compiled into what calls it.
"""

from __future__ import annotations

from typing import Any

from numba import float64, int64, types

from rtml.kernels.cache import njit

VALUES = types.Array(float64, 1, "C", readonly=True)
TABLE = types.Array(float64, 2, "C", readonly=True)
WHOLE = types.Array(int64, 1, "C", readonly=True)
VECTOR = float64[::1]
MATRIX = float64[:, ::1]
CUBE = float64[:, :, ::1]
PLACES = int64[::1]
STREAM = (TABLE, VALUES, WHOLE, WHOLE, WHOLE, int64)  # X, y, moment, known, order, until

part = njit(error_model="numpy", nogil=True)


def kernel(result: Any, *arguments: Any) -> Any:
    """Declare a kernel: a division by zero gives infinity or NaN, and other threads run meanwhile."""
    return njit(result(*arguments), cache=True, nogil=True, error_model="numpy")
