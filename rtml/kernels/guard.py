"""The guard as a transition over one flat state: which of learner, checkpoint and baseline answers a question."""

import math

import numpy as np

from rtml.kernels import betting
from rtml.kernels.cache import njit

LEARNER = 0  # what answers
CHECKPOINT = 1
BASELINE = 2
#: What a question or an answer led to: nothing, an alarm of the first, second or third pair, a checkpoint better than
#: the baseline that serves, the learner's return, features that are not finite, a feature that stands still.
QUIET, WORSE_THAN_CHECKPOINT, WORSE_THAN_BASELINE, CHECKPOINT_WORSE, CHECKPOINT_BETTER, RETURNED = range(6)
BROKE, STANDS = 6, 7
#: Pairs that are compared, the first against the second: the columns of a kept row in which they stand.
FIRST, SECOND = np.array([3, 3, 1]), np.array([1, 2, 2])
HEAD = 4  # columns of a kept row: served, checkpoint, baseline, learner; behind them what the learner keeps
WARM = 30  # answers that only say how large errors are
RESTART = 100.0  # answers after which evidence that speaks for the first of a pair is put aside
MEMORY = 200.0  # answers over which squared errors are averaged
WIDE = 8.0  # a bet survives an error of so many standard deviations
FAR = 10.0  # an answer so many times as far out as any before is kept from the learner
WILD = 3.0  # a prediction so many times as far out as any answer is not served
DOUBT = 10.0  # more answers far out than others by so many: none larger than before is learned any more
PERSIST = 1000.0  # more answers far out than others by so many are a change of the law, and are learned
HUGE = 1e100  # a prediction as large as this is a failure
MARK = -1e200  # times one more than its number: in place of the learner's prediction, that a feature stands still
STILL = 30.0  # questions with one value of a feature, and
TIMES = 10.0  # times the longest run of one value before, from which on it stands still, where
CHANGES = 20.0  # it had so many values before; ``PERSIST`` more of them are a change of the law, and it does no longer
ALPHA = 0.05  # chance that a stream whose learner is never worse ever falls back; and of a false return
ZETA = 2.6123753486854883  # sum of n ** -1.5
#: Places: what answers, answers, learned since the checkpoint, farthest answer, answers far out, sum of all answers,
#: target (0 number, 1 probability), mean squared errors of checkpoint, baseline and learner, how often the evidence on
#: each pair began, evidence of the last change and what was needed, what the features suffer from; then the bets, and
#: for each feature, from the first question on: its value and its run, the longest run before of a value that was new,
#: changes, sum and rows, and the last four values at which it stood.
SERVES, ANSWERS, SINCE, FARTHEST, OUTSIDE, TOTAL, PROBABILITY = range(7)
MEAN_ERRORS = 6  # those of errors begin with 1
NUMBERS = 10
EVIDENCE = 13
NEEDED = 14
BROKEN = 15
LANES = 16
SIZE = LANES + 3 * betting.SIZE
LAST, RUN, LONGEST, CHANGED, ADDED, ROWS, KNOWN = range(7)
FIELDS = KNOWN + 4


@njit("float64(float64[::1])", cache=True, nogil=True)
def baseline(state):
    """Prediction of the baseline: no change of a number, the base rate of a probability."""
    return (state[TOTAL] + 0.5) / (state[ANSWERS] + 1.0) if state[PROBABILITY] else 0.0


@njit("boolean(float64[::1])", cache=True, nogil=True)
def _rests(feature):
    """Whether a feature has a value at which it stood before, or zero: it rests there for as long as the world does."""
    return feature[LAST] == 0.0 or (feature[KNOWN:] == feature[LAST]).any()


@njit("boolean(float64[::1], float64)", cache=True, nogil=True)
def _stands(feature, value):
    """Count the next value of a feature: whether it keeps a new value for far longer than any before."""
    limit = max(STILL, TIMES * feature[LONGEST]) if feature[CHANGED] >= CHANGES else math.inf
    if feature[ROWS] == 0.0 or value != feature[LAST]:
        healthy = not limit < feature[RUN] <= limit + PERSIST
        if healthy and not _rests(feature):
            feature[LONGEST] = max(feature[LONGEST], feature[RUN])
            if feature[RUN] > 1.0:
                feature[KNOWN + 1 :] = feature[KNOWN:-1].copy()
                feature[KNOWN] = feature[LAST]
        feature[CHANGED] += feature[ROWS] > 0.0
        feature[LAST], feature[RUN] = value, 0.0
    feature[RUN] += 1.0
    if limit < feature[RUN] <= limit + PERSIST and not _rests(feature):
        return True
    feature[ADDED] += value
    feature[ROWS] += 1.0
    return False


