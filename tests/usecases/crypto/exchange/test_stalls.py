"""A process that stands still, again and again, loses no trade: its bars are the tape's."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from following import SYMBOLS, check_bars, check_tape, market, wait_for

from rtml.usecases.crypto.schema import frame

DEEP = os.environ.get("RTML_DEEP") == "1"
FOLLOW = """
import json, sys
from rtml.usecases.crypto.exchange.exchange import Exchange
source = Exchange("kraken", ("ETH/USD", "BTC/USD"), backfill="5s", client_options=json.loads(sys.argv[1]))
with open(sys.argv[2], "a", buffering=1) as file:
    for rows, _ in source.arrivals():
        file.writelines(json.dumps(row) + "\\n" for row in rows)
"""


def came(path: Path) -> pd.DataFrame:
    """The rows that a process has written so far."""
    return frame([tuple(json.loads(line)) for line in path.read_text().rpartition("\n")[0].splitlines()])


def stop_and_go(process: subprocess.Popen, seconds: float, rng: np.random.Generator) -> list[float]:
    """Stop the process at random moments for a random while; for how long each time."""
    stops, until = [], time.monotonic() + seconds
    while time.monotonic() < until:
        time.sleep(rng.uniform(0.1, 1.2))
        process.send_signal(signal.SIGSTOP)
        stops.append(float(rng.choice([0.4, 1.3, 2.6])))
        time.sleep(stops[-1])
        process.send_signal(signal.SIGCONT)
    return stops


@pytest.mark.parametrize(
    ("seconds", "rate"),
    [
        (10.0, 150.0),
        pytest.param(60.0, 5.0, marks=pytest.mark.skipif(not DEEP, reason="a minute: RTML_DEEP=1 (make test-deep)")),
        pytest.param(60.0, 800.0, marks=pytest.mark.skipif(not DEEP, reason="a minute: RTML_DEEP=1 (make test-deep)")),
    ],
)
def test_a_process_that_is_stopped_at_random_gives_the_bars_of_the_tape(tmp_path, seconds, rate):
    path = tmp_path / "rows.jsonl"
    with market(seconds + 60, rate, seed=5) as exchange:
        arguments = [json.dumps(exchange.client_options), str(path)]
        process = subprocess.Popen([sys.executable, "-c", FOLLOW, *arguments])
        try:
            wait_for(lambda: path.exists() and path.stat().st_size > 20_000 / (1 + 100 / rate), "rows")
            stops = stop_and_go(process, seconds, np.random.default_rng(3))
            last = {
                symbol: int(tape.id[exchange.feed.upto(symbol) - 1]) for symbol, tape in exchange.feed.tapes.items()
            }
            time.sleep(2.5)
            rows = came(path)
        finally:
            process.kill()
            process.wait()
    newest = rows.query("kind == 'trade'").groupby("symbol")["id"].max()
    assert all(newest[symbol] >= last[symbol] for symbol in SYMBOLS), "it went on"
    check_tape(rows, exchange.feed)
    assert len(check_bars(rows, exchange.feed, "1s")) > seconds / 2, stops
