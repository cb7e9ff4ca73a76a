"""Half-space trees as compiled transitions over flat arrays: how unusual is a row among the last ones?

``trees`` has, for every tree and node, what the constants name; a tree is complete and in the order of a heap: the
children of node ``i`` are ``2 i + 1`` and ``2 i + 2``. ``limits`` are the lowest and highest value of each feature, by
which a row is scaled to [0, 1] where ``head[SCALED]`` is 1. NaN is a missing value: it moves no limit, and at a node
that asks for it the row goes where more rows of this window went.

Tan, Ting and Liu, "Fast anomaly detection for streaming data" (IJCAI 2011), in the arithmetic of river.
"""

from __future__ import annotations

from numba import float64, void

from rtml.kernels.declared import CUBE, MATRIX, TABLE, VALUES, VECTOR, kernel, part

FEATURE, THRESHOLD, NEW, OLD = range(4)  # first axis of trees; masses of this window and of the one before
HEIGHT, WINDOW, SEEN, FIRST, SCALED = range(5)  # of head; FIRST is 1 until a window is full
LEAST = 0.1  # share of a window below which a node is not gone into

_model = (VECTOR, MATRIX, CUBE)  # head, limits, trees


@part
def _next(x, i, head, limits, tree):
    """The child that a row goes to."""
    left = 2 * i + 1
    j = int(tree[FEATURE, i])
    value = x[j]
    if value != value:
        return left + 1 if tree[NEW, left] < tree[NEW, left + 1] else left
    if head[SCALED] != 0.0:
        width = limits[1, j] - limits[0, j]
        value = (value - limits[0, j]) / width if width != 0.0 else 0.0
    return left if value < tree[THRESHOLD, i] else left + 1


@kernel(float64, VALUES, *_model)
def score(x, head, limits, trees):
    """1 less the mass around a row, weighted by depth, as a share of the most there can be; 0 in the first window."""
    if head[FIRST] != 0.0:
        return 0.0
    height, score = int(head[HEIGHT]), 0.0
    for t in range(trees.shape[1]):
        tree = trees[:, t]
        i = 0
        power = 1.0
        for _ in range(height):
            mass = tree[OLD, i]
            score += mass * power
            if mass < LEAST * head[WINDOW]:
                break
            i = _next(x, i, head, limits, tree)
            power *= 2.0
        else:
            score += tree[OLD, i] * power
    return 1.0 - score / (trees.shape[1] * head[WINDOW] * (2.0 ** (height + 1) - 1.0))


@kernel(void, VALUES, *_model)
def learn(x, head, limits, trees):
    """Count a row at every node on its way; a full window becomes the one that scores."""
    for j in range(x.shape[0]):
        if x[j] == x[j]:
            limits[0, j] = min(limits[0, j], x[j])
            limits[1, j] = max(limits[1, j], x[j])
    for t in range(trees.shape[1]):
        tree, i = trees[:, t], 0
        for _ in range(int(head[HEIGHT])):
            tree[NEW, i] += 1.0
            i = _next(x, i, head, limits, tree)
        tree[NEW, i] += 1.0
    head[SEEN] += 1.0
    if head[SEEN] == head[WINDOW]:
        trees[OLD] = trees[NEW]
        trees[NEW] = 0.0
        head[SEEN] = head[FIRST] = 0.0


@kernel(void, TABLE, VECTOR, *_model)
def replay(X, scores, head, limits, trees):
    """Score every row and learn it right after."""
    for i in range(X.shape[0]):
        scores[i] = score(X[i], head, limits, trees)
        learn(X[i], head, limits, trees)
