"""Integer ids to dense rows: an open-addressing table, rows given in order of appearance, freed rows given again."""

from __future__ import annotations

import numba
import numpy as np

from rtml.kernels.cache import njit
from rtml.kernels.pointers import array_of

_i8 = numba.int64
#: Places of a header: rows given so far, freed rows waiting, most rows there may be before the tables must grow.
GIVEN = 0
FREED = 1
LIMIT = 2


@numba.njit(forceinline=True)
def slot_of(number, mask):
    """First place to look for an integer in a table of ``mask + 1`` places."""
    mixed = np.uint64(number) * np.uint64(0x9E3779B97F4A7C15)
    mixed ^= mixed >> np.uint64(29)
    mixed *= np.uint64(0xBF58476D1CE4E5B9)
    return np.int64((mixed >> np.uint64(32)) & np.uint64(mask))


@numba.njit(forceinline=True)
def _seek(number, table, ids):
    """Place of an id, or of the empty place where it would go."""
    mask = table.size - 1
    place = slot_of(number, mask)
    while table[place] != 0 and ids[table[place] - 1] != number:
        place = (place + 1) & mask
    return place


@njit(_i8(_i8, _i8, _i8, _i8), cache=True, nogil=True)
def row_of(number, table, ids, size):
    """Row of an id or -1; ``table`` and ``ids`` are addresses."""
    known = array_of(table, 2 * size)
    return known[_seek(number, known, array_of(ids, size))] - 1


@njit(_i8(_i8, _i8[::1], _i8[::1], _i8[::1], _i8[::1], _i8[::1], _i8[::1]), cache=True, nogil=True)
def intern(start, wanted, rows, table, ids, free, header):
    """Rows of ids from ``start`` on, new ones given a row; fewer done than wanted when the table must grow first."""
    for i in range(start, wanted.size):
        place = _seek(wanted[i], table, ids)
        if table[place] == 0:
            if header[GIVEN] - header[FREED] >= header[LIMIT]:
                return i
            if header[FREED]:
                header[FREED] -= 1
                row = free[header[FREED]]
            else:
                row = header[GIVEN]
                header[GIVEN] += 1
            ids[row] = wanted[i]
            table[place] = row + 1
        rows[i] = table[place] - 1
    return wanted.size


@njit(numba.void(_i8[::1], _i8[::1], _i8[::1], _i8[::1]), cache=True, nogil=True)
def find(wanted, rows, table, ids):
    """Rows of ids, -1 where unknown."""
    for i in range(wanted.size):
        rows[i] = table[_seek(wanted[i], table, ids)] - 1


@njit(numba.void(_i8[::1], _i8[::1], _i8[::1], _i8[::1], _i8[::1]), cache=True, nogil=True)
def release(rows, table, ids, free, header):
    """Forget the ids of rows, which the next new ids are given; no gap is left in a chain of the table."""
    mask = table.size - 1
    for row in rows:
        hole = _seek(ids[row], table, ids)
        place = hole
        while True:
            place = (place + 1) & mask
            if table[place] == 0:
                break
            home = slot_of(ids[table[place] - 1], mask)
            if ((place - home) & mask) >= ((place - hole) & mask):
                table[hole] = table[place]
                hole = place
        table[hole] = 0
        free[header[FREED]] = row
        header[FREED] += 1


@njit(numba.void(_i8[::1], _i8[::1], _i8[::1]), cache=True, nogil=True)
def rebuild(rows, table, ids):
    """Enter the ids of rows into an empty table."""
    for row in rows:
        table[_seek(ids[row], table, ids)] = row + 1
