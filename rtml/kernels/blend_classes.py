"""The mixtures of :mod:`rtml.kernels.blend` for many classes, and members that know nothing but the last label.

What is kept with a question is a table with a column per class, flat, and behind it the last label then known: what is
predicted, what each member said, what each mixture made of it. A row of ``chain`` is how often each class came behind
that label; the last one how often it came at all. ``level`` holds the last label, how many came behind a label, and
how many of them were the same.
"""

from __future__ import annotations

import math

from numba import float64, int64, void

from rtml.kernels.answers import due
from rtml.kernels.blend import weigh
from rtml.kernels.declared import MATRIX, VALUES, VECTOR, WHOLE, kernel

LAST, PAIRS, STAYED = range(3)  # of level
BASELINES = 3  # majority, no change, behind the last label
LEAST = 1e-3  # of what a member says, shared by all classes
BEHIND = 4.0  # answers that the shares of all classes count for behind a label
TOP_ETA = 1.0  # Bayes' rule

_model = (MATRIX, VECTOR, MATRIX, VECTOR, MATRIX, VECTOR)  # mixes, prior; level comes behind chain in arrays


@kernel(void, MATRIX, VECTOR, MATRIX)
def _by_labels(chain, level, said):
    """Fill three rows: the shares of the classes, the last label as often as labels stayed, what came behind it."""
    classes = chain.shape[1]
    last = level[LAST]
    total = chain[classes].sum() + classes
    for c in range(classes):
        said[0, c] = (chain[classes, c] + 1.0) / total
    said[1:] = said[0]
    if last == last:
        k = int(last)
        stays = (level[STAYED] + 1.0) / (level[PAIRS] + 2.0)
        came = chain[k].sum()
        for c in range(classes):
            said[1, c] = stays if c == k else (1.0 - stays) * said[0, c] / (1.0 - said[0, k])
            said[2, c] = (chain[k, c] + BEHIND * said[0, c]) / (came + BEHIND)


@kernel(void, VECTOR, *_model)
def ask(kept, mixes, prior, chain, level, shares, top):
    """Predict; ``kept`` holds what the models among the members say, and is filled with the rest."""
    members, many = len(prior), len(top)
    classes = chain.shape[1]
    table = kept[: len(kept) - 1].reshape((1 + members + many, classes))
    kept[-1] = level[LAST]
    _by_labels(chain, level, table[1 + members - BASELINES : 1 + members])
    for k in range(1, 1 + members):
        for c in range(classes):
            table[k, c] = (1.0 - LEAST) * table[k, c] + LEAST / classes
    table[0] = 0.0
    for m in range(many):
        mixed = table[1 + members + m]
        mixed[:] = 0.0
        for k in range(members):
            for c in range(classes):
                mixed[c] += shares[m, k] * table[1 + k, c]
        mixed /= mixed.sum()
        for c in range(classes):
            table[0, c] += top[m] * mixed[c]
    table[0] /= table[0].sum()


@kernel(void, float64, VECTOR, *_model)
def learn(y, kept, mixes, prior, chain, level, shares, top):
    """Learn an answer from what was kept when it was asked: a mixture of the probabilities of the class that came."""
    members, many = len(prior), len(top)
    classes, c = chain.shape[1], int(y)
    table = kept[: len(kept) - 1].reshape((1 + members + many, classes))
    likely = table[1:, c].copy()
    weigh(likely[:members], likely[members:], 1.0, 0.0, TOP_ETA, mixes, prior, shares, top)
    last = kept[-1]
    if last == last:
        chain[int(last), c] += 1.0
        level[PAIRS] += 1.0
        level[STAYED] += 1.0 if last == y else 0.0
    chain[classes, c] += 1.0
    level[LAST] = y


@kernel(int64, VALUES, WHOLE, WHOLE, WHOLE, int64, MATRIX, *_model)
def replay(y, moment, known, order, until, kept, mixes, prior, chain, level, shares, top):
    """Mix what is said of the last rows at their moments, learn every answer once known; return how many came.

    ``kept`` has a row per question: of those that wait what was kept, of the others what the models among members say.
    """
    n = len(moment)
    told = 0
    for t in range(n + 1):
        stop = due(t, moment, until, known, order, told)
        for i in order[told:stop]:
            if not math.isnan(y[i]):
                learn(y[i], kept[i], mixes, prior, chain, level, shares, top)
        told = stop
        if t < n:
            ask(kept[len(kept) - n + t], mixes, prior, chain, level, shares, top)
    return told
