"""Every source by name: what SOURCE may say, and how it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from rtml.core.use_case import UseCase
from rtml.sources.columns import TRADES
from rtml.sources.exchange.dialects import DIALECTS
from rtml.sources.exchange.exchange import Exchange
from rtml.sources.exchange.recorder import Capture, header
from rtml.sources.growing import open_growing, posted_schema
from rtml.sources.posted import HTTP, Posted
from rtml.sources.protocol import Source
from rtml.sources.records import Records
from rtml.sources.replay import Replay, place
from rtml.sources.synthetic.market import Synthetic
from rtml.sources.synthetic.price_process import DRIFTS

#: What SOURCE may say.
SOURCES = {
    "synthetic": "a seeded market whose signal is known and drifts; runs anywhere",
    "synthetic:<drift>": f"the same, with the drift named: {', '.join(DRIFTS)}",
    "<file>": "a recording in Parquet or CSV; several comma separated, SYMBOL=<file> to name its symbol",
    "kraken, coinbase": "a live exchange: the last hour, then every trade as it comes",
    "binance": "the same; it does not serve every place",
    "exchange:<name>": "the same exchanges by their full name",
    "http": "nothing by itself: events come over POST /events, from an application of yours",
    "kafka://HOST:9092/TOPIC": "a topic, a JSON object a message",
    "postgres://USER@HOST:5432/DB?table=NAME&by=id": "a table that is appended to; by: a serial or identity column",
    "file:///FOLDER, s3://BUCKET/PREFIX": "Parquet, CSV and JSON-lines files; new ones are read as they come",
    "<capture>": "what a live exchange sent, recorded message by message (Exchange(record=...))",
}


def open_source(
    source: str,
    *,
    symbols: Sequence[str] = (),
    seed: int = 7,
    hours: float = 24.0,
    drift: str = "sudden",
    columns: dict[str, str] | list[str] | None = None,
    gap: str = "",
    seconds: float = 0.0,
    backfill: str = "1h",
    **live,
) -> Source:
    """Open a source by the text of the parameter SOURCE.

    ``seed``, ``hours`` and ``drift`` are the synthetic market's, ``columns`` and ``gap`` the recording's; ``seconds``
    (how long to follow it live, 0: until stopped), ``backfill`` (how much of the past first) and whatever else
    ``Exchange`` takes are the exchange's.

    Examples
    --------
    >>> open_source("synthetic", hours=1.0, drift="recurring").name
    'synthetic:recurring:seed=7:hours=1'
    """
    kind, _, rest = source.strip().partition(":")
    if (growing := open_growing(source, TRADES, symbols)) is not None:
        return growing
    if kind == "synthetic":
        return Synthetic(seed=seed, hours=hours, drift=rest or drift)
    if kind == "exchange" or source.strip() in DIALECTS:
        return Exchange(rest or source.strip(), tuple(symbols), seconds=seconds, backfill=backfill, **live)
    if (path := captured(source)) is not None:
        return Capture(path, symbols)
    return Replay(source, symbols=symbols, columns=columns, gap=gap)


def open_for(case: UseCase, source: str, **how) -> Source:
    """Open a source of a use case: by its own function, or as a recording of its own events.

    ``http`` is of every use case: its events are posted. So is what grows on a system of its own, by its URL.

    Parameters
    ----------
    case
        Whose source it is.
    source
        What the parameter SOURCE says.
    how
        What the use case's function takes; of a recording ``symbols`` (the keys) and ``columns``.
    """
    if source.strip() == HTTP:
        return Posted(case, how.get("symbols", ()))
    if (growing := open_growing(source, posted_schema(case), how.get("symbols", ()) or case.keys)) is not None:
        return growing
    if case.source is not None:
        return case.source(source, **how)
    return Records(source, case.event, how.get("symbols", ()), how.get("columns"))


def captured(source: str) -> Path | None:
    """The file that SOURCE names when it is a capture of an exchange."""
    try:
        path = place(source.strip())[1]
    except (FileNotFoundError, ValueError, OSError):
        return None
    return path if path.is_file() and header(path) else None


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is."""
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})
