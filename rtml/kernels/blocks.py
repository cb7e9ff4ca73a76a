"""What the windows keep of each key: measured, taken out, put back, and forgotten when a key has been quiet."""

from __future__ import annotations

import numba

from rtml.kernels import sums
from rtml.kernels.arena import forget, quiet, room
from rtml.kernels.cache import njit
from rtml.kernels.layout import BASE, CELL, COUNT, LAST, LONG_AGO, OP, RING, SIZE, TAILS, WINDOW
from rtml.kernels.queues import distinct, extreme

_i8, _f8 = numba.int64, numba.float64
_i1 = _i8[::1]
_i2 = _i8[:, ::1]
_f1 = _f8[::1]
_f2 = _f8[:, ::1]


@njit(_i8(_i1, _i1, _i1, _i2, _f2, _i1, _i2, _i1), cache=True, nogil=True)
def sweep(keys, parts, gone, ints, floats, control, ewms, times):
    """Forget the keys that are quiet; ``gone`` begins with the places of them and of those never used."""
    n = 0
    for i in range(keys.size):
        key, cells = ints[keys[i]], floats[keys[i]]
        if quiet(key, cells, control, ewms, parts[i]):
            forget(key, cells, control, times)
        if key[LAST] == LONG_AGO:
            gone[n] = i
            n += 1
    return n


@njit(numba.void(_i1, _i1, _i1, _i2, _f2, _i1, _i2, _i8, _i8), cache=True, nogil=True)
def measure(keys, parts, held, ints, floats, control, ewms, n_tails, deepest):
    """How many rows of each key are still needed; -1 for a key that is quiet or was never used."""
    for i in range(keys.size):
        key = ints[keys[i]]
        if key[LAST] == LONG_AGO or quiet(key, floats[keys[i]], control, ewms, parts[i]):
            held[i] = -1
            continue
        oldest = max(key[COUNT] - deepest, 0)
        for w in range(n_tails):
            oldest = min(oldest, key[TAILS + w])
        held[i] = key[COUNT] - oldest


@njit(numba.void(_i1, _i1, _i2, _i1, _f2, _i2, _i1, _f2), cache=True, nogil=True)
def export(keys, held, ints, times, rings, tails, kept_times, kept_rings):
    """Copy the needed rows of keys, oldest first, and the tails counted from the oldest."""
    n = 0
    for i in range(keys.size):
        key = ints[keys[i]]
        oldest = key[COUNT] - held[i]
        for w in range(tails.shape[1]):
            tails[i, w] = key[TAILS + w] - oldest
        for p in range(oldest, key[COUNT]):
            kept_times[n] = times[key[BASE] + (p & (key[SIZE] - 1))]
            kept_rings[n] = rings[key[BASE] + (p & (key[SIZE] - 1))]
            n += 1


@numba.njit(forceinline=True)
def _queue_again(p, key, nodes, rings, queues, units, n_tails, base, mask):
    """Enter a row into the queues and tables of the windows it is in."""
    for j in range(nodes.shape[0]):
        op = nodes[j, OP]
        ring = nodes[j, RING]
        tail = key[TAILS + nodes[j, WINDOW]]
        c = nodes[j, CELL]
        if op < sums.MIN or op > sums.DISTINCT or p < tail:
            continue
        x = rings[base + p, ring]
        unit = TAILS + n_tails + 2 * c
        queue = queues[base * units + c * (mask + 1) :]
        if op == sums.DISTINCT:
            table = queue[: 2 * (mask + 1)]
            distinct(x, p, tail, tail, True, rings, ring, base, mask, table, unit, key)
        else:
            extreme(op, x, p, tail, True, rings, ring, base, mask, queue, unit, key)


@njit(_i8(_i8, _i1, _i1, _i1, _i1, _f2, _i2, _i2, _i2, _i2, _i1, _i1, _f2, _i1, _i8), cache=True, nogil=True)
def restore(
    start, keys, held, first, kept_times, kept_rings, tails, nodes, tables, ints, control, times, rings, queues, units
):
    """Give keys from ``start`` on their rows back and queue them again; fewer are done when the arena is too small."""
    for i in range(start, keys.size):
        key = ints[keys[i]]
        key[COUNT] = held[i] - 1
        if held[i] and not room(key, control, 0, tails.shape[1], times, rings, queues, units, tables):
            return i
        key[COUNT] = held[i]
        base, mask = key[BASE], key[SIZE] - 1
        for w in range(tails.shape[1]):
            key[TAILS + w] = tails[i, w]
        for p in range(held[i]):
            times[base + p] = kept_times[first[i] + p]
            rings[base + p] = kept_rings[first[i] + p]
            _queue_again(p, key, nodes, rings, queues, units, tails.shape[1], base, mask)
    return keys.size
