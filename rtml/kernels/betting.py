"""Bets on which of two models loses less: a capital that may not grow where the second model is not better."""

import math

import numpy as np

from rtml.kernels.cache import njit

#: Stakes, and the share of the capital that each begins with. A stake of one is the best bet when the second model is
#: exactly right: of a number with noise of variance v it is 1 / (4 v) of the capital a unit of squared error.
STAKES = np.array([1.2, 0.4, 4.0])
SHARES = np.array([0.8, 0.1, 0.1])
BURN_IN = 20  # units that only say how large errors are
MARGIN = 4.0  # a bet survives an error so many times as large as the largest yet seen
EARLY = 50.0  # and EARLY / sqrt(n) times as large after the first n units, of which the largest says little
LEAST = 0.01  # what one bet leaves of the capital at least
MOST = 2.0  # what one bet makes of the capital at most: no promotion hangs on one answer
MEMORY = 1000.0  # units over which the size of errors is averaged
BEHIND = -1.0  # log capital of a candidate that is not worth waiting for
HELD = -1.5  # sum of a candidate's gains, in its standard deviations, below which nothing is put on it
LONGEST = 20.0  # a comparison lasts at most so many times its timeout
N = 0  # places in a state; then log capitals of both sides
SUM = 1
SQUARES = 2
LEVEL = 3
FARTHEST = 4
BETTER = 5
WORSE = BETTER + len(STAKES)
SIZE = WORSE + len(STAKES)
GO_ON = 0
WON = 1
LOST = 2
GIVEN_UP = 3


@njit("float64(float64[::1], int64)", cache=True, nogil=True)
def log_capital(state, first):
    """Log of the capital of one side: ``BETTER``, that the second model is better, or ``WORSE``."""
    highest = state[first]
    for k in range(1, len(STAKES)):
        highest = max(highest, state[first + k])
    total = 0.0
    for k in range(len(STAKES)):
        total += SHARES[k] * math.exp(state[first + k] - highest)
    return highest + math.log(total)


@njit("void(float64[::1], int64, float64, float64)", cache=True, nogil=True)
def stake(state, first, gain, most):
    """Bet with one side's capital on a gain in units of the noise, with stakes up to ``most``."""
    for k in range(len(STAKES)):
        state[first + k] += math.log(min(max(1.0 + min(STAKES[k], most) * gain, LEAST), MOST))


@njit("void(float64[::1], float64)", cache=True, nogil=True)
def count(state, difference):
    """Count a difference of losses, whether it was bet on or not."""
    state[N] += 1.0
    state[SUM] += difference
    state[SQUARES] += difference * difference


@njit("boolean(float64[::1])", cache=True, nogil=True)
def held(state):
    """Whether the second model lost more so far: a challenger from scratch, that is still learning, costs no capital.

    A stake that the answers before decide, none among them, keeps the guarantee.
    """
    return state[SUM] < HELD * math.sqrt(state[SQUARES])


@njit("void(float64[::1], float64, float64)", cache=True, nogil=True)
def bet(state, difference, reach):
    """Bet on one more difference of squared errors, positive where the first model loses more than the second.

    With the error ``e`` of the mean of both predictions a difference is ``2 (first - second) e``. ``reach`` is
    ``2 |first - second|`` and was known before the answer; of a block of questions both are means. The stake was chosen
    from the errors before, such that an error ``MARGIN`` times as large as any of them costs at most everything; only
    beyond that is a loss clipped. Gains are clipped at a doubling of the capital, which can only lower its expectation.
    """
    if state[N] >= BURN_IN and state[LEVEL] > 0.0 and reach > 0.0:
        unit = 4.0 * state[LEVEL]
        margin = max(MARGIN, EARLY / math.sqrt(state[N]))
        most = unit / (margin * reach * state[FARTHEST])
        stake(state, BETTER, difference / unit, 0.0 if held(state) else most)
        stake(state, WORSE, -difference / unit, most)
    count(state, difference)
    if reach > 0.0:
        error = abs(difference) / reach
        state[LEVEL] += (error * error - state[LEVEL]) / min(state[N], MEMORY)
        state[FARTHEST] = max(state[FARTHEST], error)


@njit("void(float64[::1], float64, float64)", cache=True, nogil=True)
def bet_bounded(state, difference, standard):
    """Bet on one more difference of Brier scores; ``standard`` is the same in units of the noise, -1 to 1.

    The unit is ``4 q (1 - q)`` with the mean ``q`` of both probabilities (see :func:`standardised`). No bet can cost
    more than everything, so that nothing is clipped and the guarantee is exact.
    """
    stake(state, BETTER, standard, 0.0 if held(state) else 1.0 - LEAST)
    stake(state, WORSE, -standard, 1.0 - LEAST)
    count(state, difference)


@njit("float64(float64, float64, float64)", cache=True, nogil=True)
def standardised(first, second, y):
    """Difference of the Brier scores of two probabilities in units of the noise that both expect, from -1 to 1.

    At a stake of one the capital is multiplied by the likelihood ratio of the second probability and the mean of both.
    """
    first = min(max(first, 0.0), 1.0)
    second = min(max(second, 0.0), 1.0)
    q = 0.5 * (first + second)
    noise = q * (1.0 - q)
    if first == second or noise <= 0.0:
        return 0.0
    return (first - second) * (q - y) / (2.0 * noise)


@njit("int64(float64[::1], float64, float64, float64)", cache=True, nogil=True)
def verdict(state, to_win, to_lose, timeouts):
    """Whether the second model has won, has lost, is given up, or goes on.

    It has won when its log capital reaches ``to_win`` and the plain mean is on its side too, has lost when the other's
    reaches ``to_lose``. After a quarter of ``timeouts`` units it is given up where it is behind, in capital or in the
    sum of its gains, after ``LONGEST * timeouts`` in any case: a small gain may take long, and is waited for as long as
    nothing speaks against it.
    """
    ahead = log_capital(state, BETTER)
    if ahead >= to_win and state[SUM] > 0.0:
        return WON
    if log_capital(state, WORSE) >= to_lose:
        return LOST
    if state[N] >= LONGEST * timeouts or (state[N] >= timeouts / 4 and (ahead < BEHIND or held(state))):
        return GIVEN_UP
    return GO_ON
