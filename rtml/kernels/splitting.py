"""Where a leaf of a Hoeffding tree could split: Gaussians a class, cut at equal steps, by the information gained.

``cells`` is the row of ``split`` of a leaf, see :mod:`rtml.kernels.hoeffding`: the place a constant names is that of
class 0, the one five further that of class 1.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

MEAN, SQUARES, LOW, HIGH, SCALE = range(1, 6)  # of class 0 in split; of class 1 they follow; row 0 are the columns
CELL = 11  # numbers a feature

_part = njit(error_model="numpy", nogil=True)


@_part
def entropy(a, b):
    """Entropy of two weights, in bits."""
    total, entropy = a + b, 0.0
    if a > 0.0:
        entropy -= a * math.log2(a)
    if b > 0.0:
        entropy -= b * math.log2(b)
    return (entropy + total * math.log2(total)) / total if total > 0.0 else 0.0


@_part
def _left(cells, k, y, count, at):
    """How much of a class lies left of a threshold, by its Gaussian."""
    base = 5 * y
    if count == 0.0 or at < cells[base + LOW, k]:
        return 0.0
    if at >= cells[base + HIGH, k]:
        return count
    deviation = (cells[base + SQUARES, k] / (count - 1.0)) ** 0.5 if count > 1.0 else 0.0
    if deviation == 0.0:
        return 0.0
    return 0.5 * (1.0 + math.erf((at - cells[base + MEAN, k]) / deviation / math.sqrt(2.0))) * count


@_part
def best(cells, k, n0, n1, before, splits, fraction, found):
    """Fill ``found`` with merit, threshold and the weights of both sides of the best place to split a feature."""
    found[0], low, high = -np.inf, np.inf, -np.inf
    if n0 > 0.0:
        low, high = cells[LOW, k], cells[HIGH, k]
    if n1 > 0.0:
        low, high = min(low, cells[5 + LOW, k]), max(high, cells[5 + HIGH, k])
    step = (high - low) / (splits + 1.0)
    for q in range(int(splits)):
        at = low + step * (q + 1)
        if not low < at < high:
            continue
        l0, l1 = _left(cells, k, 0, n0, at), _left(cells, k, 1, n1, at)
        r0, r1 = n0 - l0, n1 - l1
        left, right = l0 + l1, r0 + r1
        total = left + right
        if not (left / total > fraction and right / total > fraction):
            continue
        merit = before - (left * entropy(l0, l1) + right * entropy(r0, r1)) / total
        if merit > found[0]:
            found[0], found[1], found[2], found[3], found[4], found[5] = merit, at, l0, l1, r0, r1


@_part
def sides(cells, k, n0, n1, at):
    """Which classes were seen left and right of a threshold, as bits: a class may be there with no weight."""
    left = right = 0
    for y in range(2):
        if (n1 if y else n0) > 0.0:
            left += 0 if at < cells[5 * y + LOW, k] else 1 + y
            right += 0 if at >= cells[5 * y + HIGH, k] else 1 + y
    return left, right
