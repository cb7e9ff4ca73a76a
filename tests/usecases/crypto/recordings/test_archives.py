"""Archives, downloads and exports as people have them: the same twelve trades in each, read right or refused."""

import json
from collections import Counter
from datetime import date, timedelta
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rtml.core.clock import ManualClock
from rtml.sources.tables import Unreadable
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.trades import TRADE

S, N, DAY = 10**9, 12, 86_400
T0 = 1_735_689_600  # 2025-01-01
CLOCK = ManualClock(start=(T0 + 100 * DAY) * S)
PRICES = [2000.5 + k for k in range(N)]
SIDES = [1 if k % 2 else -1 for k in range(N)]
SECONDS = [(T0 + k) * S for k in range(N)]
MINUTES = [(T0 + 60 * k + 60) * S - 1 for k in range(N)]  # of candles: known when they end
DAYS = [(T0 + DAY * k + DAY) * S - 1 for k in range(N)]


def fields(k: int, step: int = 1) -> dict:
    """What a row is made of."""
    at = T0 + step * k
    buys = bool(k % 2)
    when = pd.Timestamp(at, unit="s")
    texts = {"p": PRICES[k], "n": k + 1, "side": "buy" if buys else "sell", "Side": "Buy" if buys else "Sell"}
    texts |= {"maker": str(not buys), "sign": "" if buys else "-", "comma": str(PRICES[k]).replace(".", ",")}
    texts |= {"s": at, "ms": at * 10**3, "us": at * 10**6, "ns": at * 10**9, "iso": when.isoformat(sep=" ")}
    return texts | {"day": f"{when:%Y-%m-%d}", "ymd": f"{when:%Y%m%d}", "hms": f"{when:%H:%M:%S}", "p1": PRICES[k] + 1}


def table(header: str, row: str, step: int = 1) -> str:
    return "\n".join(filter(None, [header, *(row.format(**fields(k, step)) for k in range(N))])) + "\n"


def opened(folder, name, content, **options):
    path = folder / name
    content(path) if callable(content) else path.write_bytes(
        content if isinstance(content, bytes) else content.encode()
    )
    source = Replay(str(path), clock=CLOCK, **options)
    judged = [TRADES.accept(chunk, source.symbols) for chunk in source.chunks()]
    events, rejected = (np.concatenate([e for e, _ in judged]), pd.concat([r for _, r in judged]))
    return source, events[events["kind"] == TRADE], rejected


