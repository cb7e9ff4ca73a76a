"""Aggregates that are more than a sum: extremes and ends by queues of rows, different values by a table, decay."""

from __future__ import annotations

import math

import numba
import numpy as np

from rtml.kernels import sums
from rtml.kernels.interning import slot_of
from rtml.kernels.pointers import bits


@numba.njit(forceinline=True)
def extreme(op, x, at, tail, stores, rings, ring, base, mask, queue, unit, ends):
    """Minimum, maximum, first or last by a monotone queue of row numbers."""
    head = ends[unit]
    end = ends[unit + 1]
    place = queue
    while head < end and place[head & mask] < tail:
        head += 1
    best = rings[base + (place[head & mask] & mask), ring] if head < end else np.nan
    if not stores:
        if not math.isfinite(x) or (op == sums.FIRST and head < end):
            return best
        if head == end or op >= sums.FIRST:
            return x
        return max(best, x) if op == sums.MAX else min(best, x)
    if math.isfinite(x):
        while head < end:
            old = rings[base + (place[(end - 1) & mask] & mask), ring]
            if op == sums.FIRST or (op == sums.MAX and old > x) or (op == sums.MIN and old < x):
                break
            end -= 1
        place[end & mask] = at
        end += 1
    ends[unit], ends[unit + 1] = head, end
    return rings[base + (place[head & mask] & mask), ring] if head < end else np.nan


@numba.njit(forceinline=True)
def seat(x, rings, ring, base, mask, table):
    """Place of a value in a table of newest rows, or the empty place where it would go."""
    place = slot_of(bits(x + 0.0), table.size - 1)
    while table[place] != 0 and rings[base + ((table[place] - 1) & mask), ring] != x:
        place = (place + 1) & (table.size - 1)
    return place


@numba.njit(forceinline=True)
def _unseat(hole, rings, ring, base, mask, table):
    """Empty a place and leave no gap in a chain."""
    last, place = table.size - 1, hole
    while True:
        place = (place + 1) & last
        if table[place] == 0:
            break
        home = slot_of(bits(rings[base + ((table[place] - 1) & mask), ring] + 0.0), last)
        if ((place - home) & last) >= ((place - hole) & last):
            table[hole] = table[place]
            hole = place
    table[hole] = 0


@numba.njit(forceinline=True)
def distinct(x, at, old, tail, stores, rings, ring, base, mask, table, unit, ends):
    """Different values in a window: a value leaves with its newest row."""
    n = ends[unit]
    for p in range(old, tail):
        gone = rings[base + (p & mask), ring]
        if math.isfinite(gone):
            place = seat(gone, rings, ring, base, mask, table)
            if table[place] == p + 1:
                n -= 1
                if stores:
                    _unseat(place, rings, ring, base, mask, table)
    if math.isfinite(x):
        place = seat(x, rings, ring, base, mask, table) if table.size else 0
        n += table.size == 0 or table[place] <= tail
        if stores:
            table[place] = at + 1
    if stores:
        ends[unit] = n
    return float(n)


@numba.njit(forceinline=True)
def ewm(x, cells, c, halves):
    """Exponentially weighted mean after ``halves`` half-lives and one more value."""
    decay = 2.0**-halves
    total, weight = cells[c] * decay, cells[c + 1] * decay
    if weight < sums.FAINT:
        total = weight = 0.0
    if math.isfinite(x):
        total, weight = total + x, weight + 1.0
    cells[c], cells[c + 1] = total, weight
    return total / weight if weight > 0.0 else np.nan
