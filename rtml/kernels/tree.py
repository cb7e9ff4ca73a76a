"""One Hoeffding tree as compiled transitions over flat arrays: predict, learn, and a chunk with delayed answers.

The arrays are those of :mod:`rtml.kernels.hoeffding`; the root is row 1 of ``table``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64

from rtml.kernels.answers import due
from rtml.kernels.declared import CUBE, MATRIX, PLACES, STREAM, VALUES, VECTOR, kernel
from rtml.kernels.hoeffding import answer, full, grow, probabilities, walk
from rtml.kernels.linear import fits
from rtml.kernels.splitting import STEP

NO_ROW, DONE, FULL = range(3)

_model = (MATRIX, CUBE)  # table, split


@kernel(boolean, VALUES, VECTOR, *_model)
def predict(x, p, table, split):
    """Fill ``p`` with the probabilities of the classes for a row; False where it is no row."""
    if not fits(x, split.shape[2]):
        return False
    probabilities(x, table, split, walk(x, table, split, 1), p)
    return True


@kernel(float64, VALUES, *_model)
def probability(x, table, split):
    """Probability of class 1 for a row; NaN where it is no row."""
    if not fits(x, split.shape[2]):
        return np.nan
    p = np.empty((split.shape[1] - 1) // STEP)
    probabilities(x, table, split, walk(x, table, split, 1), p)
    return p[1]


@kernel(int64, VALUES, float64, *_model)
def learn(x, y, table, split):
    """Learn a row: DONE, or nothing because it is no row or there is no room for more nodes."""
    if not (fits(x, split.shape[2]) and math.isfinite(y)):
        return NO_ROW
    if full(table, split, 1):
        return FULL
    votes = np.empty((split.shape[1] - 1) // STEP)
    grow(x, int(y), 1.0, table, split, walk(x, table, split, 1), votes)
    return DONE


@kernel(boolean, *STREAM, MATRIX, PLACES, *_model)
def replay(X, y, moment, known, order, until, predictions, at, table, split):
    """Ask and learn as :func:`rtml.kernels.linear.replay_descent` does; False where it ran out of room for nodes.

    ``at`` holds the next question and the next answer: with more room the same call goes on from there.
    ``predictions`` has a column per class, or one for the probability of class 1.
    """
    n, before = len(moment), X.shape[0] - len(moment)
    p = np.empty((split.shape[1] - 1) // STEP)
    for t in range(at[0], n + 1):
        stop = due(t, moment, until, known, order, at[1])
        for i in order[at[1] : stop]:
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
