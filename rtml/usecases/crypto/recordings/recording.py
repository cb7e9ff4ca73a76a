"""One recorded file as raw rows: trades, best bid and ask, prices alone, candles, or running candle pushes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock, moment
from rtml.core.later import pd
from rtml.sources.columns import UNREADABLE
from rtml.sources.decimals import has_decimal_comma, read_decimals
from rtml.sources.moments import DAY, exact_numbers, plain_integers, read_moments, texts
from rtml.sources.table import squeezed
from rtml.sources.tables import Unreadable, read
from rtml.usecases.crypto.recordings import layouts, recorder_log
from rtml.usecases.crypto.recordings.meaning import (
    by_position,
    check_one_market,
    columns_of,
    excel_days,
    of_a_day,
    position,
)
from rtml.usecases.crypto.recordings.names import NAMES, date_of, known, symbol_of
from rtml.usecases.crypto.recordings.order import arrival
from rtml.usecases.crypto.recordings.sides import read_flags, read_sides, signed
from rtml.usecases.crypto.recordings.time_of_day import read_clock
from rtml.usecases.crypto.schema import RAW

__all__ = ["NAMES", "Recording", "symbol_of"]

_MINUTE = 60 * 10**9

#: Why a row that its reader could not place goes to the quarantine.
NO_MOMENT = "time is no moment from 2000 to a year ahead"
AHEAD = "time is ahead of the rows around it, and no several rows confirm the jump"
OLDER = "candle is there twice: the copy given later counts"
FAULTS = ("", NO_MOMENT, AHEAD, OLDER)
_KINDS = ("trade", "quote", "gap", "tick")
_INTEGERS = 0.95  # of ids, for the others to be mistakes
_NUMBERS = ("price", "size", "close", "bid", "ask")


@dataclass(frozen=True)
class Recording:
    """A file's table and what its columns mean.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     count = Path(folder, "a.csv").write_text("timestamp,price 1700000000,5 ".replace(" ", chr(10)))
    ...     print(Recording.open(Path(folder, "a.csv"), {}).names)
    {'time': 'timestamp', 'price': 'price'}
    """

    path: Path
    table: pd.DataFrame
    names: dict[str, str]  # ours to the file's
    now: int  # ns; a time more than a year after it is none
    ragged: tuple[tuple[str, str], ...] = ()
    ticker: str = ""
    notes: tuple[str, ...] = ()
    day: str = ""  # of times of day, where no column holds it

    @classmethod
    def open(cls, path: Path, columns: dict | list, clock: Clock | None = None) -> Recording:
        """Read a file and find its columns; ``columns`` (ours to the file's) goes before well-known names.

        ``columns`` gives a name or a position; an empty name leaves a column out. A list names the columns of a file
        without a header by position.
        """
        held = read(path, known, recorder_log.read)
        frame, notes = held.frame, ()
        if isinstance(columns, list):
            frame, columns = by_position(path, held, columns), {}
        elif held.headless and not any(position(name, frame) for name in columns.values()):
            frame, layout = layouts.laid_out(path, frame)
            notes = (f"{path.name}: no header, read as {layout}",)
        frame = layouts.messages(frame)
        names = columns_of(frame, columns)
        day = str(columns.get("date", "")) if columns.get("date") not in frame.columns else ""
        now = (clock or Clock()).now()
        recording = cls(path, frame, names, now, tuple(held.ragged), held.ticker, notes, day)
        if "time" not in names or recording.shape == "unknown":
            raise Unreadable(
                f"{path.name} has no columns that make a market: a time and a price, a bid and ask, or a close are "
                f"needed, found {', '.join(frame.columns)}: name them, such as "
                'COLUMNS={"time": "<column>", "price": "<column>"}'
            )
        check_one_market(path, frame, names, columns)
        return recording

    @property
    def shape(self) -> str:
        """What the file holds: pushes, trades, candles, quotes, or unknown."""
        has = self.names.keys()
        if {"price", "quote_volume"} <= has:
            return "pushes"
        if "price" in has:
            return "trades"
        return "candles" if "close" in has else "quotes" if {"bid", "ask"} <= has else "unknown"

    @cached_property
    def symbol(self) -> str:
        """Symbol guessed from the file's name, such as ETH-USDT of ``huobi_ethusdt_push``; else its second header."""
        name = symbol_of(self.path.name)
        return name if "-" in name or not self.ticker else self.ticker

    def symbols(self) -> list[str]:
        """Symbols that the file names itself, in order of their first row."""
        return list(dict.fromkeys(texts(self._column("symbol")).dropna())) if "symbol" in self.names else []

    def rows(self, time: str, mids: bool) -> tuple[pd.DataFrame, str]:
        """Raw rows in order of arrival, and what is to be said of that order.

        ``time`` is the file's column, ``mids`` adds a price where the middle moves. Two columns stand beside the raw
        ones: ``known``, the time that never goes back, and ``fault``, why a row goes to the quarantine, else empty.
        """
        file, exact, faults, note = self._ordered(time)
        make = {"pushes": _pushes, "trades": _trades, "candles": _candles, "quotes": _quotes}
        parts = [part.assign(row=part.index) for part in make[self.shape](file, exact, mids)]
        rows = parts[0] if len(parts) == 1 else pd.concat(parts).sort_values("row", kind="stable")
        place = rows["row"].to_numpy()
        at = rows["time"].to_numpy() if "time" in rows else exact[place]
        bad = np.flatnonzero(at <= 0)
        rows["fault"] = pd.Categorical.from_codes(faults[place], FAULTS)
        rows["known"] = np.maximum.accumulate(np.maximum(at, 0))
        rows["time"] = at
        if len(bad):
            rows["time"] = at.astype(object)
            rows.iloc[bad, rows.columns.get_loc("time")] = texts(file.table[time].iloc[place[bad]]).to_numpy(object)
        if "symbol" in self.names:
            rows["symbol"] = texts(file.table[self.names["symbol"]]).to_numpy(object)[place]
        rows = rows.reindex(columns=[*RAW, "fault", "known"])
        torn = self._torn(rows)
        return (pd.concat([rows, *torn]) if torn else rows).reset_index(drop=True), note

    def _ordered(self, time: str) -> tuple[Recording, np.ndarray, np.ndarray, str]:
        """This file in order of arrival, its moments, places among FAULTS, and what is to be said of the order."""
        exact = self.moments(time)
        order, ahead, note = arrival(exact)
        table = self.table
        if note:
            self.side()  # an error names the row of the file
            table, exact = table.iloc[order].reset_index(drop=True), exact[order]
        faults = np.zeros(len(table), np.int8)
        unread = np.flatnonzero(exact <= 0)
        faults[unread] = texts(table[time].iloc[unread]).notna() * FAULTS.index(NO_MOMENT)
        faults[ahead] = FAULTS.index(AHEAD)
        return replace(self, table=table), np.where(ahead, UNREADABLE, exact), faults, note

    def _torn(self, rows: pd.DataFrame) -> list[pd.DataFrame]:
        """Rows with another number of fields, at the end: as they were written, with the reason."""
        if not self.ragged:
            return []
        reasons, lines = zip(*self.ragged, strict=True)
        return [pd.DataFrame({"time": lines, "fault": reasons, "known": rows["known"].iloc[-1]}, dtype=object)]

    def moments(self, time: str) -> np.ndarray:
        """Moments of a time column, ns, ``UNREADABLE`` where there is none; a time of day gets its date."""
        column, where = self.table[time], self.where(time)
        dated = self.names.get("date")
        day = self.day or date_of(self.path.name)
        if dated in (None, time) and not (day and of_a_day(column) and not excel_days(column, day)):
            return read_moments(column, self.now, where)
        clock = read_clock(column, where)
        if clock is None:
            return read_moments(column, self.now, where)
        if dated not in (None, time):
            start = read_moments(self.table[dated], self.now, self.where(dated))
        else:
            start = np.full(len(clock), _midnight(day, where))
            _check_one_day(clock, where)
        return np.where((clock >= 0) & (start > 0), start // DAY * DAY + clock, UNREADABLE)

    def where(self, column: str) -> str:
        """A column and its file, for sentences."""
        return f"column {column!r} of {self.path.name}"

    def _column(self, ours: str) -> pd.Series:
        return self.table[self.names[ours]]

    def numbers(self, ours: str) -> pd.Series:
        """A column as floats, NaN where it holds none."""
        return pd.to_numeric(self.cells(ours), errors="coerce").astype(float)

    def cells(self, ours: str) -> pd.Series:
        """A column as floats where all of it is; else what is no number stays as it was written."""
        return read_decimals(self._column(ours), self.where(self.names[ours]), self._comma)

    @cached_property
    def _comma(self) -> bool:
        """Whether any number of the file can only be read with a decimal comma."""
        return any(has_decimal_comma(self._column(ours)) for ours in _NUMBERS if ours in self.names)

    def side(self) -> np.ndarray | pd.Categorical | None:
        """buy, sell or None of every row; None where the file does not say it."""
        for ours, true in (("maker", "sell"), ("taker_buy", "buy")):
            if ours in self.names:
                return read_flags(self._column(ours), self.where(self.names[ours]), true)
        if "side" not in self.names:
            return None
        try:
            return read_sides(self._column("side"), self.where(self.names["side"]))
        except Unreadable:
            if squeezed(self.names["side"]) == "type":  # of the order: market, limit
                return None
            raise

    def ids(self) -> pd.Series:
        """Ids as exact integers, or as texts where most are none; missing where there is none that can be trusted."""
        column = self._column("id")
        if column.dtype.kind == "i":
            return column.astype("Int64")
        if len(column) and (whole := plain_integers(column)) is not None:
            return pd.Series(whole, index=column.index, dtype="Int64")
        if column.dtype.kind == "f" and (column.abs() >= 2**53).any():  # neighbours share one
            return pd.Series(None, index=column.index, dtype=object)
        text = texts(column).str.replace(r"\.0$", "", regex=True)
        whole, number = exact_numbers(column, text)
        exact = np.isfinite(number) & text.str.fullmatch(r"[-+]?(0|[1-9]\d{0,18})", na=False).to_numpy(bool)
        if (damaged := text.str.fullmatch(r"\d\.\d+[eE]\+\d+", na=False)).sum() > 0.5 * len(text):
            text, exact = text.mask(damaged), exact & ~damaged.to_numpy(bool)  # a spreadsheet has lost their digits
        if (exact | text.isna()).all():
            return pd.Series(whole, index=column.index, dtype="Int64").where(exact)
        ids = text.astype(object).where(text.notna(), None)
        if exact.sum() >= _INTEGERS * text.notna().sum():
            ids[exact] = whole[exact]
        return ids


def _midnight(day: str, where: str) -> int:
    try:
        return moment(f"{day[:10]}T00:00:00+00:00")
    except ValueError as wrong:
        raise Unreadable(
            f'{where}: COLUMNS says "date": {day!r}, which is neither a column nor a day such as 2025-01-31'
        ) from wrong


def _check_one_day(clock: np.ndarray, where: str) -> None:
    seen = np.flatnonzero(clock >= 0)
    back = np.flatnonzero(np.diff(clock[seen]) < -DAY // 2)
    if len(back):
        row = int(seen[back[0] + 1]) + 1
        raise Unreadable(f"{where} goes back by more than half a day in row {row}: several days need a column of dates")


# -- shapes ----------------------------------------------------------------------------------------------------------


def _trades(file: Recording, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
    """Trades, and quotes where a row has them; a row may be one of the two or both."""
    has, index = file.names.keys(), file.table.index
    side, size = file.side(), file.cells("size") if "size" in has else pd.Series(0.0, index=index)
    amount = pd.to_numeric(size, errors="coerce").to_numpy(float)
    if signed(amount, side):
        if side is None:
            side = np.where(amount > 0, "buy", np.where(amount < 0, "sell", None))
        size = pd.Series(np.abs(amount), index=index)
    elif (amount < 0).sum() > 0.5 * len(amount):
        row = int(np.flatnonzero(amount < 0)[0])
        raise Unreadable(
            f"{file.where(file.names['size'])} holds {amount[row]:g} in row {row + 1}: nearly all sizes are negative, "
            "so that their sign is no side; write them positive, with a column of sides"
        )
    kind = pd.Categorical.from_codes(np.zeros(len(index), np.int8), _KINDS)
    trades = pd.DataFrame({"kind": kind, "price": file.cells("price"), "size": size, "side": side}, index=index)
    if "id" in has:
        trades["id"] = file.ids()
    if not {"bid", "ask"} <= has:
        return [trades]
    (quotes,) = _quotes(file, exact, False)
    quoted = quotes[["bid", "ask"]].notna().any(axis=1)
    return [quotes[quoted], trades[trades["price"].notna() | ~quoted]]


def _quotes(file: Recording, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
    quotes = pd.DataFrame({"kind": "quote", "bid": file.cells("bid"), "ask": file.cells("ask")})
    middle = (file.numbers("bid") + file.numbers("ask")) / 2
    moved = middle[(middle != middle.shift()) & middle.notna() & (exact > 0)]
    return [quotes, pd.DataFrame({"kind": "trade", "price": moved, "size": 0.0})] if mids else [quotes]


def _candles(file: Recording, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
    """A candle is known when it ends: one price at its last nanosecond, or only a tick when nobody traded."""
    length = candle_length(exact)
    cells = file.cells("size") if "size" in file.names else pd.Series(0.0, index=file.table.index)
    size = pd.to_numeric(cells, errors="coerce").astype(float)
    kind = np.where((size > 0) | ~(size > 0).any() | (cells.notna() & size.isna()), "trade", "tick")
    end = np.where(exact > 0, exact + length - 1, exact)
    return [
        pd.DataFrame({"kind": kind, "time": end, "price": file.cells("close"), "size": cells.where(cells.notna(), 0.0)})
    ]


def candle_length(exact: np.ndarray) -> int:
    """Time between candles that occurs most often, ns; a minute where there is none.

    Examples
    --------
    >>> candle_length(np.array([0, 60, 120, 180, 300]) * 10**9 + 1)
    60000000000
    """
    apart = np.diff(np.sort(exact[exact > 0]))
    return int(pd.Series(apart[apart > 0]).mode().iloc[0]) if (apart > 0).any() else _MINUTE


def _pushes(file: Recording, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
    """Volume traded since the last push, in base currency; a push without any is a tick of the market's clock."""
    price, total = file.numbers("price"), file.numbers("quote_volume")
    traded = since_last(exact, total.to_numpy())
    kind = np.where(traded > 0, "trade", "tick")
    kind[0] = "trade"
    with np.errstate(divide="ignore", invalid="ignore"):
        return [pd.DataFrame({"kind": kind, "price": file.cells("price"), "size": traded / price})]


def since_last(time: np.ndarray, total: np.ndarray) -> np.ndarray:
    """Volume since the last push of totals that start again each minute; 0 for the first, whose past is not known.

    A total below the last one has started again; so has one that comes a minute or more later.

    Examples
    --------
    >>> since_last(np.array([0, 20, 59, 61]) * 10**9, np.array([5.0, 7.0, 7.5, 2.0])).tolist()
    [0.0, 2.0, 0.5, 2.0]
    """
    order = np.argsort(time, kind="stable")
    seen, at = total[order], time[order]
    again = (np.diff(seen) < 0) | (np.diff(at) >= _MINUTE)
    traded = np.zeros(len(total))
    traded[order[1:]] = np.where(again, seen[1:], np.diff(seen))
    return traded
