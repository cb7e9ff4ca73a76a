"""What the columns and files of recordings are called: well-known names, and the symbol that a file's name tells."""

from __future__ import annotations

import re
from collections.abc import Iterable

from rtml.sources.table import squeezed

#: Names under which a column is found without being told, in order of preference; case and punctuation do not matter.
NAMES = {
    "time": (
        *("ts", "time", "timestamp", "datetime", "date_time", "date", "event_time", "trade_time", "transact_time"),
        *("exchange_time", "open_time", "unix", "unix_time", "unix_timestamp", "epoch"),
        *("create_time_ms", "create_time"),
        *("created_time", "created_at", "transaction_time", "participant_timestamp", "sip_timestamp"),
        *("snapped_at", "mts", "window_start", "start_time", "period_start", "begins_at"),
        *("trade_date", "day", "recv_ts"),
    ),
    "price": ("price", "px", "last", "trade_price", "last_price", "exec_price", "price_usd"),
    "size": (
        *("size", "base_size", "amount", "qty", "quantity", "volume", "vol", "base_volume", "trade_size", "last_size"),
        *("exec_qty", "tick_volume", "tickvol"),
    ),
    "side": ("side", "taker_side", "aggressor_side", "trade_side", "direction", "buy_sell", "ask_bid", "type"),
    "maker": ("is_buyer_maker", "buyer_maker", "buyer_is_maker", "was_buyer_maker", "is_buyer_the_maker"),
    "taker_buy": ("is_buyer_taker", "is_taker_buy", "is_buy", "is_buyer_aggressor"),
    "id": ("id", "trade_id", "tid", "agg_trade_id", "aggregate_trade_id", "trd_match_id", "exec_id"),
    "bid": ("bid", "bid_price", "best_bid", "bid_px", "bid_px_00"),
    "ask": ("ask", "ask_price", "best_ask", "ask_px", "ask_px_00"),
    "symbol": (
        *("symbol", "pair", "market", "instrument", "ticker", "product_id", "instrument_name", "currency_pair"),
        *("sym", "sym_root", "asset", "coin", "stock", "name", "isin", "inst_id"),
    ),
    "close": ("close", "close_price", "close_last", "adj_close"),
    "quote_volume": ("minute_quote_volume",),
    "date": ("date", "day", "trade_date", "trading_day"),
}
MONEY = ("usd", "usdt", "usdc", "busd", "eur", "gbp", "jpy", "chf", "krw", "try")  # what a volume in money is in
_QUOTED_IN = ("usdt", "usdc", "busd", "usd", "eur", "gbp", "btc", "eth", "jpy", "chf")
_CLOCK_WORDS = re.compile(r"^(utc|gmt|local)(?=.)|(?<=.)(utc|gmt|millis|ms|us|ns)$")
_DATE = re.compile(r"(?<!\d)(20\d\d)[-_.]?(0[1-9]|1[0-2])(?:[-_.]?(0[1-9]|[12]\d|3[01]))?(?!\d)")


_KNOWN = {ours: tuple(map(squeezed, names)) for ours, names in NAMES.items()}


def known(name: object) -> bool:
    """Whether a name is one that a column is found by.

    Examples
    --------
    >>> known("Price"), known("colour")
    (True, False)
    """
    return any(_clockless(name, ours) in names for ours, names in _KNOWN.items())


def _clockless(name: object, ours: str) -> str:
    """A name squeezed; of a time without its unit and zone, such as ``Gmt time`` or ``timestamp_ms``."""
    word = squeezed(name)
    return _CLOCK_WORDS.sub("", word) if ours == "time" and word not in _KNOWN["time"] else word


def found(columns: Iterable[str], ours: str) -> list[str]:
    """Columns that are known as one of ours, the preferred first.

    Examples
    --------
    >>> found(["Gmt time", "Close ", "recv_ts"], "time")
    ['Gmt time', 'recv_ts']
    """
    order = {name: k for k, name in reversed(list(enumerate(_KNOWN[ours])))}
    those = [(order[word], name) for name in columns if (word := _clockless(name, ours)) in order]
    return [name for _, name in sorted(those, key=lambda one: one[0])]


def symbol_of(name: str) -> str:
    """Symbol that a file's name tells, or the name itself without its date.

    Examples
    --------
    >>> symbol_of("huobi_ethusdt_push_2018-04-16.parquet"), symbol_of("ETH-USD.csv"), symbol_of("trades.csv")
    ('ETH-USDT', 'ETH-USD', 'TRADES')
    >>> symbol_of("ETHUSDT-aggTrades-2025-01-01.zip"), symbol_of("AAPL_2012-06-21_message_10.csv")
    ('ETH-USDT', 'AAPL')
    """
    stem = name.split(".")[0] or name
    for word in re.split(r"[_\s]+", stem.lower()):
        parts = word.split("-")
        for text in (word, *("-".join(parts[k : k + 2]) for k in range(len(parts) - 1)), *parts):
            for quoted in _QUOTED_IN:
                base = text.removesuffix(quoted).rstrip("-/")
                if text.endswith(quoted) and 2 <= len(base) <= 6 and base.isalnum():
                    return f"{base}-{quoted}".upper()
    return next((text for part in _DATE.split(stem)[::4] if (text := part.strip("-_ "))), stem).upper()


def date_of(name: str) -> str:
    """The day that a file's name tells, empty where it tells none or several.

    Examples
    --------
    >>> date_of("AAPL_2012-06-21_message_10.csv"), date_of("AAPL.csv")
    ('2012-06-21', '')
    """
    days = {f"{y}-{m}-{d}" for y, m, d in _DATE.findall(name) if d}
    return days.pop() if len(days) == 1 else ""
