"""Trades of websocket and REST become one sequence, whatever comes first, twice, late or never."""

import gzip
import json
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from loopback.feed import iso as kraken_iso

from rtml.sources.catalogue import open_source
from rtml.usecases.crypto.exchange.dialects import DIALECTS, Binance, Coinbase, Kraken
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.exchange.recorder import Capture, Recorder, header
from rtml.usecases.crypto.exchange.trade import Message, Trade, iso, seconds
from rtml.usecases.crypto.schema import frame

MARKETS = {"ETH/USD": "E", "BTC/USD": "B"}


def trade(market, id, time=None):
    return Trade(market, id, time or 1000 + 10 * id, 2.5, 1.0, "buy")


def begun(first=10):
    gap_filler = GapFiller(MARKETS)
    gap_filler.take("begin", {"from": 0, "ETH/USD": [first - 1, 5], "BTC/USD": [first - 1, 5]})
    return gap_filler


def level(gap_filler):
    return [row for symbol in MARKETS for row in gap_filler.take("level", symbol)]


@st.composite
def arrivals(draw):
    """Two symbols' trades cut into messages and pages that come in any order, some twice."""
    parts = []
    for market in MARKETS.values():
        trades = [trade(market, id) for id in range(10, 10 + draw(st.integers(1, 25)))]
        cuts = sorted(draw(st.lists(st.integers(0, len(trades)), max_size=4)))
        pieces = [trades[a:b] for a, b in zip([0, *cuts], [*cuts, len(trades)], strict=True)]
        parts += [piece for piece in pieces if piece]
        parts += [draw(st.lists(st.sampled_from(trades), max_size=3))]
    return draw(st.permutations(parts))


@settings(max_examples=80, deadline=None)
@given(parts=arrivals(), data=st.data())
def test_any_order_of_arrival_gives_each_trade_once_in_order(parts, data):
    gap_filler, rows = begun(), []
    for part in parts:
        if data.draw(st.booleans()):
            rows += gap_filler.take("ws", Message(tuple(part)))
        else:
            rows += gap_filler.take("rest", ("ETH/USD", tuple(part), 0))
        if data.draw(st.integers(0, 5)) == 0:
            rows += gap_filler.take("behind", None)
    rows += level(gap_filler)
    sent = {symbol: [row[6] for row in rows if row[0] == symbol] for symbol in MARKETS}
    told = {symbol: {t.id for part in parts for t in part if t.market == MARKETS[symbol]} for symbol in MARKETS}
    assert sent == {symbol: sorted(ids) for symbol, ids in told.items()}
    assert gap_filler.live


def test_while_one_symbol_is_behind_the_other_waits_for_it():
    gap_filler = begun()
    level(gap_filler)
    assert gap_filler.take("ws", Message((trade("E", 10), trade("B", 10)))) != []
    assert gap_filler.take("ws", Message((trade("E", 12), trade("B", 11), trade("B", 12)))) == []
    assert gap_filler.behind() == ["ETH/USD"]
    assert [row[:3:2] for row in gap_filler.take("rest", ("ETH/USD", (trade("E", 11),), 0))] == [
        ("ETH/USD", 1110),
        ("BTC/USD", 1110),
        ("ETH/USD", 1120),
        ("BTC/USD", 1120),
    ]


def test_after_a_lost_connection_nothing_is_sent_until_every_symbol_has_passed_it():
    gap_filler = begun()
    level(gap_filler)
    gap_filler.take("ws", Message((trade("E", 10), trade("B", 10))))
    gap_filler.take("behind", None)
    assert gap_filler.take("rest", ("ETH/USD", tuple(trade("E", id) for id in range(11, 20)), 0)) == []
    rows = gap_filler.take("rest", ("BTC/USD", (trade("B", 11), trade("B", 12)), 0))
    assert [row[2] for row in rows] == [1110, 1110, 1120, 1120]
    assert [row[2] for row in level(gap_filler)] == [1000 + 10 * id for id in range(13, 20)]


def test_what_never_comes_is_a_gap_from_the_last_trade_to_the_next():
    gap_filler = begun()
    level(gap_filler)
    gap_filler.take("ws", Message((trade("E", 10),)))
    gap_filler.take("ws", Message((trade("E", 15),)))
    gap, following = gap_filler.take("lost", "ETH/USD")
    assert gap[:3] == ("ETH/USD", "gap", 1149) and gap[6] == 1100 and following[6] == 15
    assert gap_filler.counts["lost"] == 4 and gap_filler.live
    assert gap_filler.take("lost", "ETH/USD") == [], "there is nothing to give up"