@njit("int64[::1](float64[::1], float64[:, ::1], boolean[::1])", cache=True, nogil=True)
def still(state, X, fine):
    """Number of the first feature of each row that stands still, or -1; its mean is put in place, (m, width).

    Where more than half of the features stand still it is the source that rests. Rows that are not ``fine`` are passed.
    """
    out = np.full(len(X), -1, np.int64)
    features = state[SIZE:].reshape(X.shape[1], FIELDS)
    stuck = np.zeros(X.shape[1], np.bool_)
    for i in range(len(X)):
        if not fine[i]:
            continue
        for j in range(X.shape[1]):
            stuck[j] = _stands(features[j], X[i, j])
        if 0 < stuck.sum() <= X.shape[1] / 2:
            out[i] = np.argmax(stuck)
            X[i][stuck] = (features[:, ADDED] / features[:, ROWS])[stuck]
    return out


@njit("int64(float64[::1], float64[::1])", cache=True, nogil=True)
def ask(state, kept):
    """Write the baseline's prediction, and the served one, into the row of a question.

    NaN stands for a failure; where the checkpoint fails the features are to blame. Returns ``BROKE`` or ``STANDS`` for
    the first such row of several.
    """
    kept[BASELINE] = baseline(state)
    learner, checkpoint = kept[3], kept[CHECKPOINT]
    far = WILD * state[FARTHEST] if state[ANSWERS] and not state[PROBABILITY] else HUGE
    serves = state[SERVES]
    if serves == LEARNER and not abs(learner) <= far:
        serves = CHECKPOINT
    if serves == CHECKPOINT and not abs(checkpoint) <= far:
        serves = BASELINE
    kept[0] = learner if serves == LEARNER else kept[int(serves)]
    said = BROKE if math.isnan(checkpoint) else STANDS if learner <= MARK else QUIET
    before, state[BROKEN] = state[BROKEN], said
    return QUIET if said == before or (before == 1.0 and said == BROKE) else said


@njit("boolean(float64[::1], float64)", cache=True, nogil=True)
def admit(state, y):
    """Whether an answer is one to learn from: finite, and not far outside of all before, unless many are."""
    if not math.isfinite(y):
        return False
    size = abs(y)
    farthest = state[FARTHEST]
    warm = state[ANSWERS] < WARM
    limit = farthest if state[OUTSIDE] >= DOUBT else FAR * farthest
    outside = not state[PROBABILITY] and not warm and 0.0 < limit < size
    if outside and state[OUTSIDE] < PERSIST:
        state[OUTSIDE] += 1.0
        return False
    if outside:
        state[FARTHEST], state[OUTSIDE] = size, 0.0
    else:
        grown = size if warm or farthest == 0.0 else min(size, 1.5 * farthest)
        state[FARTHEST], state[OUTSIDE] = max(farthest, grown), max(state[OUTSIDE] - 1.0, 0.0)
    state[ANSWERS] += 1.0
    state[TOTAL] += y
    return True


@njit("int64(float64, int64)", cache=True, nogil=True)
def _side(serves, pair):
    """Which side of a pair matters: that its second is better, or its first, which does not serve now; or none."""
    if serves == LEARNER:
        return betting.BETTER if pair < 2 else -1
    if pair == serves - 1:
        return betting.WORSE
    if pair < 2:
        return -1
    return betting.BETTER if serves == CHECKPOINT else betting.WORSE


@njit("void(float64[::1], float64[::1], float64)", cache=True, nogil=True)
def _bet(state, kept, y):
    """Bet on every pair that matters, with the noise as the best of the three knows it so far."""
    noise = min(state[MEAN_ERRORS + 1], state[MEAN_ERRORS + 2], state[MEAN_ERRORS + 3])
    for pair in range(3):
        side = _side(state[SERVES], pair)
        first, second = kept[FIRST[pair]], kept[SECOND[pair]]
        if side < 0 or first == second:
            continue
        lane = state[LANES + pair * betting.SIZE : LANES + (pair + 1) * betting.SIZE]
        difference, sign = (first - second) * (first + second - 2.0 * y), 1.0 if side == betting.BETTER else -1.0
        if state[PROBABILITY]:
            betting.stake(lane, side, sign * betting.standardised(first, second, y), 1.0 - betting.LEAST)
        elif noise > 0.0:
            unit = 4.0 * noise
            most = unit / (2.0 * abs(first - second) * WIDE * math.sqrt(noise))
            betting.stake(lane, side, sign * difference / unit, most)
        betting.count(lane, sign * difference)


