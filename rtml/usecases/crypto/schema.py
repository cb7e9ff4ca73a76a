"""The schema of market rows: turns what a source sends into events, and gives the reason for every row it rejects."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.later import pd
from rtml.sources.columns import LATEST, UNREADABLE, Schema, codes, integers, numbers, read_integer, read_moment
from rtml.usecases.crypto.trades import EVENT, GAP, KIND_NAMES, QUOTE, TICK, TRADE, events

KINDS = {"trade": TRADE, "quote": QUOTE, "gap": GAP, "tick": TICK}
SIDES = {"buy": 1, "sell": -1, "b": 1, "s": -1, "1": 1, "-1": -1, "0": 0, "": 0}

#: The columns of a raw row, with what each must hold; one that does not apply may be missing or empty.
COLUMNS = {
    "symbol": "one of the run's symbols",
    "kind": "trade (also when missing), quote, gap or tick",
    "time": "the exchange's own clock: ns UTC as an integer, or a date and time with its zone",
    "price": "trade: positive, quote currency",
    "size": "trade: zero or more, base currency; zero: only the price is known",
    "side": "trade: buy, sell (who took), or nothing when unknown",
    "id": "trade: integer, the same id counts once; gap: the moment it began, ns UTC",
    "bid": "quote: positive, not above ask",
    "ask": "quote: positive",
}
RAW = tuple(COLUMNS)
_SIDE = {"buy": 1, "sell": -1}
_TYPES = {name: "str" for name in ("symbol", "kind", "side")} | {"time": "int64", "id": "int64"}
_TYPES |= {name: "float64" for name in ("price", "size", "bid", "ask")}


@dataclass(frozen=True)
class _Raw:
    """The columns of a raw frame as arrays, of any type."""

    key: np.ndarray
    kind: np.ndarray
    time: np.ndarray
    price: np.ndarray
    size: np.ndarray
    side: np.ndarray
    id: np.ndarray
    bid: np.ndarray
    ask: np.ndarray

    @classmethod
    def parse(cls, frame: pd.DataFrame, symbols: tuple[str, ...]) -> _Raw:
        n = len(frame)
        number = {name: numbers(frame.get(name), n) for name in ("price", "size", "bid", "ask")}
        return cls(
            key=codes(frame.get("symbol"), {symbol: k for k, symbol in enumerate(symbols)}, n, missing=-1),
            kind=codes(frame.get("kind"), KINDS, n, missing=TRADE),
            side=codes(frame.get("side"), SIDES, n, missing=0, unknown=-9),
            time=integers(frame.get("time"), n, read_moment, missing=UNREADABLE),
            id=integers(frame.get("id"), n, read_integer, missing=-1),
            **number,
        )

    def faults(self):
        """Reasons in the order in which they are looked for, each with the rows it holds for."""
        trade = self.kind == TRADE
        quote = self.kind == QUOTE
        gap = self.kind == GAP
        with np.errstate(invalid="ignore"):
            yield "symbol is not one of this run", self.key < 0
            yield "kind is not trade, quote, gap or tick", self.kind < 0
            yield "time is missing or not a moment", self.time == UNREADABLE
            yield "time is out of range", (self.time <= 0) | (self.time >= LATEST)
            yield "price is not a positive number", trade & ~_positive(self.price)
            yield "size is not a number of zero or more", trade & ~((self.size >= 0) & np.isfinite(self.size))
            yield "side is neither buy nor sell", trade & (self.side == -9)
            yield "id is not an integer", (trade | gap) & (self.id == UNREADABLE)
            yield "quote lacks a positive bid and ask", quote & ~(_positive(self.bid) & _positive(self.ask))
            yield "quote is crossed: bid above ask", quote & (self.bid > self.ask)
            yield "gap does not end after its start", gap & ~((self.id > 0) & (self.id < self.time))

    def events(self) -> np.ndarray:
        trade = self.kind == TRADE
        quote = self.kind == QUOTE
        named = (self.kind == TRADE) | (self.kind == GAP)
        return events(
            self.time,
            kind=self.kind,
            key=self.key,
            id=np.where(named, self.id, -1),
            price=np.where(trade, self.price, np.nan),
            size=np.where(trade, self.size, 0.0),
            side=np.where(trade, self.side, 0),
            bid=np.where(quote, self.bid, np.nan),
            ask=np.where(quote, self.ask, np.nan),
        )


def _positive(values: np.ndarray) -> np.ndarray:
    return (values > 0) & np.isfinite(values)


def frame(rows: list[tuple]) -> pd.DataFrame:
    """Raw rows as a frame.

    Examples
    --------
    >>> frame([]).dtypes["price"]
    dtype('float64')
    """
    return pd.DataFrame(rows, columns=list(RAW)).astype(_TYPES)


def judged(rows: list[tuple], symbols: tuple[str, ...]) -> tuple[np.ndarray, pd.DataFrame | None]:
    """Events of raw rows (columns of ``RAW``) and the rejected ones; a tidy batch takes no detour over a frame.

    Examples
    --------
    >>> judged([("ETH/USD", "trade", 10, 1.5, 2.0, "buy", 7, None, None)], ("ETH/USD",))[0]["price"]
    array([1.5])
    """
    tidy = [_tidy(row, symbols) for row in rows] if len(rows) < 200 else [None]
    if None in tidy:
        try:
            table = frame(rows)
        except (ValueError, TypeError, OverflowError):  # a row holds what no column of its type does
            table = pd.DataFrame(rows, columns=list(RAW), dtype=object)
        return TRADES.accept(table, symbols)
    return np.array(tidy, EVENT), None


def _tidy(row: tuple, symbols: tuple[str, ...]) -> tuple | None:
    """A trade or tick that needs no second look, as the fields of an event."""
    symbol, kind, time, price, size, side, id, *_ = row
    if symbol not in symbols or type(time) is not int or not 0 < time < 2**62:
        return None
    if kind == "tick":
        return time, TICK, symbols.index(symbol), -1, np.nan, 0.0, 0, np.nan, np.nan
    if kind != "trade" or type(side) is not str or side not in _SIDE or type(id) is not int or not 0 <= id < 2**62:
        return None
    if not (type(price) is float and type(size) is float and 0 < price < 1e300 and 0 <= size < 1e300):
        return None
    return time, TRADE, symbols.index(symbol), id, price, size, _SIDE[side], np.nan, np.nan


TRADES = Schema("trades", COLUMNS, _Raw.parse, KIND_NAMES, judged)
