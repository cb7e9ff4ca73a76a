"""Baselines as compiled transitions: a constant, the mean so far, a line through one feature, the last known answer."""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64, void

from rtml.kernels.answers import due
from rtml.kernels.declared import STREAM, VALUES, VECTOR, kernel

ZERO, MEAN, LINE, LAST = range(4)  # kinds
KIND, COLUMN, COUNT, MEAN_X, MEAN_Y, SPREAD, PRODUCT, NEWEST = range(8)  # of a baseline


@kernel(float64, VALUES, VECTOR)
def predict(x, learned):
    """Prediction for a row."""
    kind = learned[KIND]
    if kind == MEAN:
        return learned[MEAN_Y]
    if kind == LINE:
        value = x[int(learned[COLUMN])]
        if math.isnan(value) or learned[SPREAD] == 0.0:
            return learned[MEAN_Y]
        return learned[MEAN_Y] + learned[PRODUCT] / learned[SPREAD] * (value - learned[MEAN_X])
    return learned[NEWEST] if kind == LAST else 0.0


@kernel(void, VALUES, float64, VECTOR)
def learn(x, y, learned):
    """Learn an answer, as river's models of :mod:`rtml.models.baselines` do."""
    value = x[int(learned[COLUMN])]
    if learned[KIND] == LINE and math.isnan(value):
        return
    learned[COUNT] += 1.0
    learned[NEWEST] = y
    off_x, off_y = value - learned[MEAN_X], y - learned[MEAN_Y]
    learned[MEAN_Y] += off_y / learned[COUNT]
    if learned[KIND] == LINE:
        learned[MEAN_X] += off_x / learned[COUNT]
        learned[SPREAD] += off_x * (value - learned[MEAN_X])
        learned[PRODUCT] += off_y * (value - learned[MEAN_X])


@kernel(int64, *STREAM, VECTOR, VECTOR)
def replay(X, y, moment, known, order, until, predictions, learned):
    """Ask and learn a chunk (see :func:`rtml.kernels.linear.replay_descent`)."""
    n, told = len(moment), 0
    before = X.shape[0] - n
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, told)
        for i in order[told:stop]:
            if not math.isnan(y[i]):
                learn(X[i], y[i], learned)
        told = stop
        if t < n:
            predictions[t] = predict(X[before + t], learned)
    return told


def fresh(kind: int, column: int = 0) -> np.ndarray:
    """What a baseline knows before the first answer."""
    learned = np.zeros(8)
    learned[[KIND, COLUMN]] = kind, column
    return learned
