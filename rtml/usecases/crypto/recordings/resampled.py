"""History as live data: blocks of a recording drawn with a seed, joined in time, delivered out of order by a jitter."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtml.core.clock import span
from rtml.core.later import pd
from rtml.sources.pacing import moments
from rtml.sources.protocol import Source, pieces

_PRICES = ("price", "bid", "ask")


class Resampled:
    """A source whose rows are drawn from another one, the same for the same seed.

    A block bootstrap: blocks of event time are drawn with replacement and laid behind one another from the beginning of
    the recording on. What a block holds stays together, so that dependence within a block survives. Prices of a block
    are scaled so that each symbol goes on where it was, and ids are numbered anew.

    Parameters
    ----------
    source
        The history.
    block
        Length of a block; empty: the history as it was, in one block.
    length
        Event time of the stream that is made; that of the history unless given.
    jitter
        Each row arrives up to so much after its event time, so rows of that span may change places.
    seed
        Of the draws.

    Examples
    --------
    >>> from rtml.usecases.crypto.synthetic.market import Synthetic
    >>> made = [Resampled(Synthetic(hours=0.1), block="1m", jitter="2s", seed=3) for _ in range(2)]
    >>> next(made[0].chunks()).equals(next(made[1].chunks()))
    True
    """

    def __init__(self, source: Source, *, block: str = "", length: str = "", jitter: str = "", seed: int = 7) -> None:
        self.symbols, self.schema = source.symbols, source.schema
        how = ":".join(filter(None, (block and f"block={block}", length and f"length={length}", f"jitter={jitter}")))
        self.name = f"resampled:seed={seed}:{how}:{source.name}"
        rng = np.random.default_rng(seed)
        rows = pd.concat([*source.chunks()], ignore_index=True)
        rows = rows.assign(time=moments(rows))
        rows = rows.sort_values("time", kind="stable", ignore_index=True)
        rows = _drawn(rows, span(block), span(length) if length else 0, rng) if block else rows
        if jitter:
            arrival = rows["time"].to_numpy() + rng.integers(0, span(jitter), len(rows))
            rows = rows.iloc[np.argsort(arrival, kind="stable")].reset_index(drop=True)
        self._rows = rows

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._rows)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time."""
        return pieces(self._rows, n)


def _drawn(rows: pd.DataFrame, block: int, length: int, rng: np.random.Generator) -> pd.DataFrame:
    """Blocks of rows one behind the other, until the length is reached."""
    times = rows["time"].to_numpy()
    start, whole = int(times[0]), int(times[-1] - times[0]) + 1
    if block > whole:
        raise ValueError(f"a block of {block / 1e9:g} s is longer than the history of {whole / 1e9:g} s")
    parts, last = [], {}
    for place in range(-(-(length or whole) // block)):
        first = start + int(rng.integers(0, whole - block + 1))
        low, high = np.searchsorted(times, [first, first + block])
        part = rows.iloc[low:high].copy()
        part["time"] += start + place * block - first
        parts.append(_continued(part, last).assign(place=place))
    made = pd.concat(parts, ignore_index=True)
    made = made[made["time"] < start + (length or whole)].reset_index(drop=True)
    if "id" in made:
        named = made["id"].notna()
        of = list(zip(*(made.loc[named, name] for name in ("place", "symbol", "id")), strict=True))
        made.loc[named, "id"] = pd.factorize(pd.Series(of, dtype=object))[0] + 1
    return made.drop(columns="place")


def _continued(part: pd.DataFrame, last: dict) -> pd.DataFrame:
    """A block whose prices go on where those of each symbol were; ``last`` holds them by symbol."""
    if "price" not in part or "symbol" not in part:
        return part
    for symbol, own in part.groupby("symbol", sort=False):
        columns = {name: pd.to_numeric(own[name], errors="coerce").dropna() for name in _PRICES if name in own}
        traded = columns["price"]  # what is no price stays as it is: the schema judges it
        if not len(traded):
            continue
        factor = last.get(symbol, traded.iloc[0]) / traded.iloc[0]
        for name, column in columns.items():
            part.loc[column.index, name] = column * factor
        last[symbol] = traded.iloc[-1] * factor
    return part
