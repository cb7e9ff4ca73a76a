"""Materialise: from the event log through declared features into the offline and the online store, each row once.

A feature pipeline of its own: ``rtml materialize RUN`` stores what the questions of a run are
asked with.
The offset of the log is committed with the rows, so a job that was killed goes on where its last commit ends, and
backfilling a day gives what live would have stored: the same transition function runs over the same events.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtml.core import digests
from rtml.core import state as checkpoint
from rtml.core.clock import utc
from rtml.core.process import awaited, insist, stopping, tell
from rtml.store.facts import Facts
from rtml.store.feature_pipeline import FeatureStream, QuestionStream, Stream
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.store.protocols import EventLog, run_log
from rtml.training.run_config import PART, RunConfig

_KEPT_EVERY = 20  # chunks between two states on disk: what a killed job computes again, without storing it


@dataclass(frozen=True)
class Materialised:
    """What a run of the job did: rows stored now and in all, the offset of the log, and the watermark (ns).

    Examples
    --------
    >>> print(Materialised(rows=20, total=1200, offset=5000, watermark=0))
    20 rows stored, 1,200 in all, up to offset 5,000, watermark 1970-01-01 00:00:00 UTC
    """

    rows: int
    total: int
    offset: int
    watermark: int

    def __str__(self) -> str:
        until = f"{utc(self.watermark):%Y-%m-%d %H:%M:%S} UTC" if self.watermark >= 0 else "the beginning"
        return f"{self.rows:,} rows stored, {self.total:,} in all, up to offset {self.offset:,}, watermark {until}"


class Job:
    """Stores what a stream makes of one part of the log; run it again whenever there is more.

    Parameters
    ----------
    stream
        Has read nothing yet.
    log, part
        Where the events come from.
    table
        Takes every fact.
    online, group
        Take the newest values of each key, if given.
    start, end
        Store only what happened in ``[start, end)``, ns: to backfill a day. Earlier events still fill the windows.
    chunk
        Events between two commits, at most.
    """

    def __init__(
        self,
        stream: Stream,
        log: EventLog,
        part: str,
        table: FeatureTable,
        *,
        online: OnlineStore | None = None,
        group: str = "",
        start: int | None = None,
        end: int | None = None,
        chunk: int = 50_000,
    ) -> None:
        self._stream, self._table = stream, table
        self._log, self._part = log, part
        self._chunk = int(chunk)
        self._online, self._group = online, group
        self._start, self._end = start, end
        self._source, self._state = f"{part}@{stream.definition}", Path(f"{table.path}.state")
        self._fresh, self._at = checkpoint.dumps(stream.state), -1
        if table.rows and not table.offset(self._source):
            raise ValueError(
                f"{table.path.name} holds what another definition or another part of the log gave, not {self._source}: "
                "take another folder"
            )

    def run(self, until: int | None = None) -> Materialised:
        """Store all that the log holds, or up to an offset."""
        last, before = self._log.last(self._part), self._table.rows
        last = last if until is None else min(last, until)
        self._restore()
        at = self._at  # while it runs, what is in memory is of no offset
        self._at = -1
        chunks = 0
        while at < last:
            limits = [at + self._chunk, last, *(offset for offset in self._stored() if offset > at)]
            offsets, events = self._log.read(self._part, at, min(limits) - at)
            at, chunks = int(offsets[-1]), chunks + 1
            self._store(self._stream.push(events), at)
            if chunks % _KEPT_EVERY == 0 or at == last:
                self._keep(at)
        self._at = at
        total = self._table.rows
        return Materialised(total - before, total, self._table.offset(self._source), self._table.sealed)

    def refresh(self, moment: int) -> int:
        """Store in front what every key's features are at a moment; how many keys: a window of a quiet key runs out.

        For a timer, after a run to the end. The table keeps what rows made of the features, not what timers read.
        """
        behind = self._at < self._table.offset(self._source) or moment < self._stream.now
        if self._online is None or behind or not isinstance(self._stream, FeatureStream):
            raise ValueError(
                "a refresh needs an online store, a run before it, a stream of features, and a moment not before "
                f"{utc(self._stream.now)}, got {utc(moment)}"
            )
        facts = self._stream.at(moment)
        columns = (facts.key, facts.happened, facts.values, facts.known)
        return self._online.put_many(self._group, *columns, definition=self._stream.definition)

    def _stored(self) -> list[int]:
        stored = [self._table.offset(self._source)]
        return stored if self._online is None else [*stored, self._online.progress(self._source)]

    def _restore(self) -> None:
        """Continue from what is in memory, from the state on disk, or from the start of the log: the same bits."""
        least = min(self._stored())
        if 0 <= self._at <= least:
            return
        blob = self._state.read_bytes() if self._state.exists() else b""
        sound = blob and checkpoint.digest(blob[64:]).encode() == blob[:64]  # a broken one is computed again
        found = checkpoint.loads(blob[64:]) if sound else {}
        usable = found.get("source") == self._source and found["offset"] <= least
        self._stream.load(found["state"] if usable else checkpoint.loads(self._fresh))
        self._at = found["offset"] if usable else 0

    def _store(self, facts: Facts, offset: int) -> None:
        inside = np.ones(len(facts), bool) if self._start is None else facts.happened >= self._start
        facts = facts[inside if self._end is None else inside & (facts.happened < self._end)]
        self._table.append(facts, self._source, offset, sealed=self._stream.now - 1)  # does nothing a second time
        if self._online is not None and offset > self._online.progress(self._source):
            newest = facts[_last(facts)]
            columns = (newest.key, newest.happened, newest.values, newest.known)
            progress = (self._source, offset)
            self._online.put_many(self._group, *columns, definition=self._stream.definition, progress=progress)

    def _keep(self, offset: int) -> None:
        state = {"source": self._source, "offset": offset, "state": self._stream.state}
        blob = checkpoint.dumps(state)
        digests.write(self._state, checkpoint.digest(blob).encode() + blob)


def _last(facts: Facts) -> np.ndarray:
    """Rows of the newest fact of each key."""
    order = np.lexsort((np.arange(len(facts)), facts.known, facts.happened, facts.key))
    key = facts.key[order]
    return order[np.append(key[1:] != key[:-1], True)] if len(order) else order


def materialize(run: Path, follow: bool) -> None:
    """Store the features of a run, and of what arrives until Ctrl-C or SIGTERM: ``rtml materialize RUN``.

    Parameters
    ----------
    run
        Folder of a run that holds recipe.json and an event log.
    follow
        Whether to go on with what arrives.
    """
    with stopping() as stop:
        config = RunConfig.read(awaited(run / "recipe.json", stop) if follow else run / "recipe.json")
        with run_log(run) as log:
            stream = QuestionStream(config.operator())
            job = Job(stream, log, PART, FeatureTable(run / "features" / stream.definition, stream.names))
            tell(job.run())
            if follow:
                insist(lambda: tell(job.run()), stop, 1.0)
