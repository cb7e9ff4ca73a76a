"""Detection delay and false alarms per 100,000 of every detector and kind of drift: python benchmarks/bench_drift.py.

Options: --seeds 20 --n 20000 --still 100000. Delays are in answers (or rows), from where the change begins; in
brackets the share of changes that was seen before the next one. What is fed is in the catalogue of detectors.
"""

import argparse
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd

sys.path.insert(0, str(Path(__file__).parents[1] / "notebooks" / "studies"))

from detector_benchmark import delays_and_false_alarms, side_by_side, watched
from drifting import drifting

from rtml.monitoring.monitor import Monitor
from rtml.training.flow import Outcome


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("seeds", 20), ("n", 20_000), ("still", 100_000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    how = vars(parser.parse_args())
    table = delays_and_false_alarms(**how)
    with pd.option_context("display.width", 250, "display.max_columns", 20):
        print(side_by_side(table))
    alerts = [one for seed in range(how["seeds"]) for one in quiet(how["still"], seed)]
    rows = how["seeds"] * how["still"]
    print(f"\nmonitor: {len(alerts)} alerts in {rows:,} rows without drift, {len(alerts) / rows * 1e5:.2f} per 100,000")
    print(f"monitor: {cost():.1f} us CPU an event of 30 features in chunks, {cost(chunk=1):.0f} us one by one")


def quiet(n: int, seed: int) -> list:
    """Alerts where nothing drifts."""
    return [one for one in watched(drifting("none", n=n, seed=seed).questions) if one.kind == "alert"]


def cost(n: int = 20_000, features: int = 30, chunk: int = 5000) -> float:
    """CPU time a question and its answer, in microseconds, behind the reference."""
    rng = np.random.default_rng(7)
    X, p = rng.normal(size=(n, features)), rng.random(n)
    at, id = np.arange(n) * 10, np.arange(n)
    y, names = (rng.random(n) < p).astype(float), [f"x{j}" for j in range(features)]
    monitor, begun = Monitor(names, {"y": np.asarray}), 0.0
    parts = [slice(start, min(start + chunk, n)) for start in range(0, n, chunk)]
    for part in parts:
        begun = time.process_time() if part.start == 5000 else begun
        monitor.push(Outcome(np.empty(0), id[part], at[part], X[part], {"y": p[part]}, id[part], y[part], at[part] + 5))
    return (time.process_time() - begun) / (n - 5000) * 1e6


if __name__ == "__main__":
    main()
