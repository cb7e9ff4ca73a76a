"""Ingest: raw rows of a source into the event log, broken ones into its quarantine."""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import pandas as pd

from rtml.core.process import Logbook, quitting, stopping
from rtml.core.run_folder import run_folder
from rtml.pipeline.options import add_options, opened, source_options
from rtml.sources.columns import TRADES
from rtml.sources.ingestor import Ingestor, alone
from rtml.sources.protocol import Source
from rtml.sources.report import IngestReport
from rtml.sources.trades import KIND_NAMES
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART


def ingest(
    source: Source, log: EventLog, part: str, done: Callable[[int], object] = int, n: int = 50_000
) -> IngestReport:
    """Write everything a source sends into one part of the log, chunk by chunk, each chunk in one transaction.

    ``done`` is told the number of rows of each chunk, for a progress bar. A source that sends nothing is an error: it
    is told apart from one whose rows all break the schema.
    """
    received = 0
    for frame in source.chunks(n):
        accepted, rejected = TRADES.accept(frame, source.symbols)
        log.append(part, accepted, rejected)
        received += len(frame)
        done(len(frame))
    if not log.count(part):
        reasons = log.rejected(part)["reason"].value_counts().to_dict() or "it sent no row"
        raise ValueError(f"nothing of {source.name} could be used: {reasons}; see COLUMNS and SOURCE in the README")
    return _summary(source, log, part, received)


def _summary(source: Source, log: EventLog, part: str, received: int) -> IngestReport:
    rows = log.read(part, 0, log.count(part))[1]
    frame = pd.DataFrame({"symbol": np.array(source.symbols)[rows["key"]], "kind": np.array(KIND_NAMES)[rows["kind"]]})
    by_kind = frame.value_counts().unstack(fill_value=0).reindex(list(source.symbols))
    rejected = log.rejected(part)
    by_reason = rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first"))
    moments = int(rows["time"].min()), int(rows["time"].max())
    return IngestReport(
        source.name,
        received,
        len(rows),
        len(rejected),
        *moments,
        by_kind,
        by_reason.sort_values("rows", ascending=False),
    )


def main(arguments: list[str] | None = None) -> None:
    """Follow a source into the log of a run: ``python -m rtml.sources.ingest RUN --source kraken``."""
    parser = argparse.ArgumentParser(prog="python -m rtml.sources.ingest", description=__doc__.splitlines()[0])
    parser.add_argument("run", help="name or folder of a run")
    add_options(parser)
    chosen = parser.parse_args(arguments)
    folder = run_folder(chosen.run)
    with stopping() as stop, quitting(parser.prog):
        what = source_options(chosen)
        config, opens = opened(folder, what)
        say = Logbook(folder / "live.log", "ingest").say
        with alone(folder, "ingest"), EventLog(folder / "events.db") as log:
            ingestor = Ingestor(opens, log, PART, config.symbols, speed=what.speed, say=say)
            _follow(ingestor, log, stop)


def _follow(ingestor: Ingestor, log: EventLog, stop) -> None:
    ingestor.start()
    while not stop.wait(1.0) and ingestor.state != "stopped":
        print(f"{log.last(PART):,} events, {ingestor.state} {ingestor.trouble}".rstrip(), flush=True)
    ingestor.stop()
    if ingestor.failure is not None:
        raise ingestor.failure
    print(f"{log.last(PART):,} events, stopped", flush=True)


if __name__ == "__main__":
    main()
