"""An adaptive random forest as compiled transitions over flat arrays.

All trees live in one ``table`` and one ``split`` (see :mod:`rtml.kernels.hoeffding`), whose row 0 also holds the
numbers named below. ``slots`` has a row a tree: its root, the root of the tree grown behind it (0 for none), how many
answers it was asked before and how many it had right, and how often it was warned and replaced. ``heads`` and
``buckets`` are the windows of :mod:`rtml.kernels.adwin`: warnings first, then drifts. Randomness is a count: draw ``i``
is the i-th number of SplitMix64, so the same state draws the same.
"""

from __future__ import annotations

import math

import numpy as np
from numba import boolean, float64, int64, types, void

from rtml.kernels.adwin import restart, risen
from rtml.kernels.answers import due
from rtml.kernels.declared import CUBE, MATRIX, PLACES, STREAM, VALUES, VECTOR, kernel, part
from rtml.kernels.hoeffding import (
    FEATURE,
    FREE,
    FREE_ROW,
    LEFT,
    PRESENT,
    RIGHT,
    ROW,
    answer,
    full,
    grow,
    plant,
    probabilities,
    walk,
)
from rtml.kernels.linear import fits
from rtml.kernels.splitting import STEP

NO_ROW, DONE, FULL = range(3)
RATE, WARN_DELTA, DRIFT_DELTA, SEED, DRAWN, COLUMNS = FOREST = range(13, 19)  # of row 0 of table
ROOT, BEHIND, ASKED, RIGHTLY, WARNINGS, DRIFTS = range(6)  # of slots

_forest = (MATRIX, CUBE, MATRIX)  # table, split, slots
_windows = (MATRIX, types.Array(float64, 4, "C"))  # heads, buckets


