"""Lists for a session of what was learned: by popularity, successors, neighbours, vectors, or all of them ranked."""

from __future__ import annotations

import math

import numpy as np
from numba import types

from rtml.kernels.cache import njit
from rtml.usecases.sessions.kernels import memory as s
from rtml.usecases.sessions.kernels.neighbours import RANKER, REPEAT, SKNN, SUCCESSORS, VECTORS, keep, neighbours

FEATURES = (
    "neighbours", "next", "after_next", "steps_ago", "times_seen", "last", "vectors", "no_neighbour", "no_next",
    "popular",
)  # fmt: skip
WIDTH = len(FEATURES)
_NEVER = math.log(1e-3)
_RATE = 0.05  # of the ranker (AdaGrad)
_f8, _i8 = types.float64, types.int64


@njit(_i8(_i8[::1], _i8, _i8, _i8, _f8[::1], s.MEMORY), cache=True)
def successors(rows, n, kind, items, how, m):
    """Add what followed the last item (``NEXT``) or the one before (``AFTER_NEXT``), as a share, to the candidates."""
    back = 1 if kind == s.NEXT else 2
    if n < back:
        return items
    row = rows[n - back]
    pool = m.pool
    score = m.score
    touched = m.touched
    extra = m.extra
    entry, total = m.lists[row, kind], m.counts[row, kind]
    for a in range(entry[s.COUNT]):
        packed = pool[entry[s.START] + a]
        item = packed >> 32
        if score[item] == 0.0:
            score[item] = -1.0
            touched[items] = item
            items += 1
        extra[item, kind - s.NEXT] = ((packed & 0xFFFFFFFF) + 1e-3 * a) / total  # of equal ones the newest
    return items


@njit(types.void(_i8[::1], _i8, s.MEMORY, types.float32[::1]), cache=True)
def mean_vector(rows, n, m, mean):
    """Vector of a session: the mean of its items' vectors.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> memory = SimpleNamespace(vectors=np.array([[1, 0], [3, 2]], np.float32), control=np.full(s.GIVEN + 1, 2))
    >>> mean = np.zeros(2, np.float32)
    >>> mean_vector.py_func(np.array([0, 1, 5]), 3, memory, mean)
    >>> mean
    array([2., 1.], dtype=float32)
    """
    mean[:] = 0.0
    known = 0
    vectors = m.vectors
    given = m.control[s.GIVEN]
    for p in range(n):
        if 0 <= rows[p] < given:
            known += 1
            for a in range(mean.size):
                mean[a] += vectors[rows[p], a]
    if known:
        mean /= np.float32(known)


@njit(types.float32(types.float32[::1], types.float32[:, ::1], _i8), cache=True, fastmath=True)
def dot(a, table, row):
    """Inner product with a row of a table.

    Examples
    --------
    >>> dot(np.array([1, 2], np.float32), np.array([[0, 0], [3, 4]], np.float32), 1)
    11.0
    """
    total = np.float32(0.0)
    for i in range(a.size):
        total += a[i] * table[row, i]
    return total


@njit(forceinline=True)
def describe(item, share, part, near, last, fit, seen, x):
    """Features of a candidate (:data:`FEATURES`) from its parts: shares as a successor, and times in the session.

    Examples
    --------
    >>> x = np.zeros(WIDTH)
    >>> describe(0, 0.5, np.array([[0.0, 0.25, 1.0]]), 0.9, 0, 0.1, 0.01, x)
    >>> x.round(2)
    array([-0.69, -6.91, -1.38,  0.9 ,  0.69,  1.  ,  0.1 ,  0.  ,  1.  ,
           -4.6 ])
    """
    x[0] = math.log(share + 1e-4)
    x[1] = math.log(part[item, 0] + 1e-3) if part[item, 0] > 0.0 else _NEVER
    x[2] = math.log(part[item, 1] + 1e-3) if part[item, 1] > 0.0 else _NEVER
    x[3] = near if part[item, 2] > 0.0 else 0.0
    x[4] = math.log(1.0 + part[item, 2]) if part[item, 2] > 0.0 else 0.0
    x[5] = 1.0 if item == last else 0.0
    x[6] = fit
    x[7] = 0.0 if share > 0.0 else 1.0
    x[8] = 0.0 if part[item, 0] > 0.0 else 1.0
    x[9] = math.log(seen + 1e-5)


