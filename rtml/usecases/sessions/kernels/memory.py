"""What a session model remembers, and how it learns a click: inverted index, successors, popularity, item vectors.

All lists (the sessions of an item, its successors, the clicks of a session) lie in one pool and double when they are
full, up to a limit; then the oldest session or the least successor gives way. Sessions are numbered in the order in
which they begin and have the row ``number & mask``: a session gives way to the one that comes a whole table later.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numba import types

from rtml.kernels.cache import njit
from rtml.kernels.interning import slot_of

#: Places of a question's row: session number, clicks so far; the newest items begin at ``ITEMS``.
SESSION, LENGTH, DWELL, VISITS, VISITOR, OWN, ITEMS = range(7)
#: Kinds of list, and what is known of each: where it begins, how many places it has, how many values were put in.
POSTINGS, NEXT, AFTER_NEXT, CLICKS = range(4)
START, PLACES, COUNT = range(3)
#: Integers of the whole memory; then heads of the lists of free blocks by size.
GIVEN, USED, NEGATIVES, DRAWS, POPULAR, GIVEN_WAY, FREE = range(7)
CONTROL = FREE + 32
#: What a model is told: what it ranks by, the size of its lists and how it learns.
(
    KIND, K, RECENT, NEIGHBOURS, STEP_DECAY, AGE_DECAY, HALF_LIFE, STEPS, SUCCESSORS, INDEXED, VECTORS, RATE,
    MOST_SESSIONS,
) = range(13)  # fmt: skip
HOW = 13
#: What learning a click came to: done, or which part of the memory must grow first.
DONE, POOL, ITEM_ROWS, SESSION_ROWS = range(4)
KEPT_CLICKS = 32  # of a session, the newest
ROOM = 1 << 15  # places of the pool that one click can need at most
TOP = 64  # popular items kept in order
RULE = 2520  # weight of a successor one step away: a whole number at every distance up to ten
_LEAST, _LONGEST = 4, 512
_CONTEXT, _DRAWN = 5, 5  # clicks before, and wrong answers drawn, that an item vector learns from
_SCALE = 512.0  # half-lives after which popularity is brought down again


class Memory(NamedTuple):
    """Everything a session model knows, and the scratch it works in (from ``similar`` on, empty between calls)."""

    control: np.ndarray  # integers of the whole
    clock: np.ndarray  # (4,) origin of ages, origin of popularity, sum of popularity, -
    pool: np.ndarray  # values of all lists
    table: np.ndarray  # (2 n,) hash table of item ids
    ids: np.ndarray  # (n,) id of an item's row
    lists: np.ndarray  # (n, 3, 3) postings and successors of an item
    counts: np.ndarray  # (n, 3) popularity, weight of all successors at one step and further
    vectors: np.ndarray  # (n, d) of an item as it is clicked
    contexts: np.ndarray  # (n, d) of an item as it is the answer
    sessions: np.ndarray  # (s, 6) number, then the list of clicks, distinct items, last time
    gains: np.ndarray  # (s,) weight of a session as a neighbour: its age and length
    recent: np.ndarray  # newest answers: what wrong answers are drawn from
    top: np.ndarray  # most popular items, in order
    weights: np.ndarray  # (2, features) of the ranker, and its squared gradients
    decay: np.ndarray  # weight of an item by its distance from the item that two sessions share
    similar: np.ndarray  # (s,)
    score: np.ndarray  # (n,)
    place: np.ndarray  # (n,) position in the session, -1 elsewhere
    extra: np.ndarray  # (n, 3) parts of a candidate's score
    touched: np.ndarray  # rows of sessions, then of items
    best: np.ndarray  # values of a heap
    which: np.ndarray  # what they belong to


_f8 = types.float64
_i8 = types.int64
_f4 = types.float32
_KINDS = (
    _i8[::1], _f8[::1], _i8[::1], _i8[::1], _i8[::1], _i8[:, :, ::1], _f8[:, ::1], _f4[:, ::1], _f4[:, ::1],
    _i8[:, ::1], _f8[::1], _i8[::1], _i8[::1], _f8[:, ::1], _f8[::1], _f8[::1], _f8[::1], _i8[::1], _f8[:, ::1],
    _i8[::1], _f8[::1], _i8[::1],
)  # fmt: skip
MEMORY = types.NamedTuple(_KINDS, Memory)
_inline = {"forceinline": True}


@njit(**_inline)
def find(item, table, ids):
    """Row of an item, -1 where it was never learned.

    Examples
    --------
    >>> table = np.ones(2, np.int64)
    >>> find(42, table * [1, 0], np.array([7])), find(7, table, np.array([7]))
    (-1, 0)
    """
    mask = table.size - 1
    place = slot_of(item, mask)
    while table[place] != 0 and ids[table[place] - 1] != item:
        place = (place + 1) & mask
    return table[place] - 1


@njit(**_inline)
def draw(number):
    """Draw of a counter (SplitMix64 of Steele, Lea and Flood, 2014).

    Examples
    --------
    >>> hex(draw(1))
    '0xe220a8397b1dcdaf'
    """
    z = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


@njit(_i8(_i8, MEMORY), cache=True)
def enter(item, m):
    """Row of an item, a new one for an item never seen; its vector begins at a draw of its id."""
    row = find(item, m.table, m.ids)
    if row >= 0:
        return row
    row = m.control[GIVEN]
    table = m.table
    vectors = m.vectors
    mask = m.table.size - 1
    m.control[GIVEN] += 1
    m.ids[row] = item
    place = slot_of(item, mask)
    while table[place] != 0:
        place = (place + 1) & mask
    table[place] = row + 1
    d = vectors.shape[1]
    for a in range(d):
        share = (draw(item * 256 + a + 1) >> np.uint64(11)) * 2.0**-53
        vectors[row, a] = np.float32((share - 0.5) / d)
    return row


@njit(_i8(_i8, _i8[::1], _i8[::1]), cache=True)
def block(places, pool, control):
    """Begin of a block of the pool, one that was freed where there is one.

    Examples
    --------
    >>> control = np.zeros(FREE + 8, np.int64)
    >>> pool = np.zeros(16, np.int64)
    >>> block(4, pool, control), block(2, pool, control)
    (0, 4)
    """
    kind = 0
    while (1 << kind) < places:
        kind += 1
    begin = control[FREE + kind]
    if begin:
        control[FREE + kind] = pool[begin]
        return begin
    begin = control[USED]
    control[USED] += places
    return begin


@njit(types.void(_i8, _i8, _i8[::1], _i8[::1]), cache=True)
def free(begin, places, pool, control):
    """Give a block back."""
    kind = 0
    while (1 << kind) < places:
        kind += 1
    pool[begin] = control[FREE + kind]
    control[FREE + kind] = begin


@njit(types.void(_i8[::1], _i8, _i8, _i8[::1], _i8[::1]), cache=True)
def append(entry, value, most, pool, control):
    """Put a value at the end of a list: it doubles when full, and at ``most`` values loses its oldest."""
    if entry[COUNT] == entry[PLACES] and entry[PLACES] < most:
        places = max(2 * entry[PLACES], _LEAST)
        begin = block(places, pool, control)
        for a in range(entry[COUNT]):
            pool[begin + a] = pool[entry[START] + a]
        if entry[PLACES]:
            free(entry[START], entry[PLACES], pool, control)
        entry[START], entry[PLACES] = begin, places
    pool[entry[START] + (entry[COUNT] & (entry[PLACES] - 1))] = value
    entry[COUNT] += 1


@njit(types.void(_i8[::1], _i8, _i8, _i8, _i8[::1], _i8[::1]), cache=True)
def count(entry, item, by, most, pool, control):
    """Count a successor, packed as ``row << 32 | count``, the newest last; a full list counts it in place of its least.

    Metwally, Agrawal and El Abbadi, "Efficient computation of frequent and top-k elements in data streams" (2005).
    """
    begin = entry[START]
    at = -1
    least = 0
    held = entry[COUNT]
    for a in range(held):
        if pool[begin + a] >> 32 == item:
            at = a
            break
        if (pool[begin + a] & 0xFFFFFFFF) < (pool[begin + least] & 0xFFFFFFFF):
            least = a
    if at < 0 and held < most:
        append(entry, (item << 32) | by, most, pool, control)
        return
    if at < 0:
        at = least
    times = (pool[begin + at] & 0xFFFFFFFF) + by
    for a in range(at, held - 1):
        pool[begin + a] = pool[begin + a + 1]
    pool[begin + held - 1] = (item << 32) | times


@njit(types.void(_i8, _i8, _f8[::1], MEMORY), cache=True)
def popular(item, now, how, m):
    """Count a click where old ones fade, by letting new ones weigh more; keep the most popular in order."""
    clock = m.clock
    top = m.top
    counts = m.counts
    age = (now - clock[1]) / how[HALF_LIFE]
    if age > _SCALE:
        counts[:, 0] *= 2.0**-_SCALE
        clock[2] *= 2.0**-_SCALE
        clock[1] += _SCALE * how[HALF_LIFE]
        age = min(age - _SCALE, _SCALE)
    weight = 2.0**age
    counts[item, 0] += weight
    clock[2] += weight
    held = m.control[POPULAR]
    at = held
    for a in range(held):
        if top[a] == item:
            at = a
            break
    if at == held:
        if held < top.size:
            m.control[POPULAR] += 1
        elif counts[item, 0] <= counts[top[held - 1], 0]:
            return
        else:
            at = held - 1
    while at > 0 and counts[top[at - 1], 0] < counts[item, 0]:
        top[at] = top[at - 1]
        at -= 1
    top[at] = item


@njit(_i8(_i8, MEMORY), cache=True)
def seat(number, m):
    """Row of a session in the table, emptied of an older one; -1 where a newer one has it."""
    row = number & (len(m.gains) - 1)
    held = m.sessions[row]
    if held[0] == number:
        return row
    if held[0] > number:
        return -1
    if held[0] >= 0:
        m.control[GIVEN_WAY] += 1
        free(held[1], held[2], m.pool, m.control)
    held[:] = 0
    held[0] = number
    return row


@njit(types.void(_i8, _i8, _i8, types.boolean, _f8[::1], MEMORY), cache=True)
def index(row, item, now, new, how, m):
    """Enter a click of a session into the index."""
    held = m.sessions[row]
    append(held[1:4], item, KEPT_CLICKS, m.pool, m.control)
    if new:
        append(m.lists[item, POSTINGS], held[0], _LONGEST, m.pool, m.control)
        held[4] += 1
    held[5] = now
    age = min((now - m.clock[0]) / how[AGE_DECAY], 700.0)
    m.gains[row] = math.exp(age) / math.sqrt(held[4])


@njit(types.void(_i8[::1], _i8, _i8, _f8, MEMORY), cache=True)
def place_vectors(before, n, item, rate, m):
    """Move the vectors of the clicks before towards an answer, and away from answers drawn at random.

    Skip-gram with negative sampling, one click at a time: Barkan and Koenigstein, "Item2vec" (2016); wrong answers are
    drawn from the newest ones, so that what is popular now is drawn often.
    """
    vectors = m.vectors
    contexts = m.contexts
    recent = m.recent
    control = m.control
    d = m.vectors.shape[1]
    known = min(control[NEGATIVES], len(recent))
    step = np.empty(d, np.float32)
    for p in range(max(0, n - _CONTEXT), n):
        own = before[p]
        if own == item:
            continue
        step[:] = 0.0
        for z in range(1 + _DRAWN):
            other, right = item, 1.0
            if z > 0:
                if known == 0:
                    break
                control[DRAWS] += 1
                other, right = recent[np.int64(draw(control[DRAWS]) % np.uint64(known))], 0.0
                if other == item:
                    continue
            said = np.float32(0.0)
            for a in range(d):
                said += vectors[own, a] * contexts[other, a]
            miss = np.float32(rate * (right - 1.0 / (1.0 + math.exp(-said))))
            for a in range(d):
                step[a] += miss * contexts[other, a]
                contexts[other, a] += miss * vectors[own, a]
        for a in range(d):
            vectors[own, a] += step[a]


@njit(_i8(_f8[::1], MEMORY, _i8[::1]), cache=True)
def rows_of(x, m, rows):
    """Rows of the clicks of a question, oldest first; returns how many there are.

    An item never learned is lent an empty row behind those given.
    """
    n = 0
    table = m.table
    ids = m.ids
    given = m.control[GIVEN]
    lent = given
    while n < x.size - ITEMS and x[ITEMS + n] >= 0.0:
        n += 1
    for p in range(n):
        item = np.int64(x[ITEMS + n - 1 - p])
        row = find(item, table, ids)
        if row < 0:
            row = given
            while row < lent and ids[row] != item:
                row += 1
            if row == lent:
                ids[row] = item
                lent += 1
        rows[p] = row
    return n


@njit(_i8(_f8[::1], _f8[::1], MEMORY), cache=True)
def room(x, how, m):
    """Whether the memory has room for one more click of a question's session, or which part must grow."""
    if m.control[USED] + ROOM > m.pool.size:
        return POOL
    if m.control[GIVEN] + 2 * x.size > m.ids.size:
        return ITEM_ROWS
    number = np.int64(x[SESSION])
    held = m.sessions[number & (len(m.gains) - 1), 0]
    if how[INDEXED] > 0.0 and 0 <= held < number and len(m.gains) < how[MOST_SESSIONS]:
        return SESSION_ROWS
    return DONE


