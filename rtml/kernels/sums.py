"""Numbers of a window: sums that do not drift, moments, arithmetic with missing values."""

from __future__ import annotations

import math

import numba
import numpy as np

COLUMN = 0
CONST = 1
MOMENT = 2
ADD = 3
SUB = 4
MUL = 5
DIV = 6
MOD = 7
GT = 8
GE = 9
LT = 10
LE = 11
EQ = 12
WHERE = 13
MISSING = 14
LOG = 15
SQRT = 16
ABS = 17
FLOOR = 18
CLIP = 19
FILL = 20
HELD = 21
LAG = 22
RING = 23
CELL = 24
SUM = 25
COUNT = 26
MEAN = 27
VAR = 28
STD = 29
MIN = 30
MAX = 31
FIRST = 32
LAST = 33
DISTINCT = 34
EWM = 35
NAMES = (
    "column",
    "const",
    "moment",
    "add",
    "sub",
    "mul",
    "div",
    "mod",
    "gt",
    "ge",
    "lt",
    "le",
    "eq",
    "where",
    "missing",
)
NAMES += ("log", "sqrt", "abs", "floor", "clip", "fill", "held", "lag", "ring", "cell")
NAMES += ("sum", "count", "mean", "var", "std", "min", "max", "first", "last", "distinct", "ewm")

FAINT = 2.0**-64  # an exponentially weighted mean ends when its weight is less: no float would notice it


@numba.njit(forceinline=True)
def _two_sum(high, low, x):
    """A pair (high, low) plus a number, renormalised (Knuth's two-sum, error kept in the low part)."""
    total = high + x
    part = total - high
    low += (high - (total - part)) + (x - part)
    renormalised = total + low
    return renormalised, low - (renormalised - total)


@numba.njit(forceinline=True)
def add(cells, c, squares, x, sign):
    """Add (or take away) a finite value to sum, low, n and, where asked, squares; an empty window is exactly zero."""
    n = cells[c + 2] + sign
    cells[c + 2] = n
    if n == 0.0:
        cells[c] = cells[c + 1] = 0.0
        if squares:
            cells[c + 3] = cells[c + 4] = 0.0
        return
    cells[c], cells[c + 1] = _two_sum(cells[c], cells[c + 1], sign * x)
    if squares:
        cells[c + 3], cells[c + 4] = _two_sum(cells[c + 3], cells[c + 4], sign * (x * x))


@numba.njit(forceinline=True)
def moments(op, cells, c):
    """Sum, count, mean, variance or standard deviation of a cell; NaN where there are too few values."""
    n = cells[c + 2]
    if op == COUNT:
        return n
    if op == SUM:
        return cells[c]
    if n == 0.0:
        return np.nan
    mean = cells[c] / n
    if op == MEAN:
        return mean
    if n < 2.0:
        return np.nan
    variance = max(cells[c + 3] - n * mean * mean, 0.0) / (n - 1.0)
    return math.sqrt(variance) if op == STD else variance


@numba.njit(forceinline=True)
def compare(op, x, y):
    """1 or 0, NaN where one of both is missing."""
    if math.isnan(x) or math.isnan(y):
        return np.nan
    if op == GT:
        return 1.0 if x > y else 0.0
    if op == GE:
        return 1.0 if x >= y else 0.0
    if op == LT:
        return 1.0 if x < y else 0.0
    if op == LE:
        return 1.0 if x <= y else 0.0
    return 1.0 if x == y else 0.0


@numba.njit(forceinline=True)
def arithmetic(op, x, y, c):
    """One operation on one or two numbers and a constant."""
    if op == ADD:
        return x + y
    if op == SUB:
        return x - y
    if op == MUL:
        return x * y
    if op == DIV:
        return x / y if y != 0.0 else np.nan
    if op == MOD:
        return x % y if y != 0.0 else np.nan
    if op <= EQ:
        return compare(op, x, y)
    if op == WHERE:
        return x if y != 0.0 and not math.isnan(y) else np.nan
    if op == MISSING:
        return 0.0 if math.isfinite(x) else 1.0
    if op == LOG:
        return math.log(x) if x > 0.0 else np.nan
    if op == SQRT:
        return math.sqrt(x) if x >= 0.0 else np.nan
    if op == ABS:
        return abs(x)
    if op == FLOOR:
        return math.floor(x) if math.isfinite(x) else x
    if op == CLIP:
        return min(max(x, -c), c) if not math.isnan(x) else x
    return x if math.isfinite(x) else c  # FILL