@njit("float64(float64[::1], int64)", cache=True, nogil=True)
def needed(state, pair):
    """Log capital that the evidence on a pair must reach: two alarms share the chance of a false one."""
    return math.log((2.0 if state[SERVES] == LEARNER else 1.0) * ZETA * state[NUMBERS + pair] ** 1.5 / ALPHA)


@njit("void(float64[::1], int64)", cache=True, nogil=True)
def restart(state, pair):
    """Put the evidence on a pair aside."""
    state[LANES + pair * betting.SIZE : LANES + (pair + 1) * betting.SIZE] = 0.0
    state[NUMBERS + pair] += 1.0


@njit("void(float64[::1])", cache=True, nogil=True)
def _turn(state):
    """Begin the evidence on all pairs anew, that on what serves now as if for the first time."""
    for pair in range(3):
        restart(state, pair)
    if state[SERVES] != LEARNER:
        state[NUMBERS + int(state[SERVES]) - 1] = state[NUMBERS + 2] = 1.0


@njit("int64(float64[::1])", cache=True, nogil=True)
def _decide(state):
    """Change what answers where the evidence on a pair suffices; evidence for the first of a pair is put aside."""
    for pair in range(3):
        lane = state[LANES + pair * betting.SIZE : LANES + (pair + 1) * betting.SIZE]
        side = _side(state[SERVES], pair)
        if side < 0:
            continue
        if lane[betting.N] < RESTART and max(lane[side], lane[side + 1], lane[side + 2]) <= 0.0:
            continue  # there is nothing to decide
        ahead = betting.log_capital(lane, side)
        if ahead > 0.0 and lane[betting.SUM] > 0.0 and ahead >= needed(state, pair):
            state[EVIDENCE], state[NEEDED] = ahead, needed(state, pair)
            best = BASELINE if state[MEAN_ERRORS + BASELINE] < state[MEAN_ERRORS + CHECKPOINT] else CHECKPOINT
            if side == betting.WORSE:
                said, best = (RETURNED, LEARNER) if pair < 2 else (CHECKPOINT_BETTER, CHECKPOINT)
            else:
                said, best = WORSE_THAN_CHECKPOINT + pair, best if pair < 2 else BASELINE
            state[SERVES] = best
            _turn(state)
            return said
        if lane[betting.N] >= RESTART and ahead < betting.BEHIND:
            restart(state, pair)
    return QUIET


@njit("int64(float64[::1], float64[::1], float64)", cache=True, nogil=True)
def answer(state, kept, y):
    """Take the answer of a question, and decide what answers from the next question on."""
    if not admit(state, y):
        return QUIET
    finite = math.isfinite(kept[1] + kept[2] + kept[3])
    if finite and state[ANSWERS] > WARM:
        _bet(state, kept, y)
    for who in range(1, 4):
        if math.isfinite(kept[who]):
            error = (kept[who] - y) ** 2
            state[MEAN_ERRORS + who] += (error - state[MEAN_ERRORS + who]) / min(state[ANSWERS], MEMORY)
    return _decide(state) if finite else QUIET


@njit("boolean(float64[::1])", cache=True, nogil=True)
def healthy(state):
    """Whether the learner answers, and nothing speaks against it: the time to renew the checkpoint."""
    if state[SERVES] != LEARNER:
        return False
    for pair in range(2):
        lane = state[LANES + pair * betting.SIZE : LANES + (pair + 1) * betting.SIZE]
        if betting.log_capital(lane, betting.BETTER) > -betting.BEHIND:
            return False
    return True


@njit("boolean[::1](float64[::1], float64[::1], int64[::1])", cache=True, nogil=True)
def admitted(state, y, rows):
    """Which answers, taken in this order, are learned."""
    out = np.empty(len(rows), np.bool_)
    for i in range(len(rows)):
        out[i] = admit(state, y[rows[i]])
    return out


@njit(
    "Tuple((int64, int64, int64))(float64[:, ::1], float64[::1], int64[::1], int64[::1], int64[::1], int64, int64, "
    "int64, float64[::1])",
    cache=True,
    nogil=True,
)
def replay(kept, y, moment, known, rows, q, a, waits, state):
    """Ask questions from ``q`` and take answers from ``a`` on, until one leads to something.

    ``kept`` has a row for each question, those of ``waits`` questions asked earlier first; ``rows`` lists answers by
    the time known. Returns where it stopped, and what happened there: see :func:`answer`.
    """
    while q < len(moment) or a < len(rows):
        if a < len(rows) and (q == len(moment) or known[rows[a]] < moment[q]):
            said = answer(state, kept[rows[a]], y[rows[a]])
            a += 1
            if said != QUIET:
                return q, a, said
        else:
            said = ask(state, kept[waits + q])
            q += 1
            if said != QUIET:
                return q, a, said
    return q, a, QUIET
