"""Ingest: raw rows of a source into the event log, broken ones into its quarantine."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from threading import Event

import numpy as np
import pandas as pd

from rtml.core.process import Logbook, stopping, tell
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
    """
    received = 0
    for frame in arriving(source, log, part, n) if isinstance(source, Follows) else source.chunks(n):
        accepted, rejected = source.schema.accept(frame, source.symbols)
        log.append(part, accepted, rejected)
        received += len(frame)
        done(len(frame))
    if not log.count(part):
        reasons = log.rejected(part)["reason"].value_counts().to_dict() or "it sent no row"
        raise ValueError(
            f"nothing of {source.name} could be used: {reasons}; the columns are {', '.join(source.schema.columns)}"
        )
    return _summary(source, log, part, received)


def _summary(source: Source, log: EventLog, part: str, received: int) -> IngestReport:
    """Count what is in the log by key and kind, where its events have such fields, and what is in quarantine."""
    rows = log.read(part, 0, log.count(part))[1]
    columns = {}
    if "key" in rows.dtype.names:
        columns["key"] = np.array(source.symbols)[rows["key"]]
    if source.schema.kinds:
        columns["kind"] = np.array(source.schema.kinds)[rows["kind"]]
    if columns:
        counted = pd.DataFrame(columns).value_counts()
        by_kind = counted.unstack(fill_value=0) if len(columns) > 1 else counted.to_frame("events")
    else:
        by_kind = pd.DataFrame({"events": [len(rows)]}, index=[source.schema.name])
    rejected = log.rejected(part)
    by_reason = rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first"))
    moments = int(rows["time"].min()), int(rows["time"].max())
    counts = (received, len(rows), len(rejected), *moments)
    return IngestReport(
        source.name, *counts, by_kind, by_reason.sort_values("rows", ascending=False), getattr(source, "notes", ())
    )


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
        say = Logbook(run / "live.log", "ingest").say
        with alone(run, "ingest"), run_log(run, log) as events:
            ingestor = Ingestor(opens, events, PART, config.symbols, speed=what.speed, say=say)
            _follow(ingestor, events, stop)


def _follow(ingestor: Ingestor, log: EventLog, stop: Event) -> None:
    ingestor.start()
    while not stop.wait(1.0) and ingestor.state != "stopped":
        with suppress(OSError):  # a disk that is full; the ingestor says so
            tell(f"{log.last(PART):,} events, {ingestor.state} {ingestor.trouble}".rstrip())
    ingestor.stop()
    if ingestor.failure is not None:
        raise ingestor.failure
    tell(f"{log.last(PART):,} events, stopped")
