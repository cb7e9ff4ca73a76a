"""Where a leaf of a Hoeffding tree could split: Gaussians per class, cut at equal steps, by the information gained.

``cells`` is the row of ``split`` of a leaf, see :mod:`rtml.kernels.hoeffding`: the place a constant names is that of
class 0, the one ``STEP`` further that of class 1, and so on. A value that is missing moves no Gaussian: its weight is
counted in ``GAPS``, so that a class of ``count`` answers has ``count - GAPS`` values of a feature.
"""

from __future__ import annotations

import math

import numpy as np

from rtml.kernels.declared import part

MEAN, SQUARES, LOW, HIGH, SCALE, GAPS = range(1, 7)  # of class 0 in split; row 0 are the columns
STEP = 6  # numbers per class and feature


@part
def entropy(weights):
    """Entropy of weights, in bits."""
    total, entropy = 0.0, 0.0
    for weight in weights:
        total += weight
        if weight > 0.0:
            entropy -= weight * math.log2(weight)
    return (entropy + total * math.log2(total)) / total if total > 0.0 else 0.0


@part
def left_of(cells, k, y, count, at):
    """How much of a class lies left of a threshold, by its Gaussian; ``count`` are its values."""
    base = STEP * y
    if count == 0.0 or at < cells[base + LOW, k]:
        return 0.0
    if at >= cells[base + HIGH, k]:
        return count
    deviation = (cells[base + SQUARES, k] / (count - 1.0)) ** 0.5 if count > 1.0 else 0.0
    if deviation == 0.0:
        return 0.0
    return 0.5 * (1.0 + math.erf((at - cells[base + MEAN, k]) / deviation / math.sqrt(2.0))) * count


@part
def cut(cells, k, counts, at, left, right):
    """Fill ``left`` and ``right`` with the weights of the classes on both sides of a threshold; return their sums."""
    on_left = on_right = 0.0
    for y in range(counts.shape[0]):
        count = counts[y] - cells[STEP * y + GAPS, k]
        left[y] = left_of(cells, k, y, count, at)
        right[y] = count - left[y]
        on_left += left[y]
        on_right += right[y]
    return on_left, on_right


@part
def best(cells, k, counts, before, splits, fraction, left, right):
    """Merit and threshold of the best place to split a feature; ``left`` and ``right`` are room to work in."""
    merit = -np.inf
    threshold = 0.0
    low = np.inf
    high = -np.inf
    for y in range(counts.shape[0]):
        if counts[y] - cells[STEP * y + GAPS, k] > 0.0:
            low = min(low, cells[STEP * y + LOW, k])
            high = max(high, cells[STEP * y + HIGH, k])
    step = (high - low) / (splits + 1.0)
    for q in range(int(splits)):
        at = low + step * (q + 1)
        if not low < at < high:
            continue
        on_left, on_right = cut(cells, k, counts, at, left, right)
        total = on_left + on_right
        if not (on_left / total > fraction and on_right / total > fraction):
            continue
        gained = before - (on_left * entropy(left) + on_right * entropy(right)) / total
        if gained > merit:
            merit, threshold = gained, at
    return merit, threshold
