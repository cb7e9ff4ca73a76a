"""A recorder's raw log of websocket messages as a table: trades, and best bid and ask, by the recorder's clock.

One message a line: the moment of its reception in ns, a space, and the exchange's JSON (Binance's combined stream).
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from rtml.core.later import pd


class _Data(msgspec.Struct):
    e: str = ""
    p: str | None = None
    q: str | None = None
    t: int | None = None
    m: bool | None = None
    b: str | list = ""
    a: str | list = ""


class _Message(msgspec.Struct):
    data: _Data | None = None


_COLUMNS = ["recv_ts", "price", "size", "side", "trade_id", "bid", "ask"]


def read(lines: Iterable[bytes]) -> pd.DataFrame:
    """Trades and quotes of a log in order of arrival; other messages are left out, a torn last line too.

    Examples
    --------
    >>> read([b"torn li"]).empty
    True
    """
    decode = msgspec.json.Decoder(_Message).decode
    rows = []
    for line in lines:
        received, _, text = line.partition(b" ")
        try:
            row = _row(int(received), decode(text).data)
        except (ValueError, msgspec.DecodeError):
            continue
        rows += [row] if row else []
    table = pd.DataFrame(rows, columns=_COLUMNS)
    numbers = ["price", "size", "bid", "ask"]
    return table.astype({name: "float64" for name in numbers} | {"recv_ts": "int64", "trade_id": "Int64"})


def _row(received: int, data: _Data | None) -> tuple | None:
    if data is None:
        return None
    if data.e == "trade":
        return received, data.p, data.q, "sell" if data.m else "buy", data.t, None, None
    if isinstance(data.b, str) and data.b and data.a and data.e in ("", "bookTicker"):
        return received, None, None, None, None, data.b, data.a
    return None
