"""Bars on a grid of event time, for several symbols at once, closed by a watermark."""

from __future__ import annotations

import numba
import numpy as np

from rtml.kernels.cache import njit
from rtml.usecases.crypto import exact
from rtml.usecases.crypto.trades import EVENT, GAP, QUOTE, TICK, TRADE

NONE = -(2**63)  # a time that has not been seen yet

#: The state that all symbols share. ``next_end`` is the end of the earliest open interval, ns; ``waiting`` rows are far
#: ahead of all others, of which ``told`` are taken since they are ``believed``.
HEAD = np.dtype(
    [(n, "<i8") for n in ("next_end", "first_end", "max_time", "late", "duplicate", "ahead")]
    + [(n, "<i8") for n in ("waiting", "told", "believed")]
)
SEVERAL = 3  # different times that confirm a jump ahead
FAR = 86_400 * 10**9  # ns: a confirmed jump that far from a first interval begins the grid again
MOST_WAITING = 64  # rows that confirm one whatever their times

#: One open interval of one symbol; its volume, value and flow are exact sums beside it.
SLOT = np.dtype(
    [(n, "<f8") for n in ("open", "high", "low", "close", "bid", "ask")]
    + [(n, "<i8") for n in ("n", "first_time", "first_id", "last_time", "last_id", "quote_time", "hole")]
)

#: What is remembered of a symbol between intervals: last price and side seen, last close and quote, gap, ids.
KEY = np.dtype(
    [(n, "<f8") for n in ("price", "side", "close", "bid", "ask")]
    + [(n, "<i8") for n in ("trade_time", "gap_from", "gap_to", "max_id", "head", "tail")]
)

#: A closed bar. ``value`` is the sum of price * size, ``flow`` the sum of side * size, ``last_time`` the last trade's.
BAR = np.dtype(
    [("end", "<i8"), ("key", "<i4")]
    + [(n, "<f8") for n in ("open", "high", "low", "close", "volume", "value", "flow", "bid", "ask")]
    + [("n", "<i8"), ("last_time", "<i8"), ("empty", "?"), ("complete", "?")]
)

_OPTIONS = dict(cache=True, nogil=True, error_model="numpy")


@numba.njit(inline="always")
def _clear(slot):
    slot.n = 0
    slot.hole = 0
    slot.quote_time = NONE


@numba.njit(inline="always")
def _overlaps(key, start, end):
    return key.gap_from < end and key.gap_to > start


@numba.njit(inline="always")
def _emit(bar, end, k, slot, key, sums, every):
    """Close one interval of one symbol into ``bar``; an empty one carries the previous close forward."""
    if slot.quote_time != NONE:
        key.bid = slot.bid
        key.ask = slot.ask
    if slot.n > 0:
        bar.open = slot.open
        bar.high = slot.high
        bar.low = slot.low
        bar.close = slot.close
        key.close = slot.close
        key.trade_time = slot.last_time
        bar.volume = exact.total(sums[0])
        bar.value = exact.total(sums[1])
        bar.flow = exact.total(sums[2])
    else:
        bar.open = bar.high = bar.low = bar.close = key.close
        bar.volume = bar.value = bar.flow = 0.0
    bar.end = end
    bar.key = k
    bar.n = slot.n
    bar.bid = key.bid
    bar.ask = key.ask
    bar.last_time = key.trade_time
    bar.empty = slot.n == 0
    bar.complete = slot.hole == 0 and not _overlaps(key, end - every, end)
    _clear(slot)


@numba.njit(inline="always")
def _trade(slot, e, key, sums):
    """Add a trade to its interval; first and last are by (time, id) and sums exact, whatever the order of arrival."""
    side = float(e.side)
    if side == 0.0:  # not recorded: the sign of the last price change
        if e.price > key.price:
            key.side = 1.0
        elif e.price < key.price:
            key.side = -1.0
        side = key.side
    key.price = e.price
    if slot.n == 0:
        slot.open = slot.high = slot.low = slot.close = e.price
        slot.first_time = slot.last_time = e.time
        slot.first_id = slot.last_id = e.id
    else:
        slot.high = max(slot.high, e.price)
        slot.low = min(slot.low, e.price)
        if e.time < slot.first_time or (e.time == slot.first_time and e.id < slot.first_id):
            slot.open = e.price
            slot.first_time = e.time
            slot.first_id = e.id
        if e.time > slot.last_time or (e.time == slot.last_time and e.id >= slot.last_id):
            slot.close = e.price
            slot.last_time = e.time
            slot.last_id = e.id
    slot.n += 1
    exact.add(sums[0], e.size)
    exact.add(sums[1], e.size * e.price)
    exact.add(sums[2], e.size * side)


