"""The parts of a Hoeffding tree of two classes over two flat arrays, in the arithmetic of river's.

``table`` has a row a node, whose numbers the constants name; row 0 holds the
parameters, which do not change, and how many rows are in use.
``split`` has a row a leaf that learns, a second axis for what it knows, a last one for the features it watches: their
columns, then of each class means, sums of squares, lowest, highest, and ``-1 / (2 variance)`` (0 where nothing varied).
Counts, and the sum of the logs of the densities' factors, are the same for all features and stand in ``table``. A
branch hands its row of ``split`` on to its left leaf. The kernels that use this are in ``tree`` and ``forest``, which
must be touched when this changes: numba looks at their files alone to see whether its cache is old.
"""

from __future__ import annotations

import math

import numpy as np
from numba import njit

from rtml.kernels.splitting import MEAN, SCALE, best, entropy, sides

MAJORITY, BAYES, ADAPTIVE = range(3)  # what a leaf predicts by
FEATURE, THRESHOLD, LEFT, RIGHT, DEPTH, ROW, FIRST, PRESENT, MC, NB, TRIED, SEEN, ACTIVE, WEIGHT = range(14)
COUNT, LOG = WEIGHT + 2, WEIGHT + 4  # two numbers each, as of WEIGHT: one a class
WIDTH = WEIGHT + 6  # of table
USED, FREE, ROWS, FREE_ROW = range(4)  # of row 0; what is freed is a list, 0 ends it
GRACE, LOG_DELTA, TAU, PREDICTION, NB_THRESHOLD, SPLITS, FRACTION, MAX_SHARE, MAX_DEPTH = HOW = range(4, 13)  # too
_HALF_LOG_TAU = 0.5 * math.log(math.tau)

_part = njit(error_model="numpy", nogil=True)


@_part
def plant(table, split, w0, w1, present, first, depth, row):
    """Take a free node, make it a leaf, give it a row of ``split`` (a new one where ``row`` is negative)."""
    head = table[0]
    node = int(head[FREE])
    if node > 0:
        head[FREE] = table[node, LEFT]
    else:
        node = int(head[USED])
        head[USED] += 1.0
    if row < 0:
        row = int(head[FREE_ROW]) - 1
        if row >= 0:
            head[FREE_ROW] = split[row, 0, 0]
        else:
            row = int(head[ROWS])
            head[ROWS] += 1.0
    split[row] = 0.0
    for k in range(split.shape[2]):
        split[row, 0, k] = k
    leaf = table[node]
    leaf[:] = 0.0
    leaf[FEATURE], leaf[SEEN], leaf[ACTIVE] = -1.0, -1.0, 1.0
    leaf[DEPTH], leaf[ROW], leaf[FIRST], leaf[PRESENT] = depth, row, first, present
    leaf[TRIED], leaf[WEIGHT], leaf[WEIGHT + 1] = w0 + w1, w0, w1
    return node


@_part
def walk(x, table, node):
    """The leaf that a row belongs to."""
    while table[node, FEATURE] >= 0.0:
        left = x[int(table[node, FEATURE])] <= table[node, THRESHOLD]
        node = int(table[node, LEFT] if left else table[node, RIGHT])
    return node


@_part
def _votes(x, leaf, cells):
    """Log likelihoods of both classes by naive Bayes, not normalised; minus infinity for a class never seen."""
    present, total = int(leaf[PRESENT]), leaf[WEIGHT] + leaf[WEIGHT + 1]
    v0, v1 = -np.inf, -np.inf
    if present & 1:
        v0 = math.log(leaf[WEIGHT] / total) if leaf[WEIGHT] > 0.0 else 0.0
    if present & 2:
        v1 = math.log(leaf[WEIGHT + 1] / total) if leaf[WEIGHT + 1] > 0.0 else 0.0
    s0 = s1 = 0.0
    for k in range(cells.shape[1]):
        value = x[int(cells[0, k])]
        off, other = value - cells[MEAN, k], value - cells[5 + MEAN, k]
        s0 += off * off * cells[SCALE, k]
        s1 += other * other * cells[5 + SCALE, k]
    v0 += s0 + leaf[LOG] if leaf[WEIGHT] > 0.0 else 0.0
    v1 += s1 + leaf[LOG + 1] if leaf[WEIGHT + 1] > 0.0 else 0.0
    return v0, v1


@_part
def probability(x, table, split, node):
    """Probability of class 1 at a leaf; a half from a tree that has learned nothing."""
    head, leaf = table[0], table[node]
    present, total, bayes = int(leaf[PRESENT]), leaf[WEIGHT] + leaf[WEIGHT + 1], head[PREDICTION]
    if present == 0:
        return 0.5
    if leaf[ACTIVE] == 0.0 or bayes == MAJORITY:
        bayes = 0.0
    elif bayes == BAYES:
        bayes = 1.0 if total >= head[NB_THRESHOLD] else 0.0
    else:
        bayes = 1.0 if leaf[NB] >= leaf[MC] else 0.0
    if bayes == 0.0 or total == 0.0:
        return leaf[WEIGHT + 1] * (1.0 / total) if total != 0.0 else 0.0
    v0, v1 = _votes(x, leaf, split[int(leaf[ROW])])
    return 1.0 / (1.0 + math.exp(v0 - v1))


@_part
def _top(a, b, present, first):
    """The class with more votes; of equals the one seen first."""
    if present < 3:
        return 1 if present == 2 else 0
    return int(first) if a == b else int(b > a)


