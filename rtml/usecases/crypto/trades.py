"""What flows in: market events as one record each, in the order in which they arrived.

Everything the system reacts to is an event in the log, the tick of a timer and the hole in a recording included, so a
replay of the log is exactly what happened.
"""

from __future__ import annotations

import numpy as np

TRADE = 0
QUOTE = 1
GAP = 2
TICK = 3
KIND_NAMES = ("trade", "quote", "gap", "tick")

#: One event. ``time`` is the exchange's own clock, ns UTC; ``key`` indexes the run's symbols, target first.
#: A trade has price (quote currency), size (base currency), side (+1 buyer took, -1 seller took, 0 unknown), id.
#: A quote has bid and ask. A gap says that nothing is known of ``(id, time]`` (id holds the gap's start, ns).
#: A tick says only that the market's time reached ``time``. What does not apply is NaN, 0 or -1.
EVENT = np.dtype(
    [
        ("time", "<i8"),
        ("kind", "i1"),
        ("key", "<i4"),
        ("id", "<i8"),
        ("price", "<f8"),
        ("size", "<f8"),
        ("side", "i1"),
        ("bid", "<f8"),
        ("ask", "<f8"),
    ]
)


def events(time, *, kind=TRADE, key=0, id=-1, price=np.nan, size=0.0, side=0, bid=np.nan, ask=np.nan) -> np.ndarray:
    """Build an array of events from columns; a scalar stands for every row.

    Examples
    --------
    >>> events([10, 20], price=[1.5, 1.6], size=1.0, id=[1, 2])["price"]
    array([1.5, 1.6])
    """
    rows = np.empty(len(time), EVENT)
    columns = dict(time=time, kind=kind, key=key, id=id, price=price, size=size, side=side, bid=bid, ask=ask)
    for name, column in columns.items():
        rows[name] = column
    return rows
