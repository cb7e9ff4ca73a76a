"""Whatever a row holds, in a file, on an exchange's door or in a batch, nothing raises: it is taken, or put aside."""

import datetime as dt

import numpy as np
import pandas as pd
import pytest

from rtml.sources.columns import LATEST
from rtml.sources.moments import UNREADABLE, read_moments
from rtml.sources.tables import Unreadable
from rtml.usecases.crypto.exchange.dialects import DIALECTS
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.recordings.time_of_day import read_clock
from rtml.usecases.crypto.schema import TRADES, frame, judged
from rtml.usecases.fraud.schema import PAYMENTS

ODD = ["9999-12-31", "9999-12-31T23:59:59Z", "0001-01-01", "inf", "-inf", "nan", "1e400", "1e308", "٣", "", " ", "\x00"]
ODD += [str(2**63), str(2**63 - 1), str(-(2**63)), str(2**64), 2**63, 2**63 - 1, 2**64, -(2**63), -(2**70), 10**400]
ODD += [float("inf"), float("-inf"), float("nan"), 1e300, None, True, b"x", {}, [], pd.NaT]
ODD += [dt.datetime(9999, 12, 31), dt.date(9999, 12, 31), pd.Timestamp.max, np.datetime64("9999-12-31")]
ODD += [np.uint64(2**64 - 1), np.float32("inf")]
AT = 1_700_000_000 * 10**9
TRADE = {"symbol": "E", "kind": "trade", "time": AT, "price": 1.5, "size": 1.0, "side": "buy", "id": 5}
PAID = {"kind": "payment", "time": AT, "id": 5, "card": 1, "terminal": 2, "amount": 10.0, "fraud": 0}
KRAKEN = {"symbol": "E", "trade_id": 5, "timestamp": "2025-01-01T00:00:00.1Z", "price": 1, "qty": 1, "side": "buy"}
COINBASE = {"type": "match", "product_id": "E", "trade_id": 5, "time": "2025-01-01T00:00:00.1Z", "price": "1"}
COINBASE |= {"size": "1", "side": "buy"}
BINANCE = {"e": "aggTrade", "s": "E", "a": 5, "T": 1735689600000, "p": "1", "q": "1", "m": True}
MESSAGES = {"kraken": KRAKEN, "coinbase": COINBASE, "binance": BINANCE}


@pytest.mark.parametrize(("schema", "row"), [(TRADES, TRADE), (PAYMENTS, PAID)], ids=["trades", "payments"])
def test_a_schema_takes_a_row_or_says_why_not(schema, row):
    for column in row:
        table = pd.DataFrame([row, *(row | {column: value} for value in ODD)], dtype=object)
        accepted, rejected = schema.accept(table, ("E",))
        assert len(accepted) + len(rejected) == len(table) and rejected["reason"].str.len().gt(0).all()
        assert ((accepted["time"] > 0) & (accepted["time"] < LATEST)).all() and 0 not in rejected.index


@pytest.mark.parametrize("column", TRADE)
def test_rows_of_an_exchange_are_judged_one_by_one(column):
    for value in ODD:
        rows = [tuple((TRADE | {column: value}).get(name) for name in (*TRADE, "bid", "ask"))]
        accepted, rejected = judged(rows, ("E",))
        assert len(accepted) + (0 if rejected is None else len(rejected)) == 1, (column, value)


@pytest.mark.parametrize("name", MESSAGES)
def test_a_message_of_an_exchange_gives_rows_that_fit_or_none(name):
    dialect, whole = DIALECTS[name], MESSAGES[name]
    for field in whole:
        for value in ODD:
            message = whole | {field: value}
            filler = GapFiller({"E": "E"})
            filler.take("begin", {"from": 0, "E": [4, 5]}), filler.take("level", "E")
            rows = filler.take(
                "ws", dialect.hear({"channel": "trade", "data": [message]} if name == "kraken" else message)
            )
            frame(rows)
            accepted, _ = judged(rows, ("E",))
            assert len(accepted) == len(rows) and (filler.threads["E"].missing or 0) < 2**62
    heartbeat = dialect.hear({"type": "heartbeat", "product_id": "E", "last_trade_id": 2**63})
    assert heartbeat.newest is None or heartbeat.newest[1] < 2**62


def test_times_of_a_file_are_read_or_unreadable():
    for value in ODD:
        for others in ("2025-01-01T00:00:00Z", "1735689600"):
            try:
                read = read_moments(pd.Series([value, *[others] * 3], dtype=object), AT + 10**17, "time of x.csv")
                assert (read[1:] == 1_735_689_600 * 10**9).all() and (read[0] == UNREADABLE or read[0] > 0)
                read_clock(pd.Series([value, *["09:30:00"] * 3], dtype=object), "x")
            except Unreadable as ex:
                assert "x" in str(ex)
