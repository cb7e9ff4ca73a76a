"""What a source is: raw rows in the order in which they arrived, chunk by chunk.

A source knows nothing of bars or models and repairs nothing: the schema judges its rows. Asked twice, it sends the
same.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol, runtime_checkable

from rtml.core.later import pd
from rtml.sources.columns import Schema


class Refused(RuntimeError):
    """A source that trying again does not help; its text states what does."""


class Unreachable(Refused):
    """It could not be had from the start: final for who begins, worth another try for who had it before.

    Examples
    --------
    >>> issubclass(Unreachable, Refused)
    True
    """


@dataclass(frozen=True)
class Status:
    """What a live source is doing, and what it has seen.

    Examples
    --------
    >>> Status("RECONNECTING", {"reconnects": 2}, error="connection lost").counts["reconnects"]
    2
    """

    state: str  #: STARTING, BACKFILLING, LIVE, RECONNECTING or STOPPED
    counts: dict[str, int] = field(default_factory=dict)  #: by name, such as duplicate, gaps, lost, reconnects
    time: int = 0  #: time of the newest row, ns UTC, ticks aside
    error: str = ""  #: the last error's words, also of one that was overcome


@runtime_checkable
class Source(Protocol):
    """A stream of raw rows.

    Examples
    --------
    >>> from rtml.core.use_case import load_use_case
    >>> from rtml.sources.posted import Posted
    >>> isinstance(Posted(load_use_case("sessions")), Source), isinstance([], Source)
    (True, False)
    """

    name: str  #: lineage: what was read, such as ``synthetic:sudden:seed=7`` or ``file:<name>@<sha256, 12 digits>``
    symbols: tuple[str, ...]  #: keys of the events, in the order of their numbers
    rows: int  #: how many rows will come, 0 where that is unknown
    schema: Schema  #: judges the rows

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Frames of at most ``n`` raw rows, in order of arrival."""


@runtime_checkable
class Recording(Source, Protocol):
    """A source that is read from files, of which can be shown how each column is read."""

    notes: tuple[str, ...]  #: what was done to read them, such as that one has its newest row first

    @property
    def read_as(self) -> Sequence[tuple[str, pd.DataFrame, Mapping[str, str]]]:
        """Of each file its name, its table as it is written, and its columns' names by ours."""


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
