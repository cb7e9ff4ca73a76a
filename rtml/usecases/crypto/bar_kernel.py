"""Bars on a grid of event time, for several symbols at once, closed by a watermark."""

from __future__ import annotations

import numba
import numpy as np

from rtml.sources.trades import EVENT, GAP, QUOTE, TRADE

NONE = -(2**63)  # a time that has not been seen yet

#: The state that all symbols share. ``next_end`` is the end of the earliest open interval, ns.
HEAD = np.dtype([(n, "<i8") for n in ("next_end", "first_end", "max_time", "late", "duplicate", "ahead")])

#: One open interval of one symbol.
SLOT = np.dtype(
    [(n, "<f8") for n in ("open", "high", "low", "close", "volume", "value", "flow", "bid", "ask")]
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
    slot.volume = 0.0
    slot.value = 0.0
    slot.flow = 0.0
    slot.quote_time = NONE


@numba.njit(inline="always")
def _overlaps(key, start, end):
    return key.gap_from < end and key.gap_to > start


@numba.njit(inline="always")
def _emit(bar, end, k, slot, key, every):
    """Close one interval of one symbol into ``bar``; an empty one carries the previous close forward."""
    if slot.quote_time != NONE:
        key.bid = slot.bid
        key.ask = slot.ask
    if slot.n > 0:
        bar.open, bar.high, bar.low, bar.close = slot.open, slot.high, slot.low, slot.close
        key.close = slot.close
        key.trade_time = slot.last_time
    else:
        bar.open = bar.high = bar.low = bar.close = key.close
    bar.end = end
    bar.key = k
    bar.volume, bar.value, bar.flow, bar.n = slot.volume, slot.value, slot.flow, slot.n
    bar.bid, bar.ask, bar.last_time = key.bid, key.ask, key.trade_time
    bar.empty = slot.n == 0
    bar.complete = slot.hole == 0 and not _overlaps(key, end - every, end)
    _clear(slot)


@numba.njit(inline="always")
def _trade(slot, e, key):
    """Add a trade to its interval; first and last are by (time, id), not by arrival."""
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
            slot.open, slot.first_time, slot.first_id = e.price, e.time, e.id
        if e.time > slot.last_time or (e.time == slot.last_time and e.id >= slot.last_id):
            slot.close, slot.last_time, slot.last_id = e.price, e.time, e.id
    slot.n += 1
    slot.volume += e.size
    slot.value += e.size * e.price
    slot.flow += e.size * side


@numba.njit(inline="always")
def _seen(ids, k, key, id):
    """Whether the id was counted in an interval that is still open."""
    if id > key.max_id:
        return False
    cap = ids.shape[1]
    for j in range(key.tail - 1, key.head - 1, -1):  # noqa: SIM110, numba has no any()
        if ids[k, j & (cap - 1), 0] == id:
            return True
    return False


@numba.njit(inline="always")
def _remember(ids, k, key, id, end, next_end):
    """Keep an id until its interval closes; False when the ring is full."""
    cap = ids.shape[1]
    while key.head < key.tail and ids[k, key.head & (cap - 1), 1] < next_end:
        key.head += 1
    if key.tail - key.head == cap:
        return False
    ids[k, key.tail & (cap - 1), 0] = id
    ids[k, key.tail & (cap - 1), 1] = end
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


@numba.njit(numba.int64[::1](_EVENTS, numba.int64, numba.int64, numba.int64), **_OPTIONS)
def survey(events, start, origin, reach):
    """Smallest and largest key, largest time, and end of the run from ``start`` within ``reach`` of ``origin``."""
    low = high = events[start].key
    latest, i = events[start].time, start
    while i < events.size and (events[i].time - origin <= reach or i == start):
        low, high = min(low, events[i].key), max(high, events[i].key)
        latest = max(latest, events[i].time)
        i += 1
    return np.array([low, high, latest, i])


_SIGNATURE = numba.int64[:](
    _EVENTS,
    numba.int64,
    numba.int64,
    numba.int64,
    numba.int64,
    numba.typeof(np.empty(1, HEAD)),
    numba.typeof(np.empty((1, 1), SLOT)),
    numba.typeof(np.empty(1, KEY)),
    numba.int64[:, :, ::1],
    numba.typeof(np.empty((1, 1), BAR)),
)


@numba.njit(_SIGNATURE, **_OPTIONS)
def push(events, start, every, lateness, jump, head, slots, keys, ids, out):
    """Take events from ``start`` on; return (events taken, rows of bars closed).

    Fewer events taken than given means that the ring of ids is full: grow it and call again.
    """
    h = head[0]
    m = 0
    n_slots = slots.shape[0]
    result = np.empty(2, np.int64)
    end = s_of_end = np.int64(0)
    for i in range(start, events.size):
        e = events[i]
        k = e.key
        if not end - every <= e.time < end:  # neighbours mostly share an interval: two divisions saved
            end = (e.time // every + 1) * every
            s_of_end = (end // every) % n_slots
        if h.next_end == NONE:
            h.next_end = h.first_end = end
            h.max_time = e.time
        if e.time - h.max_time > jump:  # a broken clock, not a quiet market
            h.ahead += 1
            continue
        if e.kind == GAP:
            _mark_gap(slots, k, keys[k], e, h.next_end, every)
        if e.time > h.max_time:
            h.max_time = e.time
            while h.next_end <= e.time - lateness:
                s = (h.next_end // every) % n_slots
                for j in range(slots.shape[1]):
                    _emit(out[m, j], h.next_end, j, slots[s, j], keys[j], every)
                m += h.next_end != h.first_end  # the first interval is partial: never shown
                h.next_end += every
        if e.kind != TRADE and e.kind != QUOTE:
            continue
        if end < h.next_end:
            h.late += 1
            continue
        slot = slots[s_of_end, k]
        if e.kind == QUOTE:
            if e.time >= slot.quote_time:
                slot.quote_time, slot.bid, slot.ask = e.time, e.bid, e.ask
            continue
        if e.id >= 0:
            if _seen(ids, k, keys[k], e.id):
                h.duplicate += 1
                continue
            if not _remember(ids, k, keys[k], e.id, end, h.next_end):
                result[0] = i
                result[1] = m
                return result
        _trade(slot, e, keys[k])
    result[0] = events.size
    result[1] = m
    return result


#: Fields of a bar as a row of numbers: its own, seconds since the last trade, best ask against best bid in bp.
COLUMNS = ("open", "high", "low", "close", "volume", "value", "flow", "n", "age_s", "spread_bp")
WIDTH = len(COLUMNS)


@numba.njit(**_OPTIONS)
def columns(bars):
    """Bars of shape (n, symbols) as rows of numbers, ``COLUMNS`` of one symbol after the other."""
    n, symbols = bars.shape
    rows = np.empty((n, symbols * WIDTH))
    for i in range(n):
        for s in range(symbols):
            bar, row = bars[i, s], rows[i, WIDTH * s : WIDTH * (s + 1)]
            row[0], row[1], row[2], row[3] = bar.open, bar.high, bar.low, bar.close
            row[4], row[5], row[6], row[7] = bar.volume, bar.value, bar.flow, bar.n
            row[8] = (bar.end - bar.last_time) / 1e9 if bar.last_time > 0 else np.nan
            row[9] = 2e4 * (bar.ask - bar.bid) / (bar.ask + bar.bid)
    return rows
