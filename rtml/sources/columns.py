"""Schemas: turn what a source sends into events, and give the reason for every row that is rejected.

A broken row stops nothing: it goes to the quarantine with its reason, and the stream goes on.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import TYPE_CHECKING

import numpy as np

from rtml.core.clock import NEVER, moment
from rtml.core.later import pd

if TYPE_CHECKING:
    from rtml.store.protocols import EventLog

UNREADABLE = -(2**63)  # what no reader could make sense of
LATEST = 7_258_118_400 * 10**9  # 2200-01-01: what is later is no time, and sums with it would overflow
_DIGITS = re.compile(r"-?[0-9]{1,25}")
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@cache
def _none_rejected() -> pd.DataFrame:
    """What is rejected of rows that are all sound, made once: a live event would wait for it."""
    return pd.DataFrame({"reason": [], "row": []}, index=np.empty(0, np.int64), dtype=object)


@dataclass(frozen=True)
class Schema:
    """What a raw row must hold to become an event.

    Parameters
    ----------
    name
        What the rows are.
    columns
        Columns of a raw row, and what each must hold.
    parse
        Reads a raw frame for the keys of a run: has ``faults()``, pairs of a reason and the rows it holds for, and
        ``events()``.
    kinds
        Names of the numbers in an event's field ``kind``; the first is what a field ``id`` numbers.
    judge
        Takes rows of a live source, tuples of the columns, as ``accept`` takes a frame, without the detour over one.
    texts
        Gives of a raw frame the ids that are no whole numbers: their texts by the number that stands for each.

    Examples
    --------
    >>> from rtml.sources.records import schema_of
    >>> counts = schema_of(np.dtype([("time", "<i8"), ("bikes", "<f8")]))
    >>> accepted, rejected = counts.accept(pd.DataFrame({"time": ["2025-01-31T09:30Z", "?"], "bikes": [3, 4]}))
    >>> accepted["bikes"], rejected["reason"].tolist()
    (array([3.]), ['time is missing or not a moment'])
    """

    name: str
    columns: dict
    parse: Callable
    kinds: tuple[str, ...] = ()
    judge: Callable | None = None
    texts: Callable[[pd.DataFrame], dict[int, str]] | None = None

    def accept(self, frame: pd.DataFrame, symbols: tuple[str, ...] = ()) -> tuple[np.ndarray, pd.DataFrame]:
        """Events of the good rows and the ``reason`` and ``row`` (JSON) of the others, both in order of arrival.

        The index of the rejected rows is their position in ``frame``. Nothing a row holds raises. A column ``fault``
        holds what the reader of a file found wrong with a row already, empty where nothing is.
        """
        fault, reasons = _found(frame)
        frame = frame.drop(columns="fault", errors="ignore")
        raw = self.parse(frame, symbols)
        for reason, mask in raw.faults():
            if mask.any():
                reasons.append(reason)
                fault[(fault == 0) & mask] = len(reasons) - 1
        bad = np.flatnonzero(fault)
        if not len(bad):
            return raw.events(), _none_rejected().copy()
        rejected = pd.DataFrame(
            {"reason": [reasons[k] for k in fault[bad]], "row": as_json(frame.iloc[bad])}, index=bad, dtype=object
        )
        return raw.events()[fault == 0], rejected

    def keep_names(self, rows: pd.DataFrame, log: EventLog) -> None:
        """Keep the texts of the ids of raw rows beside a log, where it has a place for them."""
        if self.texts is not None and (names := getattr(log, "names", None)) is not None:
            names.keep(self.texts(rows))

    def table(self) -> pd.DataFrame:
        """The columns and their rules, for people."""
        return pd.DataFrame({"column": list(self.columns), "rule": list(self.columns.values())})


def _found(frame: pd.DataFrame) -> tuple[np.ndarray, list[str]]:
    """Place of each row's fault among the reasons, the first of which is none."""
    if "fault" not in frame:
        return np.zeros(len(frame), np.int64), [""]
    place, reasons = pd.factorize(np.r_[[""], frame["fault"].fillna("").astype(str).to_numpy(object)])
    return place[1:].copy(), list(reasons)


