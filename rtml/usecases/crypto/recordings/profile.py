"""What is in a recording, before it is used: columns and what they mean, times, gaps, sides, and the BAR that fits."""

from __future__ import annotations

import html
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from rtml.core.clock import Clock, round_span, span, span_text, utc
from rtml.core.later import pd
from rtml.sources.moments import form_of
from rtml.usecases.crypto.recordings.replay import Replay
from rtml.usecases.crypto.schema import KINDS, TRADES

_TRADE, _GAP = KINDS["trade"], KINDS["gap"]
_HEAD = 5
_MOST_EMPTY = 0.9  # bars of a BAR that is far finer than the data


@dataclass(frozen=True)
class Profile:
    """What a recording holds, as it will be read.

    Attributes
    ----------
    columns
        One row a column of a file: what it is read as, how it is written, the share that is missing, an example.
    times
        Moments of the target's trades, ns, in order.
    facts
        Rows, symbols, range, duplicates, sides: name and value of each.
    gaps
        The longest silences of the target.
    quarantine
        Rows that will be put aside, by reason, with an example.
    head
        The first raw rows.
    """

    source: str
    columns: pd.DataFrame
    times: np.ndarray
    facts: dict[str, str]
    gaps: pd.DataFrame
    quarantine: pd.DataFrame
    head: pd.DataFrame
    notes: tuple[str, ...]

    @property
    def bar(self) -> str:
        """The shortest BAR in which nine of ten intervals between two trades end, such as ``"10s"``."""
        return fitting_bar(self.times)

    def advice(self, bar: str) -> str:
        """What is wrong with a BAR for these times (see :func:`bar_advice`); empty when it is right."""
        return bar_advice(self.times, bar)

    def _parts(self) -> list[tuple[str, pd.DataFrame]]:
        facts = pd.DataFrame(self.facts.items(), columns=["what", "value"]).set_index("what")
        named = {"columns": self.columns, "facts": facts, "longest silences": self.gaps}
        named |= {"to be put aside": self.quarantine, "first rows as they will be read": self.head}
        return [(name, table) for name, table in named.items() if len(table)]

    def __str__(self) -> str:
        wide = {"max_colwidth": 100}
        parts = [f"{name}\n{table.to_string(**wide)}" for name, table in self._parts()]
        return "\n\n".join([self.source, *self.notes, *parts])

    def _repr_html_(self) -> str:
        notes = "".join(f"<p>{html.escape(note)}</p>" for note in (self.source, *self.notes))
        return notes + "".join(f"<h4>{name}</h4>{table.to_html(max_rows=60)}" for name, table in self._parts())


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


def profile(
    path: str,
    *,
    columns: dict | list | None = None,
    symbols: Sequence[str] = (),
    bar: str = "10s",
    clock: Clock | None = None,
) -> Profile:
    """Look at a recording as :class:`Replay` reads it; the arguments are the same.

    Examples
    --------
    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     file = Path(folder) / "ETH-USD.csv"
    ...     _ = file.write_text("date,close\\n2024-01-01,5\\n2024-01-02,6\\n2024-01-03,6\\n")
    ...     seen = profile(str(file))
    >>> seen.bar, seen.facts["rows"], seen.columns["read as"].tolist()
    ('1d', '3', ['time', 'close'])
    """
    source = Replay(path, columns=columns, symbols=symbols, clock=clock)
    frame = next(source.chunks(max(source.rows, 1)))
    events, rejected = TRADES.accept(frame, source.symbols)
    own = events[events["key"] == 0]
    seen = Profile(
        source.name,
        _columns(source),
        np.sort(own["time"][own["kind"] == _TRADE]),
        _facts(source, events, len(rejected)),
        _silences(own),
        rejected.groupby("reason").agg(rows=("row", "size"), example=("row", "first")),
        frame.head(_HEAD).assign(time=[_moment(t) for t in frame["time"].head(_HEAD)]),
        source.notes,
    )
    seen.facts["BAR that fits"] = seen.bar
    return replace(seen, notes=(*seen.notes, *filter(None, [seen.advice(bar)])))


