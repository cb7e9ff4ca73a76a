"""Every source by name: what SOURCE may say, and how it is opened."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from rtml.sources.exchange import Exchange
from rtml.sources.market import DRIFTS
from rtml.sources.protocol import Source
from rtml.sources.replay import Replay
from rtml.sources.synthetic import Synthetic

#: What SOURCE may say.
SOURCES = {
    "synthetic": "a seeded market whose signal is known and drifts; runs anywhere",
    "synthetic:<drift>": f"the same, with the drift named: {', '.join(DRIFTS)}",
    "<file>": "a recording in Parquet or CSV; several comma separated, SYMBOL=<file> to name its symbol",
    "exchange:<name>": "the live exchange (not built yet)",
}


def open_source(
    source: str,
    *,
    symbols: Sequence[str] = (),
    seed: int = 7,
    hours: float = 24.0,
    drift: str = "sudden",
    columns: dict[str, str] | None = None,
    gap: str = "",
) -> Source:
    """Open a source by the text of the parameter SOURCE.

    ``seed``, ``hours`` and ``drift`` are the synthetic market's, ``columns`` and ``gap`` the recording's.

    Examples
    --------
    >>> open_source("synthetic", hours=1.0, drift="recurring").name
    'synthetic:recurring:seed=7:hours=1'
    """
    kind, _, rest = source.strip().partition(":")
    if kind == "synthetic":
        return Synthetic(seed=seed, hours=hours, drift=rest or drift)
    if kind == "exchange":
        return Exchange(rest, tuple(symbols))
    return Replay(source, symbols=symbols, columns=columns, gap=gap)


def catalogue() -> pd.DataFrame:
    """One row a source: what to write, and what it is."""
    return pd.DataFrame({"source": list(SOURCES), "meaning": list(SOURCES.values())})
