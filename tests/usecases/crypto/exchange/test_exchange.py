"""The live exchange gives every trade once and in order whatever breaks, against a loopback Kraken."""

import threading

import numpy as np
import pytest
from following import SOON, SYMBOLS, check_bars, check_tape, following, market, wait_for

from rtml.core.clock import Clock
from rtml.sources.protocol import Refused, Source
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.exchange.exchange import Exchange
from rtml.usecases.crypto.exchange.queue import ArrivalQueue
from rtml.usecases.crypto.exchange.timeouts import Timeouts
from rtml.usecases.crypto.schema import RAW, TRADES, frame

SECOND = 10**9


@pytest.fixture
def exchange():
    with market() as loopback:
        yield loopback


def check_recovery(follower, exchange):
    """After a fault: everything of the tape came, in order, once."""
    follower.caught_up(exchange).live()
    counts = check_tape(follower.rows, exchange.feed)
    assert set(counts) == set(SYMBOLS) and min(counts.values()) > 20


def test_the_past_over_rest_and_then_every_trade_as_it_comes(exchange):
    with following(exchange) as follower:
        follower.live()
        begun = len(follower.rows)
        wait_for(lambda: len(follower.rows) > begun + 30, "trades over the websocket")
        rows, now = follower.rows, exchange.feed.now()
    assert list(rows.columns) == list(RAW) and isinstance(follower.source, Source)
    assert min(check_tape(rows, exchange.feed).values()) > 30
    assert rows["time"].max() <= now, "a trade of the future"
    trades = rows[rows["kind"] == "trade"]
    start = trades["time"].min()
    for symbol, tape in exchange.feed.tapes.items():
        ids = trades[trades["symbol"] == symbol]["id"]
        assert ids.iloc[0] == tape.id[np.searchsorted(tape.time, start)], "the past begins with the first trade of it"
    assert (np.diff(trades["time"].to_numpy()[: begun // 2]) >= 0).all(), "symbols are merged by time"
    assert follower.source.status().state == "STOPPED"


def test_a_past_of_many_pages_is_whole():
    with market(seconds=60, rate=150, past=30) as exchange, following(exchange, backfill="25s") as follower:
        follower.live().caught_up(exchange)
        assert follower.count("pages") > 4
        assert sum(check_tape(follower.rows, exchange.feed).values()) > 4000


@pytest.mark.parametrize("name", ["coinbase", "binance"])
def test_other_exchanges_are_followed_the_same_way(name):
    unit = {"coinbase": 1, "binance": 10**6}[name]  # Binance tells milliseconds
    with market(rate=80, past=40, name=name) as exchange, following(exchange, backfill="30s") as follower:
        follower.live().caught_up(exchange)
        assert sum(check_tape(follower.rows, exchange.feed, unit).values()) > 2500, "several pages"
        exchange.faults.skip = 5
        exchange.drop("abort")
        wait_for(lambda: exchange.dials >= 2 and exchange.faults.skip == 0, "a second connection, trades left out")
        follower.caught_up(exchange).live()
        check_tape(follower.rows, exchange.feed, unit)
        exchange.faults.stall = True
        wait_for(lambda: follower.count("reconnects") >= 2, "the dead socket noticed")
        exchange.faults.clear()
        follower.live().caught_up(exchange)
        check_tape(follower.rows, exchange.feed, unit)
        assert follower.count("gaps") == 0
        exchange.faults.reject, exchange.faults.rejections = "ETH-USD is not a valid product, stream", 100
        exchange.drop("end")
        assert f"{name} rejected the subscription" in str(follower.ended())


def test_no_past_begins_with_the_newest_trade(exchange):
    with following(exchange, backfill="") as follower:
        follower.live().caught_up(exchange)
        rows = follower.rows
    check_tape(rows, exchange.feed)
    assert rows["time"].min() > exchange.feed.tapes["ETH/USD"].time[0] + 10 * SECOND


def test_it_goes_on_behind_the_trades_that_are_held_already(exchange):
    tapes = exchange.feed.tapes
    held = {symbol: (int(tape.id[100]), int(tape.time[100])) for symbol, tape in tapes.items()}
    with following(exchange, after=held) as follower:
        check_recovery(follower, exchange)
        first = follower.rows.query("kind == 'trade'").groupby("symbol")["id"].first()
    assert first.to_dict() == {symbol: id + 1 for symbol, (id, _) in held.items()}


@pytest.mark.parametrize("how", ["close", "abort", "end"])
def test_what_a_broken_connection_missed_is_filled_in(exchange, how):
    with following(exchange) as follower:
        follower.live()
        exchange.drop(how)
        wait_for(lambda: exchange.dials >= 2, "a second connection")
        check_recovery(follower, exchange)
        assert follower.count("reconnects") >= 1


def test_a_dead_socket_is_noticed_and_closes_no_bar(exchange):
    with following(exchange, timeouts=Timeouts(dead=2.0, longest=0.1)) as follower:
        follower.live()
        exchange.faults.stall = True
        stalled = exchange.feed.now()
        wait_for(lambda: follower.count("reconnects") >= 1, "the dead socket noticed")
        rows = follower.rows
        within = SECOND // 2  # what was on its way when the socket died still arrives
        assert rows["time"].max() <= stalled + within, "the market's clock ran on without news"
        assert "no frame for 2 s" in follower.source.status().error
        exchange.faults.stall = False
        check_recovery(follower, exchange)
        check_bars(follower.rows, exchange.feed, "1s")
    assert Timeouts().dead + Timeouts().beat < 5


def test_whoever_takes_rows_too_slowly_loses_none_and_lets_no_more_than_so_many_wait(monkeypatch):
    monkeypatch.setattr(ArrivalQueue.__init__, "__defaults__", (None, 300))
    with market(seconds=60, rate=300, past=20) as exchange:
        source = Exchange("kraken", SYMBOLS, backfill="15s", client_options=exchange.client_options, timeouts=SOON)
        taken, most, slow = [], 0, 0
        for rows, _ in source.arrivals():
            taken, most = taken + rows, max(most, len(rows))
            slow = source.status().counts.get("error:Slow", 0)
            if slow >= 2:
                break
            threading.Event().wait(0.7)
        kept = sum(len(thread.held) for thread in source._session.gap_filler.threads.values())
    assert most <= 300 + 2 * 1000 + 2000, "the limit, a page of either symbol, and what was held behind a hole"
    assert kept < 2000 and sum(check_tape(frame(taken), exchange.feed).values()) > 1000


GARBAGE = {
    "truncated": '{"channel":"tr',
    "not utf-8": b"\xff\xfe{",
    "no trades": '{"channel":"trade","type":"update","data":[]}',
    "no price": '{"channel":"trade","type":"update","data":[{"symbol":"ETH/USD","side":"buy","price":null,"qty":1,'
    '"ord_type":"market","trade_id":1,"timestamp":"2026-01-01T00:00:00.000000Z"}]}',
    "unknown symbol": '{"channel":"trade","type":"update","data":[{"symbol":"X/Y","side":"buy","price":1,"qty":1,'
    '"ord_type":"market","trade_id":9,"timestamp":"2026-01-01T00:00:00.000000Z"}]}',
    "no object": "[1, 2]",
    "an error": '{"error":"out of luck"}',
}


@pytest.mark.parametrize("kind", GARBAGE)
def test_a_garbage_frame_loses_nothing(exchange, kind):
    with following(exchange) as follower:
        follower.live()
        exchange.send(GARBAGE[kind])
        if kind in ("truncated", "not utf-8"):  # these end the client's receiving
            wait_for(lambda: exchange.dials >= 2, "a second connection")
            assert "no frame" not in follower.source.status().error, "noticed at once, not by the silence that follows"
        begun = len(follower.rows)
        wait_for(lambda: len(follower.rows) > begun + 10, "trades after it")
        check_recovery(follower, exchange)


def test_a_false_id_from_the_future_is_dropped_and_stops_nothing(exchange):
    soon = Timeouts(dead=1.0, fill=1.0, longest=0.1)
    with following(exchange, timeouts=soon) as follower:
        follower.live()
        false = (
            '{"symbol":"ETH/USD","side":"buy","price":1,"qty":1,"trade_id":10000000,"timestamp":"2026-01-01T00:00:00Z"}'
        )
        exchange.send('{"channel":"trade","type":"update","data":[' + false + "]}")
        wait_for(lambda: follower.count("false") == 1, "the false id dropped")
        check_recovery(follower, exchange)
        assert not (follower.rows["kind"] == "gap").any()


def test_trades_told_twice_come_once(exchange):
    with following(exchange) as follower:
        follower.live()
        before = follower.count("duplicate")
        exchange.repeat()
        wait_for(lambda: follower.count("duplicate") >= before + 40, "the repeated trades seen")
        check_recovery(follower, exchange)


def test_trades_out_of_order_are_put_in_order():
    with market(rate=400) as exchange, following(exchange, backfill="1s") as follower:
        exchange.faults.shuffle = True
        follower.live()
        begun = len(follower.rows)
        wait_for(lambda: len(follower.rows) > begun + 100, "trades over the websocket")
        check_recovery(follower, exchange)


def test_trades_that_the_websocket_left_out_are_filled_in(exchange):
    with following(exchange) as follower:
        follower.live()
        exchange.faults.skip = 8
        wait_for(lambda: exchange.faults.skip == 0, "trades left out")
        pages = follower.count("pages")
        check_recovery(follower, exchange)
        assert follower.count("pages") > pages - 2 and follower.count("gaps") == 0


def test_a_hole_that_nobody_can_fill_is_a_gap_and_marks_its_bars(exchange):
    feed = exchange.feed
    with following(exchange, symbols=("ETH/USD",)) as follower:
        follower.live()
        exchange.feed.freeze()
        follower.caught_up(exchange)
        first = feed.upto("ETH/USD")
        feed.hidden["ETH/USD"][first : first + 5] = True
        exchange.faults.skip = int(np.searchsorted(feed._times, feed.tapes["ETH/USD"].time[first + 4], "right"))
        exchange.faults.skip -= feed.happened()
        feed.freeze(False)
        wait_for(lambda: (follower.rows["kind"] == "gap").any(), "a gap")
        follower.live().caught_up(exchange)
        rows = follower.rows
    (gap,) = rows[rows["kind"] == "gap"].to_dict("records")
    tape = feed.tapes["ETH/USD"]
    assert gap["id"] == tape.time[first - 1] and gap["time"] >= tape.time[first + 4] - 1
    assert follower.count("lost") >= 5
    ids = rows[rows["kind"] == "trade"]["id"].to_numpy()
    assert tape.id[first - 1] in ids and tape.id[first] not in ids and (np.diff(ids) > 0).all()
    accepted, rejected = TRADES.accept(rows, ("ETH/USD",))
    assert rejected.empty and (accepted["kind"] == 2).sum() == 1


@pytest.mark.parametrize(
    "answer",
    [
        {"status": 503, "body": "unavailable"},
        {"status": 429, "body": '{"error":["EAPI:Rate limit exceeded"]}', "headers": {"Retry-After": "0.2"}},
        {"body": "<html>maintenance</html>", "content": "text/html"},
        {"body": '{"error":[],"result":{"XETHZUSD":[["1.0","2'},
        {"body": '{"error":[],"result":{}}'},
        {"abort": True},
    ],
    ids=lambda answer: f"{answer.get('status', 200)}-{(answer.get('body') or 'reset')[:9]}",
)
def test_a_broken_answer_of_rest_is_asked_again(exchange, answer):
    with following(exchange) as follower:
        exchange.fail(2, **answer)  # while it starts
        follower.live()
        exchange.fail(3, **answer, only="Trades")  # and while it catches up
        exchange.drop("abort")
        wait_for(lambda: exchange.faults.rest.n == 0, "the broken answers given")
        check_recovery(follower, exchange)
        assert any(name.startswith("error:") for name in follower.source.status().counts)


def test_a_rest_that_lags_behind_the_websocket_is_waited_for(exchange):
    with following(exchange) as follower:
        follower.live()
        exchange.faults.lag = 1.5
        exchange.drop("abort")
        wait_for(lambda: exchange.dials >= 2, "a second connection")
        check_recovery(follower, exchange)
        assert follower.count("gaps") == 0


def test_a_rejected_subscription_is_tried_again_and_in_the_end_told(exchange):
    exchange.faults.reject, exchange.faults.rejections = "EGeneral:Internal error", 2
    with following(exchange) as follower:
        follower.live()
        assert exchange.subscriptions == 3
        exchange.faults.rejections = 100
        exchange.drop("abort")
        error = follower.ended()
    assert isinstance(error, Refused)
    assert "kraken rejected the subscription of ETH/USD, BTC/USD: 'EGeneral:Internal error'" in str(error)
    assert "try again later, or take another exchange" in str(error)


def test_a_subscription_to_no_market_ends_with_what_to_do(exchange):
    exchange.faults.reject, exchange.faults.rejections = "Currency pair not supported ETH/USD", 100
    with following(exchange) as follower:
        assert "take a symbol that is traded there, SYMBOLS=[...]" in str(follower.ended())


def test_a_subscription_without_an_answer_is_tried_again(exchange):
    exchange.faults.mute = True
    with following(exchange, timeouts=Timeouts(answer=0.8, longest=0.1)) as follower:
        wait_for(lambda: exchange.dials >= 2, "a second connection")
        exchange.faults.mute = False
        check_recovery(follower, exchange)


def test_an_unknown_symbol_ends_with_the_nearest_known(exchange):
    with following(exchange, symbols=("ETH/USX",)) as follower:
        error = follower.ended()
    assert isinstance(error, Refused) and "kraken has no symbol ETH/USX; near to it: ETH/USD" in str(error)


@pytest.mark.parametrize("where", ["rest", "websocket"])
def test_a_place_that_is_not_served_ends_with_another_exchange(exchange, where):
    if where == "rest":
        exchange.fail(1000, status=451, body='{"msg":"Service unavailable from a restricted location"}')
    else:
        exchange.faults.refuse = 451
    with following(exchange) as follower:
        error = follower.ended()
    assert isinstance(error, Refused) and "choose another exchange, such as SOURCE=kraken" in str(error)


def test_a_refused_handshake_is_tried_again_when_the_exchange_says(exchange):
    exchange.faults.refuse, exchange.faults.refuse_headers = 503, {"Retry-After": "0.5"}
    with following(exchange) as follower:
        wait_for(lambda: exchange.dials >= 1, "a handshake")
        exchange.faults.refuse = 0
        check_recovery(follower, exchange)


def test_an_exchange_that_is_not_there_ends_with_what_to_do(exchange):
    options = {"urls": {"api": {"public": "http://127.0.0.1:9"}}, "rateLimit": 10}
    with following(exchange, client_options=options, timeouts=Timeouts(start=0.3)) as follower:
        error = str(follower.ended())
    assert "kraken could not be had within 0.3 s" in error and "or to synthetic" in error


class Wrong(Clock):
    """A machine whose clock is a day fast."""

    def now(self) -> int:
        return super().now() + 86_400 * SECOND


def test_a_wrong_clock_changes_nothing(exchange):
    with following(exchange, clock=Wrong()) as follower:
        check_recovery(follower, exchange)
        check_bars(follower.rows, exchange.feed, "1s")


def test_a_quiet_market_has_ticks_and_closes_its_bars(exchange):
    with following(exchange) as follower:
        follower.live()
        exchange.feed.freeze()
        follower.caught_up(exchange)
        wait_for(lambda: (follower.rows.tail(6)["kind"] == "tick").all(), "six ticks in a row")
        rows = follower.rows
    ticks, traded = rows[rows["kind"] == "tick"].tail(6), rows[rows["kind"] == "trade"]["time"].max()
    assert (np.diff(ticks["time"].to_numpy()) >= SOON.tick * SECOND).all(), "a tick at most every 250 ms"
    assert ticks["time"].min() >= traded + SOON.tick * SECOND and set(ticks["symbol"]) == {"ETH/USD"}
    bars = Bars("250ms", "1s", 2).push(TRADES.accept(rows, SYMBOLS)[0])
    assert bars["empty"][-1].all() and traded < bars["end"].max() <= ticks["time"].max() - SECOND


def test_no_tick_comes_while_the_connection_is_lost(exchange):
    with following(exchange, timeouts=Timeouts(answer=0.8, longest=0.1)) as follower:
        follower.live()
        exchange.feed.freeze()
        wait_for(lambda: (follower.rows.tail(2)["kind"] == "tick").all(), "ticks")
        exchange.faults.mute = True
        exchange.drop("abort")
        wait_for(lambda: follower.source.status().state == "RECONNECTING", "reconnecting")
        ticks = follower.count("ticks")
        wait_for(lambda: exchange.dials >= 4, "connections without a subscription")
        assert follower.count("ticks") == ticks


def test_the_rate_limit_of_the_client_is_kept(exchange):
    options = exchange.client_options | {"rateLimit": 200}
    with following(exchange, client_options=options) as follower:
        follower.live()
    asked = [at for at, _ in exchange.requests]
    assert asked[-1] - asked[0] >= 0.2 * (len(asked) - 1) * 0.8, f"{len(asked)} requests too fast"


def test_it_stops_when_told_and_leaves_nothing_behind(exchange):
    with following(exchange) as follower:
        follower.live()
        follower.source.stop()
        follower.source.stop()
        assert follower.ended() is None
    assert follower.source.status().state == "STOPPED"
    assert not [thread for thread in threading.enumerate() if thread.name == follower.source.name]
    wait_for(lambda: not exchange.sockets, "the socket closed")
    with pytest.raises(RuntimeError, match="is being followed already: open another source"):
        next(follower.source.chunks())


def test_a_source_stopped_before_it_began_sends_nothing():
    source = Exchange()
    source.stop()
    assert list(source.chunks()) == []


def test_it_ends_by_itself_after_its_seconds(exchange):
    with following(exchange, seconds=0.5) as follower:
        assert follower.ended() is None
    check_tape(follower.rows, exchange.feed)


def test_what_cannot_be_meant_is_said():
    with pytest.raises(ValueError, match=r"seconds must be 0 \(until stopped\) or more, got -1"):
        Exchange(seconds=-1)
    with pytest.raises(ValueError, match="each symbol once, got ETH/USD, ETH/USD"):
        Exchange(symbols=("ETH/USD", "ETH/USD"))