SIDED = {  # file: header, row
    "ETHUSDT-trades.csv": ("id,price,qty,quote_qty,time,is_buyer_maker", "{n},{p},0.5,1,{us},{maker}"),
    "okx_ETH-USDT.csv": ("trade_id,side,size,price,created_time", "{n},{side},0.5,{p},{ms}"),
    "bybit_ETHUSDT.csv": (
        "timestamp,symbol,side,size,price,tickDirection,trdMatchID",
        "{s}.0,ETHUSDT,{Side},0.5,{p},PlusTick,0{n}a-bb",
    ),
    "bitmex.csv": ("timestamp,symbol,side,size,price", "{day}D{hms}.000000000,ETHUSD,{Side},0.5,{p}"),
    "bitfinex_ETHUSD.csv": ("ID,MTS,AMOUNT,PRICE", "{n},{ms},{sign}0.5,{p}"),
    "tardis_ETHUSDT.csv": ("symbol,timestamp,local_timestamp,id,side,price,amount", "E,{us},1,{n},{side},{p},0.5"),
    "hexadecimal_ids_ETH-USD.csv": ("time,price,size,side,id", "{s},{p},0.5,{side},{n:012x}"),
    "ids_of_a_spreadsheet_ETH-USD.csv": ("time,price,size,side,id", "{s},{p},0.5,{side},1.56594E+18"),
    "spaces_ETH-USD.txt": ("time   price size  side", "{s}  {p} 0.5   {side}"),
    "quotes_behind_spaces_ETH-USD.csv": ('"time", "price", "size", "side"', '"{s}", "{p}", "0.5", "{side}"'),
    "single_quotes_ETH-USD.csv": ("'time','price','size','side'", "'{s}','{p}','0.5','{side}'"),
    "decimal_comma_ETH-USD.csv": ("sep=;\ntime;price;size;side", "{s};{comma};0,5;{side}"),
    "currency_ETH-USD.csv": ("time,price,size,side", "{s},{p} USD,0.5,{side}"),
    "thousands_ETH-USD.csv": ("time;price;size;side", "{s};{p:,} $;0.5;{side}"),
    "comments_ETH-USD.csv": ("# made by hand\n# with, a comma\ntime,price,size,side", "{s},{p},0.5,{side}\n# a break"),
}
SIDED = {name: table(*how) for name, how in SIDED.items()}
_PLAIN = table("time,price,size,side", "{s},{p},0.5,{side}")
_TRADES, _MINUTES = ([fields(k, step) for k in range(N)] for step in (1, 60))
_ROWS = [{"time": f["ms"], "price": f["p"], "size": 0.5, "side": f["side"]} for f in _TRADES]
_FRAME = pd.DataFrame(_ROWS)
_BINANCE = [{"p": str(f["p"]), "q": "0.5", "T": f["ms"], "t": f["n"], "m": f["side"] == "sell"} for f in _TRADES]
_KRAKEN = [[str(f["p"]), "0.5", f["s"], f["side"][0], "m", "", f["n"]] for f in _TRADES]
_DECIMALS = {"price": [Decimal(str(p)) for p in PRICES], "size": [Decimal("0.50")] * N}
_DECIMALS |= {"time": _FRAME["time"].tolist(), "side": pa.array(_FRAME["side"]).dictionary_encode()}


def as_stream(path, held):
    with pa.ipc.new_stream(path, held.schema) as out:
        out.write_table(held)


SIDED |= {
    "utf16_ETH-USD.csv": _PLAIN.encode("utf-16-le"),
    "a_header_again_ETH-USD.csv": _PLAIN.replace(f"{T0 + 6}", f"time,price,size,side\n{T0 + 6}"),
    "split_ETH-USD.json": _FRAME.to_json(orient="split"),
    "columns_ETH-USD.json": _FRAME.to_json(),
    "index_ETH-USD.json": _FRAME.to_json(orient="index"),
    "schema_ETH-USD.json": _FRAME.to_json(orient="table"),
    "lines_ETH-USD.json": "\n".join(map(json.dumps, _ROWS)),
    "a_list_ETH-USD.jsonl": json.dumps(_ROWS),
    "deribit_ETH.json": json.dumps({"id": 1, "result": {"trades": _ROWS, "has_more": True}}),
    "kraken_XETHZUSD.json": json.dumps({"error": [], "result": {"XETHZUSD": _KRAKEN, "last": "1"}}),
    "websocket_ETH-USD.jsonl": "\n".join(json.dumps({"stream": "x@trade", "data": one}) for one in _BINANCE),
    "bitfinex_ETHUSD.json": json.dumps([[f["n"], f["ms"], float(f["sign"] + "0.5"), f["p"]] for f in _TRADES]),
    "a_stream_ETH-USD.arrow": lambda path: as_stream(path, pa.Table.from_pandas(_FRAME)),
    "decimals_ETH-USD.parquet": lambda path: pq.write_table(pa.table(_DECIMALS), path),
}


@pytest.mark.parametrize("name", SIDED)
def test_trades_with_sides_are_read_right(tmp_path, name):
    _, trades, rejected = opened(tmp_path, name, SIDED[name])
    assert not len(rejected) and trades["time"].tolist() == SECONDS and trades["price"].tolist() == PRICES
    assert trades["side"].tolist() == SIDES and set(trades["size"]) == {0.5}
    ids = trades["id"][trades["id"] >= 0]
    assert len(set(ids.tolist())) == len(ids)