@numba.njit(inline="always")
def _among(ids, id):
    """Whether an id is one of several: all are compared, which takes less time than to stop at the first."""
    found = 0
    for j in range(ids.size):
        found |= ids[j] == id
    return found != 0


@numba.njit(inline="always")
def _seen(ids, k, key, id):
    """Whether the id was counted in an interval that is still open."""
    if id > key.max_id:
        return False
    cap = ids.shape[2]
    start, stop = key.head & (cap - 1), (key.tail - 1) & (cap - 1)
    if key.head == key.tail:
        return False
    if start <= stop:
        return _among(ids[k, 0, start : stop + 1], id)
    return _among(ids[k, 0, start:], id) or _among(ids[k, 0, : stop + 1], id)


@numba.njit(inline="always")
def _remember(ids, k, key, id, end, next_end):
    """Keep an id until its interval closes; False when the ring is full."""
    cap = ids.shape[2]
    while key.head < key.tail and ids[k, 1, key.head & (cap - 1)] < next_end:
        key.head += 1
    if key.tail - key.head == cap:
        return False
    ids[k, 0, key.tail & (cap - 1)] = id
    ids[k, 1, key.tail & (cap - 1)] = end
    key.tail += 1
    key.max_id = max(key.max_id, id)
    return True


@numba.njit(inline="always")
def _mark_gap(slots, k, key, e, next_end, every):
    """Flag open intervals under the gap known so far, then let the new gap take its place."""
    for s in range(slots.shape[0]):
        end = next_end + s * every
        if _overlaps(key, end - every, end):
            slots[(end // every) % slots.shape[0], k].hole = 1
    key.gap_from = e.id
    key.gap_to = e.time


_EVENTS = numba.typeof(np.empty(1, EVENT))


@njit(numba.int64[::1](_EVENTS, numba.int64), **_OPTIONS)
def survey(events, start):
    """Smallest and largest key and largest time from ``start`` on.

    Examples
    --------
    >>> from rtml.usecases.crypto.schema import EVENT
    >>> events = np.zeros(2, EVENT)
    >>> events["key"] = 2, 0
    >>> events["time"] = 5, 9
    >>> survey(events, 0)
    array([0, 2, 9])
    """
    low = high = events[start].key
    latest = events[start].time
    for i in range(start, events.size):
        low, high = min(low, events[i].key), max(high, events[i].key)
        latest = max(latest, events[i].time)
    return np.array([low, high, latest])


@numba.njit(inline="always")
def _begin(h, slots, sums, keys, end, time):
    """Begin the grid at the first row; again, while no bar was shown, where that row's clock was far ahead."""
    if h.next_end != NONE:
        h.ahead += 1
    for s in range(slots.shape[0]):
        for k in range(slots.shape[1]):
            _clear(slots[s, k])
            sums[s, k] = 0
    for k in range(keys.size):
        keys[k].price, keys[k].side = np.nan, 0.0
    h.next_end = h.first_end = end
    h.max_time = time


@numba.njit(inline="always")
def _doubt(h, held, e, jump):
    """Let a row far ahead wait until rows of several times confirm the jump; those that it contradicts were wrong.

    A tick confirms it at once: a live source sends none beyond the wall clock.
    """
    n = 0
    for j in range(h.waiting):
        if held[j].time - e.time <= jump:
            held[n] = held[j]
            n += 1
    h.ahead += h.waiting - n
    held[n] = e
    h.waiting = n + 1
    times = 1
    for j in range(n):
        times += held[j].time != held[j + 1].time
    if e.kind == TICK or times >= SEVERAL or h.waiting == MOST_WAITING:
        h.believed = 1


@numba.njit(inline="always")
def _believed(h, slots, sums, keys, held, e, end, jump):
    """Whether an event is taken now; one that is far ahead of all others waits."""
    if h.believed == 1:
        if h.told == 0 and h.next_end == h.first_end and e.time - h.max_time > FAR:  # it began with a clock behind
            _begin(h, slots, sums, keys, end, e.time)
        return True
    if h.next_end == NONE or (h.next_end == h.first_end and h.max_time - e.time > jump):
        _begin(h, slots, sums, keys, end, e.time)
    if e.time - h.max_time > jump:
        _doubt(h, held, e, jump)
        return False
    h.ahead += h.waiting
    h.waiting = 0
    return True


_SIGNATURE = numba.int64[:](
    _EVENTS,
    numba.int64,
    numba.int64,
    numba.int64,
    numba.int64,
    numba.typeof(np.empty(1, HEAD)),
    numba.typeof(np.empty((1, 1), SLOT)),
    numba.int64[:, :, :, ::1],
    numba.typeof(np.empty(1, KEY)),
    numba.int64[:, :, ::1],
    _EVENTS,
    numba.typeof(np.empty((1, 1), BAR)),
)


@njit(_SIGNATURE, **_OPTIONS)
def push(events, start, every, lateness, jump, head, slots, sums, keys, ids, held, out):
    """Take events from ``start`` on; return (events taken, rows of bars closed, whether the ring of ids is full).

    Fewer events taken than given, or rows as many as ``out`` has: make room and call again.
    """
    h = head[0]
    m = 0
    n_slots = slots.shape[0]
    result = np.zeros(3, np.int64)
    end = s_of_end = np.int64(0)
    i = start
    while h.believed == 1 or i < events.size:
        e = held[h.told] if h.believed == 1 else events[i]
        k = e.key
        if not end - every <= e.time < end:  # neighbours mostly share an interval: two divisions saved
            end = (e.time // every + 1) * every
            s_of_end = (end // every) % n_slots
        if not _believed(h, slots, sums, keys, held, e, end, jump):
            i += 1
            continue
        if e.kind == GAP:
            _mark_gap(slots, k, keys[k], e, h.next_end, every)
        while h.next_end <= e.time - lateness and m < out.shape[0]:
            s = (h.next_end // every) % n_slots
            for j in range(slots.shape[1]):
                _emit(out[m, j], h.next_end, j, slots[s, j], keys[j], sums[s, j], every)
            m += h.next_end != h.first_end  # the first interval is partial: never shown
            h.next_end += every
        if h.next_end <= e.time - lateness:
            break
        h.max_time = max(h.max_time, e.time)
        if end < h.next_end and (e.kind == TRADE or e.kind == QUOTE):
            h.late += 1
        elif e.kind == QUOTE:
            slot = slots[s_of_end, k]
            if e.time >= slot.quote_time:
                slot.quote_time, slot.bid, slot.ask = e.time, e.bid, e.ask
        elif e.kind == TRADE and e.id >= 0 and _seen(ids, k, keys[k], e.id):
            h.duplicate += 1
        elif e.kind == TRADE:
            if e.id >= 0 and not _remember(ids, k, keys[k], e.id, end, h.next_end):
                result[2] = 1
                break
            _trade(slots[s_of_end, k], e, keys[k], sums[s_of_end, k])
        if h.believed == 0:
            i += 1
        else:
            h.told += 1
            if h.told == h.waiting:
                h.waiting = h.told = h.believed = 0
    result[0] = i
    result[1] = m
    return result


#: Fields of a bar as a row of numbers: its own, seconds since the last trade, best ask against best bid in bp.
COLUMNS = ("open", "high", "low", "close", "volume", "value", "flow", "n", "age_s", "spread_bp")
WIDTH = len(COLUMNS)


@njit(**_OPTIONS)
def columns(bars):
    """Bars of shape (n, symbols) as rows of numbers, ``COLUMNS`` of one symbol after the other.

    Examples
    --------
    >>> from rtml.usecases.crypto.bars import BAR
    >>> columns(np.zeros((3, 2), BAR)).shape == (3, 2 * WIDTH)
    True
    """
    n, symbols = bars.shape
    rows = np.empty((n, symbols * WIDTH))
    for i in range(n):
        for s in range(symbols):
            bar, row = bars[i, s], rows[i, WIDTH * s : WIDTH * (s + 1)]
            row[0] = bar.open
            row[1] = bar.high
            row[2] = bar.low
            row[3] = bar.close
            row[4] = bar.volume
            row[5] = bar.value
            row[6] = bar.flow
            row[7] = bar.n
            row[8] = (bar.end - bar.last_time) / 1e9 if bar.last_time > 0 else np.nan
            row[9] = 2e4 * (bar.ask - bar.bid) / (bar.ask + bar.bid)
    return rows