def test_a_heartbeat_that_names_a_newer_trade_opens_a_hole():
    gap_filler = begun()
    level(gap_filler)
    gap_filler.take("ws", Message((trade("B", 10),), newest=("B", 11)))
    assert gap_filler.behind() == ["BTC/USD"] and gap_filler.threads["BTC/USD"].missing == 12
    gap_filler.take("rest", ("BTC/USD", (trade("B", 11),), 0))
    assert gap_filler.live


def test_a_symbol_that_never_traded_begins_with_its_first_trade():
    gap_filler = GapFiller(MARKETS)
    gap_filler.take("begin", {"from": 0, "ETH/USD": None, "BTC/USD": [9, 5]})
    level(gap_filler)
    assert [row[6] for row in gap_filler.take("ws", Message((trade("E", 77), trade("E", 78))))] == [77, 78]


# ---------------------------------------------------------------- dialects


@given(ns=st.integers(1_500_000_000 * 10**6, 2_100_000_000 * 10**6).map(lambda us: us * 1000))
def test_rest_and_websocket_tell_the_same_moment_of_a_trade(ns):
    assert iso(kraken_iso(ns)) == ns
    assert seconds(ns / 1e9) == ns, "written as a product of floats"
    assert seconds(json.loads(str(Decimal(ns) / 10**9))) == ns, "written exactly"


@pytest.mark.parametrize("text", ["", "yesterday", "2023-09-25 07:49", "2023-09-25T07:49:37.7x8Z", None, 5])
def test_what_is_no_moment_is_refused(text):
    with pytest.raises((ValueError, TypeError)):
        iso(text)


JUNK = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)
KEYS = ("channel", "data", "method", "success", "type", "e", "id", "error", "result", "product_id", "symbol", "time")


@pytest.mark.parametrize("dialect", DIALECTS.values(), ids=DIALECTS)
@given(
    junk=JUNK,
    body=st.dictionaries(st.sampled_from(KEYS), st.booleans() | JUNK | st.sampled_from(["trade", "match", "aggTrade"])),
)
@settings(max_examples=100, deadline=None)
def test_nothing_that_an_exchange_may_say_breaks_the_reading(dialect, junk, body):
    assert isinstance(dialect.hear(body), Message)
    for answer in (junk, body, {"error": [], "result": junk}, [junk]):
        try:
            trades, broken = dialect.page(answer, "X")
        except ValueError as refused:
            assert "the answer is not a page of trades" in str(refused)
        else:
            assert all(isinstance(trade, Trade) for trade in trades) and broken >= 0


def test_coinbase_tells_the_maker_s_side_and_backwards():
    rest = [
        {"trade_id": 12, "side": "sell", "size": "0.5", "price": "25820.42", "time": "2023-09-10T13:47:41.447577Z"},
        {"trade_id": 11, "side": "buy", "size": "0.1", "price": "25820.41", "time": "2023-09-10T13:47:41.4475Z"},
    ]
    (older, newer), broken = Coinbase.page(rest, "BTC-USD")
    assert (older.id, newer.id, newer.side, older.side, broken) == (11, 12, "buy", "sell", 0)
    match = rest[0] | {"type": "match", "product_id": "BTC-USD"}
    assert Coinbase.hear(match).trades == (newer,)
    assert Coinbase.hear({"type": "heartbeat", "product_id": "BTC-USD", "last_trade_id": 12}).newest == ("BTC-USD", 12)
    assert Coinbase.hear({"type": "error", "message": "Failed", "reason": "X is not a valid product"}).refused
    assert Coinbase.hear({"type": "subscriptions", "channels": []}).agreed == ("*",)


def test_binance_tells_aggregated_trades_with_one_id_space():
    row = {"a": 7, "p": "2683.80000000", "q": "0.03450000", "f": 1, "l": 2, "T": 1723161255611, "m": True, "M": True}
    (page,), _ = Binance.page([row], "ETHUSDT")
    assert Binance.hear(row | {"e": "aggTrade", "E": 1, "s": "ETHUSDT"}).trades == (page,)
    assert page == Trade("ETHUSDT", 7, 1723161255611 * 10**6, 2683.8, 0.0345, "sell")
    assert Binance.hear({"id": 1, "result": None}).agreed == ("*",)
    assert Binance.hear({"id": 1, "error": {"code": 2, "msg": "invalid stream"}}).refused == "invalid stream"


# ---------------------------------------------------------------- captures


def told(id, symbol="ETH/USD"):
    row = {"symbol": symbol, "side": "buy", "price": 9.5, "qty": 1.0, "trade_id": id}
    return {"channel": "trade", "data": [row | {"timestamp": f"2025-01-06T00:00:{id:02d}.5Z"}]}


