"""What a recording of markets holds beyond its columns: kinds, sides, repetitions, silences, and the BAR that fits."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.clock import round_span, span, span_text
from rtml.core.later import pd
from rtml.sources.profile import Profile, moment_text, seen
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import KINDS

_TRADE, _GAP = KINDS["trade"], KINDS["gap"]
_MOST_EMPTY = 0.9  # bars of a BAR that is far finer than the data


@dataclass(frozen=True)
class MarketProfile(Profile):
    """What a recording holds, as it will be read.

    Attributes
    ----------
    times
        Moments of the target's trades, ns, in order.
    gaps
        The longest silences of the target.
    """

    times: np.ndarray
    gaps: pd.DataFrame

    @property
    def bar(self) -> str:
        """The shortest BAR in which nine of ten intervals between two trades end, such as ``"10s"``."""
        return fitting_bar(self.times)

    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that are shown, by title."""
        first, facts, *rest = super().tables().items()
        return dict([first, facts, ("longest silences", self.gaps), *rest])


def fitting_bar(times: np.ndarray) -> str:
    """The shortest span of a clock face that nine of ten intervals between two different times do not exceed.

    Examples
    --------
    >>> fitting_bar(np.arange(30) * span("1d")), fitting_bar(np.arange(30) * span("3s"))
    ('1d', '10s')
    """
    apart = np.diff(np.unique(times))
    return round_span(int(np.quantile(apart, 0.9, method="lower")) if len(apart) else 1)


def bar_advice(times: np.ndarray, bar: str) -> str:
    """What is wrong with a BAR that is far finer than the data, and the one that fits; empty when it is right.

    ``times`` are the moments of the target's trades, ns: to be asked before the bars are made.

    Examples
    --------
    >>> bar_advice(np.arange(1500) * span("1d"), "10s")
    'BAR=10s is far finer than the data: 1,500 trades in 12,951,361 bars, 99.99% of them empty; BAR=1d fits'
    >>> bar_advice(np.arange(1500) * span("3s"), "10s")
    ''
    """
    if len(times) < 2:
        return ""
    number = (int(times.max()) - int(times.min())) // span(bar) + 1
    empty = 1 - len(np.unique(times // span(bar))) / number
    fits = fitting_bar(times)
    if empty < _MOST_EMPTY or span(bar) >= span(fits):
        return ""
    return (
        f"BAR={bar} is far finer than the data: {len(times):,} trades in {number:,} bars, {empty:.2%} of them empty; "
        f"BAR={fits} fits"
    )


def profile(source: Replay, bar: str = "10s") -> MarketProfile:
    """Look at a recording; ``bar`` is the BAR that is meant to be used.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "ETH-USD.csv"
    ...     _ = file.write_text("date,close\\n2024-01-01,5\\n2024-01-02,6\\n2024-01-03,6\\n")
    ...     read = profile(Replay(str(file)))
    >>> read.bar, read.facts["rows"], read.columns["read as"].tolist()
    ('1d', '3', ['time', 'close'])
    """
    read, events = seen(source)
    own = events[events["key"] == 0]
    times = np.sort(own["time"][own["kind"] == _TRADE])
    facts = {**read.facts, **_facts(source, events), "BAR that fits": fitting_bar(times)}
    notes = (*read.notes, *filter(None, [bar_advice(times, bar)]))
    return MarketProfile(read.source, read.columns, facts, read.quarantine, read.head, notes, times, _silences(own))


def _facts(source: Replay, events: np.ndarray) -> dict[str, str]:
    """Counts and ranges, as texts."""
    trades = events[events["kind"] == _TRADE]
    kinds = {name: int((events["kind"] == k).sum()) for name, k in KINDS.items()}
    facts = {
        "shape": ", ".join(sorted({file.shape for _, file in source.files})),
        "kinds": ", ".join(f"{number:,} {name}" for name, number in kinds.items() if number),
    }
    counted = np.bincount(events["key"], minlength=len(source.symbols))
    facts["symbols"] = ", ".join(f"{s} ({k:,})" for s, k in zip(source.symbols, counted, strict=True))
    return facts | _trade_facts(trades) if len(trades) else facts


def _trade_facts(trades: np.ndarray) -> dict[str, str]:
    """Repetitions, sides and ranges of trades."""
    apart = np.diff(np.unique(trades["time"]))
    facts = {"between trades": f"{np.median(apart) / 1e9:g} s (median)" if len(apart) else "one moment"}
    ids = trades[trades["id"] >= 0][["key", "id"]]
    facts["repeated ids"] = f"{pd.DataFrame(ids).duplicated().sum():,}"
    same = trades[["key", "time", "price", "size", "side"]]
    facts["equal trades of one moment"] = f"{pd.DataFrame(same).duplicated().sum():,}"
    sides = {name: int((trades["side"] == side).sum()) for side, name in ((1, "buy"), (-1, "sell"), (0, "unknown"))}
    facts["sides"] = ", ".join(f"{number / len(trades):.1%} {name}" for name, number in sides.items())
    facts["price"] = f"{trades['price'].min():g} to {trades['price'].max():g}"
    facts["size"] = f"{trades['size'].min():g} to {trades['size'].max():g}"
    return facts


def _silences(own: np.ndarray) -> pd.DataFrame:
    """The five longest stretches without an event, when they are more than twenty times the usual one."""
    times = np.unique(own["time"][own["kind"] != _GAP])
    apart = np.diff(times)
    longest = np.argsort(-apart, kind="stable")[:5]
    longest = longest[apart[longest] > 20 * np.median(apart)] if len(apart) else longest
    rows = [(moment_text(int(times[k])), moment_text(int(times[k + 1])), span_text(int(apart[k]))) for k in longest]
    return pd.DataFrame(rows, columns=["from", "to", "length"])
