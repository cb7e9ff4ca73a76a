"""The three tiers of what is stored, raw log, table of features, latest values: do their rows reconcile?"""

from __future__ import annotations

from dataclasses import dataclass

from rtml.store.feature_pipeline import Stream
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.store.protocols import EventLog


@dataclass(frozen=True)
class Reconciliation:
    """What each tier holds of one source, and what the log says they should hold."""

    events: int
    expected: int
    rows: int
    expected_keys: int
    keys: int
    other_moments: int

    def __str__(self) -> str:
        return (
            f"log: {self.events:,} events, which make {self.expected:,} rows; table: {self.rows:,} rows of "
            f"{self.expected_keys:,} keys; latest values: {self.keys:,} keys, {self.other_moments:,} of another moment"
        )

    @property
    def agree(self) -> bool:
        """Whether every row of the log is in the table, and the newest of each key in front."""
        return (self.rows, self.keys, self.other_moments) == (self.expected, self.expected_keys, 0)


def reconcile(
    stream: Stream, log: EventLog, part: str, table: FeatureTable, online: OnlineStore, group: str
) -> Reconciliation:
    """Count what the log makes of its events against the table, and the table against the latest values.

    ``stream`` is one that has read nothing. Raises where they do not agree, with all the counts.
    """
    last = table.offset(f"{part}@{stream.definition}")
    at = 0
    expected = 0
    while at < last:
        offsets, events = log.read(part, at, min(50_000, last - at))
        if not len(offsets):
            break
        at, expected = int(offsets[-1]), expected + len(stream.push(events))
    history = table.as_of().facts()
    newest = history.newest().frame().groupby("key")["happened"].max()
    latest = online.table(group, now=0).set_index("key")["moment"]
    shared = newest.index.intersection(latest.index)
    other = int((newest.loc[shared] != latest.loc[shared]).sum())
    counts = Reconciliation(at, expected, len(history), len(newest), len(latest), other)
    if not counts.agree or len(shared) < len(newest) or len(history) != table.rows:
        raise ValueError(f"the tiers do not agree ({counts}): run the materialisation again, or begin the stores anew")
    return counts
