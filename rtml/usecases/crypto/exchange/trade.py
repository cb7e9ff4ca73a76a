"""One trade as an exchange sends it: what it must hold, and the ways in which its time is written."""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from rtml.core.clock import moment
from rtml.sources.columns import LATEST


class Trade(NamedTuple):
    """One trade as every part of the live source knows it; ``market`` is the exchange's own name.

    Examples
    --------
    >>> trade("XBT/USD", "7", 10**18, "100.5", "0.2", "buy")
    Trade(market='XBT/USD', id=7, time=1000000000000000000, price=100.5, size=0.2, side='buy')
    """

    market: str
    id: int
    time: int  # the exchange's clock, ns UTC
    price: float
    size: float
    side: str


class Message(NamedTuple):
    """What one websocket message says: trades, how many were unreadable, the newest id of a market, or an answer.

    Examples
    --------
    >>> heartbeat = Message(newest=("BTC-USD", 12))
    >>> heartbeat.trades, heartbeat.newest
    ((), ('BTC-USD', 12))
    """

    trades: tuple[Trade, ...] = ()
    broken: int = 0
    newest: tuple[str, int] | None = None  # market and id, where a heartbeat carries it
    agreed: tuple[str, ...] = ()  # markets whose subscription was accepted, ("*",) for all
    refused: str = ""  # why a subscription was rejected
    mine: bool = True  # False: nothing for us, let the client see it


NOTHING = Message(mine=False)


@lru_cache(maxsize=4096)
def _second(text: str) -> int:
    return moment(text + "+00:00")


def iso(text: str) -> int:
    """Nanoseconds of a moment in UTC as exchanges write it.

    Examples
    --------
    >>> iso("2023-09-25T07:49:37.708706Z")
    1695628177708706000
    """
    part = text[20:].rstrip("Z")
    if len(text) < 19 or text[19:20] not in (".", "Z", "") or not (part.isdigit() or not part):
        raise ValueError(f"not a moment in UTC: {text!r}")
    return _second(text[:19]) + int(part[:9].ljust(9, "0"))


def seconds(number: float) -> int:
    """Nanoseconds of seconds since 1970, cut to the microsecond as Kraken's websocket does.

    A float of that size is good to a quarter of a microsecond, so what lies that little below one is meant to be it: a
    trade on the edge of a bar must not lie in another bar than the same trade over the websocket.

    Examples
    --------
    >>> seconds(1695628177.7087061), seconds(1695628177.7087058)
    (1695628177708706000, 1695628177708706000)
    """
    whole, _, part = repr(float(number)).partition(".")
    return int(whole) * 10**9 + (int(part[:7].ljust(7, "0")) + 3) // 10 * 1000


def trade(market, id, time, price, size, side) -> Trade:
    """A trade, or ValueError when any of it cannot be.

    Examples
    --------
    >>> trade("XBT/USD", "7", 10**18, "100.5", "0.2", "buy").price
    100.5
    >>> trade("XBT/USD", 7, 10**18, "-1", "0.2", "buy")
    Traceback (most recent call last):
        ...
    ValueError: not a trade: Trade(market='XBT/USD', id=7, time=1000000000000000000, price=-1.0, size=0.2, side='buy')
    """
    made = Trade(str(market), int(id), time, float(price), float(size), side)
    sized = 0 < made.price < 1e18 and 0 < made.size < 1e18
    if not (sized and 0 <= made.id < 2**62 and 0 < time < LATEST and side in ("buy", "sell")):
        raise ValueError(f"not a trade: {made}")
    return made


def read(rows, one) -> tuple[tuple[Trade, ...], int]:
    """Trades of rows, and how many rows were none.

    Examples
    --------
    >>> read(["1", "x", "3"], int)
    ((1, 3), 1)
    >>> read({"error": "busy"}, int)
    ((), 1)
    """
    if not isinstance(rows, list):
        return (), 1
    trades, broken = [], 0
    for row in rows:
        try:
            trades.append(one(row))
        except (ValueError, TypeError, LookupError, OverflowError, AttributeError):
            broken += 1
    return tuple(trades), broken


def rows_of(rows) -> list:
    """The rows of a page, or ValueError: an answer of 200 may hold anything.

    Examples
    --------
    >>> rows_of({"error": "busy"})
    Traceback (most recent call last):
        ...
    ValueError: the answer is not a page of trades: "{'error': 'busy'}"
    """
    if not isinstance(rows, list):
        raise ValueError(f"the answer is not a page of trades: {str(rows)[:80]!r}")
    return rows


def whole(value) -> int:
    """The integer that a value is or spells, else -1; so is one that no id can be.

    Examples
    --------
    >>> whole("12"), whole(12), whole("1.5"), whole(2**62)
    (12, 12, -1, -1)
    """
    spelt = isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < 20
    number = value if isinstance(value, int) else int(value) if spelt else -1
    return number if number < 2**62 else -1