@part
def _uniform(head):
    """The next number in [0, 1): SplitMix64 of seed and count (Steele, Lea and Flood, 2014)."""
    head[DRAWN] += 1.0
    z = np.uint64(int(head[SEED])) * np.uint64(0xD1342543DE82EF95) + np.uint64(int(head[DRAWN])) * np.uint64(
        0x9E3779B97F4A7C15
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * 2.0**-53


@part
def _poisson(head):
    """How often a tree sees an answer: Poisson of mean RATE, by inversion."""
    u = _uniform(head)
    k = 0
    p = math.exp(-head[RATE])
    total = p
    while u > total and k < 100:
        k += 1
        p *= head[RATE] / k
        total += p
    return float(k)


@part
def _choose(table, split, node):
    """Draw the features that a new leaf watches, without replacement (Floyd's algorithm)."""
    head, columns = table[0], split[int(table[node, ROW]), 0]
    d, m = int(head[COLUMNS]), columns.shape[0]
    for k in range(m):
        top = d - m + k
        drawn = min(int(_uniform(head) * (top + 1)), top)
        for earlier in range(k):
            if columns[earlier] == drawn:
                drawn = top
                break
        columns[k] = drawn


@part
def _seed(table, split):
    """Plant a tree of one empty leaf."""
    root = plant(table, split, 0.0, -1)
    _choose(table, split, root)
    return float(root)


@part
def _fell(table, split, root):
    """Give back the rows of a tree."""
    head = table[0]
    waiting = np.empty(table.shape[0], np.int64)
    top = 1
    waiting[0] = int(root)
    while top > 0:
        top -= 1
        node = waiting[top]
        if table[node, FEATURE] >= 0.0:
            waiting[top], waiting[top + 1] = int(table[node, LEFT]), int(table[node, RIGHT])
            top += 2
        else:
            row = int(table[node, ROW])
            split[row, 0, 0] = head[FREE_ROW]
            head[FREE_ROW] = row + 1.0
        table[node, LEFT] = head[FREE]
        head[FREE] = node


@part
def _teach(x, y, w, table, split, node, p):
    grow(x, y, w, table, split, node, p)
    if table[node, FEATURE] >= 0.0:  # it has split
        _choose(table, split, int(table[node, LEFT]))
        _choose(table, split, int(table[node, RIGHT]))


@part
def _vote(x, table, split, slots, p, votes):
    """Fill ``votes`` with the trees' probabilities, weighted by how often each was right; ``p`` is room to work in."""
    votes[:] = 0.0
    for k in range(slots.shape[0]):
        leaf = walk(x, table, split, int(slots[k, ROOT]))
        if table[leaf, PRESENT] > 0.0:
            probabilities(x, table, split, leaf, p)
            weight = slots[k, RIGHTLY] / slots[k, ASKED] if slots[k, RIGHTLY] > 0.0 else 1.0
            for y in range(p.shape[0]):
                votes[y] += weight * p[y]
    total = votes.sum()
    if total > 0.0:
        for y in range(p.shape[0]):
            votes[y] = votes[y] / total
    else:
        votes[:] = 1.0 / p.shape[0]


@part
def _replace(k, table, split, slots, heads, buckets):
    """Put the tree grown behind, or an empty one, in the place of a tree that has become worse."""
    slot = slots[k]
    slot[DRIFTS] += 1.0
    _fell(table, split, slot[ROOT])
    if slot[BEHIND] > 0.0:
        slot[ROOT], slot[BEHIND] = slot[BEHIND], 0.0
        restart(heads, buckets, k)
    else:
        slot[ROOT] = _seed(table, split)
    restart(heads, buckets, slots.shape[0] + k)
    slot[ASKED] = slot[RIGHTLY] = 0.0


@part
def _learn(x, y, table, split, slots, heads, buckets, p):
    """Every tree is scored, learns the answer a random number of times, and is watched by two windows."""
    for k in range(slots.shape[0]):
        slot = slots[k]
        leaf = walk(x, table, split, int(slot[ROOT]))
        probabilities(x, table, split, leaf, p)
        right = table[leaf, PRESENT] > 0.0 and p.argmax() == y
        slot[ASKED] += 1.0
        slot[RIGHTLY] += 1.0 if right else 0.0
        times = _poisson(table[0])
        if times == 0.0:
            continue
        if slot[BEHIND] > 0.0:
            _teach(x, y, times, table, split, walk(x, table, split, int(slot[BEHIND])), p)
        _teach(x, y, times, table, split, leaf, p)
        error = 0.0 if right else 1.0
        if risen(heads, buckets, k, error, table[0, WARN_DELTA]):
            slot[WARNINGS] += 1.0
            if slot[BEHIND] > 0.0:
                _fell(table, split, slot[BEHIND])
            slot[BEHIND] = _seed(table, split)
            restart(heads, buckets, k)
        if risen(heads, buckets, slots.shape[0] + k, error, table[0, DRIFT_DELTA]):
            _replace(k, table, split, slots, heads, buckets)


@kernel(void, *_forest, *_windows)
def sow(table, split, slots, heads, buckets):
    """Plant every tree of a fresh forest."""
    for k in range(slots.shape[0]):
        slots[k, ROOT] = _seed(table, split)
        restart(heads, buckets, k)
        restart(heads, buckets, slots.shape[0] + k)


@kernel(boolean, VALUES, VECTOR, *_forest)
def predict(x, votes, table, split, slots):
    """Fill ``votes`` with the probabilities of the classes for a row; False where it is no row."""
    if not fits(x, int(table[0, COLUMNS])):
        return False
    _vote(x, table, split, slots, np.empty(votes.shape[0]), votes)
    return True


@kernel(float64, VALUES, *_forest)
def probability(x, table, split, slots):
    """Probability of class 1 for a row; NaN where it is no row."""
    if not fits(x, int(table[0, COLUMNS])):
        return np.nan
    votes = np.empty((split.shape[1] - 1) // STEP)
    _vote(x, table, split, slots, np.empty(votes.shape[0]), votes)
    return votes[1]


@kernel(int64, VALUES, float64, *_forest, *_windows)
def learn(x, y, table, split, slots, heads, buckets):
    """Learn a row: DONE, or nothing because it is no row or there is no room for more nodes."""
    if not (fits(x, int(table[0, COLUMNS])) and math.isfinite(y)):
        return NO_ROW
    if full(table, split, 2 * slots.shape[0]):
        return FULL
    _learn(x, int(y), table, split, slots, heads, buckets, np.empty((split.shape[1] - 1) // STEP))
    return DONE


@kernel(boolean, *STREAM, MATRIX, PLACES, *_forest, *_windows)
def replay(X, y, moment, known, order, until, predictions, at, table, split, slots, heads, buckets):
    """Ask and learn as :func:`rtml.kernels.tree.replay` does; False where it ran out of room for nodes."""
    n, before = len(moment), X.shape[0] - len(moment)
    p = np.empty((split.shape[1] - 1) // STEP)
    votes = np.empty(p.shape[0])
    for t in range(at[0], n + 1):
        stop = due(t, moment, until, known, order, at[1])
        for i in order[at[1] : stop]:
            if full(table, split, 2 * slots.shape[0]):
                at[0] = t
                return False
            at[1] += 1
            if not math.isnan(y[i]):
                _learn(X[i], int(y[i]), table, split, slots, heads, buckets, p)
        if t < n:
            _vote(X[before + t], table, split, slots, p, votes)
            answer(votes, predictions, t)
    return True
