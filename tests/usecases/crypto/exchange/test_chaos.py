"""Random faults, one after another: every trade comes once and in order, and bars and predictions are a quiet day's."""

import os
import threading
import time

import numpy as np
import pytest
from following import check_bars, check_predictions, check_tape, following, market, wait_for

from rtml.usecases.crypto.exchange.recorder import Capture
from rtml.usecases.crypto.exchange.timeouts import Timeouts

DEEP = os.environ.get("RTML_DEEP") == "1"
FAULTS = {
    "close": lambda exchange: exchange.drop("close"),
    "abort": lambda exchange: exchange.drop("abort"),
    "end": lambda exchange: exchange.drop("end"),
    "truncated": lambda exchange: exchange.send('{"channel":"tr'),
    "not utf-8": lambda exchange: exchange.send(b"\xff\xfe{"),
    "no trades": lambda exchange: exchange.send('{"channel":"trade","type":"snapshot","data":[]}'),
    "no price": lambda exchange: exchange.send(
        '{"channel":"trade","data":[{"symbol":"ETH/USD","side":"buy","price":null,"qty":1,"trade_id":1}]}'
    ),
    "twice": lambda exchange: exchange.repeat(),
    "rejected": lambda exchange: (_set(exchange, reject="EGeneral:Internal error", rejections=1), exchange.drop("end")),
    "503": lambda exchange: (exchange.fail(3, status=503, body="x"), exchange.drop("abort")),
    "429": lambda exchange: (exchange.fail(2, status=429, body='{"error":["EAPI:Rate limit"]}'), exchange.drop("end")),
    "html": lambda exchange: (exchange.fail(2, body="<html>", content="text/html"), exchange.drop("abort")),
    "reset": lambda exchange: (exchange.fail(2, abort=True), exchange.drop("close")),
    "lag": lambda exchange: (_set(exchange, lag=0.5 * exchange.feed.speed), exchange.drop("abort")),
    "half-open": lambda exchange: _set(exchange, stall=True),
}


def _set(exchange, **faults):
    for name, value in faults.items():
        setattr(exchange.faults, name, value)


def torment(exchange, seconds: float, rng: np.random.Generator) -> list[str]:
    """Faults at random moments, each kind in a random order before any comes again; what was done."""
    done, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        for name in rng.permutation(list(FAULTS)):
            if time.monotonic() >= until:
                break
            time.sleep(rng.uniform(0.1, 0.9))
            FAULTS[str(name)](exchange)
            done.append(str(name))
            if name == "half-open":
                time.sleep(1.6)
            time.sleep(rng.uniform(0.0, 0.4))
            exchange.faults.clear()
    return done


def chaos(seconds: float, speed: float, seed: int, record: str) -> tuple:
    """One stormy session; its rows, its feed and what was done."""
    rate = 30.0 if speed == 1 else 4.0
    timeouts = Timeouts(dead=1.0, answer=2.0, longest=0.3)
    with market((seconds + 120) * speed, rate, speed, past=20 * speed, seed=seed) as exchange:
        source = following(exchange, backfill=f"{10 * speed:g}s", timeouts=timeouts, record=record)
        with source as follower:
            follower.live()
            done = torment(exchange, seconds, np.random.default_rng(seed))
            follower.live().caught_up(exchange)
            wait_for(lambda: len(follower.rows) > 50, "rows")
        return follower.rows, exchange.feed, done, follower.source.status()


@pytest.mark.parametrize(
    "seconds",
    [6.0, pytest.param(60.0, marks=pytest.mark.skipif(not DEEP, reason="a minute: set RTML_DEEP=1 (make test-deep)"))],
)
def test_a_stormy_session_gives_the_trades_bars_and_predictions_of_a_quiet_one(tmp_path, seconds):
    results = {}

    def run(speed):
        results[speed] = chaos(seconds, speed, seed=11, record=str(tmp_path / f"{speed:g}.log"))

    threads = [threading.Thread(target=run, args=(speed,)) for speed in (1.0, 20.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert set(results) == {1.0, 20.0}, "a session failed"
    for speed, (rows, feed, done, status) in results.items():
        counts = check_tape(rows, feed)
        every = "1s" if speed == 1 else "10s"
        bars, asked = check_bars(rows, feed, every), check_predictions(rows, feed, every)
        assert asked > seconds / 2
        assert min(counts.values()) > 50 and len(bars) > seconds / 2, (counts, len(bars))
        assert status.counts["reconnects"] >= len(done) // 4, (status, done)
        assert not (rows["kind"] == "gap").any()
        again = Capture(tmp_path / f"{speed:g}.log")
        assert next(again.chunks(len(rows) + 1)).equals(rows), "the recording gives the same rows"
