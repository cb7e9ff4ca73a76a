"""A graph of features, given as a table of operations, run row by row with keyed event-time windows.

One kernel runs every declaration: nothing is compiled when a feature is declared. It pushes rows and reads keys in one
pass, in the order given. The rows of a key live in a block of an arena, a power of two long, that grows with what the
windows of that key hold. Reading does everything that pushing does, on a copy of the sums, and stores nothing.
"""

from __future__ import annotations

import math

import numba
import numpy as np

from rtml.kernels import context as at
from rtml.kernels import sums
from rtml.kernels.arena import forget, quiet, room
from rtml.kernels.cache import njit
from rtml.kernels.interning import row_of
from rtml.kernels.layout import (
    BASE,
    CELL,
    CONTROL,
    COUNT,
    LAST,
    LATE,
    LATENESS,
    LONG_AGO,
    MOVED,
    NEWEST,
    OP,
    PART,
    PREVIEW,
    PUSH,
    RING,
    SIZE,
    SLIDING,
    TAILS,
    TUMBLING,
    WINDOW,
    A,
    B,
)
from rtml.kernels.pointers import array_of, float_table_of, floats_of, prefetch, table_of
from rtml.kernels.queues import distinct, ewm, extreme


@numba.njit(forceinline=True)
def _cutoff(kind, width, t, last):
    """Newest moment that is out of a window at ``t``, when the newest row of the key came at ``last``."""
    if kind == SLIDING:
        return t - width
    if kind == TUMBLING:
        return t // width * width - 1
    return last if t - last >= width else LONG_AGO


@numba.njit(forceinline=True)
def _evaluate(t, row, counts, stores, key, cells, tails, value, nodes, consts, windows, times, rings, queues, n_queues):
    """Every node for one row of one key at a moment; what it leaves in the sums is up to ``cells``."""
    base = key[BASE]
    size = key[SIZE]
    at = key[COUNT]
    last = key[LAST]
    mask, n_tails = size - 1, windows.shape[0]
    for j in range(nodes.shape[0]):
        op = nodes[j, OP]
        a = nodes[j, A]
        b = nodes[j, B]
        ring = nodes[j, RING]
        w = nodes[j, WINDOW]
        c = nodes[j, CELL]
        if op == sums.COLUMN:
            value[j] = row[a]
        elif op == sums.CONST:
            value[j] = consts[j]
        elif op == sums.MOMENT:
            value[j] = t / 1e9
        elif op < sums.HELD:
            value[j] = sums.arithmetic(op, value[a], value[b], consts[j])
        elif op == sums.HELD:
            value[j] = cells[c]
        elif op == sums.LAG:
            near = at >= b and t - times[base + ((at - b) & mask)] < consts[j]
            value[j] = rings[base + ((at - b) & mask), ring] if near else np.nan
        elif op == sums.RING:
            value[j] = value[a] if counts else np.nan
            if stores:
                rings[base + (at & mask), ring] = value[j]
        elif op == sums.CELL:
            for p in range(key[TAILS + w], tails[w]):
                old = rings[base + (p & mask), ring]
                if math.isfinite(old):
                    sums.add(cells, c, b, old, -1.0)
            if math.isfinite(value[a]):
                sums.add(cells, c, b, value[a], 1.0)
        elif op <= sums.STD:
            value[j] = sums.moments(op, cells, c)
        elif op == sums.EWM:
            value[j] = ewm(value[a], cells, c, (t - last) / consts[j])
        else:
            unit, queue = TAILS + n_tails + 2 * c, queues[base * n_queues + c * size :]
            if op == sums.DISTINCT:
                table = queue[: 2 * size]
                value[j] = distinct(
                    value[a], at, key[TAILS + w], tails[w], stores, rings, ring, base, mask, table, unit, key
                )
            else:
                value[j] = extreme(op, value[a], at, tails[w], stores, rings, ring, base, mask, queue, unit, key)


