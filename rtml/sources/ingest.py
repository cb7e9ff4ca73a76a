"""Ingest: raw rows of a source into the event log, broken ones into its quarantine."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import suppress
from math import inf, prod
from pathlib import Path
from threading import Event
from typing import Any

import numpy as np

from rtml.core.later import pd
from rtml.core.process import Logbook, news, stopping, tell
from rtml.pipeline.options import opened, source_options
from rtml.sources.growing import Follows, arriving
from rtml.sources.ingestor import Ingestor, alone
from rtml.sources.protocol import Source
from rtml.sources.report import IngestReport
from rtml.store.protocols import EventLog, run_log
from rtml.training.run_config import PART


def ingest(
    source: Source, log: EventLog, part: str, done: Callable[[int], object] = int, n: int = 50_000
) -> IngestReport:
    """Write everything a source sends into one part of the log, chunk by chunk, each chunk in one transaction.

    ``done`` gets the number of rows of each chunk, for a progress bar. A source that sends nothing is an error, other
    than that of a source whose rows all break the schema.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from rtml.sources.records import Records
    >>> from rtml.store.event_log import EventLog
    >>> event = np.dtype([("time", "<i8"), ("key", "<i4"), ("bikes", "<f8")])
    >>> with TemporaryDirectory() as folder, EventLog(Path(folder) / "events.db") as log:
    ...     file = Path(folder) / "bikes.csv"
    ...     _ = file.write_text("time,key,bikes\\n2025-01-31T09:30Z,north,3\\n2025-01-31T09:31Z,north,many\\n")
    ...     report = ingest(Records(file, event), log, "bikes")
    >>> report.logged, report.by_reason["rows"].to_dict()
    (1, {'bikes is not a finite number': 1})
    """
    received, counts = 0, _Counts(source)
    after = 0
    while len((held := log.read(part, after))[0]):
        after = int(held[0][-1])
        counts.add(held[1])
    for frame in arriving(source, log, part, n) if isinstance(source, Follows) else source.chunks(n):
        accepted, rejected = source.schema.accept(frame, source.symbols)
        source.schema.keep_names(frame, log)
        log.append(part, accepted, rejected)
        counts.add(accepted)
        received += len(frame)
        done(len(frame))
    if not log.count(part):
        reasons = log.rejected(part)["reason"].value_counts().to_dict() or "it sent no row"
        raise ValueError(
            f"nothing of {source.name} could be used: {reasons}; the columns are {', '.join(source.schema.columns)}"
        )
    return _summary(source, log.rejected(part), received, counts)


def _summary(source: Source, rejected: pd.DataFrame, received: int, counts: _Counts) -> IngestReport:
    """What is in the log by key and kind, where its events have such fields, and what is in quarantine."""
    by_reason = rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first"))
    n, moments = int(counts.of.sum()), counts.moments
    return IngestReport(
        source.name,
        *(received, n, len(rejected), min(moments), max(moments)),
        counts.table(),
        by_reason.sort_values("rows", ascending=False),
        getattr(source, "notes", ()),
    )


class _Counts:
    """Number of events by key and kind, and the first and last moments, of the events of a log."""

    def __init__(self, source: Source) -> None:
        self._name, self.moments = source.schema.name, []
        self._words = {"key": source.symbols, "kind": source.schema.kinds}
        self._seen: dict[str, list[int]] | None = None

    def add(self, rows: np.ndarray) -> None:
        """Count some more."""
        if self._seen is None:
            self._words = {name: held for name, held in self._words.items() if held and name in rows.dtype.names}
            self._sizes, self._seen = [len(held) for held in self._words.values()], {name: [] for name in self._words}
            self.of = np.zeros(prod(self._sizes), np.int64)
        if not len(rows):
            return
        self.moments += [int(rows["time"].min()), int(rows["time"].max())]
        codes = [np.ascontiguousarray(rows[name]) for name in self._words]
        places = np.ravel_multi_index(codes, self._sizes) if codes else np.zeros(len(rows), int)
        self.of += np.bincount(places, minlength=len(self.of))
        for known, held in zip(self._seen.values(), codes, strict=True):
            known += _new(known, held)

    def table(self) -> pd.DataFrame:
        """The events by the words of their keys and kinds, in the order in which these came first."""
        axes = [pd.Index([self._words[name][c] for c in known], name=name) for name, known in self._seen.items()]
        table = self.of.reshape(self._sizes)[np.ix_(*self._seen.values())] if self._seen else self.of
        if len(axes) > 1:
            return pd.DataFrame(table, *axes)
        return pd.DataFrame({"events": table}, *(axes or [[self._name]]))


def _new(known: list[int], codes: np.ndarray) -> list[int]:
    """Codes that are not known yet, in the order in which they come first."""
    new = set(np.flatnonzero(np.bincount(codes)).tolist()) - set(known)
    return sorted(new, key=lambda code: int((codes == code).argmax()))


def follow(run: Path, log: str = "", **source) -> None:
    """Follow a source into the log of a run, until Ctrl-C, SIGTERM or the end of a recording.

    Parameters
    ----------
    run
        Folder of the run; a new one is made.
    log
        URL of the event log; that of the run unless given.
    source
        The options of :func:`rtml.pipeline.options.source_options`.
    """
    with stopping() as stop:
        what = source_options(**source)
        config, opens = opened(run, what)
        book = Logbook(run / "live.log", "ingest")

        def on_event(event: str, **about: Any) -> None:
            book.say(event, **about)
            if event == "rows rejected":
                schema = ingestor.source.schema if ingestor.source else None
                tell(_rejection(**about, keys=config.symbols, columns=schema.columns if schema else {}))

        with alone(run, "ingest"), run_log(run, log) as events:
            ingestor = Ingestor(opens, events, PART, config.symbols, speed=what.speed, on_event=on_event)
            _follow(ingestor, events, stop)


def _follow(ingestor: Ingestor, log: EventLog, stop: Event) -> None:
    ingestor.start()
    show = news(tell, inf)
    while not stop.wait(1.0) and ingestor.state != "stopped":
        with suppress(OSError):  # a disk that is full; the ingestor says so
            show(f"{_progress(log, ingestor)}, {ingestor.state} {ingestor.problem}".rstrip())
    ingestor.stop()
    if ingestor.failure is not None:
        raise ingestor.failure
    tell(f"{_progress(log, ingestor)}, stopped")


def _rejection(reason: str, row: str, keys: tuple[str, ...], columns: Mapping[str, str]) -> str:
    """The first row that was rejected for a reason, and what the column must hold that the reason begins with."""
    rule = columns.get(reason.partition(" ")[0], "")
    if reason.endswith("not one of this run"):
        rule = f"the run has {', '.join(keys)}; name others with --symbols"
    return f"rejected: {reason}{f' ({rule})' * bool(rule)}, such as {row}"


def _progress(log: EventLog, ingestor: Ingestor) -> str:
    """Events and rejected rows of the log, with the reasons of those that were rejected since the start."""
    rejected = log.refused(PART)
    reasons = "; ".join(f"{reason}: {rows:,}" for reason, rows in ingestor.rejections.most_common())
    return f"{log.last(PART):,} events" + f", {rejected:,} rejected" * bool(rejected) + f" ({reasons})" * bool(reasons)
