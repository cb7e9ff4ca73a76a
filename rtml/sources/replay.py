"""Replay of recordings: one or several files, merged into one stream in the order of event time."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from rtml.core.clock import span
from rtml.sources.protocol import RAW, pieces
from rtml.sources.recording import NAMES, Recording

_CHECKOUT = Path(__file__).parents[2]


class Replay:
    """Recorded markets as a source; the first file's symbol is the target.

    Parameters
    ----------
    source : str
        Files, comma separated; ``SYMBOL=path`` names a file's symbol, else a symbol column or the file's name does.
    symbols : sequence of str
        Only these, in this order; all by default.
    columns : dict
        Our names to the file's, such as ``{"price": "last"}``, where they are not well known.
    gap : str
        A silence of a symbol longer than this is a hole in the recording, such as ``"5m"``; empty: silence is silence.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "ETH-USD.csv"
    ...     _ = path.write_text("time,price,qty\\n2024-01-01T00:00:01Z,2500.5,0.1\\n2024-01-01T00:00:02Z,2500.7,0.3\\n")
    ...     source = Replay(str(path))
    >>> source.symbols, next(source.chunks())["price"].tolist()
    (('ETH-USD',), [2500.5, 2500.7])
    """

    def __init__(
        self, source: str, *, symbols: Sequence[str] = (), columns: dict[str, str] | None = None, gap: str = ""
    ) -> None:
        given = [place(part.strip()) for part in source.split(",") if part.strip()]
        if not given:
            raise ValueError("no recording given: set SOURCE to a Parquet or CSV file, or to synthetic")
        files = [(symbol, Recording.open(path, columns or {})) for symbol, path in given]
        _check_columns(columns or {}, [file for _, file in files])
        self.name = "file:" + ",".join(f"{path.name}@{_sha256(path)[:12]}" for _, path in given)
        rows = _merged(files)
        found = tuple(dict.fromkeys(symbol for symbol in rows["symbol"] if isinstance(symbol, str)))
        self.symbols = _chosen(tuple(symbols), found)
        if self.symbols != found:
            rows = rows[rows["symbol"].isin(self.symbols) | ~rows["symbol"].isin(found)]
        rows = _numbered(rows)
        if gap:
            rows = _with_gaps(rows, span(gap))
        self._rows = rows[list(RAW)].reset_index(drop=True)

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._rows)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time."""
        return pieces(self._rows, n)


def place(text: str) -> tuple[str, Path]:
    """Symbol (empty when not given) and file of ``SYMBOL=path`` or ``path``, from here or from the checkout."""
    named = re.fullmatch(r"([A-Za-z0-9:/_-]{2,24})=(.+)", text)
    roots = [Path.cwd(), Path(os.environ.get("RTML_HOME", _CHECKOUT))]
    for symbol, path in [("", text)] + ([(named[1], named[2])] if named else []):
        for root in roots:
            if (root / Path(path).expanduser()).is_file():
                return symbol, (root / Path(path).expanduser()).resolve()
    raise FileNotFoundError(
        f"no recording {text!r} in {' or '.join(dict.fromkeys(map(str, roots)))}: "
        "set SOURCE to a Parquet or CSV file (several: comma separated), or to synthetic"
    )


def _check_columns(columns: dict[str, str], files: list[Recording]) -> None:
    unknown = columns.keys() - NAMES.keys()
    if unknown:
        raise ValueError(f"COLUMNS names {', '.join(sorted(unknown))}, which is not one of {', '.join(NAMES)}")
    for ours, theirs in columns.items():
        if not any(ours in file.names for file in files):
            found = ", ".join(f"{file.path.name}: {', '.join(file.table.columns)}" for file in files)
            raise ValueError(f"COLUMNS says that {ours} is {theirs!r}, but there is no such column; found {found}")


def _merged(files: list[tuple[str, Recording]]) -> pd.DataFrame:
    """Rows of all files by event time; a file's own order stays; at equal times the file given first comes first."""
    symbol = [given or file.symbol for given, file in files]
    priced = {s for s, (_, file) in zip(symbol, files, strict=True) if file.shape != "quotes"}
    parts = []
    for s, time, (given, file) in zip(symbol, _times([file for _, file in files]), files, strict=True):
        part = file.rows(time, mids=s not in priced)
        part["symbol"] = s if given or "symbol" not in file.names else part["symbol"]
        parts.append(part)
    rows = pd.concat(parts, ignore_index=True) if len(parts) > 1 else parts[0]
    return rows.iloc[np.argsort(rows["known"].to_numpy(), kind="stable")].reset_index(drop=True)


def _times(files: list[Recording]) -> list[str]:
    """Time column of each file: one clock for all of them where they share one.

    Trades stamped by the exchange and quotes stamped by the recorder must not be merged by two clocks that differ: the
    quotes could come before they happened.
    """
    shared = set.intersection(*({str(name).lower() for name in file.table.columns} for file in files))
    common = next((name for name in NAMES["time"] if name in shared), None)
    own = [file.names["time"] for file in files]
    if len({name.lower() for name in own}) == 1 or common is None:
        return own
    return [next(name for name in file.table.columns if str(name).lower() == common) for file in files]


def _chosen(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    missing = [symbol for symbol in wanted if symbol not in found]
    if missing:
        raise LookupError(f"no symbol {', '.join(missing)} in the recording; it holds {', '.join(found)}")
    return wanted or found


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    """Integer ids as given; the trades of a symbol that has none are numbered in order."""
    trade = (rows["kind"] == "trade").to_numpy()
    ids = rows["id"].where(trade).astype("Int64")
    for place in rows.assign(symbol=rows["symbol"].astype(str)).groupby("symbol").indices.values():
        own = place[trade[place]]
        if ids.iloc[own].isna().all():
            ids.iloc[own] = np.arange(1, len(own) + 1)
    return rows.assign(id=ids.fillna(-1).astype("int64"))


def _with_gaps(rows: pd.DataFrame, longest: int) -> pd.DataFrame:
    """Say before the row that ends a silence longer than ``longest`` that nothing is known of it."""
    holes = []
    for symbol, at in rows.groupby("symbol").indices.items():
        known = np.maximum.accumulate(rows["known"].to_numpy()[at])
        ends = np.flatnonzero(np.diff(known) > longest) + 1
        hole = {"symbol": symbol, "kind": "gap", "time": known[ends] - 1, "id": known[ends - 1], "known": known[ends]}
        holes.append(pd.DataFrame(hole, index=at[ends] - 0.5))
    return pd.concat([rows, *(hole for hole in holes if len(hole))]).sort_index(kind="stable").reset_index(drop=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
