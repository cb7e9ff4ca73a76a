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
    "1": re.compile(r"-?1").fullmatch,
    "D": re.compile(
        r"\d{8} \d{6}(\d{3})?|\d{4}[-./]\d\d[-./]\d\d[ T]\d\d:\d\d(:\d\d)?(\.\d+)?|\d{8} [\d:.]{8,15}"
    ).fullmatch,
    "d": re.compile(r"\d{8}|\d{1,4}([-./])\d{1,2}\1\d{1,4}").fullmatch,
    "h": re.compile(r"\d{1,2}:\d\d(:\d\d(\.\d+)?)?").fullmatch,
    "y": re.compile(r"[A-Z]{2,6}/?[A-Z]{2,6}").fullmatch,
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
        alike = all(len(row) == len(look) and all(f(c) for f, c in zip(look, row, strict=True)) for row in rows)
        possible = (_possible(dict(zip(self.columns, row, strict=True))) for row in rows)
        return alike and sum(possible) >= 0.95 * len(rows) and self._sided(rows)

    def _sided(self, rows: list[list[str]]) -> bool:
        """Whether an amount whose sign is the side has both signs."""
        place = self.columns.index("amount") if "amount" in self.columns else -1
        return place < 0 or {row[place].startswith("-") for row in rows} == {True, False}


def _possible(row: dict[str, str]) -> bool:
    """Whether the highest price of a candle is the highest, and an ask lies a little above a bid."""
    value = {name: float(row[name]) for name in _NUMBERS & row.keys()}
    if "high" in value:
        return value["low"] <= min(value["open"], value["close"]) <= max(value["open"], value["close"]) <= value["high"]
    return "bid" not in value or 0 < value["bid"] <= value["ask"] <= 1.05 * value["bid"]


_NUMBERS = {"open", "high", "low", "close", "bid", "ask"}
_TRADE = ("id", "price", "qty", "", "time", "is_buyer_maker")
_AGGREGATE = ("id", "price", "qty", "", "", "time", "is_buyer_maker")
_CANDLE = ("open", "high", "low", "close", "volume")
_KLINE = ("open_time", *_CANDLE)

#: More fields go before fewer; where two fit, the first one.
LAYOUTS = (
    Layout("Binance klines", "tnnnnntninn*", (*_KLINE, "", "", "", "", "", "")),
    Layout("Binance spot aggTrades", "inniitbb", (*_AGGREGATE, "")),
    Layout("Binance futures aggTrades", "inniitb", _AGGREGATE),
    Layout("Binance spot trades", "innntbb", (*_TRADE, "")),
    Layout("Binance futures trades", "innntb", _TRADE),
    Layout("OKX candles", "tnnnnnnnb", ("time", *_CANDLE, "", "", "")),
    Layout("Kraken candles with vwap", "tnnnnnni", ("time", "open", "high", "low", "close", "", "volume", "")),
    Layout("Kraken candles", "tnnnnni", ("time", *_CANDLE, "")),
    Layout("Bybit candles", "tnnnnnn", ("time", *_CANDLE, "")),
    Layout("KuCoin candles", "tnnnnnn", ("time", "open", "close", "high", "low", "volume", "")),
    Layout("MetaTrader candles", "dhnnnnn", ("date", "time", *_CANDLE)),
    Layout("Kraken trades with sides", "nntsm*", ("price", "volume", "time", "side", "", "")),
    Layout("Kraken trades with sides", "nntsm*i", ("price", "volume", "time", "side", "", "", "id")),
    Layout("candles", "tnnnnn", ("time", *_CANDLE)),
    Layout("candles", "Dnnnnn", ("time", *_CANDLE)),
    Layout("Coinbase candles", "tnnnnn", ("time", "low", "high", "open", "close", "volume")),
    Layout("Bitfinex candles", "tnnnnn", ("time", "open", "close", "high", "low", "volume")),
    Layout("TrueFX quotes", "yDnn", ("symbol", "time", "bid", "ask")),
    Layout("HistData quotes", "Dnnn", ("time", "bid", "ask", "")),
    Layout("Bitfinex trades", "itnn", ("id", "time", "amount", "price")),
    Layout("quotes", "tnn", ("time", "bid", "ask")),
    Layout("quotes", "Dnn", ("time", "bid", "ask")),
    Layout("Kraken trades", "tnn", ("time", "price", "volume")),
    Layout("LOBSTER messages", "ckinn1", ("time", "kind", "", "size", "price", "direction")),
)

#: Messages of exchanges whose keys are single letters: the keys that tell one, and its columns.
MESSAGES = {
    ("t", "o", "h", "l", "c", "v"): {"t": "time", "o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"},
    ("t", "x", "p", "s"): {"t": "time", "p": "price", "s": "size", "i": "id", "S": "symbol"},
    ("p", "q", "T", "m"): {"p": "price", "q": "qty", "T": "time", "m": "is_buyer_maker", "s": "symbol"},
    ("b", "B", "a", "A"): {"b": "bid", "a": "ask", "T": "time", "E": "event_time", "s": "symbol"},
}


def laid_out(path: Path, frame: pd.DataFrame) -> tuple[pd.DataFrame, str]:
    """Columns of a table without a header under their names, and what it was recognised as.

    Examples
    --------
    >>> laid_out(Path("a.csv"), pd.DataFrame([["red", "blue"]]))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    rtml.sources.table.Unreadable: a.csv looks as if it had no header: its first row...
    """
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
            return frame.rename(columns=ids | names if "is_buyer_maker" in names.values() else names)
    return frame
