"""Rows a second into and out of the event log, and microseconds a key of the online store, on each system.

    python benchmarks/bench_logs.py [ROWS]

Servers run on this machine on free ports; a system that is not installed is left out. Wall time, client and server
together, since a reader waits for both; take the best of three.
"""

import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "support"))
from servers import Server, missing

from rtml.store.protocols import open_log, open_online
from rtml.usecases.crypto.trades import events


def main(rows: int = 200_000) -> dict[str, dict[str, float]]:
    """Measure every system that is here; by system, rows a second of each way."""
    found = {"file": measured(Path(tempfile.mkdtemp()) / "log.db", rows)}
    for system in ("redis", "postgres", "nats", "kafka"):
        if reason := missing(system):
            print(f"{system:9} {reason}")
            continue
        with closing(Server(system)) as server:
            where = f"{server.url}{'&' if '?' in server.url else '?'}log="
            found[system] = measured(where, min(rows, 50_000) if system == "kafka" else rows)  # the mock keeps 5 MB
            if system == "redis":
                online(server.url)
    online(Path(tempfile.mkdtemp()) / "online.db")
    return found


def measured(url, rows: int) -> dict[str, float]:
    """Append in thousands and one by one, and read it all, three times."""
    best: dict[str, float] = {}
    piece = events(np.arange(1000), price=1.5)
    for turn in range(3):
        with open_log(url.with_suffix(f".{turn}") if isinstance(url, Path) else f"{url}t{turn}") as log:
            ways = {
                "append 1,000 at a time": (rows, lambda log=log: [log.append("a", piece) for _ in range(rows // 1000)]),
                "append one by one": (200, lambda log=log: [log.append("b", piece[k : k + 1]) for k in range(200)]),
                "read": (rows, lambda log=log: [log.read("a", after, 50_000) for after in range(0, rows, 50_000)]),
            }
            for way, (n, does) in ways.items():
                began = time.perf_counter()
                does()
                best[way] = max(best.get(way, 0.0), n / (time.perf_counter() - began))
    system = "file" if isinstance(url, Path) else url.partition(":")[0]
    print(f"{system:9}" + "   ".join(f"{way} {rate:12,.0f} /s" for way, rate in best.items()), flush=True)
    return best


def online(url, keys: int = 20_000) -> None:
    """Quantiles of a get of one key of ten features."""
    with closing(open_online(url)) as store:
        store.declare("card", [f"x{j}" for j in range(10)], ttl="1d")
        for first in range(0, keys, 1000):
            ids = np.arange(first, first + 1000)
            store.put_many("card", ids, np.zeros(1000, np.int64), np.zeros((1000, 10)))
        took = []
        for key in np.random.default_rng(0).integers(0, keys, 5000).tolist():
            began = time.perf_counter()
            store.get("card", key, 0)
            took.append(time.perf_counter() - began)
    p50, p99 = 1e6 * np.quantile(took, [0.5, 0.99])
    system = str(url).partition(":")[0] if "://" in str(url) else "file"
    print(f"online store on {system}: get p50 {p50:.0f} us, p99 {p99:.0f} us", flush=True)


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