TIMES = {  # a row holds a time in this form; of 12 trades a second
    "another column": ("date,TIME_M,price,size", "{ymd},{hms}.000000000,{p},0.5"),
    "MetaTrader": ("<DATE>\t<TIME>\t<LAST>\t<VOLUME>", "{day}\t{hms}\t{p}\t0.5"),
    "two spaces": ("time,price,size", "{ymd}  {hms},{p},0.5"),
    "milliseconds behind a comma": ("time;price;size", "{iso},000;{p};0.5"),
    "a named zone": ("time,price,size", "{iso} Etc/UTC,{p},0.5"),
    "an offset and its zone": ("time,price,size", "{day}T{hms}+00:00[Europe/London],{p},0.5"),
    "scientific": ("time,price,size", "{ms:.13e},{p},0.5"),
}
TIMES = {name: table(*how) for name, how in TIMES.items()}
_LOCAL = {"EST": -5, "CEST": 2, "Europe/Berlin": 1, "America/New_York": -5}
TIMES |= {
    zone: table("time,price,size", "{iso} " + zone + ",{p},0.5").replace(
        "2025-01-01 00:", f"{pd.Timestamp(T0 + 3600 * hours, unit='s'):%Y-%m-%d %H}:"
    )
    for zone, hours in _LOCAL.items()
}


@pytest.mark.parametrize("name", TIMES)
def test_times_are_read_right(tmp_path, name):
    _, trades, rejected = opened(tmp_path, "mine__ETH-USD.csv", TIMES[name])
    assert not len(rejected) and trades["time"].tolist() == SECONDS and trades["price"].tolist() == PRICES


_POLYGON = [{"t": f["ms"], "o": 1, "h": 3000, "l": 1, "c": f["p"], "v": 0.5} for f in _MINUTES]
_DAYS = {"date": [date(2025, 1, 1) + timedelta(k) for k in range(N)], "close": PRICES, "volume": [0.5] * N}
_CDD = ("x.com\nunix,date,symbol,open,high,low,close,Volume ETH,Volume USDT", "{ms},{iso},E,1,3000,1,{p},0.5,9")
_MT5 = ("<DATE>|<TIME>|<OPEN>|<HIGH>|<LOW>|<CLOSE>|<TICKVOL>|<VOL>", "{day}|{hms}|1|3000|1|{p}|0.5|0")
_QUOTED = ('"Date","Price","Open","High","Low","Vol."', '"{day}","{p:,}","1","3","1","0.0005K"')
CANDLES = {  # file: content, when each is known
    "cdd_ETHUSDT.csv": (table(*_CDD, 60), MINUTES),
    "newest_first_ETH-USD.json": (json.dumps([[f["s"], 1, 3000, 2, f["p"], 0.5] for f in _MINUTES[::-1]]), MINUTES),
    "bitfinex_ETHUSD.json": (json.dumps([[f["ms"], 1, f["p"], 3000, 1, 0.5] for f in _MINUTES]), MINUTES),
    "polygon_ETH.json": (json.dumps({"ticker": "ETH", "results": _POLYGON}), MINUTES),
    "turnover_ETH-USD.csv": (table("date,open,close,high,low,amount,volume", "{iso},1,{p},3000,1,9,0.5", 60), MINUTES),
    "mt4_ETHUSD.csv": (table("", "{day},{hms},1,3000,1,{p},0.5", 60), MINUTES),
    "mt5_ETHUSD.csv": (table(*_MT5, 60), MINUTES),
    "histdata_EURUSD.csv": (table("", "{iso};1;3000;1;{p};0.5", 60), MINUTES),
    "prices_of_days_ETH-USD.csv": (table(*_QUOTED, DAY), DAYS),
    "day_ETH-USD.parquet": (lambda path: pq.write_table(pa.table(_DAYS), path), DAYS),
}


@pytest.mark.parametrize("name", CANDLES)
def test_candles_are_read_right(tmp_path, name):
    content, known = CANDLES[name]
    _, trades, rejected = opened(tmp_path, name, content)
    assert not len(rejected) and trades["time"].tolist() == known
    assert trades["price"].tolist() == PRICES and np.allclose(trades["size"], 0.5)


