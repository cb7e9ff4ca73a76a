"""Blocks of records, column by column, each in the narrowest form that gives its bits back.

A column of whole numbers is kept as its distances from the least, or from one row to the next; one that never changes,
or that counts up evenly, takes no bytes a row. What is neither whole nor constant is kept as it is.
"""

from __future__ import annotations

import struct

import numpy as np

FEW = 64  #: records that are as small as they are, and quicker
_MARK = b"rtmlcol1"
_HEAD = struct.Struct("<8sI")  # the mark, number of rows
_FORM = struct.Struct("<BBqq")  # of a column: how, bytes a row, what is added to each, the first
_RAW = 0
_OFFSETS = 1
_STEPS = 2
_WHOLE = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}
_NARROW = {1: np.uint8, 2: np.uint16, 4: np.uint32}


def pack(rows: np.ndarray) -> bytes:
    """The bytes of a block of records, one at least.

    Examples
    --------
    >>> rows = np.zeros(1000, [("time", "<i8"), ("price", "<f8")])
    >>> rows["time"] = np.arange(1000)
    >>> len(pack(rows)), unpack(pack(rows), rows.dtype).tobytes() == rows.tobytes()
    (48, True)
    """
    rows = np.ascontiguousarray(rows).view(np.dtype(rows.dtype.descr))  # what pads a record is a column too
    parts = [_HEAD.pack(_MARK, len(rows))]
    for name in rows.dtype.names:
        parts += _packed(rows[name])
    return b"".join(parts)


def size(data: bytes, dtype: np.dtype) -> int:
    """Number of records in a block, or in records as they are.

    Examples
    --------
    >>> rows = np.zeros(1000, [("time", "<i8")])
    >>> size(pack(rows), rows.dtype), size(rows.tobytes(), rows.dtype)
    (1000, 1000)
    """
    return _HEAD.unpack_from(data)[1] if data.startswith(_MARK) else len(data) // dtype.itemsize


def unpack(data: bytes, dtype: np.dtype, into: np.ndarray | None = None) -> np.ndarray:
    """The records of a block, or of records as they are; written to ``into`` where that is given.

    Examples
    --------
    >>> rows = np.array([(7, 0.5), (9, 0.5)], [("time", "<i8"), ("price", "<f8")])
    >>> unpack(pack(rows), rows.dtype).tolist(), unpack(rows.tobytes(), rows.dtype).tolist()
    ([(7, 0.5), (9, 0.5)], [(7, 0.5), (9, 0.5)])
    """
    rows = np.empty(size(data, dtype), dtype) if into is None else into
    if not data.startswith(_MARK):
        rows[:] = np.frombuffer(data, dtype)
        return rows
    place = _HEAD.size
    for name in dtype.names:
        place = _unpacked(data, place, rows[name])
    return rows


def _packed(column: np.ndarray) -> tuple[bytes, bytes]:
    """Form and bytes of a column."""
    kind = column.dtype
    if column.ndim > 1 or kind.kind not in "iufb" or kind.itemsize not in _WHOLE or not kind.isnative:
        return _FORM.pack(_RAW, 0, 0, 0), column.tobytes()
    values = np.ascontiguousarray(column).view(_WHOLE[kind.itemsize])
    least, width = _span(values)
    form = _OFFSETS
    first = 0
    narrow = values
    if width and kind.itemsize == 8 and kind.kind in "iu":
        steps = np.diff(values)
        other, fewer = _span(steps)
        if fewer < width:
            form = _STEPS
            first = int(values[0])
            narrow = steps
            least = other
            width = fewer
    if width >= kind.itemsize or (width and kind.kind in "fb"):
        return _FORM.pack(_RAW, 0, 0, 0), values.tobytes()
    held = (narrow - narrow.dtype.type(least)).astype(_NARROW[width]).tobytes() if width else b""
    return _FORM.pack(form, width, least, first), held


def _span(values: np.ndarray) -> tuple[int, int]:
    """The least of some values, and the bytes that the distances from it take."""
    if not len(values):
        return 0, 0
    least = int(values.min())
    span = int(values.max()) - least
    return least, 0 if not span else 1 if span < 1 << 8 else 2 if span < 1 << 16 else 4 if span < 1 << 32 else 8


def _unpacked(data: bytes, place: int, out: np.ndarray) -> int:
    """Write a column; where the next one begins."""
    form, width, least, first = _FORM.unpack_from(data, place)
    place, n = place + _FORM.size, len(out)
    if form == _RAW:
        held = np.frombuffer(data, out.dtype, out.size, place)
        out[...] = held.reshape(out.shape)
        return place + held.nbytes
    whole = _WHOLE[out.dtype.itemsize]
    count = n if form == _OFFSETS else n - 1
    values = np.full(count, least, whole)
    if width:
        values += np.frombuffer(data, _NARROW[width], count, place).astype(whole)
    if form == _STEPS:
        steps, values = values, np.full(n, first, whole)
        values[1:] += np.cumsum(steps, dtype=whole)
    out[...] = values.view(out.dtype)
    return place + width * count
