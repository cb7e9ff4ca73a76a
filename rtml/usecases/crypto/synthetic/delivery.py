"""How a market's news reach us: delayed, out of order, a few late, some twice, some broken."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.usecases.crypto.schema import RAW
from rtml.usecases.crypto.synthetic.price_process import Tape

LATE = 0.0005  # share of orders delivered 3 s to 30 s after they happened
SLOW = 0.03  # share delivered up to 0.8 s after, so out of order but within a lateness of 1 s
TWICE = 0.002  # share of trades sent again
BROKEN = 0.0003  # share of trades sent once more with a broken field
FIRST_ID = 1_000_001

#: What may be wrong with a row: the column and what stands there instead.
FAULTS = (("price", "n/a"), ("price", -1.0), ("price", np.nan), ("size", -0.5), ("side", "hold"), ("symbol", "???"),
          ("time", pd.NA))  # fmt: skip


def deliver(tapes: dict[str, Tape], start: int, rng: np.random.Generator) -> pd.DataFrame:
    """Raw rows of every tape in order of arrival."""
    frames, arrivals = [], []
    for k, (symbol, tape) in enumerate(tapes.items()):
        delay = _delays(tape, rng)
        for frame, order in (_quotes(symbol, tape, start, rng), _trades(symbol, tape, start, k * 10**8)):
            frames.append(frame)
            arrivals.append(tape.orders.time_ms[order] + delay[order])
    rows, arrival = pd.concat(frames, ignore_index=True), np.concatenate(arrivals)
    again = np.flatnonzero((rows["kind"] == "trade").to_numpy() & (rng.random(len(rows)) < TWICE))
    bad = np.flatnonzero((rows["kind"] == "trade").to_numpy() & (rng.random(len(rows)) < BROKEN))
    arrival = np.concatenate([arrival, *(arrival[k] + rng.uniform(50, 5000, len(k)) for k in (again, bad))])
    rows = pd.concat([rows, rows.iloc[again], _broken(rows.iloc[bad])], ignore_index=True)
    return rows.iloc[np.argsort(arrival, kind="stable")].reset_index(drop=True)


def _delays(tape: Tape, rng: np.random.Generator) -> np.ndarray:
    """Milliseconds from each order to its arrival; a bar's last order is never late, so every close is seen."""
    n = len(tape.orders.bar)
    chance, delay = rng.random(n), rng.uniform(5, 60, n)
    delay = np.where(chance < LATE + SLOW, rng.uniform(100, 800, n), delay)
    return np.where((chance < LATE) & ~tape.orders.last, rng.uniform(3000, 30_000, n), delay)


def _trades(symbol: str, tape: Tape, start: int, first_id: int) -> tuple[pd.DataFrame, np.ndarray]:
    order = tape.order
    columns = {
        "time": start + tape.orders.time_ms[order] * 10**6,
        "price": tape.price,
        "size": tape.size,
        "side": np.where(tape.orders.side[order] > 0, "buy", "sell"),
        "id": first_id + FIRST_ID + np.arange(len(order)),
    }
    return _raw(symbol, "trade", columns), order


def _quotes(symbol: str, tape: Tape, start: int, rng: np.random.Generator) -> tuple[pd.DataFrame, np.ndarray]:
    """Best bid and ask just before every other order or so."""
    order = np.flatnonzero(rng.random(len(tape.bid)) < 0.5)
    columns = {"time": start + tape.orders.time_ms[order] * 10**6, "bid": tape.bid[order], "ask": tape.ask[order]}
    return _raw(symbol, "quote", columns), order


def _raw(symbol: str, kind: str, columns: dict) -> pd.DataFrame:
    """A frame of raw rows; what does not apply is empty."""
    n = len(columns["time"])
    empty = {
        "symbol": symbol,
        "kind": kind,
        "side": None,
        "id": -1,
        "price": np.nan,
        "size": np.nan,
        "bid": np.nan,
        "ask": np.nan,
    }
    full = {name: columns.get(name, empty.get(name)) for name in RAW}
    types = {"symbol": "str", "kind": "str", "side": "str", "time": "Int64", "id": "int64"}
    return pd.DataFrame(full, index=range(n)).astype(types)


def _broken(rows: pd.DataFrame) -> pd.DataFrame:
    """Break one field of each row, each fault in turn."""
    rows = rows.astype(object)
    for k, (column, value) in enumerate(FAULTS):
        rows.iloc[k :: len(FAULTS), rows.columns.get_loc(column)] = value
    return rows.astype({"symbol": "str", "kind": "str", "side": "str", "time": "Int64", "id": "int64"})
