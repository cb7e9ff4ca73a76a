"""Session neighbours over an inverted index: which sessions share items with this one, and what they clicked.

A loop names the arrays that it uses before it begins: each mention of a part of the memory counts a reference.
"""

from __future__ import annotations

import math

import numpy as np
from numba import types

from rtml.kernels.cache import njit
from rtml.usecases.sessions.kernels import memory as s

POPULAR, REPEAT, SUCCESSORS, SKNN, VSKNN, TIMED, VECTORS, RANKER = range(8)  # as in rtml.usecases.sessions.models.KINDS
_f8, _i8 = types.float64, types.int64


@njit(_i8(_f8[::1], _i8[::1], _i8, _i8, _f8, _i8), cache=True)
def keep(best, which, n, k, value, i):
    """Put a value into a heap of the ``k`` greatest, of equal ones the greatest ``i``; returns how many it holds.

    Examples
    --------
    >>> best = np.zeros(2)
    >>> which = np.zeros(2, np.int64)
    >>> n = 0
    >>> for i, value in enumerate([1.0, 3.0, 3.0, 0.5]):
    ...     n = keep(best, which, n, 2, value, i)
    >>> best, which
    (array([3., 3.]), array([1, 2]))
    """
    if n == k and (value < best[0] or (value == best[0] and i <= which[0])):
        return n
    at = n if n < k else 0
    if n < k:
        while at > 0:
            up = (at - 1) >> 1
            if best[up] < value or (best[up] == value and which[up] <= i):
                break
            best[at], which[at] = best[up], which[up]
            at = up
        best[at], which[at] = value, i
        return n + 1
    while True:
        down = 2 * at + 1
        if down >= k:
            break
        other = down + 1
        if other < k and (best[other] < best[down] or (best[other] == best[down] and which[other] < which[down])):
            down = other
        if value < best[down] or (value == best[down] and i <= which[down]):
            break
        best[at], which[at] = best[down], which[down]
        at = down
    best[at], which[at] = value, i
    return n


@njit(_i8(_i8[::1], _i8, _i8, _f8[::1], s.MEMORY), cache=True)
def gather(rows, n, me, how, m):
    """Sessions that share an item with this one, in ``touched``, how much in ``similar``; returns how many."""
    kind = how[s.KIND]
    recent = np.int64(how[s.RECENT])
    mask = len(m.gains) - 1
    found = 0
    complete = m.control[s.GIVEN_WAY] == 0
    pool = m.pool
    place = m.place
    numbers = m.sessions
    similar, touched = m.similar, m.touched
    for p in range(n):
        row = rows[p]
        if place[row] != p:  # only its last place counts
            continue
        weight = math.exp(-(n - 1 - p) / how[s.STEP_DECAY])
        if kind == SKNN:
            weight = 1.0
        elif kind == VSKNN:
            weight = (p + 1) / n
        entry = m.lists[row, s.POSTINGS]
        begin, last = entry[s.START], entry[s.PLACES] - 1
        for a in range(min(recent, entry[s.PLACES], entry[s.COUNT])):  # newest first: they are the ones that stay
            number = pool[begin + ((entry[s.COUNT] - 1 - a) & last)]
            other = number & mask
            if number == me or not (complete or numbers[other, 0] == number):
                continue
            if similar[other] == 0.0:
                touched[found] = other
                found += 1
            similar[other] += weight
    return found


@njit(_i8(_i8, _f8[::1], s.MEMORY), cache=True)
def newest(found, how, m):
    """Of the sessions found only the most recent ``RECENT``; returns how many there are."""
    recent = np.int64(how[s.RECENT])
    if found <= recent:
        return found
    n = 0
    touched = m.touched
    held = m.sessions
    best = m.best
    which = m.which
    similar = m.similar
    for a in range(found):
        row = touched[a]
        if n < recent or held[row, 5] >= best[0]:
            n = keep(best, which, n, recent, held[row, 5], held[row, 0])
    oldest = best[0]
    number = which[0]
    n = 0
    for a in range(found):
        row = touched[a]
        if held[row, 5] > oldest or (held[row, 5] == oldest and held[row, 0] >= number):
            touched[n] = row
            n += 1
        else:
            similar[row] = 0.0
    return n


@njit(_i8(_i8, _i8, _f8[::1], s.MEMORY), cache=True)
def nearest(found, distinct, how, m):
    """The most similar sessions in ``which``, as rows, with their similarity in ``best``; returns how many."""
    timed = how[s.KIND] >= TIMED
    k = np.int64(how[s.NEIGHBOURS])
    n = 0
    mask = len(m.gains) - 1
    touched = m.touched
    held = m.sessions
    best = m.best
    which = m.which
    similar = m.similar
    gains = m.gains
    for a in range(found):
        row = touched[a]
        value = similar[row] * gains[row] if timed else similar[row] / math.sqrt(distinct * held[row, 4])
        similar[row] = 0.0
        if found <= k:
            best[n], which[n] = value, row
            n += 1
        elif n < k or value >= best[0]:
            n = keep(best, which, n, k, value, held[row, 0])
    if found > k:
        for a in range(n):
            which[a] &= mask
    return n


@njit(_i8(_i8, _f8[::1], s.MEMORY), cache=True)
def spread(n, how, m):
    """Add up the neighbours' items in ``score``; returns how many items are in ``touched``."""
    timed = how[s.KIND] >= TIMED
    items = 0
    pool = m.pool
    held = m.sessions
    place = m.place
    touched = m.touched
    score = m.score
    decay = m.decay
    best = m.best
    which = m.which
    for a in range(n):
        value, row = best[a], which[a]
        begin = held[row, 1]
        last = held[row, 2] - 1
        clicks = min(held[row, 3], s.KEPT_CLICKS)
        first = held[row, 3] - clicks
        shared = -1
        at = 0
        if timed:
            for b in range(clicks):
                p = place[pool[begin + ((first + b) & last)]]
                if p >= shared and p >= 0:
                    shared, at = p, b
        for b in range(clicks):
            item = pool[begin + ((first + b) & last)]
            part = value * decay[abs(b - at)] if timed else value
            if not timed:
                for c in range(b):
                    if pool[begin + ((first + c) & last)] == item:
                        part = 0.0
            if part == 0.0:
                continue
            if score[item] == 0.0:
                touched[items] = item
                items += 1
            score[item] += part
    return items


@njit(_i8(_i8[::1], _i8, _i8, _f8[::1], s.MEMORY), cache=True)
def neighbours(rows, n, me, how, m):
    """Items of the sessions nearest to this one, scored; returns how many."""
    distinct, place = 0, m.place
    for p in range(n):
        distinct += place[rows[p]] == p
    found = gather(rows, n, me, how, m)
    if how[s.KIND] < TIMED:
        found = newest(found, how, m)
    return spread(nearest(found, distinct, how, m), how, m)
