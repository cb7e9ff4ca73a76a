"""Linear models as compiled transitions over one flat state: river's SGD, and recursive least squares.

A model of ``d`` features is two arrays. ``how`` (what does not change) holds the numbers named by the constants below.
``state`` (what is learned) holds in this order: count, intercept, weights (d), means (d), variances (d), deviations
(d), the standardised row last learned (d + 1) and, for recursive least squares only, the covariance (d + 1, d + 1)
and its gain (d + 1). Deviations are the roots of the variances, infinite where nothing varied, so that ``x / inf = 0``.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit, types

SQUARED, LOG, RECURSIVE = 0, 1, 2
KIND, SCALE, CLIP, RATE, INTERCEPT_RATE, L2, GRADIENT_LIMIT, WEIGHT_POS, WEIGHT_NEG = range(9)
FORGETTING, RIDGE, INTERCEPT_PRECISION, RENEWAL = range(3, 7)  # the same places, for recursive least squares
SIZE = 9
HEAD = 2  # count and intercept stand before the weights

_row = types.Array(types.float64, 1, "C", readonly=True)
_table = types.Array(types.float64, 2, "C", readonly=True)
_whole = types.Array(types.int64, 1, "C", readonly=True)
_state = types.Array(types.float64, 1, "C")
_options = {"cache": True, "nogil": True, "error_model": "numpy"}


def state_size(d: int, recursive: bool) -> int:
    """Length of the flat state of ``d`` features.

    Examples
    --------
    >>> state_size(10, False), state_size(10, True)
    (53, 185)
    """
    return HEAD + 4 * d + d + 1 + ((d + 1) * (d + 2) if recursive else 0)


@njit(types.boolean(_row, types.int64), **_options)
def finite(x, d):
    """Whether a row has ``d`` finite numbers."""
    if x.shape[0] != d:
        return False
    bad = 0.0
    for j in range(d):
        bad += x[j] - x[j]
    return bad == 0.0


@njit(types.float64(_row, _row, _row), **_options)
def predict(x, how, state):
    """Prediction for one row: a number, or the probability of True."""
    d = x.shape[0]
    w, mean, sd = state[HEAD : HEAD + d], state[HEAD + d : HEAD + 2 * d], state[HEAD + 3 * d : HEAD + 4 * d]
    limit = how[CLIP]
    dot = 0.0
    for j in range(d):
        dot += w[j] * max(min((x[j] - mean[j]) / sd[j], limit), -limit)
    dot += state[1]
    if how[KIND] != LOG:
        return dot
    return 0.0 if dot < -30 else (1.0 if dot > 30 else 1.0 / (1.0 + math.exp(-dot)))


@njit(types.float64(types.float64, types.float64, _row), **_options)
def _gradient(dot, y, how):
    """Gradient of river's squared or log loss, limited."""
    if how[KIND] == SQUARED:
        gradient = 2.0 * (dot - y)
    else:
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


@njit(types.void(_state, types.int64, _state, _state, types.float64, types.float64, types.float64), **_options)
def _condition(state, d, gain, covariance, error, spread, fade):
    """Move coefficients by gain and error; shrink the covariance, which stays symmetric bit by bit."""
    size = d + 1
    inverse = 1.0 / spread
    for j in range(d):
        state[HEAD + j] += gain[j] * (error * inverse)
    state[1] += gain[d] * (error * inverse)
    for i in range(size):
        row = covariance[i * size : (i + 1) * size]
        for j in range(size):
            row[j] = (row[j] - (gain[i] * gain[j]) * inverse) * fade


@njit(types.void(types.float64, types.int64, _row, _state), **_options)
def _learn_recursive(y, d, how, state):
    """Fade what was known by ``forgetting``, learn one row exactly, and renew the faded ridge of one coefficient."""
    size = d + 1
    start = HEAD + 4 * d
    z, gain = state[start : start + size], state[start + size + size * size :]
    covariance = state[start + size : start + size + size * size]
    z[d] = 1.0
    gain[:] = 0.0
    for i in range(size):
        row = covariance[i * size : (i + 1) * size]
        for j in range(size):
            gain[j] += row[j] * z[i]
    error, spread = y - state[1], 0.0
    for j in range(d):
        error -= state[HEAD + j] * z[j]
    for j in range(size):
        spread += z[j] * gain[j]
    forgetting = how[FORGETTING]
    _condition(state, d, gain, covariance, error, max(spread, 0.0) + forgetting, 1.0 / forgetting)
    if forgetting < 1.0:
        j = int(state[0]) % size
        gain[:] = covariance[j * size : (j + 1) * size]
        precision = how[RENEWAL] * (how[RIDGE] if j < d else how[INTERCEPT_PRECISION])
        error = -state[HEAD + j] if j < d else -state[1]
        _condition(state, d, gain, covariance, error, gain[j] + 1.0 / precision, 1.0)


@njit(types.void(_row, types.float64, _row, _state), **_options)
def learn(x, y, how, state):
    """Learn one answer: the scaler first, then the model on the row as the new scaler sees it (as river does)."""
    d = x.shape[0]
    w, mean, var = state[HEAD : HEAD + d], state[HEAD + d : HEAD + 2 * d], state[HEAD + 2 * d : HEAD + 3 * d]
    sd, z = state[HEAD + 3 * d : HEAD + 4 * d], state[HEAD + 4 * d : HEAD + 5 * d + 1]
    limit = how[CLIP]
    state[0] += 1.0
    count = state[0]
    if how[SCALE] != 0.0:
        for j in range(d):
            old = mean[j]
            new = old + (x[j] - old) / count
            spread = var[j] + ((x[j] - old) * (x[j] - new) - var[j]) / count
            root = math.sqrt(spread)
            mean[j] = new
            var[j] = spread
            sd[j] = root if spread != 0.0 else np.inf
    for j in range(d):
        z[j] = max(min((x[j] - mean[j]) / sd[j], limit), -limit)
    if how[KIND] == RECURSIVE:
        _learn_recursive(y, d, how, state)
        return
    dot = 0.0
    for j in range(d):
        dot += w[j] * z[j]
    gradient = _gradient(dot + state[1], y, how)
    state[1] -= how[INTERCEPT_RATE] * gradient
    rate, l2 = how[RATE], how[L2]
    for j in range(d):
        w[j] -= rate * (z[j] * gradient + l2 * w[j])


@njit(
    types.int64(_table, _table, _row, _whole, _whole, _whole, types.int64, _row, _state, _state),
    **_options,
)
def replay(waiting, asked, y, moment, order, due, until, how, state, predictions):
    """Ask every row of ``asked`` at its moment, learn every answer once it is known; return how many answers came.

    Row ``i`` of ``y`` belongs to ``waiting`` first, then to ``asked``. ``order`` lists rows by the time of their
    answer, ``due`` those times. An answer due at the very moment of a question comes after it. A NaN closes its
    question without being learned.
    """
    before = waiting.shape[0]
    told = 0
    for t in range(asked.shape[0] + 1):
        limit = moment[t] - 1 if t < asked.shape[0] else until
        while told < order.shape[0] and due[told] <= limit:
            i = order[told]
            told += 1
            if not math.isnan(y[i]):
                learn(waiting[i] if i < before else asked[i - before], y[i], how, state)
        if t < asked.shape[0]:
            predictions[t] = predict(asked[t], how, state)
    return told
