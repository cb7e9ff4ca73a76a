"""Keyed windows (sum, count, mean, max): ours beside pandas and polars, same rows, same run, CPU time.

``python benchmarks/bench_windows.py`` prints rows a CPU second and the ratio to each peer for one window and for three
together, the cost of an event by the length of its window, one row a call, and what a million keys take.
"""

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import resource

import numpy as np
import pandas as pd
import polars as pl
from timing import compare

from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.kernels import windows

ROWS, KEYS, DAY = 300_000, 10_000, 86_400 * 10**9
HOWS, THREE = ("sum", "count", "mean", "max"), ("1h", "24h", "7d")


def features(*spans: str) -> FeatureSet:
    """Sum, count, mean and max over each window."""
    over = column("amount").over
    return FeatureSet([Feature(f"{how}_{w}", over(w, how), "", "") for w in spans for how in HOWS], ["amount"])


def with_pandas(frame: pd.DataFrame, spans: tuple[str, ...]):
    """Grouped rolling windows."""
    grouped = frame.groupby("key")["amount"]
    return [getattr(grouped.rolling(window), how)() for window in spans for how in HOWS]


def with_polars(frame: pl.DataFrame, spans: tuple[str, ...]):
    """Rolling windows by time over each key."""
    a, one = pl.col("amount"), pl.col("one")
    wanted = []
    for w in spans:
        sums = [
            a.rolling_sum_by("at", w),
            a.rolling_mean_by("at", w),
            a.rolling_max_by("at", w),
            one.rolling_sum_by("at", w),
        ]
        wanted += [each.over("key").alias(f"{i}_{w}") for i, each in enumerate(sums)]
    return frame.with_columns(pl.lit(1.0).alias("one")).with_columns(*wanted)


def by_length(time: np.ndarray, amount: np.ndarray, key: np.ndarray) -> None:
    """The cost of an event in a window of an hour and in one of a month, when the windows are full."""
    sets, passed = {w: features(w) for w in ("1h", "24h", "7d", "30d")}, dict.fromkeys(("1h", "24h", "7d", "30d"), 0)

    def goes_on(window: str) -> None:
        sets[window].push(time + passed[window] * 60 * DAY, amount, key)
        passed[window] += 1

    runs = {window: lambda window=window: goes_on(window) for window in sets}
    compare(f"by length of the window, {len(np.unique(key)):,} keys", len(time), runs)


def one_by_one(time: np.ndarray, amount: np.ndarray, key: np.ndarray, few: int = 50_000) -> None:
    """One row a call: the window transition as a live system makes it, beside what any compiled call costs here."""
    sets = {"24h": features("24h"), "1h 24h 7d": features(*THREE)}
    passed = dict.fromkeys(sets, 1)
    for known in sets.values():
        known.push(time, amount, key)
    ids, amounts, row = key[:few].tolist(), amount[:few].tolist(), np.empty(1)

    def live(name: str) -> None:
        later, push_one = (time[:few] + passed[name] * 60 * DAY).tolist(), sets[name].push_one
        passed[name] += 1
        for t, k, x in zip(later, ids, amounts, strict=True):
            row[0] = x
            push_one(t, k, row)

    def bare() -> None:
        address, later, call = sets["24h"]._windows.address, time[:few].tolist(), windows.push_one
        for t in later:
            call(address, t, -1, row)  # an unknown key: nothing is done

    runs = {name: lambda name=name: live(name) for name in sets}
    compare("one row a call, push_one", few, runs | {"nothing": bare})


def million() -> None:
    """Memory of a million keys with a few rows each."""
    known, n = features(*THREE), 1_000_000
    for day in range(3):
        known.push(np.arange(n) * 1000 + day * DAY, np.ones(n), np.arange(n))
    memory = known.memory()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    print(f"\n{memory['keys']:,} keys, 3 rows each, windows of {', '.join(THREE)}: {memory['bytes'] / 2**30:.2f} GiB")
    own = f"{memory['bytes_per_key']} bytes a key and {memory['bytes_per_row']} a row"
    print(f"  {own}; the process took {peak:.1f} GiB at most")


if __name__ == "__main__":
    rng = np.random.default_rng(5)
    time = np.sort(rng.integers(0, 60 * DAY, ROWS))
    key, amount = rng.integers(0, KEYS, ROWS), rng.lognormal(3, 1, ROWS)
    frame = pd.DataFrame({"key": key, "amount": amount}, index=pd.to_datetime(time))
    table = pl.DataFrame({"time": time, "key": key, "amount": amount}).with_columns(
        at=pl.from_epoch("time", time_unit="ns")
    )
    for spans in (("24h",), THREE):
        runs = {"rtml": lambda spans=spans: features(*spans).push(time, amount, key)}
        runs |= {"polars": lambda spans=spans: with_polars(table, spans)}
        if len(spans) == 1:
            runs |= {"pandas": lambda spans=spans: with_pandas(frame, spans)}
        compare(f"windows of {' '.join(spans)}, {KEYS:,} keys, {ROWS:,} rows", ROWS, runs)
    by_length(time, amount, key)
    by_length(time, amount, key % 1000)
    one_by_one(time, amount, key)
    million()
