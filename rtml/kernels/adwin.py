"""Adaptive windowing (ADWIN) as a part of other kernels: has the mean of a stream risen?

A window is a head: total, variance times width, width, ticks and rows in use, then how many buckets each row holds; and
rows of buckets, one for every power of two, with total and variance of each, oldest first. Bifet and Gavalda, "Learning
from time-changing data with adaptive windowing" (SDM 2007). Of a forest there are many windows, with the parameters of
river and MOA: a look every 32 answers, five buckets a row, parts of five answers or more.
"""

from __future__ import annotations

import math

from rtml.kernels.declared import part

TOTAL = 0
VARIANCE = 1
WIDTH = 2
TICKS = 3
ROWS = 4
HELD = 5
MOST_ROWS, MOST = 40, 6  # rows of powers of two, buckets per row
_CLOCK = 32
_LEAST = 5.0
_GRACE = 10.0


@part
def restart(heads, buckets, k):
    """Forget everything."""
    heads[k] = 0.0
    heads[k, ROWS] = 1.0
    buckets[k] = 0.0


@part
def risen(heads, buckets, k, value, delta):
    """Add a value; whether the window was cut because its newer part has the higher mean, as in MOA."""
    head, rows = heads[k], buckets[k]
    head[TICKS] += 1.0
    add(head, rows, MOST, value)
    if head[TICKS] % _CLOCK != 0.0 or head[WIDTH] <= _GRACE:
        return False
    before, cut = head[TOTAL] / head[WIDTH], False
    while differs(head, rows, delta, _LEAST):
        drop(head, rows, MOST)
        cut = True
    return cut and head[TOTAL] / head[WIDTH] > before


@part
def add(head, rows, most, value):
    """Put a value into the youngest bucket; two old ones of a full row become one of the next."""
    held = int(head[HELD])
    rows[0, held, 0], rows[0, held, 1] = value, 0.0
    head[HELD] = held + 1.0
    head[WIDTH] += 1.0
    if head[WIDTH] > 1.0:
        n = head[WIDTH]
        off = value - head[TOTAL] / (n - 1.0)
        head[VARIANCE] += (n - 1.0) * off * off / n
    head[TOTAL] += value
    row = 0
    while row < len(rows) - 1 and head[HELD + row] == most:
        n = float(1 << row)
        first = rows[row, 0]
        second = rows[row, 1]
        place = int(head[HELD + row + 1])
        off = first[0] / n - second[0] / n
        rows[row + 1, place, 0] = first[0] + second[0]
        rows[row + 1, place, 1] = first[1] + second[1] + n * off * off / 2.0
        head[HELD + row + 1] += 1.0
        head[ROWS] = max(head[ROWS], row + 2.0)
        for z in range(most - 2):
            rows[row, z, 0], rows[row, z, 1] = rows[row, z + 2, 0], rows[row, z + 2, 1]
        head[HELD + row] -= 2.0
        row += 1


@part
def differs(head, rows, delta, least):
    """Whether a cut of the window leaves means that differ beyond chance: 1 if the newer is larger, -1 if smaller."""
    width = head[WIDTH]
    old = 0.0
    old_total = 0.0
    new = width
    new_total = head[TOTAL]
    variance, logs = head[VARIANCE] / width, math.log(2.0 * math.log(width) / delta)
    for row in range(int(head[ROWS]) - 1, -1, -1):
        size = float(1 << row)
        for b in range(int(head[HELD + row])):
            old, new = old + size, new - size
            old_total, new_total = old_total + rows[row, b, 0], new_total - rows[row, b, 0]
            if new < max(least, 1.0):
                return 0
            if old >= least:
                m = 1.0 / (old - least + 1.0) + 1.0 / (new - least + 1.0)
                bound = math.sqrt(2.0 * m * variance * logs) + 2.0 / 3.0 * logs * m
                if abs(old_total / old - new_total / new) > bound:
                    return 1 if new_total / new > old_total / old else -1
    return 0


@part
def drop(head, rows, most):
    """Forget the oldest bucket."""
    row = int(head[ROWS]) - 1
    size, oldest = float(1 << row), rows[row, 0]
    head[WIDTH] -= size
    head[TOTAL] -= oldest[0]
    off = oldest[0] / size - head[TOTAL] / head[WIDTH]
    head[VARIANCE] -= oldest[1] + size * head[WIDTH] * off * off / (size + head[WIDTH])
    for z in range(most - 1):
        rows[row, z, 0], rows[row, z, 1] = rows[row, z + 1, 0], rows[row, z + 1, 1]
    head[HELD + row] -= 1.0
    while head[ROWS] > 1.0 and head[HELD + int(head[ROWS]) - 1] == 0.0:
        head[ROWS] -= 1.0
