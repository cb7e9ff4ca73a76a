"""The parts of a Hoeffding tree over two flat arrays, in the arithmetic of river's, for any number of classes.

``table`` has a row a node, whose numbers the constants name; from ``CLASS`` on there are ``SHARE`` numbers per class.
Row 0 holds the parameters, which do not change, and how many rows are in use.
``split`` has a row a leaf that learns, a second axis for what it knows, a last one for the features it watches: their
columns, then of each class means, sums of squares, lowest, highest, ``-1 / (2 variance)`` (0 where nothing varied) and
the weight of missing values. Counts, and the sum of the logs of the densities' factors, are per class and stand in
``table``. A branch hands its row of ``split`` on to its left leaf.

NaN is a missing value: it moves no Gaussian and says nothing of the class; at a branch the row goes where more weight
went (as in river, except that such a row may also make its leaf split).

The kernels that use this are in ``tree`` and ``forest``, which must be touched when this changes: numba looks at their
files alone to see whether its cache is old.
"""

from __future__ import annotations

import math

import numpy as np

from rtml.kernels.declared import part
from rtml.kernels.splitting import GAPS, HIGH, LOW, MEAN, SCALE, SQUARES, STEP, best, cut, entropy

MAJORITY, BAYES, ADAPTIVE = range(3)  # what a leaf predicts by
FEATURE, THRESHOLD, LEFT, RIGHT, DEPTH, ROW, PRESENT, SEEN, MC, NB, TRIED, ACTIVE, CLASS = range(13)
#: Of each class: weight, its place among the classes present, weight in the Gaussians, its place among those, log;
#: and, at the place of another class, the number of the class that has this place.
WEIGHT, PLACE, COUNT, SEEN_PLACE, LOG, AT = range(6)
SHARE = 6  # numbers per class
USED, FREE, ROWS, FREE_ROW = range(4)  # of row 0; what is freed is a list, 0 ends it
GRACE, LOG_DELTA, TAU, PREDICTION, NB_THRESHOLD, SPLITS, FRACTION, MAX_SHARE, MAX_DEPTH = HOW = range(4, 13)  # too
_HALF_LOG_TAU = 0.5 * math.log(math.tau)


@part
def _of_class(leaf, what):
    """One number of every class."""
    return leaf[CLASS + what :: SHARE]


@part
def plant(table, split, depth, row):
    """Take a free node, make it an empty leaf, give it a row of ``split`` (a new one where ``row`` is negative)."""
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
    leaf[FEATURE], leaf[ACTIVE] = -1.0, 1.0
    leaf[DEPTH], leaf[ROW] = depth, row
    return node


@part
def _heavier(table, split, node):
    """The child of a branch to which more weight went: where a row goes that misses the feature."""
    best = -1.0
    chosen = 0
    waiting = np.empty(table.shape[0], np.int64)
    for child in (int(table[node, LEFT]), int(table[node, RIGHT])):
        waiting[0] = child
        top = 1
        weight = 0.0
        while top > 0:
            top -= 1
            at = waiting[top]
            if table[at, FEATURE] >= 0.0:
                waiting[top], waiting[top + 1] = int(table[at, LEFT]), int(table[at, RIGHT])
                top += 2
            else:
                weight += _of_class(table[at], WEIGHT).sum()
        if weight > best:
            best, chosen = weight, child
    return chosen


@part
def walk(x, table, split, node):
    """The leaf that a row belongs to."""
    while table[node, FEATURE] >= 0.0:
        value = x[int(table[node, FEATURE])]
        if value != value:
            node = _heavier(table, split, node)
        else:
            node = int(table[node, LEFT] if value <= table[node, THRESHOLD] else table[node, RIGHT])
    return node


@part
def _likelihood(x, cells, y):
    """Log likelihood of a row by the Gaussians of a class, without the part that stands in ``LOG``."""
    base, logs = STEP * y, 0.0
    for k in range(cells.shape[1]):
        off = x[int(cells[0, k])] - cells[base + MEAN, k]
        logs += off * off * cells[base + SCALE, k]
    if logs == logs:
        return logs
    logs = 0.0
    for k in range(cells.shape[1]):  # something is missing: its part of LOG is taken back
        off, scale = x[int(cells[0, k])] - cells[base + MEAN, k], cells[base + SCALE, k]
        if off == off:
            logs += off * off * scale
        elif scale != 0.0:
            logs += _HALF_LOG_TAU + 0.5 * math.log(-0.5 / scale)
    return logs


