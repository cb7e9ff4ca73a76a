"""The nearest of the last rows as compiled transitions: a ring of rows with their labels, and which of them are near.

``how`` holds how many neighbours vote, ``came`` how many rows there were, ``scaler`` running mean, variance and count
of every feature: a distance is in deviations of now, a missing value in it counts for nothing. A row of ``ring`` is a
feature, a missing value as the mean of its time; the last one the labels.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64

from rtml.kernels.answers import due
from rtml.kernels.declared import MATRIX, STREAM, VALUES, VECTOR, kernel, part
from rtml.kernels.linear import fits

VOTES = 0.5  # that all classes share

_model = (VALUES, VECTOR, MATRIX, MATRIX)  # how, came, scaler, ring


@part
def _answer(x, p, how, came, scaler, ring):
    """Fill ``p`` with the shares of the classes among the nearest rows; of rows as near the older ones count."""
    n = int(min(came[0], ring.shape[1]))
    far = np.zeros(n)
    for j in range(len(x)):
        if x[j] == x[j] and scaler[1, j] > 0.0:
            for i in range(n):
                far[i] += (ring[j, i] - x[j]) ** 2 / scaler[1, j]
    nearest = np.full(int(how[0]), np.inf)
    label = np.zeros(len(nearest), np.int64)
    for i in range(n):
        if far[i] < nearest[-1]:
            at = len(nearest) - 1
            while at > 0 and nearest[at - 1] > far[i]:
                nearest[at], label[at] = nearest[at - 1], label[at - 1]
                at -= 1
            nearest[at], label[at] = far[i], int(ring[-1, i])
    vote = 1.0 / (VOTES + min(n, len(nearest)))
    p[:] = vote * VOTES / len(p)
    for i in range(min(n, len(nearest))):
        p[label[i]] += vote


@part
def _learn(x, y, came, scaler, ring):
    """Put a row in the place of the oldest."""
    at = int(came[0]) % ring.shape[1]
    came[0] += 1.0
    for j in range(len(x)):
        old = scaler[0, j]
        if x[j] == x[j]:
            scaler[2, j] += 1.0
            scaler[0, j] = old + (x[j] - old) / scaler[2, j]
            scaler[1, j] += ((x[j] - old) * (x[j] - scaler[0, j]) - scaler[1, j]) / scaler[2, j]
        ring[j, at] = x[j] if x[j] == x[j] else scaler[0, j]
    ring[-1, at] = y


@kernel(boolean, VALUES, VECTOR, *_model)
def predict(x, p, how, came, scaler, ring):
    """Fill ``p`` with the probabilities of the classes for a row; False where it is no row."""
    if not fits(x, scaler.shape[1]):
        return False
    _answer(x, p, how, came, scaler, ring)
    return True


@kernel(boolean, VALUES, float64, *_model)
def learn(x, y, how, came, scaler, ring):
    """Learn a row; False, and nothing learned, where it is no row."""
    if not (fits(x, scaler.shape[1]) and math.isfinite(y)):
        return False
    _learn(x, y, came, scaler, ring)
    return True


@kernel(int64, *STREAM, MATRIX, *_model)
def replay(X, y, moment, known, order, until, predictions, how, came, scaler, ring):
    """Ask and learn as :func:`rtml.kernels.linear.replay_descent` does; ``predictions`` has a column per class."""
    n = len(moment)
    taken = 0
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, taken)
        for i in order[taken:stop]:
            if not math.isnan(y[i]):
                _learn(X[i], y[i], came, scaler, ring)
        taken = stop
        if t < n:
            _answer(X[X.shape[0] - n + t], predictions[t], how, came, scaler, ring)
    return taken
