"""The stores: what an append, a read, a join as of a moment and a look-up cost, in CPU time.

``python benchmarks/bench_stores.py`` prints the cost of a commit by its size, of the join beside pandas' own (which
knows one time only and wants its rows sorted), and the percentiles of a look-up from the dict, the file, and of a miss.
"""

import tempfile
from pathlib import Path
from time import process_time, thread_time_ns

import numpy as np
import pandas as pd

from rtml.store.facts import Facts
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.store.point_in_time import join

NAMES, KEYS, ASKED = tuple(f"feature_{k}" for k in range(15)), 5_000, 200_000


def facts(rng: np.random.Generator, start: int, n: int) -> Facts:
    """Rows of random keys, one a nanosecond."""
    at = start + np.arange(n)
    return Facts(rng.integers(0, KEYS, n), at, at, rng.normal(size=(n, len(NAMES))), NAMES, "abc")


def spent(run) -> float:
    """CPU seconds of a call."""
    began = process_time()
    run()
    return process_time() - began


def appends(table: FeatureTable, rng: np.random.Generator) -> None:
    """The cost of a commit by its size."""
    start = 0
    for n, times in ((100, 10), (1_000, 10), (50_000, 4)):
        took = []
        for _ in range(times):
            rows, start = facts(rng, start, n), start + n
            took.append(spent(lambda rows=rows, end=start: table.append(rows, "log", end, sealed=end - 1)))
        print(f"append of {n:6,} rows: {1e3 * np.median(took):6.1f} ms, {1e6 * np.median(took) / n:6.1f} us a row")


def joins(table: FeatureTable, rng: np.random.Generator) -> None:
    """Reading it all, and the join beside pandas."""
    known = table.as_of().facts()
    key, at = rng.integers(0, KEYS, ASKED), np.sort(rng.integers(0, len(known), ASKED))
    print(f"read of {len(known):,} rows: {spent(lambda: table.as_of().facts()):.2f} s")
    left = pd.DataFrame({"key": key, "happened": at})
    right = known.frame().drop(columns=["known", "definition", "deleted"]).sort_values("happened")
    ours = min(spent(lambda: join(known, key, at)) for _ in range(3))
    theirs = min(spent(lambda: pd.merge_asof(left, right, on="happened", by="key")) for _ in range(3))
    print(f"join of {ASKED:,} questions: {ours:.2f} s, {ours / theirs:.1f} times pandas.merge_asof of one time")


def look_ups(path: Path, rng: np.random.Generator) -> None:
    """Percentiles of a look-up."""
    store, n = OnlineStore(path), 20_000
    store.declare("card", NAMES, ttl="1d")
    put = spent(lambda: store.put_many("card", np.arange(n), np.full(n, 5), rng.normal(size=(n, len(NAMES)))))
    print(f"put in batches: {n / put:,.0f} rows a second")
    for where, keys in (
        ("from the file", np.arange(n)),
        ("from the dict", rng.integers(0, n, n)),
        ("missing", np.arange(n, 2 * n)),
    ):
        took = []
        for key in keys.tolist():
            began = thread_time_ns()
            store.get("card", key, now=100)
            took.append(thread_time_ns() - began)
        p50, p99 = np.percentile(took, [50, 99]) / 1e3
        print(f"look-up, {where}: p50 {p50:.0f} us, p99 {p99:.0f} us")
    store.close()


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        rng, table = np.random.default_rng(7), FeatureTable(Path(folder) / "cards", NAMES)
        appends(table, rng)
        print("compacted, files before and after:", *table.compact())
        joins(table, rng)
        look_ups(Path(folder) / "online.db", rng)
