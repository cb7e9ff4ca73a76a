"""Every source of a market by name: what SOURCE may say, and how it is opened."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from rtml.core.later import pd
from rtml.sources.protocol import Source
from rtml.usecases.crypto.exchange.dialects import DIALECTS
from rtml.usecases.crypto.exchange.exchange import Exchange
from rtml.usecases.crypto.exchange.recorder import Capture, header
from rtml.usecases.crypto.recordings.replay import Replay, place
from rtml.usecases.crypto.synthetic.market import Synthetic
from rtml.usecases.crypto.synthetic.price_process import DRIFTS

#: What SOURCE may say.
SOURCES = {
    "synthetic": "a seeded market whose signal is known and drifts; runs anywhere",
    "synthetic:<drift>": f"the same, with the drift named: {', '.join(DRIFTS)}",
    "<file>": "a recording in Parquet or CSV; several comma separated, SYMBOL=<file> to name its symbol",
    "kraken, coinbase": "a live exchange: the last hour, then every trade as it comes",
    "binance": "the same; it does not serve every place",
    "exchange:<name>": "the same exchanges by their full name",
    "http": "nothing by itself: events come over POST /events, from an application of yours",
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
    if kind == "synthetic":
        return Synthetic(seed=seed, hours=hours, drift=rest or drift)
    if kind == "exchange" or source.strip() in DIALECTS:
        return Exchange(rest or source.strip(), tuple(symbols), seconds=seconds, backfill=backfill, **live)
    if (path := captured(source)) is not None:
        return Capture(path, symbols)
    return Replay(source, symbols=symbols, columns=columns, gap=gap)


def captured(source: str) -> Path | None:
    """The file that SOURCE names when it is a capture of an exchange.

    Examples
    --------
    >>> captured("synthetic") is None
    True
    """
    try:
        path = place(source.strip())[1]
    except (FileNotFoundError, ValueError, OSError):
        return None
    return path if path.is_file() and header(path) else None


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is."""
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})
