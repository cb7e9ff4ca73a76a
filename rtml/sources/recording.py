"""One recorded file as raw rows: trades, best bid and ask, prices alone, candles, or running candle pushes."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import NEVER
from rtml.sources import recorder_log as messages
from rtml.sources.columns import nanoseconds
from rtml.sources.protocol import RAW

#: Names under which a column is found without being told, in order of preference.
NAMES = {
    "time": ("ts", "time", "timestamp", "datetime", "date", "event_time", "recv_ts"),
    "price": ("price", "px", "last"),
    "size": ("size", "base_size", "amount", "qty", "quantity", "volume"),
    "side": ("side", "taker_side"),
    "id": ("id", "trade_id", "tid"),
    "bid": ("bid", "bid_price", "best_bid"),
    "ask": ("ask", "ask_price", "best_ask"),
    "symbol": ("symbol", "pair", "market", "instrument"),
    "close": ("close",),
    "quote_volume": ("minute_quote_volume",),
}
_QUOTED_IN = ("usdt", "usdc", "busd", "usd", "eur", "gbp", "btc", "eth")
_SCALES = ((1e11, 10**9), (1e14, 10**6), (1e17, 10**3), (np.inf, 1))  # s, ms, us, ns by magnitude
_MINUTE = 60 * 10**9


@dataclass(frozen=True)
class Recording:
    """A file's table and what its columns mean."""

    path: Path
    table: pd.DataFrame
    names: dict[str, str]  # ours to the file's

    @classmethod
    def open(cls, path: Path, columns: dict[str, str]) -> Recording:
        """Read a file and find its columns; ``columns`` (ours to the file's) goes before well-known names."""
        table = _read(path)
        lower = {name.lower(): name for name in map(str, table.columns)}
        names = {}
        for ours, known in NAMES.items():
            wanted = (columns[ours].lower(),) if ours in columns else known
            found = [lower[name] for name in wanted if name in lower]
            names.update({ours: found[0]} if found else {})
        recording = cls(path, table, names)
        if "time" not in names or recording.shape == "unknown":
            raise ValueError(
                f"{path.name} has no columns that make a market: a time and a price, a bid and ask, or a close are "
                f"needed, found {', '.join(table.columns)}: name them, such as "
                'COLUMNS={"time": "<column>", "price": "<column>"}'
            )
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

    @property
    def symbol(self) -> str:
        """Symbol guessed from the file's name, such as ETH-USDT of ``huobi_ethusdt_push``."""
        return symbol_of(self.path.name)

    def rows(self, time: str, mids: bool) -> pd.DataFrame:
        """Raw rows in the file's order; ``time`` is the file's column, ``mids`` adds a price where the middle moves."""
        moments, exact = _moments(self.table[time])
        make = {"pushes": self._pushes, "trades": self._trades, "candles": self._candles, "quotes": self._quotes}
        parts = make[self.shape](exact, mids)
        rows = pd.concat([part.assign(row=part.index) for part in parts]).sort_values("row", kind="stable")
        if "time" not in rows:
            rows["time"], exact = moments[rows["row"]], exact[rows["row"]]
        else:
            exact = rows["time"].to_numpy()
        rows["known"] = np.maximum.accumulate(np.maximum(exact, 0))
        rows["symbol"] = self._column("symbol")[rows["row"]] if "symbol" in self.names else None
        return rows.reindex(columns=[*RAW, "known"]).reset_index(drop=True)

    def _column(self, ours: str) -> np.ndarray:
        return self.table[self.names[ours]].to_numpy()

    def _numbers(self, ours: str) -> pd.Series:
        return pd.to_numeric(self.table[self.names[ours]], errors="coerce").astype(float)

    def _trades(self, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
        """Trades, and quotes where a row has them; a row may be one of the two or both."""
        given = {ours: self.table[self.names[ours]] for ours in ("price", "size", "side") if ours in self.names}
        trades = pd.DataFrame({"kind": "trade", "size": 0.0, "side": None} | given, index=self.table.index)
        if "id" in self.names:
            trades["id"] = _whole(self.table[self.names["id"]])
        if not {"bid", "ask"} <= self.names.keys():
            return [trades]
        (quotes,) = self._quotes(exact, False)
        quoted = quotes[["bid", "ask"]].notna().any(axis=1)
        return [quotes[quoted], trades[trades["price"].notna() | ~quoted]]

    def _quotes(self, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
        bid, ask = self.table[self.names["bid"]], self.table[self.names["ask"]]
        quotes = pd.DataFrame({"kind": "quote", "bid": bid, "ask": ask})
        middle = (self._numbers("bid") + self._numbers("ask")) / 2
        moved = middle[(middle != middle.shift()) & middle.notna()]
        return [quotes, pd.DataFrame({"kind": "trade", "price": moved, "size": 0.0})] if mids else [quotes]

    def _candles(self, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
        """A candle is known when it ends: one price at its last nanosecond, or only a tick when nobody traded."""
        apart = np.diff(np.sort(exact[exact > 0]))
        length = int(pd.Series(apart[apart > 0]).mode().iloc[0]) if (apart > 0).any() else _MINUTE
        size = self._numbers("size") if "size" in self.names else pd.Series(0.0, index=self.table.index)
        kind = np.where((size > 0) | ("size" not in self.names), "trade", "tick")
        end = np.where(exact > 0, exact + length - 1, exact)
        close = self.table[self.names["close"]]
        return [pd.DataFrame({"kind": kind, "time": end, "price": close, "size": size.fillna(0.0)})]

    def _pushes(self, exact: np.ndarray, mids: bool) -> list[pd.DataFrame]:
        """Volume traded since the last push, in base currency; a push without any is a tick of the market's clock."""
        price, total = self._numbers("price"), self._numbers("quote_volume")
        traded = since_last(exact, total.to_numpy())
        kind = np.where(traded > 0, "trade", "tick")
        kind[0] = "trade"
        return [pd.DataFrame({"kind": kind, "price": self.table[self.names["price"]], "size": traded / price})]


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


def symbol_of(name: str) -> str:
    """Symbol that a file's name tells, or the name itself.

    Examples
    --------
    >>> symbol_of("huobi_ethusdt_push_2018-04-16.parquet"), symbol_of("ETH-USD.csv"), symbol_of("trades.csv")
    ('ETH-USDT', 'ETH-USD', 'TRADES')
    """
    stem = name.split(".")[0]
    for word in re.split(r"[_\s]+", stem.lower()):
        for quoted in _QUOTED_IN:
            base = word.removesuffix(quoted).rstrip("-/")
            if word.endswith(quoted) and 2 <= len(base) <= 6 and base.isalnum():
                return f"{base}-{quoted}".upper()
    return stem.upper()


def _read(path: Path) -> pd.DataFrame:
    readers = {".parquet": pd.read_parquet, ".csv": lambda p: pd.read_csv(p, low_memory=False), ".log": messages.read}
    kind = Path(path.name.removesuffix(".gz")).suffix.lower()
    if kind not in readers:
        raise ValueError(
            f"{path.name} is neither Parquet nor CSV nor a message log: "
            "its name must end in .parquet, .csv or .log, or with .gz behind"
        )
    try:
        table = readers[kind](path)
    except (ValueError, OSError) as broken:
        raise ValueError(f"{path.name} cannot be read as {kind[1:]}: {broken}") from broken
    if table.empty:
        raise ValueError(f"{path.name} has no rows, only the columns {', '.join(map(str, table.columns))}")
    return table.reset_index(drop=True)


def _moments(column: pd.Series) -> tuple[np.ndarray, np.ndarray]:
    """Times as the schema wants them, the unreadable ones as they are, and the same in ns (not positive: unreadable).

    A date without a zone is taken as UTC, a number as s, ms, us or ns since 1970 by its magnitude.
    """
    numbers = pd.to_numeric(column, errors="coerce") if column.dtype.kind not in "M" else None
    if numbers is not None and numbers.notna().any():
        exact = _epoch(numbers)
    else:
        exact = nanoseconds(pd.to_datetime(column, utc=True, errors="coerce", format="ISO8601"))
    if (exact > 0).all():
        return exact, exact
    moments = column.astype(object).to_numpy().copy()
    moments[exact > 0] = exact[exact > 0]
    return moments, exact


def _epoch(numbers: pd.Series) -> np.ndarray:
    """Nanoseconds of numbers since 1970; 0 for what is none or does not fit."""
    scale = next(scale for limit, scale in _SCALES if numbers.abs().median() < limit)
    fits = (numbers.abs() < NEVER / scale).to_numpy(bool, na_value=False)
    if numbers.dtype.kind in "iu":
        return np.where(fits, numbers, 0).astype(np.int64) * scale
    fine = np.where(fits, numbers.to_numpy(float, na_value=0.0), 0.0)
    part = np.round((fine - np.floor(fine)) * scale / 1000).astype(np.int64) * 1000  # a float is good to a microsecond
    return np.floor(fine).astype(np.int64) * scale + part


def _whole(column: pd.Series) -> pd.Series | None:
    """Integer ids, missing where they are missing; None when any is something else."""
    if column.dtype.kind == "i" or (column.dtype.kind == "f" and (column.dropna() % 1 == 0).all()):
        return column.astype("Int64")
    text = column.dropna().astype(str)
    return text.astype("int64").astype("Int64") if text.str.fullmatch(r"[0-9]{1,18}").all() else None
