"""Latency of the live loop: from a trade received to its prediction on the stream, in a process that does all of it.

A synthetic market arrives trade by trade as a live exchange delivers it, many times faster than it happened. Each trade
is logged durably; bars close, predictions are asked and published; the wait of a bar for its end is not counted. Run it
on an idle machine: ``python benchmarks/bench_live.py [--speed 20] [--seconds 60]``.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import Clock
from rtml.serving.live.session import Live
from rtml.sources.protocol import Status
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.synthetic.market import Synthetic
from rtml.usecases.crypto.trades import TRADE


class Tape:
    """A market that arrives like that of an exchange; asks for no network."""

    name, symbols, rows, speed = "tape", ("ETH-USD", "BTC-USD"), 0, 0.0
    schema, behind = TRADES, None

    def __init__(self, pace: float) -> None:
        accepted, _ = TRADES.accept(pd.concat(Synthetic(hours=24.0).chunks()), self.symbols)
        self._trades = accepted[accepted["kind"] == TRADE]
        self._pace, self._clock, self._stopped = pace, Clock(), threading.Event()

    def open(self, after: dict | None = None) -> Tape:
        """Itself: a benchmark does not resume."""
        return self

    def config(self, source: Tape) -> RunConfig:
        """Of a run that follows it."""
        return RunConfig.of("crypto", self.symbols, self.name)

    def arrivals(self):
        """Rows when their time has come, with the moment at which they were handed over."""
        times, done, start = np.maximum.accumulate(self._trades["time"]), 0, self._clock.elapsed()
        columns = [self._trades[name].tolist() for name in ("key", "time", "price", "size", "id")]
        rows = [
            (self.symbols[k], "trade", t, p, s, "buy", i, None, None) for k, t, p, s, i in zip(*columns, strict=True)
        ]
        while not self._stopped.wait(0.001) and done < len(rows):
            due = int(np.searchsorted(times, times[0] + (self._clock.elapsed() - start) * self._pace))
            if due > done:
                yield rows[done:due], self._clock.elapsed()
                done = due

    def status(self) -> Status:
        """Always live."""
        return Status("LIVE")

    def stop(self) -> None:
        """End."""
        self._stopped.set()


def measure(speed: float, seconds: float) -> np.ndarray:
    """Milliseconds of every prediction of a live session."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder, Live(Path(folder) / "run", Tape(speed), out=lambda _: None) as live:
        counted = live.publisher.observe
        live.publisher.observe = lambda s: (counted(s), took.append(1e3 * s))
        live.run(threading.Event(), seconds=seconds)
        if not took:
            raise RuntimeError(f"no prediction in {seconds:g} s: {live.ingestor.problem or 'widen --seconds'}")
    return np.array(took)


def main() -> None:
    """Print the quantiles."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--speed", type=float, default=20.0, help="how much faster than it happened")
    arguments.add_argument("--seconds", type=float, default=60.0, help="how long to measure")
    given = arguments.parse_args()
    took = measure(given.speed, given.seconds)[5:]  # the first pay for what is loaded once
    p50, p90, p99 = np.quantile(took, [0.5, 0.9, 0.99])
    print(f"received to published, {len(took)} predictions: p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