def recorded(path):
    recorder = Recorder(path, "kraken", {"ETH/USD": "ETH/USD", "BTC/USD": "BTC/USD"}, now=1)
    recorder.write(2, "begin", {"from": 0, "ETH/USD": [6, 5], "BTC/USD": [6, 5]})
    for kind, data in [("level", "ETH/USD"), ("level", "BTC/USD"), ("ws", told(7)), ("ws", told(7, "BTC/USD"))]:
        recorder.write(3, kind, data)
    recorder.write(4, "tick", iso("2025-01-06T00:00:08Z"))
    recorder.close()
    return path


@pytest.mark.parametrize("name", ["kraken.log", "kraken.log.gz"])
def test_a_capture_is_opened_by_its_path_like_any_recording(tmp_path, name):
    path = recorded(tmp_path / name)
    source = open_source(str(path))
    assert isinstance(source, Capture) and source.symbols == ("ETH/USD", "BTC/USD") and source.rows == 3
    assert source.name.startswith(f"capture:kraken:{name}@")
    assert next(source.chunks())["kind"].tolist() == ["trade", "trade", "tick"]
    only = open_source(str(path), symbols=["BTC/USD"])
    assert next(only.chunks())[["symbol", "kind"]].to_numpy().tolist() == [["BTC/USD", "trade"], ["BTC/USD", "tick"]]
    with pytest.raises(LookupError, match=r"no symbol XRP/USD in .*; it holds ETH/USD, BTC/USD"):
        Capture(path, ["XRP/USD"])


def test_a_torn_capture_is_read_up_to_the_tear(tmp_path):
    path = recorded(tmp_path / "kraken.log")
    path.write_bytes(path.read_bytes()[:-12])
    assert Capture(path).rows == 2
    torn = tmp_path / "torn.log.gz"
    torn.write_bytes(gzip.compress(path.read_bytes())[:-10])
    assert Capture(torn).rows >= 0


def test_a_recording_is_never_overwritten(tmp_path):
    path = recorded(tmp_path / "kraken.log")
    with pytest.raises(FileExistsError, match="is there already: name another file to record to"):
        Recorder(path, "kraken", {}, now=1)


def test_a_session_that_goes_on_after_a_kill_is_recorded_behind_what_was_held(tmp_path):
    path, markets = recorded(tmp_path / "kraken.log"), {"ETH/USD": "ETH/USD", "BTC/USD": "BTC/USD"}
    with path.open("ab") as file:
        file.write(b'5 ["ws",{"channel":"tra')  # the machine stopped here
    again = Recorder(path, "kraken", markets, now=6, again=True)
    again.write(6, "begin", {"from": 0, "ETH/USD": [7, 7], "BTC/USD": [6, 5]})  # BTC's trade 7 was not yet logged
    for kind, data in [("level", "ETH/USD"), ("level", "BTC/USD"), ("ws", told(7, "BTC/USD")), ("ws", told(8))]:
        again.write(7, kind, data)
    again.close()
    rows = next(Capture(path).chunks())
    assert rows[["symbol", "id"]].to_numpy().tolist() == [["ETH/USD", 7], ["BTC/USD", 7], ["ETH/USD", 8]]
    for exchange, symbols in (("kraken", {"ETH/USD": "ETH/USD"}), ("coinbase", markets)):
        with pytest.raises(FileExistsError, match="name another file to record to"):
            Recorder(path, exchange, symbols, now=8, again=True)


def test_another_file_is_no_capture(tmp_path):
    other = tmp_path / "trades.csv"
    other.write_text("time,price\n2024-01-01T00:00:01Z,2500.5\n")
    assert header(other) is None and header(tmp_path / "none") is None
    with pytest.raises(ValueError, match=r"trades.csv is not a capture of an exchange"):
        Capture(other)


def test_rows_have_the_same_types_whatever_they_hold():
    tick = ("ETH/USD", "tick", 5, None, None, None, -1, None, None)
    deal = ("ETH/USD", "trade", 5, 2.5, 1.0, "buy", 7, None, None)
    assert frame([tick]).dtypes.equals(frame([deal]).dtypes) and len(frame([])) == 0
    both = pd.concat([frame([tick]), frame([deal])], ignore_index=True)
    assert both.equals(frame([tick, deal])) and np.isnan(both["price"][0])


def test_kraken_s_pages_are_read_by_position_and_broken_rows_counted():
    answer = {"error": [], "result": {"XETHZUSD": [["2500.5", "0.1", 1695628177.7087061, "b", "l", "", 7], ["x"]]}}
    assert Kraken.page(answer, "ETH/USD") == ((Trade("ETH/USD", 7, 1695628177708706000, 2500.5, 0.1, "buy"),), 1)