def as_json(frame: pd.DataFrame) -> list[str]:
    """Every row as one JSON text; a number that JSON lacks (NaN, inf) becomes null or its name.

    Examples
    --------
    >>> as_json(pd.DataFrame({"price": [1.5, np.nan], "side": ["buy", "sell"]}))
    ['{"price": 1.5, "side": "buy"}', '{"price": null, "side": "sell"}']
    """
    rows = zip(*(frame.iloc[:, k].astype(object) for k in range(frame.shape[1])), strict=True)
    return [json.dumps({str(c): _plain(v) for c, v in zip(frame.columns, row, strict=True)}) for row in rows]


def _plain(value):
    if isinstance(value, str | bool | int | None):
        return value
    if isinstance(value, float | np.floating):
        return float(value) if np.isfinite(value) else None if np.isnan(value) else str(float(value))
    return int(value) if isinstance(value, np.integer) else None if value is pd.NA or value is pd.NaT else str(value)


def _kind(column: pd.Series) -> str:
    return getattr(column.dtype, "kind", "O")


def numbers(column: pd.Series | None, n: int) -> np.ndarray:
    """Floats; what is no number is NaN.

    Examples
    --------
    >>> numbers(pd.Series(["2.5", 3, True, "many"], dtype=object), 4).tolist()
    [2.5, 3.0, nan, nan]
    """
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
    """Integers of words by a table; a word in another case counts as the same.

    Examples
    --------
    >>> codes(pd.Series(["buy", "SELL", "hold", None]), {"buy": 0, "sell": 1}, 4, missing=-2).tolist()
    [0, 1, -1, -2]
    """
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
    """Exact int64; what cannot be read is ``UNREADABLE``, what is absent is ``missing``.

    Examples
    --------
    >>> found = integers(pd.Series(["12", 7.0, 7.5, None], dtype=object), 4, read_integer, missing=-1)
    >>> found.tolist() == [12, 7, UNREADABLE, -1]
    True
    """
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
    """Nanoseconds UTC of a column of aware datetimes; the smallest int64 where there is none that fits.

    Examples
    --------
    >>> nanoseconds(pd.Series(pd.to_datetime(["1970-01-01T01:00:02+01:00"]))).tolist()
    [2000000000]
    """
    ticks, scale = column.dt.tz_convert(None).to_numpy().view(np.int64), _UNIT_NS[column.dt.unit]
    fits = np.abs(ticks.astype(np.float64)) < NEVER / scale
    return np.where(fits, np.where(fits, ticks, 0) * scale, UNREADABLE)


def read_integer(value) -> int:
    """Whole number of a value that holds one exactly, otherwise ``UNREADABLE``.

    Examples
    --------
    >>> read_integer("0042"), read_integer(3.0), read_integer(3.5) == UNREADABLE
    (42, 3, True)
    """
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        value = int(value)
    if isinstance(value, str) and _DIGITS.fullmatch(value):
        value = int(value)
    whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return int(value) if whole and -NEVER < value <= NEVER else UNREADABLE


def read_moment(value) -> int:
    """Nanoseconds UTC of a moment that knows its zone, otherwise ``UNREADABLE``.

    Examples
    --------
    >>> read_moment("1970-01-01T00:00:02Z"), read_moment(5), read_moment("soon") == UNREADABLE
    (2000000000, 5, True)
    """
    if isinstance(value, str | datetime) and value is not pd.NaT:
        try:
            at = value.value if isinstance(value, pd.Timestamp) and value.tzinfo else moment(value)
        except (ValueError, OverflowError):
            return UNREADABLE
        return at if -NEVER < at <= NEVER else UNREADABLE
    return UNREADABLE if isinstance(value, float | str) else read_integer(value)
