"""One Hoeffding tree as compiled transitions over flat arrays: predict, learn, and a chunk with delayed answers.

The arrays are those of :mod:`rtml.kernels.hoeffding`; the root is row 1 of ``table``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

from rtml.kernels.hoeffding import finite, full, grow, probability, walk

PARTS = "2f1a1effd78d"  # of hoeffding.py and splitting.py: a new fingerprint makes numba compile anew what is here
NOT_FINITE, DONE, FULL = range(3)

_row = types.Array(types.float64, 1, "C", readonly=True)
_table = types.Array(types.float64, 2, "C", readonly=True)
_whole = types.Array(types.int64, 1, "C", readonly=True)
_vector = types.Array(types.float64, 1, "C")
_places = types.Array(types.int64, 1, "C")
_model = (types.Array(types.float64, 2, "C"), types.Array(types.float64, 3, "C"))  # table, split
_options = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(types.float64(_row, *_model), **_options)
def predict(x, table, split):
    """Probability of class 1 for a row; NaN where a number of the row is missing."""
    return probability(x, table, split, walk(x, table, 1)) if finite(x, split.shape[2]) else np.nan


@njit(types.int64(_row, types.float64, *_model), **_options)
def learn(x, y, table, split):
    """Learn a row: DONE, or nothing because a number of it is missing or there is no room for more nodes."""
    if not (finite(x, split.shape[2]) and math.isfinite(y)):
        return NOT_FINITE
    if full(table, split, 1):
        return FULL
    grow(x, int(y), 1.0, table, split, walk(x, table, 1))
    return DONE


@njit(types.boolean(_table, _row, _whole, _whole, _whole, types.int64, _vector, _places, *_model), **_options)
def replay(X, y, moment, known, order, until, predictions, at, table, split):
    """Ask and learn as :func:`rtml.kernels.linear.replay_descent` does; False where it ran out of room for nodes.

    ``at`` holds the next question and the next answer: with more room the same call goes on from there.
    """
    n, before = len(moment), X.shape[0] - len(moment)
    for t in range(at[0], n + 1):
        limit = moment[t] - 1 if t < n else until
        while at[1] < len(order) and known[order[at[1]]] <= limit:
            i = order[at[1]]
            if full(table, split, 1):
                at[0] = t
                return False
            at[1] += 1
            if not math.isnan(y[i]):
                grow(X[i], int(y[i]), 1.0, table, split, walk(X[i], table, 1))
        if t < n:
            x = X[before + t]
            predictions[t] = probability(x, table, split, walk(x, table, 1))
    return True
