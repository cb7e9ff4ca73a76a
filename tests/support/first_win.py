"""The answer at which a candidate would be promoted, as one compiled loop: the oracle of tests and of a benchmark."""

import math

import numpy as np

from rtml.kernels.betting import BETTER, GO_ON, SIZE, WON, bet, bet_bounded, log_capital, standardised, verdict
from rtml.kernels.cache import njit


@njit(
    "int64(float64[::1], float64[::1], float64[::1], boolean, int64, float64, float64[::1], float64)",
    cache=True,
    nogil=True,
)
def first_win(first, second, y, probability, delay, alpha, shares, timeouts):
    """Index of the answer at which a candidate is promoted, or -1: one comparison after the other over a stream.

    Comparison ``k`` begins with ``shares[k]`` of the first capital and what those before it have left, at most what
    they began with, and needs ``1 / alpha``. When one ends, the next counts no answer of a question asked before, that
    is none of the next ``delay``.
    """
    state, number, skip = np.zeros(SIZE), 0, 0
    invested = shares[0]
    for i in range(len(y)):
        if skip > 0:
            skip -= 1
            continue
        difference = (first[i] - second[i]) * (first[i] + second[i] - 2.0 * y[i])
        if probability:
            bet_bounded(state, difference, standardised(first[i], second[i], y[i]))
        else:
            bet(state, difference, 2.0 * abs(first[i] - second[i]))
        said = verdict(state, -math.log(alpha * invested), -math.log(alpha), timeouts)
        if said == WON:
            return i
        if said != GO_ON:
            left = invested * math.exp(min(log_capital(state, BETTER), 0.0))
            state[:] = 0.0
            number, skip = number + 1, delay
            invested = shares[number] + left
    return -1
