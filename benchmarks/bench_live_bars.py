"""Bars on time: from the end of a bar plus its lateness to the closed bar, at 10,000 trades a second over 20 symbols.

``python benchmarks/bench_live_bars.py [seconds]`` starts the loopback exchange in a process of its own, follows it
with the real ccxt client, and prints how late each closed bar came, in a busy market and in the quiet one that follows.
Then it sends 1,000,000 trades through the same code as fast as it can, and prints the memory on the way.
"""

import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.exchange.dialects import Kraken
from rtml.usecases.crypto.exchange.exchange import Exchange
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.schema import TRADES, frame

TESTS = Path(__file__).parents[1] / "tests"
SYMBOLS = ("ETH/USD", "BTC/USD", *(f"A{k:02d}/USD" for k in range(2, 20)))
SECOND, RATE, PAST = 10**9, 500.0, 2.0


def follow(seconds: float, quiet: float) -> None:
    """Emission latency of 1 s bars through a websocket."""
    tape = PAST + 12 + seconds
    options = {"rate": RATE, "seconds": tape, "past": PAST, "symbols": len(SYMBOLS)}
    command = [sys.executable, "-m", "loopback", *(str(part) for k, v in options.items() for part in (f"--{k}", v))]
    began = time.time_ns()
    with subprocess.Popen(command, cwd=TESTS, stdout=subprocess.PIPE, text=True) as server:
        given = json.loads(server.stdout.readline())["client_options"] | {"rateLimit": 5}
        source, bars, late, ends = (
            Exchange("kraken", SYMBOLS, backfill="", client_options=given),
            Bars("1s", "1s", 20),
            [],
            [],
        )
        over, trades, clock = began + int((tape - PAST) * SECOND), 0, Clock()
        for rows in source.chunks():
            closed = bars.push(TRADES.accept(rows, SYMBOLS)[0])
            now = clock.now()
            trades += len(rows)
            if len(closed):
                ends.append(int(closed["end"][-1, 0]))
                late.append((now - ends[-1] - SECOND) / 1e6)
            if now > over + quiet * SECOND:
                break
        status = source.status()
        server.kill()
    late, ends, busy = np.array(late), np.array(ends), np.array(ends) <= over
    print(f"{trades:,} rows of {len(SYMBOLS)} symbols; {status.counts}")
    for name, which in (("busy, 10,000 trades/s", busy), ("quiet, ticks only", ~busy & (ends > over + SECOND))):
        told = late[which][1:]
        shares = f"p50 {np.median(told):.0f}, p99 {np.percentile(told, 99):.0f}, max {told.max():.0f}"
        print(f"  {name}: {len(told)} closes of {len(SYMBOLS)} bars, ms late: {shares}")


def flood(trades: int, each: int = 1000) -> None:
    """Memory while trades pass through messages, stitch, schema and bars."""
    gap_filler, bars, sent, began = (
        GapFiller({s: s for s in SYMBOLS}),
        Bars("10s", "1s", len(SYMBOLS)),
        0,
        time.process_time(),
    )
    gap_filler.take("begin", {"from": 0} | {s: [0, 1] for s in SYMBOLS})
    for symbol in SYMBOLS:
        gap_filler.take("level", symbol)
    memory = []
    while sent < trades:
        rows = []
        for symbol in SYMBOLS:
            first = sent // len(SYMBOLS)
            data = [_told(symbol, first + k + 1) for k in range(each // len(SYMBOLS))]
            rows += gap_filler.take("ws", Kraken.hear({"channel": "trade", "type": "update", "data": data}))
        bars.push(TRADES.accept(frame(rows), SYMBOLS)[0])
        sent += len(rows)
        if sent % (trades // 5) < each:
            memory.append(int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 2**20)
    speed, way = sent / (time.process_time() - began), ", ".join(f"{mb:.1f}" for mb in memory)
    print(f"{sent:,} trades: {speed:,.0f} a CPU second; resident MB on the way: {way}")


def _told(symbol: str, id: int) -> dict:
    at = 1_700_000_000 * SECOND + id * 2_000_000  # 500 a second and symbol
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(at // SECOND)) + f".{at % SECOND // 1000:06d}Z"
    return {"symbol": symbol, "side": "buy", "price": 100.5, "qty": 0.25, "trade_id": id, "timestamp": text}


if __name__ == "__main__":
    length = float(sys.argv[1]) if len(sys.argv) > 1 else 20.0
    follow(length, quiet=length / 2)
    flood(1_000_000)
