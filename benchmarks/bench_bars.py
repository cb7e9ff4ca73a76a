"""Bars of ten seconds: ours beside pandas and polars, same trades, same run.

``python benchmarks/bench_bars.py`` prints events a CPU second and the ratio to each peer. Ours also
de-duplicates by id, handles late and disordered trades and emits the empty bars; the peers do none of that.
"""

import os

os.environ["POLARS_MAX_THREADS"] = "1"

import numpy as np
import pandas as pd
import polars as pl
from timing import compare

from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.trades import events

TRADES, SYMBOLS = 2_000_000, 100


def tape(symbols: int) -> np.ndarray:
    """Trades in order of time, ids ascending, interleaved symbols."""
    rng = np.random.default_rng(7)
    time = 1_700_000_000 * 10**9 + np.cumsum(rng.integers(0, 2 * 86_400 * 10**9 // TRADES, TRADES))
    price = 100 + np.cumsum(rng.normal(0, 1e-3, TRADES))
    key = rng.integers(0, symbols, TRADES)
    return events(time, key=key, id=np.arange(TRADES), price=price, size=rng.exponential(1.0, TRADES), side=1)


def with_pandas(frame: pd.DataFrame):
    """OHLCV by symbol and interval."""
    grouped = frame.groupby(["key", frame["time"] // 10**10], sort=False)
    return grouped.agg(open=("price", "first"), high=("price", "max"), low=("price", "min"), close=("price", "last"),
                       volume=("size", "sum"))  # fmt: skip


def with_polars(frame: pl.DataFrame):
    """OHLCV by symbol and interval."""
    price = pl.col("price")
    aggregates = [price.first().alias("o"), price.max().alias("h"), price.min().alias("l"), price.last().alias("c")]
    return frame.group_by_dynamic("at", every="10s", group_by="key").agg(*aggregates, pl.col("size").sum())


if __name__ == "__main__":
    for symbols in (1, SYMBOLS):
        trades = tape(symbols)
        columns = {name: np.ascontiguousarray(trades[name]) for name in ("time", "key", "price", "size")}
        frame, table = pd.DataFrame(columns), pl.DataFrame(columns)
        table = table.with_columns(at=pl.from_epoch("time", time_unit="ns")).set_sorted("at")
        runs = {"rtml": lambda t=trades, s=symbols: Bars(symbols=s).push(t)}
        runs |= {"pandas": lambda f=frame: with_pandas(f), "polars": lambda t=table: with_polars(t)}
        compare(f"10 s bars, {symbols} symbols, {TRADES:,} trades", TRADES, runs)