def _columns(source: Replay) -> pd.DataFrame:
    rows = []
    for _, file in source.files:
        ours = {theirs: name for name, theirs in file.names.items()}
        for name in file.table.columns:
            column, meaning = file.table[name], ours.get(name, "")
            given = column.dropna()
            how = form_of(column, file.now) if meaning in ("time", "date") else str(column.dtype)
            example = str(given.iloc[0]) if len(given) else ""
            rows.append((file.path.name, name, meaning, how, f"{column.isna().mean():.1%}", example))
    return pd.DataFrame(rows, columns=["file", "column", "read as", "written as", "missing", "example"])


def _facts(source: Replay, events: np.ndarray, rejected: int) -> dict[str, str]:
    """Counts and ranges, as texts."""
    trades = events[events["kind"] == _TRADE]
    kinds = {name: int((events["kind"] == k).sum()) for name, k in KINDS.items()}
    facts = {
        "rows": f"{source.rows:,}",
        "to be put aside": f"{rejected:,}",
        "shape": ", ".join(sorted({file.shape for _, file in source.files})),
        "kinds": ", ".join(f"{number:,} {name}" for name, number in kinds.items() if number),
    }
    counted = np.bincount(events["key"], minlength=len(source.symbols))
    facts["symbols"] = ", ".join(f"{s} ({k:,})" for s, k in zip(source.symbols, counted, strict=True))
    if len(events):
        facts["first"], facts["last"] = (f"{utc(t):%Y-%m-%d %H:%M:%S} UTC" for t in _range(events))
        apart = np.diff(np.unique(trades["time"]))
        facts["between trades"] = f"{np.median(apart) / 1e9:g} s (median)" if len(apart) else "one moment"
    return facts | _trade_facts(trades) if len(trades) else facts


def _trade_facts(trades: np.ndarray) -> dict[str, str]:
    """Repetitions, sides and ranges of trades."""
    ids = trades[trades["id"] >= 0][["key", "id"]]
    facts = {"repeated ids": f"{pd.DataFrame(ids).duplicated().sum():,}"}
    same = trades[["key", "time", "price", "size", "side"]]
    facts["equal trades of one moment"] = f"{pd.DataFrame(same).duplicated().sum():,}"
    sides = {name: int((trades["side"] == side).sum()) for side, name in ((1, "buy"), (-1, "sell"), (0, "unknown"))}
    facts["sides"] = ", ".join(f"{number / len(trades):.1%} {name}" for name, number in sides.items())
    facts["price"] = f"{trades['price'].min():g} to {trades['price'].max():g}"
    facts["size"] = f"{trades['size'].min():g} to {trades['size'].max():g}"
    return facts


def _range(events: np.ndarray) -> tuple[int, int]:
    return int(events["time"].min()), int(events["time"].max())


def _silences(own: np.ndarray) -> pd.DataFrame:
    """The five longest stretches without an event, when they are more than twenty times the usual one."""
    times = np.unique(own["time"][own["kind"] != _GAP])
    apart = np.diff(times)
    longest = np.argsort(-apart, kind="stable")[:5]
    longest = longest[apart[longest] > 20 * np.median(apart)] if len(apart) else longest
    rows = [(_moment(int(times[k])), _moment(int(times[k + 1])), span_text(int(apart[k]))) for k in longest]
    return pd.DataFrame(rows, columns=["from", "to", "length"])


def _moment(time: object) -> str:
    return utc(time).isoformat() if isinstance(time, int | np.integer) and time > 0 else str(time)


def inspect(file: str, columns: str = "{}", symbols: str = "", bar: str = "10s") -> Profile:
    """What a recording holds, of the options of ``rtml inspect``.

    Parameters
    ----------
    file
        A file, several comma separated, a pattern or a folder.
    columns
        JSON: our names to the file's, such as ``{"price": "last"}``.
    symbols
        Comma separated, the target first; all when empty.
    bar
        The BAR that is meant to be used.
    """
    try:
        named = json.loads(columns)
    except json.JSONDecodeError as wrong:
        raise ValueError(f"--columns must be a JSON object or list, got {columns!r}: {wrong}") from wrong
    return profile(file, columns=named, symbols=tuple(s.strip() for s in symbols.split(",") if s.strip()), bar=bar)