@part
def _vote(x, leaf, cells, total, votes):
    """Fill ``votes`` with log likelihoods by naive Bayes, not normalised; minus infinity for a class never seen."""
    for y in range(votes.shape[0]):
        own = leaf[CLASS + SHARE * y :]
        votes[y] = -np.inf
        if own[PLACE] > 0.0:
            votes[y] = 0.0
            if own[WEIGHT] > 0.0:
                votes[y] = math.log(own[WEIGHT] / total) + (_likelihood(x, cells, y) + own[LOG])


@part
def _by_bayes(head, leaf, total):
    """Whether a leaf answers by naive Bayes and not with the shares of its classes."""
    if total == 0.0 or leaf[ACTIVE] == 0.0 or head[PREDICTION] == MAJORITY:
        return False
    if head[PREDICTION] == BAYES:
        return total >= head[NB_THRESHOLD]
    return leaf[NB] >= leaf[MC]


@part
def probabilities(x, table, split, node, p):
    """Fill ``p`` with the probabilities of the classes at a leaf, equal ones from a tree that has learned nothing."""
    leaf, classes = table[node], p.shape[0]
    total = 0.0
    for y in range(classes):
        total += leaf[CLASS + SHARE * y]
    if leaf[PRESENT] == 0.0 or (total == 0.0 and classes > 2):
        p[:] = 1.0 / classes
    elif not _by_bayes(table[0], leaf, total):
        inverse = 1.0 / total if total > 0.0 else 0.0
        for y in range(classes):
            p[y] = leaf[CLASS + SHARE * y] * inverse
    else:
        _vote(x, leaf, split[int(leaf[ROW])], total, p)
        if classes > 2:
            p[:] = np.exp(p - p.max())
            p /= p.sum()
        else:
            p[1] = 1.0 / (1.0 + math.exp(p[0] - p[1]))
    if classes == 2:
        p[0] = 1.0 - p[1]


@part
def _top(values, leaf, what):
    """The class with most; of equals the one seen first; -1 where none was seen."""
    top = -1
    for y in range(values.shape[0]):
        place = leaf[CLASS + SHARE * y + what]
        if place == 0.0:
            continue
        first = top < 0 or place < leaf[CLASS + SHARE * top + what]
        if top < 0 or values[y] > values[top] or (values[y] == values[top] and first):
            top = y
    return top


@part
def _observe(x, y, w, leaf, cells, votes):
    """Let a leaf that learns see a row of weight ``w``: who was right, and the Gaussians of its class."""
    own, weights = leaf[CLASS + SHARE * y :], _of_class(leaf, WEIGHT)
    if leaf[PRESENT] == 0.0 or _top(weights, leaf, PLACE) == y:
        leaf[MC] += w
    total = 0.0
    for weight in weights:
        total += weight
    if total > 0.0:
        _vote(x, leaf, cells, total, votes)
        if _top(votes, leaf, PLACE) == y:
            leaf[NB] += w
    if own[SEEN_PLACE] == 0.0:
        leaf[SEEN] += 1.0
        own[SEEN_PLACE] = leaf[SEEN]
    own[COUNT] += w
    own[LOG] = _move(x, w, own[COUNT], cells[0], cells[1 + STEP * y : 1 + STEP * (y + 1)])


@part
def _move(x, w, count, columns, cells):
    """Let the Gaussians of a class see a row; the sum of the logs of the factors of their densities."""
    mean = cells[MEAN - 1]
    squares = cells[SQUARES - 1]
    low = cells[LOW - 1]
    high = cells[HIGH - 1]
    scale = cells[SCALE - 1]
    gaps = cells[GAPS - 1]
    product, logs = 1.0, 0.0
    for k in range(columns.shape[0]):
        value, old = x[int(columns[k])], mean[k]
        if value != value:
            gaps[k] += w
        n = count - gaps[k]
        if value == value:
            low[k] = value if n == w else min(low[k], value)
            high[k] = value if n == w else max(high[k], value)
            mean[k] = old + w / n * (value - old)
            squares[k] += w * (value - old) * (value - mean[k])
        if n > 1.0 and squares[k] > 0.0:
            variance = squares[k] / (n - 1.0)
            scale[k] = -0.5 / variance
            product *= variance
            logs -= _HALF_LOG_TAU
            if not 1e-100 < product < 1e100:  # one log for many features, before their product leaves the numbers
                logs -= 0.5 * math.log(product)
                product = 1.0
    return logs - 0.5 * math.log(product)


@part
def _arrive(leaf, y):
    """Give a class that a leaf has not had the next place."""
    leaf[CLASS + SHARE * int(leaf[PRESENT]) + AT] = y
    leaf[PRESENT] += 1.0
    leaf[CLASS + SHARE * y + PLACE] = leaf[PRESENT]


@part
def _total(leaf):
    """Weight of a leaf, summed in river's order: whether it tries to split hangs on the last bit."""
    total = 0.0
    for place in range(int(leaf[PRESENT])):
        total += leaf[CLASS + SHARE * int(leaf[CLASS + SHARE * place + AT])]
    return total


