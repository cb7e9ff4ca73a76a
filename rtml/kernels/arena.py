"""The arena: a block of rows for each key, a power of two long, that grows with what the windows of the key hold."""

from __future__ import annotations

import numba

from rtml.kernels import sums
from rtml.kernels.layout import BASE, COUNT, FREE, KEEP, LAST, LATENESS, LONG_AGO, NEWEST, SIZE, TAILS, USED
from rtml.kernels.queues import seat


@numba.njit(forceinline=True)
def room(key, control, deepest, n_tails, times, rings, queues, n_queues, tables):
    """A block with room for one more row of a key; False where the arena is full."""
    count = key[COUNT]
    size = key[SIZE]
    base = key[BASE]
    oldest = max(count - deepest, 0)
    for w in range(n_tails):
        oldest = min(oldest, key[TAILS + w])
    if count + 1 - oldest <= size:
        return True
    grown, list_of = 4, 2
    while grown < count + 1 - oldest:
        grown, list_of = 2 * grown, list_of + 1
    new = control[FREE + list_of]
    if new >= 0:
        control[FREE + list_of] = times[new]
    elif control[USED] + grown <= times.size:
        new = control[USED]
        control[USED] += grown
    else:
        return False
    for p in range(max(count - size, 0), count):
        times[new + p % grown] = times[base + p % size]
        rings[new + p % grown] = rings[base + p % size]
    ends = TAILS + n_tails
    for q in range(n_queues):
        for p in range(key[ends + 2 * q], key[ends + 2 * q + 1]):
            queues[new * n_queues + q * grown + p % grown] = queues[base * n_queues + q * size + p % size]
    key[BASE], key[SIZE] = new, grown
    for i in range(tables.shape[0]):
        unit, ring = tables[i, 0], tables[i, 1]
        old = queues[base * n_queues + unit * size :][: 2 * size]
        table = queues[new * n_queues + unit * grown :][: 2 * grown]
        table[:] = 0
        for entry in old:
            if entry:
                x = rings[new + (entry - 1) % grown, ring]
                table[seat(x, rings, ring, new, grown - 1, table)] = entry
    _free(base, size, control, times)
    return True


@numba.njit(forceinline=True)
def _free(base, size, control, times):
    """Put a block on the list of free blocks of its size."""
    if size:
        list_of = 0
        while 1 << list_of < size:
            list_of += 1
        times[base] = control[FREE + list_of]
        control[FREE + list_of] = base


@numba.njit(forceinline=True)
def quiet(key, cells, control, ewms, part):
    """Whether all windows of a key are empty for every row and read that may still come."""
    if control[LATENESS] < 0 or control[KEEP] < 0 or key[LAST] == LONG_AGO:
        return False
    since = control[NEWEST + part] - control[LATENESS] - key[LAST]
    if since < control[KEEP]:
        return False
    for i in range(ewms.shape[0]):
        if cells[ewms[i, 0] + 1] * 2.0 ** -((since - ewms[i, 2]) / ewms[i, 1]) >= sums.FAINT:
            return False
    return True


@numba.njit(forceinline=True)
def forget(key, cells, control, times):
    """Make a key as if it had never been seen."""
    _free(key[BASE], key[SIZE], control, times)
    key[:] = 0
    key[LAST] = LONG_AGO
    cells[:] = 0.0