@njit(_i8(_i8[::1], _i8, _i8, s.MEMORY), cache=True)
def own(rows, n, items, m):
    """Add the session's own items to the candidates, and how often each was clicked.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> memory = SimpleNamespace(score=np.zeros(3), touched=np.zeros(3, np.int64), extra=np.zeros((3, 3)))
    >>> own.py_func(np.array([2, 1, 2]), 3, 0, memory), memory.extra[:, 2]
    (2, array([0., 1., 2.]))
    """
    score = m.score
    touched = m.touched
    extra = m.extra
    for p in range(n):
        if score[rows[p]] == 0.0:
            score[rows[p]] = -1.0
            touched[items] = rows[p]
            items += 1
        extra[rows[p], 2] += 1.0
    return items


@njit(_i8(_i8[::1], _i8, _i8, _f8[::1], s.MEMORY, _f8[:, ::1], _f8[::1], _i8[::1]), cache=True)
def ranked(rows, n, me, how, m, X, best, which):
    """Rank the union of what neighbours, successors and the session itself propose; returns how many are listed.

    ``X`` gets the features of those listed, in the order of the heap.
    """
    items = neighbours(rows, n, me, how, m)
    total = 0.0
    k = np.int64(how[s.K])
    listed = 0
    score = m.score
    touched = m.touched
    for a in range(items):
        total += score[touched[a]]
    items = own(rows, n, successors(rows, n, s.AFTER_NEXT, successors(rows, n, s.NEXT, items, how, m), how, m), m)
    mean = np.empty(m.vectors.shape[1], np.float32)
    x = np.empty(WIDTH)
    weights = m.weights
    place = m.place
    contexts = m.contexts
    extra = m.extra
    counts, clicks = m.counts, max(m.clock[2], 1.0)
    mean_vector(rows, n, m, mean)
    last = rows[n - 1] if n else -1
    for a in range(items):
        item = touched[a]
        share, near = max(score[item], 0.0) / total if total > 0.0 else 0.0, 1.0 / (n - place[item])
        describe(item, share, extra, near, last, dot(mean, contexts, item), counts[item, 0] / clicks, x)
        value = 0.0
        for f in range(WIDTH):
            value += weights[0, f] * x[f]
        if listed < k or value >= best[0]:
            listed = keep(best, which, listed, k, value, item)
    for b in range(listed):
        item = which[b]
        share, near = max(score[item], 0.0) / total if total > 0.0 else 0.0, 1.0 / (n - place[item])
        describe(item, share, extra, near, last, dot(mean, contexts, item), counts[item, 0] / clicks, X[b])
    for a in range(items):
        item = touched[a]
        score[item] = extra[item, 0] = extra[item, 1] = extra[item, 2] = 0.0
    return listed


@njit(_i8(_i8[::1], _i8, _i8, _f8[::1], s.MEMORY, _f8[::1], _i8[::1]), cache=True)
def scored(rows, n, me, how, m, best, which):
    """List candidates of one source by their share of its scores; returns how many are listed."""
    kind = how[s.KIND]
    k = np.int64(how[s.K])
    listed = 0
    items = 0
    total = 0.0
    score = m.score
    touched = m.touched
    extra = m.extra
    place = m.place
    if kind == REPEAT:
        items = own(rows, n, 0, m)
    elif kind == SUCCESSORS:
        items = successors(rows, n, s.NEXT, 0, how, m)
    elif kind >= SKNN:
        items = neighbours(rows, n, me, how, m)
    for a in range(items):
        item = touched[a]
        if kind == REPEAT:
            score[item] = extra[item, 2] + place[item] / 1024.0  # of equally many clicks the later one
        elif kind == SUCCESSORS:
            score[item] = extra[item, 0]
        extra[item, :] = 0.0
        total += score[item]
    for a in range(items):
        item = touched[a]
        value = score[item] / total
        if listed < k or value >= best[0]:
            listed = keep(best, which, listed, k, value, item)
        score[item] = 0.0
    return listed


@njit(_i8(_i8[::1], _i8, _f8[::1], s.MEMORY, _f8[::1], _i8[::1]), cache=True)
def similar(rows, n, how, m, best, which):
    """List the items whose vectors fit the session's best, of all there are; returns how many are listed."""
    mean = np.empty(m.vectors.shape[1], np.float32)
    listed = 0
    contexts = m.contexts
    mean_vector(rows, n, m, mean)
    for item in range(m.control[s.GIVEN] if n else 0):
        value = dot(mean, contexts, item)
        if listed < np.int64(how[s.K]) or value >= best[0]:
            listed = keep(best, which, listed, np.int64(how[s.K]), value, item)
    return listed


