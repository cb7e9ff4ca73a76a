"""Softmax regression of second order as compiled transitions: one set of weights per class, one scaler for all.

``how`` and the scaler are those of :mod:`rtml.kernels.linear`, which must be touched together with this file: numba
looks at a kernel's own file alone. ``table`` is the scaler's, its row of weights unused; ``weights`` has a row a class
and a last column for the intercepts, ``cov`` a covariance a class: the covariances between classes are left out.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64

from rtml.kernels.answers import due
from rtml.kernels.declared import CUBE, MATRIX, STREAM, VALUES, VECTOR, kernel, part
from rtml.kernels.linear import CLIP, LEAST_WEIGHT, MEANS, fits, project, scale, update

_model = (VALUES, MATRIX, MATRIX, CUBE)  # how, table, weights, cov


@part
def _answer(X, i, how, table, weights, z, p):
    """Fill ``z`` with row ``i`` as the model sees it and ``p`` with the probabilities of the classes."""
    highest, total = -np.inf, 0.0
    for c in range(weights.shape[0]):
        p[c] = project(X, i, how[CLIP], weights[c], table, z)
        highest = max(highest, p[c])
    for c in range(weights.shape[0]):
        p[c] = math.exp(p[c] - highest)
        total += p[c]
    for c in range(weights.shape[0]):
        p[c] = p[c] / total


@part
def _learn(X, i, y, how, table, weights, cov, z, gain, p):
    """A step for every class: as of a logistic regression of this class against the rest, its odds the softmax's."""
    size = weights.shape[1]
    scale(X, i, how, table)
    _answer(X, i, how, table, weights, z, p)
    z[size - 1] = 1.0
    for c in range(weights.shape[0]):
        weight = max(p[c] * (1.0 - p[c]), LEAST_WEIGHT)
        error = ((1.0 if c == y else 0.0) - p[c]) / weight
        update(weights[c], cov[c], z, gain, error, weight, table[MEANS, size - 1], how)


@kernel(boolean, VALUES, VECTOR, *_model)
def predict(x, p, how, table, weights, cov):
    """Fill ``p`` with the probabilities of the classes for a row; False where it is no row."""
    d = table.shape[1] - 1
    if not fits(x, d):
        return False
    _answer(x.reshape((1, d)), 0, how, table, weights, np.empty(d + 1), p)
    return True


@kernel(boolean, VALUES, float64, *_model)
def learn(x, y, how, table, weights, cov):
    """Learn a row; False, and nothing learned, where it is no row."""
    d = table.shape[1] - 1
    if not (fits(x, d) and math.isfinite(y)):
        return False
    work, p = (np.empty(d + 1), np.empty(d + 1)), np.empty(weights.shape[0])
    _learn(x.reshape((1, d)), 0, int(y), how, table, weights, cov, work[0], work[1], p)
    return True


@kernel(int64, *STREAM, MATRIX, *_model)
def replay(X, y, moment, known, order, until, predictions, how, table, weights, cov):
    """Ask and learn as :func:`rtml.kernels.linear.replay_descent` does; ``predictions`` has a column per class."""
    n = len(moment)
    taken = 0
    size = weights.shape[1]
    z = np.empty(size)
    gain = np.empty(size)
    p = np.empty(weights.shape[0])
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, taken)
        for i in order[taken:stop]:
            if not math.isnan(y[i]):
                _learn(X, i, int(y[i]), how, table, weights, cov, z, gain, p)
        taken = stop
        if t < n:
            _answer(X, X.shape[0] - n + t, how, table, weights, z, predictions[t])
    return taken
