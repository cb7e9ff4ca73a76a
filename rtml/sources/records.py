"""Rows of any use case: a file whose columns are the fields of its events, judged field by field."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock
from rtml.core.later import pd
from rtml.core.state import digest
from rtml.sources.columns import UNREADABLE, Schema, codes, integers, numbers, read_integer
from rtml.sources.decimals import read_decimals
from rtml.sources.moments import read_moments, texts
from rtml.sources.protocol import pieces

KEY = "key"  # the field that says which of the run's keys a row is of


def schema_of(event: np.dtype) -> Schema:
    """What a raw row must hold to become an event of a type of one's own.

    ``time`` is a moment in any form that :mod:`rtml.sources.moments` reads, whole numbers are whole, ``key`` is one of
    the run's keys; a missing float is NaN, which features and models take as missing.

    Examples
    --------
    >>> event = np.dtype([("time", "<i8"), ("key", "<i4"), ("bikes", "<f8")])
    >>> raw = pd.DataFrame({"time": ["2025-01-31T09:30Z", "?"], "key": ["north", "north"], "bikes": [3, 4]})
    >>> accepted, rejected = schema_of(event).accept(raw, ("north", "south"))
    >>> accepted["bikes"], rejected["reason"].tolist()
    (array([3.]), ['time is missing or not a moment'])
    """
    rules = {name: _RULES[event[name].kind] for name in event.names if event[name].kind in _RULES}
    if odd := set(event.names) - set(rules):
        raise ValueError(f"fields of an event are whole numbers, floats or truths, got {', '.join(sorted(odd))}")
    rules["time"] = "a moment: ISO 8601, seconds, ms, us or ns since 1970, or any other usual form"
    if KEY in rules:
        rules[KEY] = "one of the run's keys"
    return Schema("events", rules, lambda frame, keys: _Raw(frame, keys, event))


_RULES = {"i": "a whole number", "u": "a whole number", "f": "a number; empty where it is missing", "b": "0 or 1"}
_TRUTHS = {"true": 1, "false": 0, "1": 1, "0": 0, "yes": 1, "no": 0}


@dataclass
class _Raw:
    """The fields of a raw frame as arrays, whatever they held."""

    frame: pd.DataFrame
    keys: Sequence[str]
    event: np.dtype

    def __post_init__(self) -> None:
        self.columns = {name: self._column(name) for name in self.event.names}

    def _column(self, name: str) -> np.ndarray:
        column = self.frame.get(name)
        n = len(self.frame)
        kind = self.event[name].kind
        if name == "time":
            return _moments(column, n)
        if name == KEY:
            return codes(column, {str(key): place for place, key in enumerate(self.keys)}, n, missing=-1)
        if kind == "b":
            return codes(column, _TRUTHS, n, missing=-1)
        if kind == "f":
            return numbers(column, n)
        return integers(column, n, read_integer, missing=UNREADABLE)

    def faults(self) -> Iterator[tuple[str, np.ndarray]]:
        """Reasons in the order in which they are looked for, each with the rows it holds for."""
        yield "time is missing or not a moment", self.columns["time"] == UNREADABLE
        for name, values in self.columns.items():
            kind = self.event[name].kind
            if name == KEY:
                yield "key is not one of this run", values < 0
            elif kind == "b":
                yield f"{name} is neither true nor false", values < 0
            elif kind in "iu" and name != "time":
                limits = np.iinfo(self.event[name])
                outside = (values < limits.min) | (values > min(limits.max, 2**63 - 1))
                yield f"{name} is not a whole number", (values == UNREADABLE) | outside
            elif kind == "f":
                given = self.frame.get(name)
                there = np.zeros(len(values), bool) if given is None else given.notna().to_numpy()
                yield f"{name} is not a finite number", np.isinf(values) | (np.isnan(values) & there & ~_blank(given))

    def events(self) -> np.ndarray:
        """All rows as events; a row with a fault holds anything."""
        rows = np.zeros(len(self.frame), self.event)
        for name, values in self.columns.items():
            with np.errstate(invalid="ignore"):
                rows[name] = values
        return rows


class Records:
    """A recording of a use case's own events.

    Parameters
    ----------
    path
        A file in any form that :func:`rtml.sources.tables.read` reads.
    event
        Record of an event.
    symbols
        Keys of the run; those of the file, in order of appearance, where none are given.
    columns
        Names of the file's columns by field, where they are not those of the fields.

    Raises
    ------
    LookupError
        Where the file lacks a field, with the columns that there are.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "bikes.csv"
    ...     _ = file.write_text("When,bikes\\n2025-01-31 09:31,4\\n2025-01-31 09:30,3\\n")
    ...     source = Records(file, np.dtype([("time", "<i8"), ("bikes", "<f8")]), columns={"time": "When"})
    >>> source.rows, next(source.chunks())["bikes"].tolist()
    (2, [3.0, 4.0])
    """

    notes: tuple[str, ...] = ()

    def __init__(
        self,
        path: str | Path,
        event: np.dtype,
        symbols: Sequence[str] = (),
        columns: Mapping[str, str] | None = None,
    ) -> None:
        self.path = Path(path).expanduser()
        if not self.path.exists():
            raise FileNotFoundError(f"no file {path}: SOURCE names a recording of this use case's events")
        self.read_as: list[tuple[str, pd.DataFrame, dict[str, str]]] = []
        self._table = self._in_order(self._named(event, columns or {}), event)
        self.schema = schema_of(event)
        self.symbols = tuple(symbols) or self._keys()
        self.rows = len(self._table)
        self.name = f"file:{self.path.name}@{digest(self.path.read_bytes())[:12]}"

    def _named(self, event: np.dtype, columns: Mapping[str, str]) -> pd.DataFrame:
        """The table with its columns named after the fields of an event."""
        from rtml.sources.tables import read  # with readers of Parquet and feather, a second

        file = self.path.name
        table = read(self.path, known=lambda name: name.strip().lower() in event.names).whole(file)
        lowered = {str(name).strip().lower(): name for name in table.columns}
        named = {lowered[ours]: ours for ours in event.names if ours in lowered}
        named |= {theirs: ours for ours, theirs in columns.items()}
        self.read_as.append((file, table, {ours: theirs for theirs, ours in named.items()}))
        table = table.rename(columns=named)
        if missing := [name for name in event.names if name not in table.columns]:
            listed = ", ".join(map(str, table.columns))
            raise LookupError(
                f"{file} has no column {', '.join(missing)}; it has: {listed}; "
                'name others with COLUMNS={"field": "column"}'
            )
        for name in (name for name in event.names if event[name].kind == "f"):
            table[name] = read_decimals(table[name], f"{name} of {file}")
        return table

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of time, at most ``n`` at a time; rows of one time in the order of the file."""
        return pieces(self._table, n)

    def _in_order(self, table: pd.DataFrame, event: np.dtype) -> pd.DataFrame:
        """The table in order of time; a row without a readable time stays behind the one before it."""
        time = _moments(table["time"], len(table))
        order = np.argsort(np.where(time == UNREADABLE, np.maximum.accumulate(time), time), kind="stable")
        return table.iloc[order].reset_index(drop=True)[list(event.names)]

    def _keys(self) -> tuple[str, ...]:
        if KEY not in self._table.columns:
            return ("",)
        return tuple(dict.fromkeys(texts(self._table[KEY]).dropna().tolist()))


def _moments(column: pd.Series | None, n: int) -> np.ndarray:
    if column is None:
        return np.full(n, UNREADABLE)
    return read_moments(column, Clock().now(), "column time")


def _blank(column: pd.Series | None) -> np.ndarray:
    """Which cells say that nothing is there."""
    if column is None or column.dtype.kind in "iuf":
        return np.zeros(0 if column is None else len(column), bool)
    return texts(column).isna().to_numpy()
