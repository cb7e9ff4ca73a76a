"""Online calibration of probabilities as compiled transitions: a line through log odds, learned from late answers.

``line`` holds the slope and intercept learned so far, their covariance (three numbers), how many answers they come
from, and how many maps are in use. ``since`` and ``maps`` hold the maps published so far: from which moment, with what
slope and intercept. A prediction is made with the newest map; an answer finds the map of its question's moment, undoes
it, and so finds the prediction of the model itself. Map 0 is the identity, for questions asked before the model had
learned ``AFTER`` answers: the predictions of a model that has learned nothing teach nothing.
"""

from __future__ import annotations

import math

import numpy as np
from numba import float64, int64, void

from rtml.kernels.answers import due
from rtml.kernels.declared import MATRIX, PLACES, VALUES, VECTOR, WHOLE, kernel, part

SLOPE = 0
INTERCEPT = 1
VARIANCE = 2
COVARIANCE = 3
VARIANCE_INTERCEPT = 4
ANSWERS = 5
HELD = 6
AFTER = 7
MOST = 4096  # maps kept; the answer of a question older than all of them teaches nothing
LEAST_SLOPE = 0.05  # a map must rise; variances before the first answer
PRIOR_SLOPE = 0.25
PRIOR_INTERCEPT = 4.0
_TINY = 1e-9  # probabilities are held this far from 0 and 1

_model = (VECTOR, PLACES, MATRIX)  # line, since, maps


@part
def _odds(p):
    p = min(max(p, _TINY), 1.0 - _TINY)
    return math.log(p / (1.0 - p))


@part
def _share(odds):
    return 1.0 / (1.0 + math.exp(-odds))


@kernel(void, int64, int64, *_model)
def publish(moment, every, line, since, maps):
    """Put what was learned in use, at the first question of every span of time: one of this moment comes next."""
    held = int(line[HELD])
    if held == 1 or since[held - 1] // every == moment // every:
        return
    if held == MOST:
        since[: MOST // 2], maps[: MOST // 2] = since[MOST // 2 :].copy(), maps[MOST // 2 :].copy()
        held = MOST // 2
    since[held] = moment
    maps[held, 0] = line[SLOPE]
    maps[held, 1] = line[INTERCEPT]
    line[HELD] = held + 1.0


@part
def _learn(odds, y, forgetting, line):
    """One step of second order for a logistic line (see ``rtml.models.recursive_logistic``), the slope kept rising."""
    p = _share(line[SLOPE] * odds + line[INTERCEPT])
    a = line[VARIANCE]
    b = line[COVARIANCE]
    c = line[VARIANCE_INTERCEPT]
    g, k = a * odds + b, b * odds + c
    weight = max(p * (1.0 - p), 1e-6)
    spread = (g * odds + k) + forgetting / weight
    step = (y - p) / weight / spread
    line[SLOPE] = max(line[SLOPE] + g * step, LEAST_SLOPE)
    line[INTERCEPT] += k * step
    a = a - g * g / spread
    b = b - g * k / spread
    c = c - k * k / spread
    fade = 1.0 / forgetting if max(a / PRIOR_SLOPE, c / PRIOR_INTERCEPT) < forgetting else 1.0
    line[VARIANCE] = a * fade
    line[COVARIANCE] = b * fade
    line[VARIANCE_INTERCEPT] = c * fade


@part
def _place(moment, line, since):
    """The map that was in use at a moment."""
    return max(np.searchsorted(since[: int(line[HELD])], moment, side="right") - 1, 0)


@part
def _said(prediction, own):
    """Log odds of the model itself, of a prediction that a map changed."""
    q = min(max(prediction, 1e-300), 1.0 - 2.0**-53)
    return (math.log(q / (1.0 - q)) - own[1]) / own[0]


@kernel(void, float64, float64, int64, int64, float64, *_model)
def learn(prediction, y, moment, known, forgetting, line, since, maps):
    """Learn an answer, or count it where the model was not ready when it was asked."""
    line[ANSWERS] += 1.0
    place = _place(moment, line, since)
    if place > 0:
        _learn(_said(prediction, maps[place]), y, forgetting, line)
    elif (
        line[HELD] == 1.0 and line[ANSWERS] >= line[AFTER]
    ):  # a question of the moment when this is known was asked before
        since[1] = known + 1
        maps[1, 0] = 1.0
        maps[1, 1] = 0.0
        line[HELD] = 2.0


@kernel(float64, float64, *_model)
def calibrate(p, line, since, maps):
    """A model's probability by the newest map."""
    own = maps[int(line[HELD]) - 1]
    return _share(own[0] * _odds(p) + own[1])


@kernel(void, float64, float64, float64, *_model)
def learn_now(p, y, forgetting, line, since, maps):
    """Learn from a model's own probability, and use it from now on: where no times are known."""
    line[ANSWERS] += 1.0
    if line[ANSWERS] > line[AFTER]:
        held = int(line[HELD])
        _learn(_odds(p), y, forgetting, line)
        maps[held - 1, 0], maps[held - 1, 1] = line[SLOPE], line[INTERCEPT]


@kernel(int64, VALUES, VALUES, VALUES, WHOLE, WHOLE, WHOLE, int64, int64, float64, VECTOR, *_model)
def replay(own, y, earlier, moment, known, order, until, every, forgetting, predictions, line, since, maps):
    """Calibrate a model's predictions, while answers of these and of earlier questions arrive in their time.

    ``own`` are the model's probabilities for the new questions, ``earlier`` the predictions of those before;
    ``moment``, ``y`` and ``known`` are of both. Times as in :func:`rtml.kernels.linear.replay_descent`.
    """
    n = len(own)
    before = len(earlier)
    asked = moment[before:]
    learned = 0
    for t in range(n + 1):
        stop = due(t, asked, until, known, order, learned)
        for i in order[learned:stop]:
            if not math.isnan(y[i]):
                given = earlier[i] if i < before else predictions[i - before]
                learn(given, y[i], moment[i], known[i], forgetting, line, since, maps)
        learned = stop
        if t < n:
            publish(asked[t], every, line, since, maps)
            predictions[t] = calibrate(own[t], line, since, maps)
    return learned
