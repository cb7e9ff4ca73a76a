"""Latency of the live loop: from a trade received to its prediction on the stream, in a process that does all of it.

A replayed market arrives at its pace, many times faster than it happened, and is logged durably, closed into bars, asked
and published; the wait of a bar for its end is not counted. Run it on an idle machine:
``python benchmarks/bench_live.py [--speed 60] [--seconds 20]``.
"""

from __future__ import annotations

import argparse
import tempfile
import threading
from pathlib import Path

import numpy as np

from rtml.live.session import Live
from rtml.opening import Wanted


def measure(speed: float, seconds: float) -> np.ndarray:
    """Milliseconds of every prediction of a live session."""
    took: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        wanted = Wanted("synthetic", speed=speed)
        with Live(Path(folder) / "run", wanted, port=0, out=lambda line: None) as live:
            counted = live.loop.bulletin.observe
            live.loop.bulletin.observe = lambda s: (counted(s), took.append(1e3 * s))
            live.run(threading.Event(), seconds=seconds)
    return np.array(took)


def main() -> None:
    """Print the quantiles."""
    arguments = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    arguments.add_argument("--speed", type=float, default=60.0, help="how much faster than it happened")
    arguments.add_argument("--seconds", type=float, default=20.0, help="how long to measure")
    given = arguments.parse_args()
    took = measure(given.speed, given.seconds)[5:]  # the first pay for what is loaded once
    p50, p90, p99 = np.quantile(took, [0.5, 0.9, 0.99])
    print(f"received to published, {len(took)} predictions: p50 {p50:.2f} ms, p90 {p90:.2f} ms, p99 {p99:.2f} ms")


if __name__ == "__main__":
    main()
