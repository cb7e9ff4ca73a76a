"""Kernels of retraining: scores in a moving window, and which old answers are rehearsed beside the new ones."""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, int64, types, uint64

from rtml.kernels.declared import MATRIX, TABLE, VALUES, VECTOR, kernel

# columns of the window
RIGHT = 0
LOSS = 1
ERROR = 2
Y = 3
PREDICTED = 4
CAUGHT = 5
FLAGGED = 6
POSITIVE = 7
WIDTH = 8

_TINY = 1e-15  # a probability is held this far from 0 and 1
_GAMMA = np.uint64(0x9E3779B97F4A7C15)
_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)


@kernel(int64, VALUES, VALUES, boolean, int64, MATRIX, VECTOR, MATRIX)
def scores(y, predicted, classifier, seen, ring, sums, out):
    """Take answers into a window one by one; write the sums over the window after each; return how many were seen.

    ``ring`` has a row a place of the window, ``sums`` and each row of ``out`` a column a name above. The sums are moved
    by what comes and what goes, so that any cutting of the answers gives the same bits.
    """
    threshold = 0.5 if classifier else 0.0
    new = np.empty(WIDTH)
    for i in range(len(y)):
        up, guess = y[i] > threshold, predicted[i] > threshold
        new[RIGHT] = 1.0 if up == guess else 0.0
        new[ERROR] = abs(y[i] - predicted[i])
        if classifier:
            p = min(max(predicted[i] if up else 1.0 - predicted[i], _TINY), 1.0)
            new[LOSS] = -math.log(p)
        else:
            new[LOSS] = (y[i] - predicted[i]) ** 2
        new[Y], new[PREDICTED] = y[i], predicted[i]
        new[CAUGHT] = 1.0 if up and guess else 0.0
        new[FLAGGED] = 1.0 if guess else 0.0
        new[POSITIVE] = 1.0 if up else 0.0
        place = (seen + i) % len(ring)
        for k in range(WIDTH):
            sums[k] += new[k] - ring[place, k]
            ring[place, k] = new[k]
            out[i, k] = sums[k]
    return seen + len(y)


@kernel(uint64, uint64, uint64)
def _draw(seed, number):
    """Draw ``number`` of a seed (SplitMix64 of Steele, Lea and Flood, 2014): no state but the place in the sequence."""
    z = seed + (number + np.uint64(1)) * _GAMMA
    z = (z ^ (z >> np.uint64(30))) * _MIX_1
    z = (z ^ (z >> np.uint64(27))) * _MIX_2
    return z ^ (z >> np.uint64(31))


@kernel(types.UniTuple(int64, 2), TABLE, VALUES, int64, int64, int64, int64, MATRIX, VECTOR, MATRIX, VECTOR)
def rehearse(X, y, seed, each, seen, kept, old_X, old_y, out_X, out_y):
    """Write every answer followed by ``each`` old ones drawn from a reservoir; return the rows written and kept.

    The reservoir ``old_X``, ``old_y`` holds ``kept`` of the ``seen`` answers before, each with the same chance (Vitter,
    1985, algorithm R); an answer enters it after its own turn. ``seen`` is also the place in the sequence of draws.
    """
    rows = 0
    size = len(old_y)
    draws = np.uint64(each + 1)
    for i in range(len(y)):
        number = np.uint64(seen + i) * draws
        out_X[rows], out_y[rows] = X[i], y[i]
        rows += 1
        for k in range(each if kept else 0):
            j = np.int64(_draw(np.uint64(seed), number + np.uint64(k)) % np.uint64(kept))
            out_X[rows], out_y[rows] = old_X[j], old_y[j]
            rows += 1
        if kept < size:
            place = kept
            kept += 1
        else:
            place = np.int64(_draw(np.uint64(seed), number + np.uint64(each)) % np.uint64(seen + i + 1))
        if place < size:
            old_X[place], old_y[place] = X[i], y[i]
    return rows, kept
