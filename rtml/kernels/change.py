"""Detectors of a change of the mean as compiled transitions: ADWIN, HDDM_A, FHDDM and Page-Hinkley.

Each takes values in order and writes the places at which it raises an alarm; ``how`` holds its numbers, ``s`` all that
the next value depends on. After an alarm it begins afresh, as river's do, whose numbers these are bit by bit.
"""

from __future__ import annotations

import math

import numpy as np
from numba import int64

from rtml.kernels import adwin as window
from rtml.kernels.declared import PLACES, VALUES, VECTOR, kernel

ROWS = 48  # of ADWIN's buckets: more than any stream can fill

_push = (int64, VALUES, VALUES, VECTOR, PLACES)


@kernel(*_push)
def adwin(values, how, s, alarms):
    """ADWIN (Bifet and Gavalda, SDM 2007); ``how``: delta, clock, buckets, shortest part, grace, two-sided."""
    most, raised = int(how[2]) + 1, 0
    head, rows = s[: window.HELD + ROWS], s[window.HELD + ROWS :].reshape((ROWS, most, 2))
    for i in range(len(values)):
        head[window.ROWS] = max(head[window.ROWS], 1.0)
        window.add(head, rows, most, values[i])
        head[window.TICKS] += 1.0
        if int(head[window.TICKS]) % int(how[1]) != 0 or head[window.WIDTH] <= how[4]:
            continue
        turn = window.differs(head, rows, how[0], how[3])
        changed, rose = turn != 0, how[5] > 0.0
        while turn != 0:
            rose = rose or turn > 0
            window.drop(head, rows, most)
            turn = window.differs(head, rows, how[0], how[3])
        if changed:
            if rose:
                alarms[raised] = i
                raised += 1
            s[:] = 0.0
    return raised


@kernel(*_push)
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


@kernel(*_push)
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


@kernel(*_push)
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
