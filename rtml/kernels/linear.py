"""Linear models as compiled transitions over flat arrays: river's SGD, recursive least squares and logistic.

A model of ``d`` features is three arrays. ``how``, which does not change, holds the numbers named by the constants.
``table`` has a row for each name below and ``d + 1`` columns: one a feature and a last one, which holds the intercept
beside the weights and the count of answers beside the means. A deviation is the root of a variance, infinite where
nothing varied, so that ``x / inf = 0``; it is one where no scaler is. ``cov`` is the covariance of the weights for
the recursive models, and empty for the others.

NaN is a missing value: it counts as zero after scaling, so it adds nothing to a prediction, and does not move the
scaler. ``MISSED`` counts how often each feature was missing when an answer was learned.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64

from rtml.kernels.answers import due
from rtml.kernels.cache import njit
from rtml.kernels.declared import MATRIX, STREAM, VALUES, VECTOR, kernel

SQUARED = 0
LOG = 1
RECURSIVE = 2
RECURSIVE_LOG = 3
KIND, SCALE, CLIP, RATE, INTERCEPT_RATE, L2, GRADIENT_LIMIT, WEIGHT_POS, WEIGHT_NEG = range(9)
FORGETTING, RIDGE, INTERCEPT_PRECISION, RENEWAL = range(3, 7)  # the same places, for the recursive models
SIZE = 9  # of how
LEAST_WEIGHT = 1e-9  # of a logistic answer that was thought certain
WEIGHTS, MEANS, VARIANCES, DEVIATIONS, MISSED = range(5)  # rows of table

_model = (VALUES, MATRIX, MATRIX)  # how, table, cov
_part = njit(inline="always", error_model="numpy")  # of a kernel: a call would cost more than the arithmetic in it


@_part
def fits(x, d):
    """Whether a row has ``d`` numbers, none infinite (NaN is missing)."""
    infinite = 0
    for j in range(x.shape[0]):
        infinite += abs(x[j]) == np.inf
    return x.shape[0] == d and infinite == 0


@_part
def _rows(table):
    """The rows of a table, found once for many answers."""
    return table[WEIGHTS], table[MEANS], table[VARIANCES], table[DEVIATIONS], table[MISSED]


@_part
def project(X, i, limit, w, table, z):
    """Fill ``z`` with row ``i`` as the model sees it; return what the weights make of it."""
    d, dot = X.shape[1], 0.0
    mean = table[MEANS]
    sd = table[DEVIATIONS]
    for j in range(d):
        value = (X[i, j] - mean[j]) / sd[j]
        z[j] = value if value == value else 0.0
    if limit < np.inf:
        for j in range(d):
            z[j] = max(min(z[j], limit), -limit)
    for j in range(d):
        dot += w[j] * z[j]
    return dot + w[d]


@_part
def _answer(dot, kind):
    """The prediction of a dot product: itself, or river's sigmoid of it."""
    if kind in (LOG, RECURSIVE_LOG):
        dot = 0.0 if dot < -30.0 else (1.0 if dot > 30.0 else 1.0 / (1.0 + math.exp(-dot)))
    return dot


@_part
def _gradient(dot, y, how):
    """Gradient of river's squared or log loss, limited."""
    gradient = 2.0 * (dot - y)
    if how[KIND] == LOG:
        sign = 1.0 if y != 0.0 else -1.0
        weight = how[WEIGHT_POS] if y != 0.0 else how[WEIGHT_NEG]
        margin = dot * sign
        if margin > 18.0:
            gradient = weight * math.exp(-margin) * -sign
        elif margin < -18.0:
            gradient = weight * -sign
        else:
            gradient = weight * -sign / (math.exp(margin) + 1.0)
    return max(min(gradient, how[GRADIENT_LIMIT]), -how[GRADIENT_LIMIT])


@_part
def condition(w, cov, gain, error, spread, fade):
    """Move coefficients by gain and error; shrink the covariance, which stays symmetric bit by bit."""
    inverse = 1.0 / spread
    for j in range(w.shape[0]):
        w[j] += gain[j] * (error * inverse)
    for i in range(w.shape[0]):
        for j in range(w.shape[0]):
            cov[i, j] = (cov[i, j] - (gain[i] * gain[j]) * inverse) * fade


@_part
def update(w, cov, z, gain, error, weight, count, how):
    """Second-order step of one set of weights: condition on an answer, fade, renew one coefficient's faded ridge.

    ``error`` is that of an answer of this ``weight``, ``z`` its row with a last one, ``count`` answers so far.
    """
    size = w.shape[0]
    forgetting = how[FORGETTING]
    spread = 0.0
    gain[:] = 0.0
    for i in range(size):
        for j in range(size):
            gain[j] += cov[i, j] * z[i]
    for j in range(size):
        spread += z[j] * gain[j]
    condition(w, cov, gain, error, max(spread, 0.0) + forgetting / weight, 1.0 / forgetting)
    if forgetting < 1.0:
        i = int(count) % size
        for j in range(size):
            gain[j] = cov[i, j]
        precision = how[RENEWAL] * (how[RIDGE] if i < size - 1 else how[INTERCEPT_PRECISION])
        condition(w, cov, gain, -w[i], gain[i] + 1.0 / precision, 1.0)