@numba.njit(forceinline=True)
def _move(t, key, windows, times, tails):
    """Tails of every window as they are at a moment."""
    base = key[BASE]
    mask = key[SIZE] - 1
    count = key[COUNT]
    for w in range(windows.shape[0]):
        cut, tail = _cutoff(windows[w, 1], windows[w, 0], t, key[LAST]), key[TAILS + w]
        while tail < count and times[base + (tail & mask)] <= cut:
            tail += 1
        tails[w] = tail


@numba.njit(forceinline=True)
def _taken_at(t, mode, key, control, part):
    """The moment that counts for a row or a read, and whether the row is stored."""
    soonest = control[NEWEST + part] - control[LATENESS] if control[LATENESS] >= 0 else LONG_AGO
    if mode == PUSH and t >= soonest:
        control[NEWEST + part] = max(control[NEWEST + part], t)
        control[MOVED] += t < key[LAST]
        return max(t, key[LAST]), True
    control[LATE] += mode == PUSH
    return max(t, soonest, key[LAST]), False


@numba.njit(forceinline=True)
def _keep(t, key, tails, every, ticks, times):
    """What a stored row leaves in its key."""
    for w in range(tails.size):
        key[TAILS + w] = tails[w]
    for s in range(every.size):
        key[ticks + s] = t // every[s] + 1
    times[key[BASE] + (key[COUNT] & (key[SIZE] - 1))] = t
    key[COUNT], key[LAST] = key[COUNT] + 1, t


@numba.njit(forceinline=True)
def _ask_for_key(k, c):
    """Have the memory of a key fetched: it lies anywhere."""
    prefetch(c[at.INTS] + 8 * c[at.N_INTS] * k)
    prefetch(c[at.INTS] + 8 * c[at.N_INTS] * k + 64)
    prefetch(c[at.FLOATS] + 8 * c[at.N_FLOATS] * k)


@numba.njit(forceinline=True)
def _ask_for_rows(key, c):
    """Have the memory of the rows of a key fetched that the next row will touch."""
    mask = key[SIZE] - 1
    rings = 8 * c[at.N_RINGS]
    units = 8 * c[at.N_QUEUES]
    if mask <= 0:
        return
    new, ends = key[BASE] + (key[COUNT] & mask), TAILS + c[at.N_WINDOWS]
    prefetch(c[at.TIMES] + 8 * new)
    prefetch(c[at.RINGS] + rings * new)
    for w in range(c[at.N_WINDOWS]):
        old = key[BASE] + (key[TAILS + w] & mask)
        prefetch(c[at.TIMES] + 8 * old)
        prefetch(c[at.RINGS] + rings * old)
    for q in range(c[at.N_QUEUES]):
        for end in range(2):
            place = q * key[SIZE] + (key[ends + 2 * q + end] & mask)
            prefetch(c[at.QUEUES] + units * key[BASE] + 8 * place)


@numba.njit(forceinline=True)
def _ask_ahead(i, keys, ints, c):
    """The memory of the keys that come next, and of the rows of those whose key is there already."""
    if i + 8 < keys.size:
        _ask_for_key(keys[i + 8], c)
    if i + 4 < keys.size:
        _ask_for_rows(ints[keys[i + 4]], c)


_i8, _f8 = numba.int64, numba.float64