@part
def _forget(leaf, cells):
    """Start the Gaussians of a leaf anew: what river's memory management does to a leaf where no split won."""
    cells[1:] = 0.0
    leaf[SEEN] = 0.0
    for what in (COUNT, SEEN_PLACE, LOG):
        _of_class(leaf, what)[:] = 0.0


@part
def _child(leaf, cells, k, at, weights, is_left, child):
    """Give a new leaf its weights and the classes seen on its side: one may be there with no weight."""
    for place in range(1, int(leaf[SEEN]) + 1):
        for y in range(weights.shape[0]):
            own = leaf[CLASS + SHARE * y :]
            if own[SEEN_PLACE] != place or own[COUNT] - cells[STEP * y + GAPS, k] <= 0.0:
                continue
            if (at >= cells[STEP * y + LOW, k]) if is_left else (at < cells[STEP * y + HIGH, k]):
                _arrive(child, y)
                child[CLASS + SHARE * y + WEIGHT] = weights[y]
    child[TRIED] = _total(child)


@part
def _place_to_split(head, leaf, cells, left, right):
    """Feature and threshold at which a leaf splits; -1 where it waits, -2 where no split is possible."""
    weights, counts = _of_class(leaf, WEIGHT).copy(), _of_class(leaf, COUNT).copy()
    total, with_weight = 0.0, 0
    for weight in weights:
        total += weight
        with_weight += weight > 0.0
    if with_weight < 2:
        return -1, 0.0
    if weights.max() / total > head[MAX_SHARE]:
        return -2, 0.0
    before = entropy(weights)
    place = -1
    second = -np.inf
    threshold = 0.0
    top = -np.inf
    for k in range(cells.shape[1]):
        merit, at = best(cells, k, counts, before, head[SPLITS], head[FRACTION], left, right)
        if merit >= top:
            second, place = top, k
            top, threshold = merit, at
        elif merit > second:
            second = merit
    range_of_merit = math.log2(max(leaf[PRESENT], 2.0))
    bound = range_of_merit * math.sqrt(head[LOG_DELTA] / (2.0 * total))
    if not (top - second > bound or bound < head[TAU]):
        return -1, 0.0
    return (-2 if top == -np.inf else place), threshold


@part
def _attempt(table, split, node):
    """Split a leaf where one feature is better than the next by Hoeffding's bound, or the bound is small."""
    leaf, classes = table[node], (split.shape[1] - 1) // STEP
    row = int(leaf[ROW])
    cells = split[row]
    left = np.empty(classes)
    right = np.empty(classes)
    k, at = _place_to_split(table[0], leaf, cells, left, right)
    if k == -2:
        _forget(leaf, cells)
    if k < 0:
        return
    cut(cells, k, _of_class(leaf, COUNT), at, left, right)
    seen = cells.copy()
    column = cells[0, k]
    depth = leaf[DEPTH] + 1.0
    leaf[LEFT] = plant(table, split, depth, row)
    leaf[RIGHT] = plant(table, split, depth, -1)
    _child(leaf, seen, k, at, left, True, table[int(leaf[LEFT])])
    _child(leaf, seen, k, at, right, False, table[int(leaf[RIGHT])])
    leaf[FEATURE], leaf[THRESHOLD] = column, at


@part
def grow(x, y, w, table, split, node, votes):
    """Learn a row of class ``y`` and weight ``w`` at the leaf it belongs to, which may become a branch by that."""
    head, leaf = table[0], table[node]
    if leaf[ACTIVE] != 0.0:
        _observe(x, y, w, leaf, split[int(leaf[ROW])], votes)
    if leaf[CLASS + SHARE * y + PLACE] == 0.0:
        _arrive(leaf, y)
    leaf[CLASS + SHARE * y] += w
    if leaf[ACTIVE] == 0.0:
        return
    if leaf[DEPTH] >= head[MAX_DEPTH]:
        leaf[ACTIVE] = 0.0
        return
    total = _total(leaf)
    if total - leaf[TRIED] >= head[GRACE]:
        _attempt(table, split, node)
        leaf[TRIED] = total


@part
def full(table, split, trees):
    """Whether there is no room for every one of so many trees to split once and to be planted anew."""
    return table[0, USED] + 3.0 * trees > table.shape[0] or table[0, ROWS] + 2.0 * trees > split.shape[0]


@part
def answer(p, predictions, t):
    """Write probabilities where a chunk keeps them: of every class, or of class 1 alone where there is one column."""
    if predictions.shape[1] == 1:
        predictions[t, 0] = p[1]
    else:
        predictions[t] = p
