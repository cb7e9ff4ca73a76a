"""One Hoeffding tree as compiled transitions over flat arrays: predict, learn, and a chunk with delayed answers.

The arrays are those of :mod:`rtml.kernels.hoeffding`; the root is row 1 of ``table``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from rtml.kernels.cache import njit
from rtml.kernels.hoeffding import answer, fits, full, grow, probabilities, walk
from rtml.kernels.splitting import STEP

NO_ROW, DONE, FULL = range(3)

_row = types.Array(types.float64, 1, "C", readonly=True)
_table = types.Array(types.float64, 2, "C", readonly=True)
_whole = types.Array(types.int64, 1, "C", readonly=True)
_vector = types.Array(types.float64, 1, "C")
_matrix = types.Array(types.float64, 2, "C")
_places = types.Array(types.int64, 1, "C")
_model = (_matrix, types.Array(types.float64, 3, "C"))  # table, split
_options = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(types.boolean(_row, _vector, *_model), **_options)
def predict(x, p, table, split):
    """Fill ``p`` with the probabilities of the classes for a row; False where it is no row."""
    if not fits(x, split.shape[2]):
        return False
    probabilities(x, table, split, walk(x, table, split, 1), p)
    return True


@njit(types.float64(_row, *_model), **_options)
def probability(x, table, split):
    """Probability of class 1 for a row; NaN where it is no row."""
    if not fits(x, split.shape[2]):
        return np.nan
    p = np.empty((split.shape[1] - 1) // STEP)
    probabilities(x, table, split, walk(x, table, split, 1), p)
    return p[1]


@njit(types.int64(_row, types.float64, *_model), **_options)
def learn(x, y, table, split):
    """Learn a row: DONE, or nothing because it is no row or there is no room for more nodes."""
    if not (fits(x, split.shape[2]) and math.isfinite(y)):
        return NO_ROW
    if full(table, split, 1):
        return FULL
    votes = np.empty((split.shape[1] - 1) // STEP)
    grow(x, int(y), 1.0, table, split, walk(x, table, split, 1), votes)
    return DONE


@njit(types.boolean(_table, _row, _whole, _whole, _whole, types.int64, _matrix, _places, *_model), **_options)
def replay(X, y, moment, known, order, until, predictions, at, table, split):
    """Ask and learn as :func:`rtml.kernels.linear.replay_descent` does; False where it ran out of room for nodes.

    ``at`` holds the next question and the next answer: with more room the same call goes on from there.
    ``predictions`` has a column per class, or one for the probability of class 1.
    """
    n, before = len(moment), X.shape[0] - len(moment)
    p = np.empty((split.shape[1] - 1) // STEP)
    for t in range(at[0], n + 1):
        limit = moment[t] - 1 if t < n else until
        while at[1] < len(order) and known[order[at[1]]] <= limit:
            i = order[at[1]]
            if full(table, split, 1):
                at[0] = t
                return False
            at[1] += 1
            if not math.isnan(y[i]):
                grow(X[i], int(y[i]), 1.0, table, split, walk(X[i], table, split, 1), p)
        if t < n:
            x = X[before + t]
            probabilities(x, table, split, walk(x, table, split, 1), p)
            answer(p, predictions, t)
    return True