@njit(
    _i8(_i8[::1], _i8, _i8[::1], _i8[::1], _i8[::1], _f8[:, ::1], _f8[:, ::1]),
    cache=True,
    nogil=True,
    error_model="numpy",
)
def run(c, start, time, keys, mode, rows, out):
    """Take rows from ``start`` on into ``out``; return the rows done, fewer when the arena must grow first.

    ``c`` is the context: addresses and sizes of all arrays, by the names of :mod:`rtml.kernels.context`.
    """
    nodes = table_of(c[at.NODES], c[at.N_NODES], 6)
    consts, outputs = floats_of(c[at.CONSTS], c[at.N_NODES]), array_of(c[at.OUTPUTS], c[at.N_OUTPUTS])
    windows, helds = table_of(c[at.WINDOWS], c[at.N_WINDOWS], 2), table_of(c[at.HELDS], c[at.N_HELDS], 3)
    defaults, every = floats_of(c[at.DEFAULTS], c[at.N_OUTPUTS]), array_of(c[at.EVERY], c[at.N_EVERY])
    tables, ewms = table_of(c[at.TABLES], c[at.N_TABLES], 2), table_of(c[at.EWMS], c[at.N_EWMS], 3)
    control, times = array_of(c[at.CONTROL], CONTROL), array_of(c[at.TIMES], c[at.N_ROWS])
    ints = table_of(c[at.INTS], c[at.N_KEYS], c[at.N_INTS])
    floats = float_table_of(c[at.FLOATS], c[at.N_KEYS], c[at.N_FLOATS])
    rings = float_table_of(c[at.RINGS], c[at.N_ROWS], c[at.N_RINGS])
    n_queues, tails = c[at.N_QUEUES], array_of(c[at.MARKS], c[at.N_WINDOWS])
    queues = array_of(c[at.QUEUES], c[at.N_ROWS] * n_queues)
    work = floats_of(c[at.WORK], c[at.N_NODES] + c[at.N_FLOATS] + c[at.N_HELDS] + c[at.N_COLUMNS])
    value, scratch = work[: nodes.shape[0]], work[nodes.shape[0] :][: floats.shape[1]]
    held, blank = work[nodes.shape[0] + floats.shape[1] :][: helds.shape[0]], work[work.size - c[at.N_COLUMNS] :]
    ticks = c[at.N_INTS] - every.size
    for i in range(start, time.size):
        _ask_ahead(i, keys, ints, c)
        key, kept = ints[keys[i]], floats[keys[i]]
        what, part = mode[min(i, mode.size - 1)] & 3, mode[min(i, mode.size - 1)] >> PART
        if quiet(key, kept, control, ewms, part):
            forget(key, kept, control, times)
        if what == PUSH and not room(key, control, c[at.DEEPEST], tails.size, times, rings, queues, n_queues, tables):
            return i
        t, stores = _taken_at(time[i], what, key, control, part)
        for h in range(helds.shape[0]):
            held[h] = kept[helds[h, 1]]
        for phase in range(every.size + 1):
            now = phase == every.size
            if not now and key[ticks + phase] == t // every[phase] + 1:
                continue  # what was computed at this tick still holds
            then = t if now else t // every[phase] * every[phase]
            cells = kept if now and stores else scratch
            if not (now and stores):
                scratch[:] = kept
            for h in range(helds.shape[0]):
                cells[helds[h, 1]] = held[h]
            _move(then, key, windows, times, tails)
            row, counts = rows[i] if now else blank, now and (stores or what == PREVIEW)
            fixed = (nodes, consts, windows, times, rings, queues, n_queues)
            _evaluate(then, row, counts, now and stores, key, cells, tails, value, *fixed)
            for h in range(helds.shape[0]):
                if not now and helds[h, 2] == phase:
                    held[h] = value[helds[h, 0]]
        if stores:
            _keep(t, key, tails, every, ticks, times)
        for f in range(outputs.size):
            x = value[outputs[f]]
            out[i, f] = x if math.isfinite(x) else defaults[f]
    return time.size


@njit(_i8(_i8, _i8, _i8, _f8[::1]), cache=True, nogil=True)
def push_one(address, time, number, row):
    """One row of one key into the context's own ``out``: 0, or 1 when the key is new or the arena must grow first.

    ``address`` is that of the context: each argument less saves 70 ns per call.
    """
    c = array_of(address, at.OUT + 1)
    key = row_of(number, c[at.TABLE], c[at.IDS], c[at.N_IDS]) + 1
    if key == 0 or row.size != c[at.N_COLUMNS]:
        return 1
    _ask_for_key(key, c)
    _ask_for_rows(table_of(c[at.INTS], c[at.N_KEYS], c[at.N_INTS])[key], c)
    one, out = array_of(c[at.MOMENT], 3), float_table_of(c[at.OUT], 1, c[at.N_OUTPUTS])
    one[0] = time
    one[1] = key
    one[2] = PUSH
    return 1 - run(c, 0, one[:1], one[1:2], one[2:3], row.reshape(1, row.size), out)
