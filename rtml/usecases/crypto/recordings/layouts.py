"""Archives known by the look of their rows: files without a header, and messages with names of one letter."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from rtml.core.later import pd
from rtml.sources.tables import Unreadable

_SHAPES: dict[str, Callable[[str], object]] = {
    "i": re.compile(r"\d{1,19}").fullmatch,
    "n": re.compile(r"[-+]?\d+\.?\d*(e[-+]?\d+)?|[-+]?\.\d+", re.IGNORECASE).fullmatch,
    "t": re.compile(r"(9[4-9]\d{7}|[12]\d{9})(\d{3}|\d{6}|\d{9})?(\.\d+)?").fullmatch,  # since 1970, from 2000 on
    "b": re.compile(r"true|false|0|1", re.IGNORECASE).fullmatch,
    "s": re.compile(r"b|s|buy|sell", re.IGNORECASE).fullmatch,
    "m": re.compile(r"m|l|market|limit", re.IGNORECASE).fullmatch,
    "c": re.compile(r"\d{4,5}(\.\d+)?").fullmatch,  # seconds of the day
    "k": re.compile(r"[1-7]").fullmatch,  # kind of message
    "d": re.compile(r"-?1").fullmatch,
    "*": re.compile(r".*").fullmatch,
}


@dataclass(frozen=True)
class Layout:
    """A known archive: what each field looks like, and the name under which it is read (empty: it is left out)."""

    name: str
    fields: str
    columns: tuple[str, ...]

    def fits(self, rows: list[list[str]]) -> bool:
        """Whether all rows look like it."""
        look = [_SHAPES[letter] for letter in self.fields]
        return all(len(row) == len(look) and all(f(c) for f, c in zip(look, row, strict=True)) for row in rows)


_TRADE = ("id", "price", "qty", "", "time", "is_buyer_maker")
_AGGREGATE = ("id", "price", "qty", "", "", "time", "is_buyer_maker")
_KLINE = ("open_time", "open", "high", "low", "close", "volume")

#: More fields go before fewer; where two fit, the first one.
LAYOUTS = (
    Layout("Binance klines", "tnnnnntninn*", (*_KLINE, "", "", "", "", "", "")),
    Layout("Binance spot aggTrades", "inniitbb", (*_AGGREGATE, "")),
    Layout("Binance futures aggTrades", "inniitb", _AGGREGATE),
    Layout("Binance spot trades", "innntbb", (*_TRADE, "")),
    Layout("Binance futures trades", "innntb", _TRADE),
    Layout("Kraken candles with vwap", "tnnnnnni", ("time", "open", "high", "low", "close", "", "volume", "")),
    Layout("Kraken candles", "tnnnnni", ("time", "open", "high", "low", "close", "volume", "")),
    Layout("Kraken trades with sides", "nntsm*", ("price", "volume", "time", "side", "", "")),
    Layout("Kraken trades with sides", "nntsm*i", ("price", "volume", "time", "side", "", "", "id")),
    Layout("candles", "tnnnnn", ("time", "open", "high", "low", "close", "volume")),
    Layout("Kraken trades", "tnn", ("time", "price", "volume")),
    Layout("LOBSTER messages", "ckinnd", ("time", "kind", "", "size", "price", "direction")),
)

#: Messages of exchanges whose keys are single letters: the keys that tell one, and its columns.
MESSAGES = {
    ("p", "q", "T", "m"): {"p": "price", "q": "qty", "T": "time", "m": "is_buyer_maker", "s": "symbol"},
    ("b", "B", "a", "A"): {"b": "bid", "a": "ask", "T": "time", "E": "event_time", "s": "symbol"},
}


def laid_out(path: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Columns of a table without a header under their names, and what it was recognised as."""
    sample = frame.head(200)
    rows = [["" if pd.isna(cell) else str(cell).strip() for cell in row] for row in sample.itertuples(index=False)]
    layout = next((layout for layout in LAYOUTS if layout.fits(rows)), None)
    if layout is None:
        raise Unreadable(
            f"{path.name} looks as if it had no header: its first row is {', '.join(rows[0])!r}, and no archive is "
            "known that looks so; name its columns by position, "
            'COLUMNS={"time": 0, "price": 1} or COLUMNS=["time", "price", "", "side"]'
        )
    named = [(name, frame.iloc[:, k]) for k, name in enumerate(layout.columns) if name]
    frame = pd.DataFrame(dict(named))
    return _executions(frame) if layout.name.startswith("LOBSTER") else frame, layout.name


def _executions(frame: pd.DataFrame) -> pd.DataFrame:
    """Trades of LOBSTER's messages: prices in 1/10,000 dollar, and the direction is that of the order that waited."""
    trades = frame[frame["kind"].isin(["4", "5"])].reset_index(drop=True)
    side = trades["direction"].map({"1": "sell", "-1": "buy"})
    price = pd.to_numeric(trades["price"], errors="coerce") / 10_000
    return trades[["time", "size"]].assign(price=price, side=side)


def messages(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of an exchange's messages under names that tell what they are; any other table as it is.

    Examples
    --------
    >>> list(messages(pd.DataFrame([{"e": "trade", "T": 1, "t": 7, "p": "5", "q": "1", "m": True}])))
    ['e', 'time', 'trade_id', 'price', 'qty', 'is_buyer_maker']
    """
    has = set(frame.columns)
    for keys, names in MESSAGES.items():
        if has.issuperset(keys):
            ids = {"t": "trade_id"} if "t" in has else {"a": "trade_id"} if "a" in has else {}
            return frame.rename(columns=names if "ask" in names.values() else names | ids)
    return frame
