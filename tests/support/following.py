"""Follow a live source from a test: collect its rows, wait for what should happen, compare with the tape."""

from __future__ import annotations

import threading
import time

import numpy as np
import pandas as pd
from loopback.feed import Feed
from loopback.server import Loopback
from loopback.tape import tapes

from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.exchange.exchange import Exchange
from rtml.usecases.crypto.exchange.timeouts import Timeouts
from rtml.usecases.crypto.schema import RAW, TRADES
from rtml.usecases.crypto.trades import events

SYMBOLS = ("ETH/USD", "BTC/USD")
SOON = Timeouts(dead=1.0, answer=2.0, start=20.0, fill=20.0, longest=0.1)  # a test waits less than a user


def wait_for(condition, what: str, limit: float = 40.0) -> None:
    """Wait until a condition holds; the limit is only there so that a failing test ends."""
    until = time.monotonic() + limit
    while not condition():
        assert time.monotonic() < until, f"not within {limit:g} s: {what}"
        time.sleep(0.02)


class Following:
    """A source that is followed on a thread of its own."""

    def __init__(self, source: Exchange) -> None:
        self.source, self.frames, self.failure = source, [], None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def _run(self) -> None:
        try:
            for frame in self.source.chunks():
                self.frames.append(frame)
        except BaseException as error:
            self.failure = error

    def __enter__(self) -> Following:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self.source.stop()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the source did not stop"

    @property
    def rows(self) -> pd.DataFrame:
        """Every row so far."""
        return pd.concat(self.frames, ignore_index=True) if self.frames else pd.DataFrame(columns=list(RAW))

    def count(self, name: str) -> int:
        """One of the source's counts."""
        return self.source.status().counts.get(name, 0)

    def live(self) -> Following:
        """Wait until nothing is missing."""
        wait_for(lambda: self.failure or self.source.status().state == "LIVE", f"live, {self.source.status()}")
        assert self.failure is None, self.failure
        return self

    def caught_up(self, exchange: Loopback) -> Following:
        """Wait until every trade that has happened by now was delivered."""
        last = {symbol: int(tape.id[exchange.feed.upto(symbol) - 1]) for symbol, tape in exchange.feed.tapes.items()}

        def delivered() -> bool:
            newest = self.rows.query("kind == 'trade'").groupby("symbol")["id"].max()
            return self.failure is not None or all(
                newest.get(symbol, -1) >= id for symbol, id in last.items() if symbol in self.source.symbols
            )

        wait_for(delivered, f"caught up with {last}, {self.source.status()}")
        assert self.failure is None, self.failure
        return self

    def ended(self) -> BaseException | None:
        """Wait for the end; what it ended with."""
        self._thread.join(60)
        assert not self._thread.is_alive(), f"it did not end: {self.source.status()}"
        return self.failure


def market(seconds=120.0, rate=40.0, speed=1.0, past=20.0, seed=7, name="kraken") -> Loopback:
    """A loopback exchange of two symbols."""
    return Loopback(Feed(tapes(seconds, rate, seed), speed, past), name=name)


def following(exchange: Loopback, *, backfill: str = "5s", symbols=SYMBOLS, timeouts=SOON, **options) -> Following:
    """A source that follows a loopback exchange."""
    given = {"client_options": exchange.client_options, "timeouts": timeouts} | options
    return Following(Exchange(exchange.name, symbols, backfill=backfill, **given))


def check_tape(rows: pd.DataFrame, feed: Feed, unit: int = 1) -> dict[str, int]:
    """Every symbol's trades are the tape's: contiguous, in order, none twice, equal in every field; how many."""
    counts = {}
    for symbol, own in rows[rows["kind"] == "trade"].groupby("symbol"):
        tape, ids = feed.tapes[symbol], own["id"].to_numpy()
        assert (np.diff(ids) == 1).all(), f"{symbol}: {ids[:-1][np.diff(ids) != 1]} is not followed by the next id"
        part = slice(int(ids[0] - tape.id[0]), int(ids[-1] - tape.id[0]) + 1)
        assert (own["time"].to_numpy() == tape.time[part] // unit * unit).all()
        assert (own["price"].to_numpy() == tape.price[part]).all()
        assert (own["size"].to_numpy() == tape.size[part]).all()
        assert ((own["side"] == "buy").to_numpy() == tape.buy[part]).all()
        counts[symbol] = len(own)
    return counts


def check_bars(rows: pd.DataFrame, feed: Feed, every: str) -> np.ndarray:
    """The bars of what came are those of an uninterrupted replay of the tape; the bars."""
    came, whole = both(rows, feed)
    got, true = (Bars(every, "1s", len(feed.tapes)).push(part) for part in (came, whole))
    assert len(got) and len(got) <= len(true)
    for name in got.dtype.names:
        assert np.array_equal(got[name], true[name][: len(got)], equal_nan=got[name].dtype.kind == "f"), name
    return got


def check_predictions(rows: pd.DataFrame, feed: Feed, every: str) -> int:
    """What came predicts and learns, bit by bit, what an uninterrupted replay of the tape does; how many questions."""
    config = RunConfig.of(
        "crypto", tuple(feed.tapes)[:1], "loopback", inputs=tuple(feed.tapes)[1:], bar=every, horizon=every
    )
    got, true = (config.flow().push(part) for part in both(rows, feed))
    for target, predictions in got.predictions.items():
        assert predictions.tobytes() == true.predictions[target][: len(predictions)].tobytes(), target
    assert got.y.tobytes() == true.y[: len(got.y)].tobytes()
    return len(got.moment)


def both(rows: pd.DataFrame, feed: Feed) -> tuple[np.ndarray, np.ndarray]:
    """The events that came, and those of the tape from the first of them on."""
    symbols = tuple(feed.tapes)
    came, rejected = TRADES.accept(rows, symbols)
    assert rejected.empty, rejected
    first = int(came["time"][came["kind"] == 0].min())
    parts = []
    for key, tape in enumerate(feed.tapes.values()):
        side = np.where(tape.buy, 1, -1)
        parts.append(
            events(tape.time, key=key, id=tape.id, price=tape.price, size=tape.size, side=side)[tape.time >= first]
        )
    whole = np.concatenate(parts)
    return came, whole[np.argsort(whole["time"], kind="stable")]
