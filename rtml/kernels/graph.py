"""A graph of features, given as a table of operations, run row by row with keyed event-time windows.

One kernel runs every declaration: nothing is compiled when a feature is declared. Windows are ``(t - w, t]``, the row
itself included; running sums are kept in double-double arithmetic, so that adding and subtracting never drifts.
"""

from __future__ import annotations

import math

import numba
import numpy as np

COLUMN, CONST, ADD, SUB, MUL, DIV, LOG, SQRT, ABS, CLIP, FILL, LAG, SUM, COUNT, MEAN, STD, MIN, MAX = range(18)
NAMES = ("column", "const", "add", "sub", "mul", "div", "log", "sqrt", "abs", "clip", "fill") + (
    "lag", "sum", "count", "mean", "std", "min", "max",
)  # fmt: skip

#: One operation: operands ``a`` and ``b`` are earlier nodes (or a column), ``c`` a constant, ``ring`` where the
#: operand's past is kept, ``window`` which window, ``cell`` which accumulator (sums) or queue (min, max).
NODE = np.dtype([(n, "<i8") for n in ("op", "a", "b", "ring", "window", "cell")] + [("c", "<f8")])

#: A running sum and sum of squares as pairs (high, low), and the number of finite values in the window.
CELL = np.dtype([(n, "<f8") for n in ("sum", "sum_low", "square", "square_low")] + [("n", "<i8")])

_INLINE = dict(inline="always")


@numba.njit(**_INLINE)
def _two_sum(high, low, x):
    total = high + x
    part = total - high
    low += (high - (total - part)) + (x - part)
    renormalised = total + low
    return renormalised, low - (renormalised - total)


@numba.njit(**_INLINE)
def _add(cell, x, sign):
    """Add (or take away) a finite value; an empty window is exactly zero again."""
    if not math.isfinite(x):
        return
    cell.n += sign
    if cell.n == 0:
        cell.sum = cell.sum_low = cell.square = cell.square_low = 0.0
        return
    cell.sum, cell.sum_low = _two_sum(cell.sum, cell.sum_low, sign * x)
    cell.square, cell.square_low = _two_sum(cell.square, cell.square_low, sign * (x * x))


@numba.njit(**_INLINE)
def _aggregate(op, cell):
    if op == COUNT:
        return float(cell.n)
    if op == SUM:
        return cell.sum
    if cell.n == 0:
        return np.nan
    mean = cell.sum / cell.n
    if op == MEAN:
        return mean
    return math.sqrt(max(cell.square - cell.n * mean * mean, 0.0) / (cell.n - 1)) if cell.n > 1 else np.nan


@numba.njit(**_INLINE)
def _extreme(op, x, at, tail, ring, queue, ends):
    """Push onto a monotone queue of row numbers and return the value at its front."""
    mask = ring.size - 1
    sign = 1.0 if op == MAX else -1.0
    while ends[0] < ends[1] and queue[ends[0] & mask] < tail:
        ends[0] += 1
    if math.isfinite(x):
        while ends[0] < ends[1] and sign * ring[queue[(ends[1] - 1) & mask] & mask] <= sign * x:
            ends[1] -= 1
        queue[ends[1] & mask] = at
        ends[1] += 1
    return ring[queue[ends[0] & mask] & mask] if ends[0] < ends[1] else np.nan


@numba.njit(**_INLINE)
def _arithmetic(node, value):
    op, x = node.op, value[node.a]
    if op == ADD:
        return x + value[node.b]
    if op == SUB:
        return x - value[node.b]
    if op == MUL:
        return x * value[node.b]
    if op == DIV:
        return x / value[node.b] if value[node.b] != 0.0 else np.nan
    if op == LOG:
        return math.log(x) if x > 0.0 else np.nan
    if op == SQRT:
        return math.sqrt(x) if x >= 0.0 else np.nan
    if op == ABS:
        return abs(x)
    if op == CLIP:
        return min(max(x, -node.c), node.c) if not math.isnan(x) else x
    return x if math.isfinite(x) else node.c  # FILL


@numba.njit(**_INLINE)
def _expire(t, k, widths, times, count, tail, nodes, rings, cells):
    """Move every window's tail past what lies at or before ``t - width``, taking it out of the running sums."""
    mask = times.shape[1] - 1
    for w in range(widths.size):
        while tail[k, w] < count[k] and times[k, tail[k, w] & mask] <= t - widths[w]:
            for j in range(nodes.size):
                node = nodes[j]
                if SUM <= node.op <= STD and node.window == w:
                    _add(cells[k, node.cell], rings[k, node.ring, tail[k, w] & mask], -1)
            tail[k, w] += 1


@numba.njit(**_INLINE)
def _full(k, times, count, tail, deepest):
    """Whether one more row would overwrite something that a window or a lag still needs."""
    oldest = max(count[k] - deepest, 0)
    for w in range(tail.shape[1]):
        oldest = min(oldest, tail[k, w])
    return count[k] + 1 - oldest > times.shape[1]


_i8, _f8 = numba.int64, numba.float64
_SIGNATURE = _i8(
    _i8, _i8[::1], _i8[::1], _f8[:, ::1], numba.typeof(np.empty(1, NODE)), _i8[::1], _i8, _i8[::1],
    _i8[:, ::1], _f8[:, :, ::1], _i8[::1], _i8[:, ::1], numba.typeof(np.empty((1, 1), CELL)), _i8[:, :, ::1],
    _i8[:, :, ::1], _f8[:, ::1],
)  # fmt: skip


@numba.njit(_SIGNATURE, cache=True, nogil=True, error_model="numpy")
def push(start, time, key, rows, nodes, widths, deepest, outputs, times, rings, count, tail, cells, queues, ends, out):
    """Run rows from ``start`` on through the graph into ``out``; return the rows done.

    Fewer than given means that the rings of a key are full: grow them and call again.
    """
    value = np.empty(nodes.size)
    mask = times.shape[1] - 1
    for i in range(start, time.size):
        k, t = key[i], time[i]
        _expire(t, k, widths, times, count, tail, nodes, rings, cells)
        if _full(k, times, count, tail, deepest):
            return i
        at = count[k]
        times[k, at & mask] = t
        count[k] = at + 1
        for j in range(nodes.size):
            node = nodes[j]
            if node.op == COLUMN:
                value[j] = rows[i, node.a]
            elif node.op == CONST:
                value[j] = node.c
            elif node.op < LAG:
                value[j] = _arithmetic(node, value)
            else:
                x = value[node.a]
                rings[k, node.ring, at & mask] = x
                if node.op == LAG:
                    value[j] = rings[k, node.ring, (at - node.b) & mask] if at >= node.b else np.nan
                elif node.op < MIN:
                    _add(cells[k, node.cell], x, 1)
                    value[j] = _aggregate(node.op, cells[k, node.cell])
                else:
                    ring, queue, span = rings[k, node.ring], queues[k, node.cell], ends[k, node.cell]
                    value[j] = _extreme(node.op, x, at, tail[k, node.window], ring, queue, span)
        for j in range(outputs.size):
            out[i, j] = value[outputs[j]]
    return time.size
