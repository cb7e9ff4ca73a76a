"""Detectors of a change of the mean as compiled transitions: ADWIN, HDDM_A, FHDDM and Page-Hinkley.

Each takes values in order and writes the places at which it raises an alarm; ``how`` holds its numbers, ``s`` all that
the next value depends on. After an alarm it begins afresh, as river's do, whose numbers these are bit by bit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from rtml.kernels.cache import njit

LEVELS = 48  # of ADWIN's buckets: more than any stream can fill
# head of ADWIN's state; then counts, sums and variances of the buckets
WIDTH = 0
TOTAL = 1
VARIANCE = 2
TICK = 3
USED = 4
HEAD = 5

_row = types.Array(types.float64, 1, "C", readonly=True)
_vector = types.Array(types.float64, 1, "C")
_places = types.Array(types.int64, 1, "C")
_push = types.int64(_row, _row, _vector, _places)
_options = {"cache": True, "nogil": True, "error_model": "numpy"}


@njit(types.void(_vector, types.int64, types.int64), **_options)
def _insert(s, room, merged):
    """Merge the two oldest of every full level of buckets into one of the next."""
    level = merged
    while s[HEAD + level] == room:
        n = 2.0**level
        sums = HEAD + LEVELS + level * room
        variances = sums + LEVELS * room
        apart = s[sums] / n - s[sums + 1] / n
        place = sums + room + int(s[HEAD + level + 1])
        s[place] = s[sums] + s[sums + 1]
        s[place + LEVELS * room] = s[variances] + s[variances + 1] + n * 0.5 * apart * apart
        for k in range(room - 2):
            s[sums + k] = s[sums + k + 2]
            s[variances + k] = s[variances + k + 2]
        s[HEAD + level] -= 2.0
        s[HEAD + level + 1] += 1.0
        s[USED] = max(s[USED], level + 1.0)
        level += 1


@njit(types.void(_vector, types.int64), **_options)
def _drop_oldest(s, room):
    """Forget the oldest bucket."""
    level = int(s[USED])
    n = 2.0**level
    sums = HEAD + LEVELS + level * room
    variances = sums + LEVELS * room
    total, variance = s[sums], s[variances]
    s[WIDTH] -= n
    s[TOTAL] -= total
    apart = total / n - s[TOTAL] / s[WIDTH]
    s[VARIANCE] -= variance + n * s[WIDTH] * apart * apart / (n + s[WIDTH])
    left = int(s[HEAD + level]) - 1
    for k in range(left):
        s[sums + k] = s[sums + k + 1]
        s[variances + k] = s[variances + k + 1]
    s[HEAD + level] = left
    while s[USED] > 0 and s[HEAD + int(s[USED])] == 0.0:
        s[USED] -= 1.0


@njit(types.int64(_vector, types.int64, types.float64, types.float64), **_options)
def _differs(s, room, delta, shortest):
    """Whether a cut of the window leaves means that differ beyond chance: 1 if the newer is larger, -1 if smaller."""
    width = s[WIDTH]
    spread = s[VARIANCE] / width
    strict = math.log(2.0 * math.log(width) / delta)
    n0 = 0.0
    n1 = width
    u0 = 0.0
    u1 = s[TOTAL]
    for level in range(int(s[USED]), -1, -1):
        held = int(s[HEAD + level])
        for k in range(held):
            total = s[HEAD + LEVELS + level * room + k]
            n0 += 2.0**level
            n1 -= 2.0**level
            u0 += total
            u1 -= total
            if (level == 0 and k == held - 1) or n0 < shortest or n1 < shortest:
                continue
            m = 1.0 / (n0 - shortest + 1.0) + 1.0 / (n1 - shortest + 1.0)
            bound = math.sqrt(2.0 * m * spread * strict) + 2.0 / 3.0 * strict * m
            if abs(u0 / n0 - u1 / n1) > bound:
                return 1 if u1 / n1 > u0 / n0 else -1
    return 0


@njit(_push, **_options)
def adwin(values, how, s, alarms):
    """ADWIN (Bifet and Gavalda, SDM 2007); ``how``: delta, clock, buckets, shortest part, grace, two-sided."""
    delta = how[0]
    clock = int(how[1])
    room = int(how[2]) + 1
    shortest = how[3]
    grace = how[4]
    raised = 0
    for i in range(len(values)):
        value = values[i]
        s[HEAD + LEVELS + int(s[HEAD])] = value
        s[HEAD + LEVELS + LEVELS * room + int(s[HEAD])] = 0.0
        s[HEAD] += 1.0
        s[WIDTH] += 1.0
        if s[WIDTH] > 1.0:
            apart = value - s[TOTAL] / (s[WIDTH] - 1.0)
            s[VARIANCE] += (s[WIDTH] - 1.0) * apart * apart / s[WIDTH]
        s[TOTAL] += value
        _insert(s, room, 0)
        s[TICK] += 1.0
        if int(s[TICK]) % clock != 0 or s[WIDTH] <= grace:
            continue
        turn = _differs(s, room, delta, shortest)
        changed, rose = turn != 0, how[5] > 0.0
        while turn != 0:
            rose = rose or turn > 0
            _drop_oldest(s, room)
            turn = _differs(s, room, delta, shortest)
        if changed:
            if rose:
                alarms[raised] = i
                raised += 1
            s[:] = 0.0
    return raised


@njit(_push, **_options)
def hddm_a(values, how, s, alarms):
    """HDDM_A (Frias-Blanco et al., TKDE 2015), for a mean that rises; ``how``: confidence."""
    strict, raised = math.log(1.0 / how[0]), 0
    for i in range(len(values)):
        s[2] += 1.0
        s[3] += (1.0 / s[2]) * (values[i] - s[3])
        if s[0] == 0.0:
            s[0], s[1] = s[2], s[3]
        if s[1] + math.sqrt(1.0 / (2 * s[0]) * strict) >= s[3] + math.sqrt(1.0 / (2 * s[2]) * strict):
            s[0], s[1] = s[2], s[3]
        if s[0] == s[2]:
            continue
        m = (s[2] - s[0]) / s[0] * (1.0 / s[2])
        if s[3] - s[1] >= math.sqrt(m / 2 * math.log(2.0 / how[0])):
            alarms[raised] = i
            raised += 1
            s[:] = 0.0
    return raised


@njit(_push, **_options)
def fhddm(values, how, s, alarms):
    """FHDDM (Pesaranghader and Viktor, ECML 2016) of errors, fed as successes; ``how``: window, confidence."""
    window, raised = int(how[0]), 0
    limit = math.sqrt(math.log(1 / how[1]) / (2 * window))
    for i in range(len(values)):
        success = 1.0 - values[i]
        s[3 + int(s[0]) % window] = success
        s[0] += 1.0
        s[1] += success
        if s[0] < window:
            continue
        mean = s[1] / window
        s[2] = max(s[2], mean)
        s[1] -= s[3 + int(s[0]) % window]
        if s[2] - mean > limit:
            alarms[raised] = i
            raised += 1
            s[:] = 0.0
    return raised


@njit(_push, **_options)
def page_hinkley(values, how, s, alarms):
    """Page-Hinkley (Page, Biometrika 1954) for a mean that rises; ``how``: at least, delta, threshold, alpha."""
    raised = 0
    for i in range(len(values)):
        if s[0] == 0.0:
            s[3] = np.inf
        s[0] += 1.0
        s[1] += (1.0 / s[0]) * (values[i] - s[1])
        s[2] = how[3] * s[2] + (values[i] - s[1]) - how[1]
        s[3] = min(s[3], s[2])
        if s[0] >= how[0] and s[2] - s[3] > how[2]:
            alarms[raised] = i
            raised += 1
            s[:] = 0.0
    return raised
