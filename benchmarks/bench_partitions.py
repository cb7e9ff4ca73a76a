"""What a declared partition costs: rows a CPU second and bytes of keyed windows, with one watermark and with 64.

python benchmarks/bench_partitions.py [ROWS] [KEYS]
"""

import sys
import time

import numpy as np

from rtml.features.feature_set import Feature, FeatureSet, column

HOUR = 3600 * 10**9


def main(rows: int = 1_000_000, keys: int = 200_000) -> dict[int, float]:
    """Push 24 h sums and counts of cards in chunks of 10,000; rows a CPU second by number of partitions."""
    r = np.random.default_rng(0)
    at, key = np.sort(r.integers(0, 48 * HOUR, rows)), r.integers(0, keys, rows)
    amount, found = r.uniform(1, 100, (rows, 1)), {}
    x = column("amount")
    declared = [Feature(how, x.over("24h", how), "", "") for how in ("sum", "count")]
    for partitions in (1, 64):
        features = FeatureSet(declared, ["amount"], keys, lateness="1h", partitions=partitions)
        features.push(at[:1000], amount[:1000], key[:1000])
        began = time.process_time()
        for first in range(1000, rows, 10_000):
            piece = slice(first, first + 10_000)
            features.push(at[piece], amount[piece], key[piece])
        found[partitions] = rows / (time.process_time() - began)
        memory = features.memory()
        print(
            f"{partitions:3} partitions: {found[partitions]:11,.0f} rows a CPU second, {memory['keys']:,} keys, "
            f"{memory['bytes_per_key']:.0f} bytes a key, {memory['bytes_per_row']:.0f} a row in its windows, "
            f"{memory['bytes'] / 1e6:.0f} MB in all",
            flush=True,
        )
    return found


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