@_part
def scale(X, i, how, table):
    """Count, and let the scaler see row ``i``."""
    d = X.shape[1]
    mean = table[MEANS]
    var = table[VARIANCES]
    sd = table[DEVIATIONS]
    missed = table[MISSED]
    mean[d] += 1.0
    if how[SCALE] != 0.0:
        for j in range(d):
            old, there = mean[j], X[i, j] == X[i, j]
            missed[j] += 0.0 if there else 1.0
            count = mean[d] - missed[j]
            new = old + (X[i, j] - old) / count
            spread = var[j] + ((X[i, j] - old) * (X[i, j] - new) - var[j]) / count
            root = math.sqrt(spread)
            mean[j] = new if there else old
            var[j] = spread if there else var[j]
            sd[j] = (root if root != 0.0 else np.inf) if there else sd[j]


@_part
def _descend(X, i, y, how, table, z):
    """Learn row ``i`` by one step of stochastic gradient descent, as river takes it: the scaler first."""
    d, w = X.shape[1], table[WEIGHTS]
    scale(X, i, how, table)
    gradient = _gradient(project(X, i, how[CLIP], w, table, z), y, how)
    w[d] -= how[INTERCEPT_RATE] * gradient
    rate, l2 = how[RATE], how[L2]
    for j in range(d):
        w[j] -= rate * (z[j] * gradient + (l2 * w[j] if X[i, j] == X[i, j] else 0.0))  # river decays what is there


@_part
def _solve(X, i, y, how, table, cov, z):
    """Learn row ``i`` exactly, fade what was known by ``forgetting``, renew the faded ridge of one coefficient.

    A logistic answer weighs what it says of the weights: ``p (1 - p)``, where a least squares answer weighs one.
    """
    w, weight = table[WEIGHTS], 1.0
    size = w.shape[0]
    scale(X, i, how, table)
    guess = _answer(project(X, i, how[CLIP], w, table, z), how[KIND])
    if how[KIND] == RECURSIVE_LOG:
        weight = max(guess * (1.0 - guess), LEAST_WEIGHT)
    z[size - 1] = 1.0
    update(w, cov, z, np.empty(size), (y - guess) / weight, weight, table[MEANS][size - 1], how)


@kernel(float64, VALUES, VALUES, MATRIX)
def predict(x, how, table):
    """Prediction for a row: a number, or the probability of True; NaN where it is no row."""
    d = table.shape[1] - 1
    if not fits(x, d):
        return np.nan
    return _answer(project(x.reshape((1, d)), 0, how[CLIP], table[WEIGHTS], table, np.empty(d)), how[KIND])


@kernel(boolean, VALUES, float64, *_model)
def learn(x, y, how, table, cov):
    """Learn a row; False, and nothing learned, where it is no row."""
    d = table.shape[1] - 1
    if not (fits(x, d) and math.isfinite(y)):
        return False
    X, z = x.reshape((1, d)), np.empty(d + 1)
    if how[KIND] >= RECURSIVE:
        _solve(X, 0, y, how, table, cov, z)
    else:
        _descend(X, 0, y, how, table, z)
    return True


@kernel(int64, *STREAM, VECTOR, *_model)
def replay_descent(X, y, moment, known, order, until, predictions, how, table, cov):
    """Ask the last rows of ``X`` at their moments, learn every answer once it is known; return how many answers came.

    The rows before those were asked earlier and wait. ``order`` lists rows by the time at which their answer is known.
    An answer known at the very moment of a question comes after it. A NaN closes its question unlearned.
    """
    n = len(moment)
    taken = 0
    z = np.empty(table.shape[1])
    rows = _rows(table)
    before = X.shape[0] - n
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, taken)
        for i in order[taken:stop]:
            if not math.isnan(y[i]):
                _descend(X, i, y[i], how, rows, z)
        taken = stop
        if t < n:
            predictions[t] = _answer(project(X, before + t, how[CLIP], rows[WEIGHTS], rows, z), how[KIND])
    return taken


@kernel(int64, *STREAM, VECTOR, *_model)
def replay_recursive(X, y, moment, known, order, until, predictions, how, table, cov):
    """The same of a recursive model: a loop of its own, because one for both takes twice as long."""
    n = len(moment)
    taken = 0
    z = np.empty(table.shape[1])
    rows = _rows(table)
    before = X.shape[0] - n
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, taken)
        for i in order[taken:stop]:
            if not math.isnan(y[i]):
                _solve(X, i, y[i], how, rows, cov, z)
        taken = stop
        if t < n:
            predictions[t] = _answer(project(X, before + t, how[CLIP], rows[WEIGHTS], rows, z), how[KIND])
    return taken