QUOTES = {
    "mt5_ticks.csv": table("<DATE>\t<TIME>\t<BID>\t<ASK>\t<LAST>\t<VOLUME>", "{day}\t{hms}\t{p}\t{p1}\t\t"),
    "truefx.csv": table("", "EUR/USD,{ymd} {hms}.000,{p},{p1}"),
    "histdata.csv": table("", "{iso},{p},{p1},0"),
    "two_prices_without_a_header.csv": table("", "{s},{p},{p1}"),
}


@pytest.mark.parametrize("name", QUOTES)
def test_a_bid_and_an_ask_are_no_price_and_size(tmp_path, name):
    _, trades, rejected = opened(tmp_path, name, QUOTES[name])
    assert not len(rejected) and trades["price"].tolist() == [p + 0.5 for p in PRICES]


def test_several_instruments_are_never_one(tmp_path):
    candles = table("date,Name,open,high,low,close,volume", "{day},AAL,1,3000,1,{p},5\n{day},ZBH,1,3000,1,9,5", DAY)
    source, trades, rejected = opened(tmp_path, "all.csv", candles)
    assert source.symbols == ("AAL", "ZBH") and Counter(trades["key"].tolist()) == {0: N, 1: N} and not len(rejected)
    rows = table("time,what_of,price,size", "{s},AAA,{p},0.5\n{s},BBB,7,0.5")
    with pytest.raises(Unreadable, match=r"several instruments, .*'what_of' \(AAA, BBB\): COLUMNS="):
        opened(tmp_path, "all2.csv", rows)
    apart, *_ = opened(tmp_path, "all2.csv", rows, columns={"symbol": "what_of"})
    assert apart.symbols == ("AAA", "BBB")
    assert len(opened(tmp_path, "all2.csv", rows, columns={"symbol": ""})[1]) == 2 * N


_TWICE = table("time,price,price,size", "{s},{p},{p1},0.5")
_BOTH = table("time;price;size", "{s};1.234,{n};0.5\n{s};1,234.5;0.5")
REFUSED = {
    "one name for two prices": (_TWICE, r"called 'price' and differ, '2000.5' and '2001.5'"),
    "no numbers": (table("time,price,size", "{s},much,0.5"), r"holds 'much' in row 1, which is no number in a form"),
    "decimals both ways": (_BOTH, "write all decimals with a point"),
    "a zone of several": (table("time,price,size", "{iso} CST,{p},0.5"), "no moment from 2000 .* the forms: "),
    "only a header": ("time,price,size", "has no rows, only the columns time, price, size"),
    "an error of a server": ('{"code": -1121, "msg": "Invalid symbol."}', "holds no list of rows|no columns that make"),
    "a page": (
        "<!DOCTYPE html>\n<html><head><title>404</title></head>\n<body>Not, found</body></html>\n",
        "no columns",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_read_right_is_refused_with_a_sentence(tmp_path, name):
    content, sentence = REFUSED[name]
    with pytest.raises(Unreadable, match=sentence):
        opened(tmp_path, "mine__ETH-USD." + ("json" if content[0] == "{" else "csv"), content)


@pytest.mark.parametrize("cell", ["NaN", "inf", "-5", "0", "#DIV/0!", "n.a.", "much"])
def test_a_price_that_is_none_is_put_aside_alone(tmp_path, cell):
    _, trades, rejected = opened(tmp_path, "mine__ETH-USD.csv", _PLAIN.replace("2005.5", cell))
    assert len(trades) == N - 1 and rejected["reason"].tolist() == ["price is not a positive number"]


def test_a_size_of_a_candle_that_is_none_is_put_aside_and_not_zero(tmp_path):
    written = table("date,close,volume", "{day},{p},5", DAY).replace("2005.5,5", "2005.5,many")
    _, trades, rejected = opened(tmp_path, "ETH-USD.csv", written)
    assert len(trades) == N - 1 and rejected["reason"].tolist() == ["size is not a number of zero or more"]
