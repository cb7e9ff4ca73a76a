"""What came in with an ingest: how many rows, from when to when, and what was put aside and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from rtml.core.clock import utc


@dataclass(frozen=True)
class IngestReport:
    """What came in: rows received, events logged by kind, rows in quarantine by reason."""

    source: str
    received: int
    logged: int
    quarantined: int
    first: int
    last: int
    by_kind: pd.DataFrame
    by_reason: pd.DataFrame
    notes: tuple[str, ...] = ()

    def __str__(self) -> str:
        first, last = (f"{utc(t):%Y-%m-%d %H:%M}" for t in (self.first, self.last))
        return (
            f"{self.source}: {self.received:,} rows received, {self.logged:,} logged, "
            f"{self.quarantined:,} in quarantine, {first} to {last} UTC" + "".join(f"\n{note}" for note in self.notes)
        )


def share_in_bars(rows: int, counts: Mapping[str, int]) -> float:
    """Share of the logged trades and quotes that bars took.

    ``rows`` are the trades and quotes of the log, ``counts`` is what ``Bars.counts()`` says of those that changed
    nothing: late, duplicate, ahead of time. The first and the last interval of a stream, which are partial, lose
    nothing.

    Examples
    --------
    >>> share_in_bars(200, {"late": 30, "duplicate": 0, "ahead": 10})
    0.8
    """
    return 1.0 - sum(counts.values()) / rows if rows else 0.0


def check_in_bars(rows: int, counts: Mapping[str, int], least: float = 0.95) -> float:
    """The same share; an error where it is below ``least``, so that no run ends well on a part of its data.

    Examples
    --------
    >>> check_in_bars(200, {"late": 2, "duplicate": 0, "ahead": 0})
    0.99
    """
    share = share_in_bars(rows, counts)
    if share < least:
        lost = ", ".join(f"{number:,} {name}" for name, number in counts.items())
        raise ValueError(
            f"only {share:.1%} of {rows:,} logged trades and quotes are in bars, at least {least:.0%} have to be "
            f"(not in bars: {lost}). Late: sort the file by time, or give LATENESS more; duplicate: name the right "
            'column of ids, COLUMNS={"id": "<column>"}; ahead: a clock is wrong. Or set LEAST_IN_BARS lower'
        )
    return share
