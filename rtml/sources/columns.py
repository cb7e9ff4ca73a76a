"""The schema of market rows: turns what a source sends into events, and gives the reason for every row it rejects.

A broken row stops nothing: it goes to the quarantine with its reason, and the stream goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER, moment
from rtml.sources.trades import GAP, KIND_NAMES, QUOTE, TICK, TRADE, events

KINDS = {"trade": TRADE, "quote": QUOTE, "gap": GAP, "tick": TICK}
SIDES = {"buy": 1, "sell": -1, "b": 1, "s": -1, "1": 1, "-1": -1, "0": 0, "": 0}
_NOTHING = pd.DataFrame({"reason": [], "row": []}, index=np.empty(0, np.int64), dtype=object)  # of no rejected row
UNREADABLE = -(2**63)  # what no reader could make sense of
LATEST = 7_258_118_400 * 10**9  # 2200-01-01: what is later is no time, and sums with it would overflow
_DIGITS = re.compile(r"-?[0-9]{1,25}")
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}

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


@dataclass(frozen=True)
class Schema:
    """What a raw row must hold to become an event.

    Examples
    --------
    >>> raw = pd.DataFrame({"symbol": ["ETH-USD"] * 2, "time": [10, 20], "price": [1.5, -1.0], "size": [2.0, 2.0]})
    >>> accepted, rejected = TRADES.accept(raw, ("ETH-USD",))
    >>> accepted["price"], rejected["reason"].tolist()
    (array([1.5]), ['price is not a positive number'])
    """

    name: str
    columns: dict
    parse: Callable | None = None  #: what reads a raw frame, as ``_Raw.parse`` reads market rows
    kinds: tuple[str, ...] = ()  #: names of the numbers in an event's field ``kind``

    def accept(self, frame: pd.DataFrame, symbols: tuple[str, ...] = ()) -> tuple[np.ndarray, pd.DataFrame]:
        """Events of the good rows and the ``reason`` and ``row`` (JSON) of the others, both in order of arrival.

        The index of the rejected rows is their position in ``frame``. Nothing a row holds raises. A column ``fault``
        holds what the reader of a file found wrong with a row already, empty where nothing is.
        """
        fault, reasons = _found(frame)
        frame = frame.drop(columns="fault", errors="ignore")
        raw = (self.parse or _Raw.parse)(frame, symbols)
        for reason, mask in raw.faults():
            reasons.append(reason)
            fault[(fault == 0) & mask] = len(reasons) - 1
        bad = np.flatnonzero(fault)
        if not len(bad):
            return raw.events(), _NOTHING.copy()
        rejected = pd.DataFrame(
            {"reason": [reasons[k] for k in fault[bad]], "row": as_json(frame.iloc[bad])}, index=bad, dtype=object
        )
        return raw.events()[fault == 0], rejected

    def table(self) -> pd.DataFrame:
        """The columns and their rules, for people."""
        return pd.DataFrame({"column": list(self.columns), "rule": list(self.columns.values())})


def _found(frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Place of each row's fault among the reasons, the first of which is none."""
    if "fault" not in frame:
        return np.zeros(len(frame), np.int64), [""]
    place, reasons = pd.factorize(np.r_[[""], frame["fault"].fillna("").astype(str).to_numpy(object)])
    return place[1:].copy(), list(reasons)


TRADES = Schema("trades", COLUMNS, kinds=KIND_NAMES)


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


def as_json(frame: pd.DataFrame) -> list[str]:
    """Every row as one JSON text; a number that JSON lacks (NaN, inf) becomes null or its name."""
    rows = zip(*(frame.iloc[:, k].astype(object) for k in range(frame.shape[1])), strict=True)
    return [json.dumps({str(c): _plain(v) for c, v in zip(frame.columns, row, strict=True)}) for row in rows]


def _plain(value):
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None if np.isnan(value) else str(float(value))
    return int(value) if isinstance(value, np.integer) else None if value is pd.NA or value is pd.NaT else str(value)


def _positive(values: np.ndarray) -> np.ndarray:
    return (values > 0) & np.isfinite(values)


def _kind(column: pd.Series) -> str:
    return getattr(column.dtype, "kind", "O")


def numbers(column: pd.Series | None, n: int) -> np.ndarray:
    """Floats; what is no number is NaN."""
    if column is None:
        return np.full(n, np.nan)
    if _kind(column) in "iuf":
        return column.to_numpy(dtype=np.float64, na_value=np.nan)
    return np.fromiter((_number(value) for value in column), np.float64, n)


def _number(value) -> float:
    try:
        return np.nan if isinstance(value, bool | np.bool_) else float(value)
    except (TypeError, ValueError, OverflowError):
        return np.nan


def codes(column: pd.Series | None, table: dict, n: int, *, missing: int, unknown: int = -1) -> np.ndarray:
    """Integers of words by a table; a word in another case counts as the same."""
    if column is None:
        return np.full(n, missing, np.int32)
    known = {**{word.lower(): code for word, code in table.items()}, **table}
    try:
        index, words = _factorized(column)
    except TypeError:  # a list or a dict where a word belongs
        index, words = pd.factorize(column.map(str))
    found = [known.get(_word(word), known.get(_word(word).lower(), unknown)) for word in words]
    return np.array([*found, missing], np.int32)[index]


def _factorized(column: pd.Series) -> tuple[np.ndarray, pd.Index]:
    """Place of each value among the words, -1 where there is none, and the words."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return column.cat.codes.to_numpy(), column.cat.categories
    return pd.factorize(column)


def _word(value) -> str:
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()


def integers(column: pd.Series | None, n: int, read, *, missing: int) -> np.ndarray:
    """Exact int64; what cannot be read is ``UNREADABLE``, what is absent is ``missing``."""
    if column is None:
        return np.full(n, missing, np.int64)
    if _kind(column) == "i":
        return column.to_numpy(dtype=np.int64, na_value=missing)
    if isinstance(column.dtype, pd.DatetimeTZDtype) and read is read_moment:
        return nanoseconds(column)
    absent = column.isna().to_numpy()
    values = np.fromiter((read(value) for value in column.astype(object)), np.int64, n)
    values[absent] = missing
    return values


def nanoseconds(column: pd.Series) -> np.ndarray:
    """Nanoseconds UTC of a column of aware datetimes; the smallest int64 where there is none that fits."""
    ticks, scale = column.dt.tz_convert(None).to_numpy().view(np.int64), _UNIT_NS[column.dt.unit]
    fits = np.abs(ticks.astype(np.float64)) < NEVER / scale
    return np.where(fits, np.where(fits, ticks, 0) * scale, UNREADABLE)


def read_integer(value) -> int:
    """Whole number of a value that holds one exactly, otherwise ``UNREADABLE``."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole and -NEVER < value <= NEVER else UNREADABLE


def read_moment(value) -> int:
    """Nanoseconds UTC of a moment that knows its zone, otherwise ``UNREADABLE``."""
    if isinstance(value, str | datetime) and value is not pd.NaT:
        try:
            at = value.value if isinstance(value, pd.Timestamp) and value.tzinfo else moment(value)
        except (ValueError, OverflowError):
            return UNREADABLE
        return at if -NEVER < at <= NEVER else UNREADABLE
    return UNREADABLE if isinstance(value, float | str) else read_integer(value)