@njit(_i8(_f8[::1], _f8, _i8, _f8[::1], MEMORY), cache=True)
def learn(x, y, now, how, m):
    """Learn that the click after those of a question was ``y``, known ``now``; or say which part must grow first."""
    need = room(x, how, m)
    if need != DONE:
        return need
    before = np.empty(x.size, np.int64)
    length = np.int64(x[LENGTH])
    given = m.control[GIVEN]
    n = rows_of(x, m, before)
    if m.clock[1] == 0.0:
        m.clock[0] = m.clock[1] = now
    for p in range(n):
        if before[p] >= given:
            before[p] = enter(np.int64(x[ITEMS + n - 1 - p]), m)
    item = enter(np.int64(y), m)
    if length == 1:
        popular(before[0], now, how, m)
    popular(item, now, how, m)
    row = seat(np.int64(x[SESSION]), m) if how[INDEXED] > 0.0 else -1
    if row >= 0 and m.sessions[row, 1 + COUNT] <= length:
        for p in range(max(0, n - length + m.sessions[row, 1 + COUNT]), n + 1):
            click, new = (item if p == n else before[p]), True
            for q in range(p):
                new = new and before[q] != click
            index(row, click, now, new, how, m)
    steps, most = np.int64(how[STEPS]), np.int64(how[SUCCESSORS])
    for d in range(1, min(steps, n) + 1):
        kind = AFTER_NEXT if d > 1 and how[INDEXED] > 0.0 else NEXT  # sequential rules keep one list of all distances
        count(m.lists[before[n - d], kind], item, RULE // d, most, m.pool, m.control)
        m.counts[before[n - d], kind] += RULE // d
    if how[VECTORS] > 0.0:
        place_vectors(before, n, item, how[RATE], m)
    m.recent[m.control[NEGATIVES] & (m.recent.size - 1)] = item
    m.control[NEGATIVES] += 1
    return DONE
