"""Sources of card payments by name: the seeded town, or a recorded table whose labels are revealed days later."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow.parquet as pq

from rtml.core.clock import span, span_text
from rtml.core.state import digest
from rtml.usecases.fraud.synthetic_cards import Cards

#: What SOURCE may say.
SOURCES = {
    "cards": "a seeded town of cards and terminals; fraud of four patterns is known and changes; runs anywhere",
    "<file>": "recorded payments in Parquet: ts, transaction_id, customer_id, terminal_id, amount, is_fraud",
}

#: Names of ours, and of a recorded table. Nothing else is read: a column that explains the label cannot leak.
COLUMNS = {
    "time": "ts",
    "id": "transaction_id",
    "card": "customer_id",
    "terminal": "terminal_id",
    "amount": "amount",
    "fraud": "is_fraud",
}


class Recorded:
    """Recorded payments, each followed by its label as an event of its own, ``delay`` later.

    Parameters
    ----------
    path
        A Parquet file, as a table in order of time.
    delay
        How long after its payment a label becomes known.
    days
        Only the first days of it, 0 for all.
    columns
        Names of the table's columns where they are not the usual ones of :data:`COLUMNS`.
    """

    def __init__(self, path: str | Path, delay: str = "7d", days: float = 0.0, columns: dict | None = None) -> None:
        self.path, self.delay, self.days = Path(path), span(delay), days
        if not self.path.exists():
            raise FileNotFoundError(f"no file {path}: SOURCE is 'cards' or a Parquet file of payments")
        self._columns = COLUMNS | (columns or {})
        has = pq.read_schema(self.path).names
        if missing := [name for name in self._columns.values() if name not in has]:
            raise LookupError(f"{self.path.name} has no column {', '.join(missing)}; it has: {', '.join(has)}")
        part = f":days={days:g}" if days else ""
        hashed = digest(self.path.read_bytes())[:12]
        self.name = f"file:{self.path.name}@{hashed}{part}:delay={span_text(self.delay)}"

    @property
    def rows(self) -> int:
        """Number of raw rows: a payment and a label for each line of the table."""
        return 2 * len(self._table)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time; at equal times payments before labels."""
        table = self._table
        when = np.concatenate([table["time"], table["time"] + self.delay])
        order = np.argsort(when, kind="stable")
        for start in range(0, len(order), n):
            places = order[start : start + n]
            frame = table.iloc[places % len(table)].reset_index(drop=True)
            label = places >= len(table)
            frame["time"] = when[places]
            frame.insert(0, "kind", np.where(label, "label", "payment"))
            frame["fraud"] = np.where(label, frame["fraud"].astype(float), np.nan)
            yield frame

    def truth(self) -> pd.DataFrame:
        """One row a payment: its label and when it becomes known, and how the fraud was made where the file says it.

        For reports of what was found, never for features.
        """
        table = self._table.assign(known=self._table["time"] + self.delay, pattern="")
        if "fraud_scenario" in pq.read_schema(self.path).names:
            names = np.array(["", "dear", "terminal", "leak"])
            made = pq.read_table(self.path, columns=["fraud_scenario"])["fraud_scenario"].to_numpy()
            table["pattern"] = names[made[: len(table)]]
        return table.assign(amount=np.rint(table["amount"] * 100).astype(np.int64))

    @cached_property
    def _table(self) -> pd.DataFrame:
        frame = pq.read_table(self.path, columns=list(self._columns.values())).to_pandas()
        frame = frame.rename(columns={theirs: ours for ours, theirs in self._columns.items()})[list(self._columns)]
        if getattr(frame["time"].dtype, "tz", None) is None:
            raise ValueError(f"{self._columns['time']} of {self.path.name} holds times without a zone: say which it is")
        frame["time"] = frame["time"].dt.as_unit("ns").astype("int64")
        frame["fraud"] = frame["fraud"].astype(bool)
        if (frame["time"].diff() < 0).any():
            raise ValueError(f"{self.path.name} is not in order of time: sort it by {self._columns['time']} first")
        if self.days:
            frame = frame[frame["time"] < frame["time"].iloc[0] + self.days * 86_400e9]
        return frame


def open_payments(source: str = "cards", *, seed: int = 7, days: float = 0.0, delay: str = "", columns=None):
    """Open a source by the text of the parameter SOURCE; ``days`` 0 and ``delay`` "" stand for its usual ones.

    Examples
    --------
    >>> open_payments("cards", days=30).name
    'cards:seed=7:days=30:cards=500:terminals=1000:delay=5d'
    """
    if source.strip() == "cards":
        return Cards(seed=seed, days=days or 90.0, delay=delay or "5d")
    return Recorded(source, delay=delay or "7d", days=days, columns=columns)


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is."""
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})