@_part
def _observe(x, y, w, leaf, cells):
    """Let a leaf that learns see a row of weight ``w``: who was right, and the Gaussians of its class."""
    present, total = int(leaf[PRESENT]), leaf[WEIGHT] + leaf[WEIGHT + 1]
    if present == 0 or _top(leaf[WEIGHT], leaf[WEIGHT + 1], present, leaf[FIRST]) == y:
        leaf[MC] += w
    if total > 0.0:
        v0, v1 = _votes(x, leaf, cells)
        if _top(v0, v1, present, leaf[FIRST]) == y:
            leaf[NB] += w
    if leaf[SEEN] < 0.0:
        leaf[SEEN] = y
    leaf[COUNT + y] += w
    leaf[LOG + y] = _move(x, w, leaf[COUNT + y], cells[0], cells[1 + 5 * y : 6 + 5 * y])


@_part
def _move(x, w, count, columns, cells):
    """Let the Gaussians of a class see a row; the sum of the logs of the factors of their densities."""
    mean, squares, low, high, scale = cells[0], cells[1], cells[2], cells[3], cells[4]
    rate, product, logs = w / count, 1.0, 0.0
    for k in range(columns.shape[0]):
        value, old = x[int(columns[k])], mean[k]
        low[k] = value if count == w else min(low[k], value)
        high[k] = value if count == w else max(high[k], value)
        mean[k] = old + rate * (value - old)
        squares[k] += w * (value - old) * (value - mean[k])
        if count > 1.0 and squares[k] > 0.0:
            variance = squares[k] / (count - 1.0)
            scale[k] = -0.5 / variance
            product *= variance
            logs -= _HALF_LOG_TAU
            if not 1e-100 < product < 1e100:  # one log for many features, before their product leaves the numbers
                logs -= 0.5 * math.log(product)
                product = 1.0
    return logs - 0.5 * math.log(product)


@_part
def _forget(leaf, cells):
    """Start the Gaussians of a leaf anew: what river's memory management does to a leaf where no split won."""
    cells[1:] = 0.0
    leaf[SEEN], leaf[COUNT : COUNT + 4] = -1.0, 0.0


@_part
def _attempt(table, split, node):
    """Split a leaf where one feature is better than the next by Hoeffding's bound, or the bound is small."""
    head, leaf = table[0], table[node]
    w0, w1, row = leaf[WEIGHT], leaf[WEIGHT + 1], int(leaf[ROW])
    cells, total = split[row], leaf[WEIGHT] + leaf[WEIGHT + 1]
    if w0 == 0.0 or w1 == 0.0:
        return
    if max(w0, w1) / total > head[MAX_SHARE]:
        _forget(leaf, cells)
        return
    before, place, second = entropy(w0, w1), -1, -np.inf
    top, found = np.full(6, -np.inf), np.empty(6)
    for k in range(cells.shape[1]):
        best(cells, k, leaf[COUNT], leaf[COUNT + 1], before, head[SPLITS], head[FRACTION], found)
        if found[0] >= top[0]:
            second, place = top[0], k
            top[:] = found
        elif found[0] > second:
            second = found[0]
    bound = math.sqrt(head[LOG_DELTA] / (2.0 * total))
    if not (top[0] - second > bound or bound < head[TAU]):
        return
    if top[0] == -np.inf:
        _forget(leaf, cells)
        return
    left, right = sides(cells, place, leaf[COUNT], leaf[COUNT + 1], top[1])
    seen, depth, column = leaf[SEEN], leaf[DEPTH] + 1.0, cells[0, place]
    first = seen if left == 3 else (1.0 if left == 2 else 0.0)
    leaf[LEFT] = plant(table, split, top[2], top[3], left, first, depth, row)
    first = seen if right == 3 else (1.0 if right == 2 else 0.0)
    leaf[RIGHT] = plant(table, split, top[4], top[5], right, first, depth, -1)
    leaf[FEATURE], leaf[THRESHOLD] = column, top[1]


@_part
def grow(x, y, w, table, split, node):
    """Learn a row of class ``y`` and weight ``w`` at the leaf it belongs to, which may become a branch by that."""
    head, leaf = table[0], table[node]
    if leaf[ACTIVE] != 0.0:
        _observe(x, y, w, leaf, split[int(leaf[ROW])])
    if leaf[PRESENT] == 0.0:
        leaf[FIRST] = y
    leaf[PRESENT] = float(int(leaf[PRESENT]) | (1 << y))
    leaf[WEIGHT + y] += w
    if leaf[ACTIVE] != 0.0:
        if leaf[DEPTH] >= head[MAX_DEPTH]:
            leaf[ACTIVE] = 0.0
        elif leaf[WEIGHT] + leaf[WEIGHT + 1] - leaf[TRIED] >= head[GRACE]:
            weight = leaf[WEIGHT] + leaf[WEIGHT + 1]
            _attempt(table, split, node)
            leaf[TRIED] = weight


@_part
def full(table, split, trees):
    """Whether there is no room for every one of so many trees to split once and to be planted anew."""
    return table[0, USED] + 3.0 * trees > table.shape[0] or table[0, ROWS] + 2.0 * trees > split.shape[0]


@_part
def finite(x, d):
    """Whether a row has ``d`` finite numbers."""
    bad = 0.0
    for j in range(x.shape[0]):
        bad += x[j] - x[j]
    return x.shape[0] == d and bad == 0.0
