"""A tape of trades: several symbols, ids without holes, many trades of one moment, as a matching engine makes them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

START = 1_790_000_000 * 10**9
PRICES = {"ETH/USD": 2500.0, "BTC/USD": 62_000.0}


@dataclass(frozen=True)
class Tape:
    """Trades of one symbol in the order of their ids."""

    id: np.ndarray
    time: np.ndarray
    price: np.ndarray
    size: np.ndarray
    buy: np.ndarray

    @classmethod
    def draw(cls, seconds: float, rate: float, price: float, seed: int, start: int = START) -> Tape:
        """``rate`` trades a second with bursts: a third of them share the very moment of the one before."""
        rng = np.random.default_rng(seed)
        n = int(seconds * rate)
        gap = rng.exponential(1e6 / rate / 0.65, n)
        gap[rng.random(n) < 0.35] = 0
        return cls(
            id=np.arange(n) + int(rng.integers(10_000, 90_000)),
            time=start + np.cumsum(gap).astype(np.int64) * 1000,
            price=np.round(price * np.exp(np.cumsum(rng.normal(0, 2e-5, n))), 1),
            size=np.round(rng.lognormal(-4, 1.5, n) + 1e-8, 8),
            buy=rng.random(n) < 0.5,
        )

    @classmethod
    def recorded(cls, path: Path, n: int) -> Tape:
        """The first trades of a recording, with the exchange's ids."""
        table = pd.read_parquet(path).head(n)
        time = table["ts"].dt.tz_convert(None).astype("datetime64[ns]").to_numpy().view(np.int64)
        order = np.argsort(table["trade_id"].to_numpy(), kind="stable")
        columns = (table["trade_id"], time, table["price"], table["size"], table["side"] == "buy")
        return cls(*(np.asarray(column)[order] for column in columns))

    def __len__(self) -> int:
        return len(self.id)


def tapes(seconds: float = 120.0, rate: float = 15.0, seed: int = 7, symbols: int = 2) -> dict[str, Tape]:
    """ETH and BTC, BTC half as busy; of more symbols all are as busy as ETH."""
    names = ["ETH/USD", "BTC/USD"] + [f"A{k:02d}/USD" for k in range(2, symbols)]
    return {
        symbol: Tape.draw(seconds, rate / (2 if symbols == 2 and k else 1), PRICES.get(symbol, 100.0), seed + k)
        for k, symbol in enumerate(names[:symbols])
    }
