"""Keyed windows of 24 hours (sum, count, mean, max): ours beside pandas and polars, same rows, same run.

``python benchmarks/bench_windows.py`` prints rows a CPU second and the ratio to each peer, then ours one row at a time.
"""

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import pandas as pd
import polars as pl
from timing import compare

from rtml.features import Feature, FeatureSet, column

ROWS, KEYS, DAY = 300_000, 10_000, 86_400 * 10**9


def features() -> FeatureSet:
    """Sum, count, mean and max over a day, compiled for 10,000 keys."""
    amount = column("amount").over
    return FeatureSet([Feature(how, amount("24h", how), "", "") for how in ("sum", "count", "mean", "max")], ["amount"])


def with_pandas(frame: pd.DataFrame):
    """Grouped rolling windows."""
    rolling = frame.groupby("key")["amount"].rolling("24h")
    return rolling.sum(), rolling.count(), rolling.mean(), rolling.max()


def with_polars(frame: pl.DataFrame):
    """Rolling windows by time over each key."""
    a = pl.col("amount")
    sums = [a.rolling_sum_by("at", "24h").over("key").alias("s"), a.rolling_mean_by("at", "24h").over("key").alias("m")]
    others = [pl.lit(1.0).alias("one"), a.rolling_max_by("at", "24h").over("key").alias("x")]
    return frame.with_columns(*sums, *others).with_columns(pl.col("one").rolling_sum_by("at", "24h").over("key"))


if __name__ == "__main__":
    rng = np.random.default_rng(5)
    time = np.sort(rng.integers(0, 60 * DAY, ROWS))
    key, amount = rng.integers(0, KEYS, ROWS), rng.lognormal(3, 1, ROWS)
    frame = pd.DataFrame({"key": key, "amount": amount}, index=pd.to_datetime(time))
    table = pl.DataFrame({"time": time, "key": key, "amount": amount}).with_columns(
        at=pl.from_epoch("time", time_unit="ns")
    )
    runs = {"rtml": lambda: features().push(time, amount, key)}
    runs |= {"pandas": lambda: with_pandas(frame), "polars": lambda: with_polars(table)}
    compare(f"24 h windows, {KEYS:,} keys, {ROWS:,} rows", ROWS, runs)

    live, few = features(), 20_000

    def one_by_one():
        for i in range(few):
            live.push(time[i : i + 1], amount[i : i + 1], key[i : i + 1])

    live.push(time, amount, key)
    live = features()
    compare(f"the same, one row a call, {few:,} rows", few, {"rtml": one_by_one}, repeat=1)
