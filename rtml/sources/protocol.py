"""What a source is: raw rows in the order in which they arrived, chunk by chunk.

A source knows nothing of bars or models and repairs nothing: the schema judges its rows. Asked twice, it sends the
same.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Protocol, runtime_checkable

import pandas as pd

from rtml.sources.columns import Schema

#: The columns of a raw row; their rules are in ``rtml.sources.columns.COLUMNS``.
RAW = ("symbol", "kind", "time", "price", "size", "side", "id", "bid", "ask")


@runtime_checkable
class Source(Protocol):
    """A stream of raw rows."""

    name: str  #: lineage: what was read, such as ``synthetic:sudden:seed=7`` or ``file:<name>@<sha256, 12 digits>``
    symbols: tuple[str, ...]  #: keys of the events, in the order of their numbers
    rows: int  #: how many rows will come, 0 where that is unknown
    schema: Schema  #: judges the rows

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Frames of at most ``n`` raw rows, in order of arrival."""


def pieces(frame: pd.DataFrame, n: int) -> Iterator[pd.DataFrame]:
    """Cut a frame into chunks of at most ``n`` rows.

    Examples
    --------
    >>> [len(piece) for piece in pieces(pd.DataFrame({"price": [1.0, 2.0, 3.0]}), 2)]
    [2, 1]
    """
    if n < 1:
        raise ValueError(f"a chunk holds at least one row, got n={n}")
    for start in range(0, len(frame), n):
        yield frame.iloc[start : start + n].reset_index(drop=True)
