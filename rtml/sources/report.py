"""What came in with an ingest: how many rows, from when to when, and what was put aside and why."""

from __future__ import annotations

from dataclasses import dataclass

from rtml.core.clock import utc
from rtml.core.later import pd


@dataclass(frozen=True)
class IngestReport:
    """What came in: rows received, events logged by kind, rows in quarantine by reason.

    Examples
    --------
    >>> none = pd.DataFrame()
    >>> print(IngestReport("file:bikes.csv", 3, 2, 1, 0, 60 * 10**9, none, none))
    file:bikes.csv: 3 rows received, 2 logged, 1 in quarantine, 1970-01-01 00:00 to 1970-01-01 00:01 UTC
    """

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