@njit(types.void(_i8, _i8, s.MEMORY, _f8[::1]), cache=True)
def fill(listed, k, m, out):
    """Put what is popular behind a list that is too short.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> control = np.zeros(s.POPULAR + 1, np.int64)
    >>> control[s.POPULAR] = 3
    >>> out = np.array([8.0, 0.0])
    >>> fill.py_func(1, 2, SimpleNamespace(ids=np.array([7, 8, 9]), top=np.array([1, 0, 2]), control=control), out)
    >>> out
    array([8., 7.])
    """
    ids, top = m.ids, m.top
    for a in range(m.control[s.POPULAR]):
        if listed == k:
            return
        item, new = ids[top[a]], True
        for b in range(listed):
            new = new and out[b] != item
        if new:
            out[listed] = item
            listed += 1


@njit(types.void(_f8[::1], _f8[::1], s.MEMORY, _f8[::1]), cache=True)
def rank(x, how, m, out):
    """Answer a question: ``k`` item ids, their scores, of a ranker their features; popular items fill the list."""
    k = np.int64(how[s.K])
    rows = np.empty(x.size, np.int64)
    best = np.empty(k)
    which = np.empty(k, np.int64)
    X = np.empty((k if how[s.KIND] == RANKER else 0, WIDTH))
    n, me = s.rows_of(x, m, rows), np.int64(x[s.SESSION])
    place, ids = m.place, m.ids
    for p in range(n):
        place[rows[p]] = p
    if how[s.KIND] == RANKER:
        listed = ranked(rows, n, me, how, m, X, best, which)
    elif how[s.KIND] == VECTORS:
        listed = similar(rows, n, how, m, best, which)
    else:
        listed = scored(rows, n, me, how, m, best, which)
    for p in range(n):
        place[rows[p]] = -1
    out[:] = np.nan
    for a in range(listed):
        at = 0
        for b in range(listed):
            at += best[b] > best[a] or (best[b] == best[a] and which[b] > which[a])
        out[at], out[k + at] = ids[which[a]], best[a]
        for f in range(WIDTH if how[s.KIND] == RANKER else 0):
            out[2 * k + at * WIDTH + f] = X[a, f]
    fill(listed, k, m, out)


@njit(types.void(_f8[::1], _f8, _f8[::1], s.MEMORY), cache=True)
def adjust(kept, y, how, m):
    """One step of the ranker towards an answer that it had listed: conditional logit over what it listed, by AdaGrad.

    McFadden, "Modelling the choice of residential location" (1978): alternatives may be left out of a logit.
    """
    k = np.int64(how[s.K])
    true = -1
    listed = 0
    most = -np.inf
    while listed < k and kept[k + listed] == kept[k + listed]:
        if kept[listed] == y:
            true = listed
        listed += 1
    if true < 0:
        return
    weights = m.weights[0]
    squares = m.weights[1]
    chance = np.zeros(listed)
    for a in range(listed):
        for f in range(WIDTH):
            chance[a] += weights[f] * kept[2 * k + a * WIDTH + f]
        most = max(most, chance[a])
    chance = np.exp(chance - most)
    chance /= chance.sum()
    for f in range(WIDTH):
        slope = kept[2 * k + true * WIDTH + f]
        for a in range(listed):
            slope -= chance[a] * kept[2 * k + a * WIDTH + f]
        squares[f] += slope * slope
        if squares[f] > 0.0:
            weights[f] += _RATE * slope / math.sqrt(squares[f])


@njit(_i8(_f8[::1], _f8, _i8, _f8[::1], _f8[::1], s.MEMORY), cache=True)
def tell(x, y, known, kept, how, m):
    """Learn an answer; see :func:`rtml.usecases.sessions.kernels.memory.learn`."""
    need = s.learn(x, y, known, how, m)
    if need == s.DONE and how[s.KIND] == RANKER:
        adjust(kept, y, how, m)
    return need


_replay = _i8(
    _f8[:, ::1], _f8[::1], _i8[::1], _i8[::1], _i8[::1], _i8, _f8[:, ::1], _i8[::1], _f8[::1], s.MEMORY
)  # fmt: skip


@njit(_replay, cache=True, nogil=True)
def replay(X, y, moment, known, order, until, kept, at, how, m):
    """Before each question learn the answers known before it, after the last those known up to ``until``.

    ``at`` holds the next question's row and how many answers were told; where the memory must grow first, the kernel
    says which part and goes on from there when it is called again.
    """
    while True:
        last = at[0] == len(X)
        while at[1] < len(order):
            row = order[at[1]]
            if row >= at[0] or (known[row] > until if last else known[row] >= moment[at[0]]):
                break
            if y[row] == y[row]:
                need = tell(X[row], y[row], known[row], kept[row], how, m)
                if need != s.DONE:
                    return need
            at[1] += 1
        if last:
            return s.DONE
        rank(X[at[0]], how, m, kept[at[0]])
        at[0] += 1
