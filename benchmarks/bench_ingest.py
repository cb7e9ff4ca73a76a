"""How fast files become events: a million trades as CSV and as Parquet, read and judged."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
from timing import compare

from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import TRADES

ROWS = 1_000_000


def table(rows: int, seed: int = 7) -> pd.DataFrame:
    """Trades of a random walk: times in ms, prices with two decimals, sides as words, ascending ids."""
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "time": 1_735_689_600_000 + np.cumsum(rng.integers(0, 200, rows)),
            "price": np.round(2000 + np.cumsum(rng.normal(0, 0.01, rows)), 2),
            "size": np.round(rng.exponential(1, rows), 4),
            "side": np.where(rng.random(rows) < 0.5, "buy", "sell"),
            "id": np.arange(rows),
        }
    )


def main() -> None:
    """Print rows a CPU second of reading a file, and of judging its rows."""
    with tempfile.TemporaryDirectory() as folder:
        trades = table(ROWS)
        paths = [Path(folder) / f"bench__ETH-USD.{end}" for end in ("csv", "parquet")]
        trades.to_csv(paths[0], index=False)
        trades.to_parquet(paths[1])
        for path in paths:
            source = Replay(str(path))
            read = {"read": lambda path=path: Replay(str(path))}
            judged = {"judged": lambda source=source: [TRADES.accept(c, source.symbols) for c in source.chunks()]}
            compare(f"{ROWS:,} trades of a {path.suffix[1:]} file", ROWS, read | judged, repeat=3)


if __name__ == "__main__":
    main()
