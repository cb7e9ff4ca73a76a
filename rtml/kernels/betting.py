"""Bets on which of two models loses less: a capital that may not grow where the claim is false."""

import math

import numpy as np
from numba import njit

#: Stakes, shares of the capital; the capital is the mean of what each of them, held throughout, would have made.
STAKES = np.array([0.8, 0.4, 0.2, 0.1, 0.05])
BURN_IN = 20  # differences that only say how large differences are
LIMIT = 6.0  # a gain counts as so many mean absolute differences at most; a loss counts whole
LEAST = 0.01  # what one bet leaves of the capital at least
MEMORY = 60.0  # differences over which their size is averaged: markets are wild for a while, then calm
N, SUM, SQUARES, SIZE_NOW, BETTER = 0, 1, 2, 3, 4  # places in a state; then log capitals of better and of worse
WORSE = BETTER + len(STAKES)
SIZE = WORSE + len(STAKES)
GO_ON, WON, LOST, GIVEN_UP = 0, 1, 2, 3


@njit("float64(float64[::1], int64)", cache=True, nogil=True)
def log_capital(state, first):
    """Log of the mean capital of one side."""
    highest = state[first]
    for k in range(1, len(STAKES)):
        highest = max(highest, state[first + k])
    total = 0.0
    for k in range(len(STAKES)):
        total += math.exp(state[first + k] - highest)
    return highest + math.log(total / len(STAKES))


@njit("void(float64[::1], float64, float64)", cache=True, nogil=True)
def bet(state, difference, bound):
    """Bet on one more difference, positive where the first model loses more than the second.

    The stake was chosen before it was known, from the mean absolute difference of late. Clipping gains can only lower
    the expected capital. A loss is clipped only where it would cost more than everything; where differences are known
    to be at most ``bound`` (0: unknown) stakes are so small that none is, and the guarantee is exact.
    """
    if state[N] >= BURN_IN and state[SIZE_NOW] > 0.0:
        limit = LIMIT * state[SIZE_NOW]
        gain, loss = min(difference, limit), -max(difference, -limit)
        for k in range(len(STAKES)):
            stake = STAKES[k] / limit
            if bound > 0.0:
                stake = min(stake, (1.0 - LEAST) / bound)
            state[BETTER + k] += math.log(max(1.0 + stake * gain, LEAST))
            state[WORSE + k] += math.log(max(1.0 + stake * loss, LEAST))
    state[N] += 1.0
    state[SUM] += difference
    state[SQUARES] += difference * difference
    state[SIZE_NOW] += (abs(difference) - state[SIZE_NOW]) / min(state[N], MEMORY)


@njit("int64(float64[::1], float64, float64, int64)", cache=True, nogil=True)
def verdict(state, to_win, to_lose, timeouts):
    """Whether the second model has won, has lost, is given up, or goes on.

    It has won when its log capital reaches ``to_win`` and the plain mean is on its side too, has lost when the other's
    reaches ``to_lose``, and is given up after ``timeouts`` differences, after half of them where it is behind.
    """
    ahead = log_capital(state, BETTER)
    if ahead >= to_win and state[SUM] > 0.0:
        return WON
    if log_capital(state, WORSE) >= to_lose:
        return LOST
    if state[N] >= timeouts or (state[N] >= timeouts / 2 and ahead < 0.0):
        return GIVEN_UP
    return GO_ON


@njit("int64(float64[::1], int64, float64[::1], float64, int64, float64)", cache=True, nogil=True)
def first_win(differences, delay, to_win, to_lose, timeouts, bound):
    """Index of the difference at which a candidate is promoted, or -1: one comparison after the other over a stream.

    Comparison number ``k`` needs ``to_win[k]``; when one ends, the next counts no answer of a question asked
    before, that is none of the next ``delay``.
    """
    state, number, skip = np.zeros(SIZE), 0, 0
    for i in range(len(differences)):
        if skip > 0:
            skip -= 1
            continue
        bet(state, differences[i], bound)
        said = verdict(state, to_win[number], to_lose, timeouts)
        if said == WON:
            return i
        if said != GO_ON:
            state[:] = 0.0
            number, skip = number + 1, delay
    return -1
