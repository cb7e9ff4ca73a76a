"""Replay of recordings: one or several files, merged into one stream in the order of event time."""

from __future__ import annotations

import glob
import hashlib
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock, span
from rtml.core.later import pd
from rtml.sources.protocol import pieces
from rtml.sources.tables import Unreadable
from rtml.usecases.crypto.recordings.names import NAMES, found
from rtml.usecases.crypto.recordings.recording import OLDER, Recording
from rtml.usecases.crypto.schema import RAW, TRADES

_CHECKOUT = Path(__file__).parents[4]
_LONGEST = span("29d")  # a hole is said in pieces: bars take a longer step at once for a broken clock


class Replay:
    """Recorded markets as a source; the first file's symbol is the target.

    Parameters
    ----------
    source : str
        Files, comma separated; ``SYMBOL=path`` names a file's symbol, else a symbol column or the file's name does.
        A path may be a pattern such as ``data/eth-*.csv.gz``, or a folder.
    symbols : sequence of str
        Only these, in this order; all by default.
    columns : dict or list
        Our names to the file's, such as ``{"price": "last"}``, where they are not well known; an empty name leaves a
        column out. A position, or a list of names by position, for files without a header.
    gap : str
        A silence of a symbol longer than this is a hole in the recording, such as ``"5m"``; empty: silence is silence
        up to 29 days, and longer a hole.
    clock : Clock
        Tells the year, for what is a plausible time.

    Attributes
    ----------
    notes
        What was done to read the files, such as that one has its newest row first.

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

    schema = TRADES

    def __init__(
        self,
        source: str,
        *,
        symbols: Sequence[str] = (),
        columns: dict[str, str] | list[str] | None = None,
        gap: str = "",
        clock: Clock | None = None,
    ) -> None:
        given = [one for part in source.split(",") if part.strip() for one in places(part.strip())]
        if not given:
            raise Unreadable("no recording given: set SOURCE to a Parquet or CSV file, or to synthetic")
        _check_names(columns or {})
        self.files = tuple((symbol, Recording.open(path, columns or {}, clock)) for symbol, path in given)
        _check_columns(columns or {}, [file for _, file in self.files])
        self.name = "file:" + ",".join(f"{path.name}@{_sha256(path)[:12]}" for _, path in given)
        rows, notes = _merged(self.files)
        self.notes = tuple(note for _, file in self.files for note in file.notes) + notes
        held = tuple(dict.fromkeys(s for given, file in self.files for s in _symbols(given, file)))
        self.symbols = _chosen(tuple(map(str, symbols)), held)
        if self.symbols != held:
            rows = rows[rows["symbol"].isin(self.symbols) | ~rows["symbol"].isin(held)]
        rows = _with_gaps(_numbered(rows), span(gap) if gap else _LONGEST)
        self._rows = rows[[*RAW, *(["fault"] if (rows["fault"] != "").any() else [])]].reset_index(drop=True)

    @property
    def read_as(self) -> list[tuple[str, pd.DataFrame, dict[str, str]]]:
        """Of each file its name, its table as it is written, and its columns' names by ours."""
        return [(file.path.name, file.table, file.names) for _, file in self.files]

    @property
    def rows(self) -> int:
        """Number of raw rows."""
        return len(self._rows)

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Raw rows in order of arrival, at most ``n`` at a time."""
        return pieces(self._rows, n)


def place(text: str) -> tuple[str, Path]:
    """Symbol (empty when not given) and file of ``SYMBOL=path`` or ``path``, from here or from the checkout.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "a.csv").touch()
    ...     symbol, path = place(f"BTC={folder}/a.csv")
    ...     print(symbol, path.name)
    BTC a.csv
    """
    found = places(text)
    if len(found) != 1:
        raise Unreadable(f"{text!r} is {len(found)} files: name one of them")
    return found[0]


def places(text: str) -> list[tuple[str, Path]]:
    """The same for a pattern, or a folder: all files of it by name; a folder of Parquet files is one recording.

    Without a match it is an error that says where was looked.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "b.csv").touch()
    ...     Path(folder, "a.csv").touch()
    ...     print([(symbol, path.name) for symbol, path in places(f"BTC={folder}/*.csv")])
    [('BTC', 'a.csv'), ('BTC', 'b.csv')]
    """
    named = re.fullmatch(r"([A-Za-z0-9:/_-]{2,24})=(.+)", text)
    roots = [Path.cwd(), Path(os.environ.get("RTML_HOME", _CHECKOUT))]
    for symbol, path in [("", text)] + ([(named[1], named[2])] if named else []):
        for root in roots:
            if paths := _matching(root / Path(path).expanduser()):
                return [(symbol, path.resolve()) for path in paths]
    raise FileNotFoundError(
        f"no recording {text!r} in {' or '.join(dict.fromkeys(map(str, roots)))}: "
        "set SOURCE to a Parquet or CSV file (several: comma separated), or to synthetic"
    )


def _matching(path: Path) -> list[Path]:
    """The file, the files of a pattern or of a folder, or a folder whose files are Parquet."""
    try:
        if path.is_file():
            return [path]
        if path.is_dir():
            parquet = any(path.rglob("*.parquet"))
            return [path] if parquet else sorted(p for p in path.iterdir() if p.is_file() and p.name[0] != ".")
        names = glob.glob(str(path), recursive=True) if glob.has_magic(str(path)) else []
        return sorted(Path(name) for name in names if Path(name).is_file())
    except (OSError, ValueError):  # a name that no file can have
        return []


def _check_names(columns: dict | list) -> None:
    unknown = columns.keys() - NAMES.keys() if isinstance(columns, dict) else ()
    if unknown:
        raise Unreadable(f"COLUMNS names {', '.join(sorted(unknown))}, which is not one of {', '.join(NAMES)}")


def _check_columns(columns: dict | list, files: list[Recording]) -> None:
    for ours, theirs in columns.items() if isinstance(columns, dict) else ():
        if theirs != "" and ours != "date" and not any(ours in file.names for file in files):
            found = ", ".join(f"{file.path.name}: {', '.join(file.table.columns)}" for file in files)
            raise Unreadable(f"COLUMNS says that {ours} is {theirs!r}, but there is no such column; found {found}")


def _symbols(given: str, file: Recording) -> list[str]:
    return [given] if given else file.symbols() or [file.symbol]


def _merged(files: Sequence[tuple[str, Recording]]) -> tuple[pd.DataFrame, tuple[str, ...]]:
    """Rows of all files by event time; a file's own order stays; at equal times the file given first comes first."""
    symbol = [given or file.symbol for given, file in files]
    priced = {s for s, (_, file) in zip(symbol, files, strict=True) if file.shape != "quotes"}
    parts, notes = [], []
    for s, time, (given, file) in zip(symbol, _times([file for _, file in files]), files, strict=True):
        part, note = file.rows(time, mids=s not in priced)
        if given or not file.symbols():
            part["symbol"] = pd.Categorical.from_codes(np.zeros(len(part), np.int8), [s])
        parts.append(part.assign(candle=file.shape == "candles"))
        notes += [f"{file.path.name}: {note}"] if note else []
    rows = parts[0]
    if len(parts) > 1:
        rows = pd.concat(parts, ignore_index=True)
        rows = rows.iloc[np.argsort(rows["known"].to_numpy(np.int64), kind="stable")].reset_index(drop=True)
    rows["symbol"] = rows["symbol"].astype("category")
    return _newest_copies(rows), tuple(notes)


def _newest_copies(rows: pd.DataFrame) -> pd.DataFrame:
    """Candles that were downloaded twice: the older copy, which may have been taken before its end, is put aside."""
    own = rows.loc[rows["candle"] & (rows["fault"] == ""), ["symbol", "time"]]
    older = own.index[own.duplicated(["symbol", "time"], keep="last")]
    if len(older) > 0.6 * len(own):
        when = own.loc[older[0], "time"]
        raise Unreadable(
            f"{len(older):,} of {len(own):,} candles have the time of another one, such as {pd.Timestamp(when)}: "
            'name a finer column, COLUMNS={"time": "<column>"}, or the column of symbols'
        )
    rows.loc[older, "fault"] = OLDER
    return rows


def _times(files: list[Recording]) -> list[str]:
    """Time column of each file: one clock for all of them where they share one.

    Trades stamped by the exchange and quotes stamped by the recorder must not be merged by two clocks that differ: the
    quotes could come before they happened.
    """
    own = [file.names["time"] for file in files]
    shared = set.intersection(*({str(name).lower() for name in file.table.columns} for file in files))
    common = next(
        (name.lower() for name in found(map(str, files[0].table.columns), "time") if name.lower() in shared), ""
    )
    if len({name.lower() for name in own}) == 1 or not common:
        return own
    return [next(name for name in file.table.columns if str(name).lower() == common) for file in files]


def _chosen(wanted: tuple[str, ...], found: tuple[str, ...]) -> tuple[str, ...]:
    missing = [symbol for symbol in wanted if symbol not in found]
    if missing:
        raise LookupError(f"no symbol {', '.join(missing)} in the recording; it holds {', '.join(found)}")
    return wanted or found


def _numbered(rows: pd.DataFrame) -> pd.DataFrame:
    """Integer ids as given; other ids by the order of their first row, and trades that have none in order.

    What a symbol's ids mostly are decides: the few others of a symbol go to the quarantine as they were written.
    """
    trade = (rows["kind"] == "trade").to_numpy()
    ids = rows["id"].where(trade).astype("Int64" if rows["id"].dtype != object else object)
    for place in _of_symbols(rows["symbol"]).values():
        own = place[trade[place]]
        given = ids.iloc[own].dropna()
        if not len(given):
            ids.iloc[own] = np.arange(1, len(own) + 1)
        elif ids.dtype == object and given.map(lambda id: isinstance(id, int)).mean() < 0.5:
            numbers = pd.factorize(ids.iloc[own].map(str, na_action="ignore"))[0]
            ids.iloc[own] = np.where(numbers < 0, -1, numbers + 1)
    ids = ids.where(ids.notna(), -1)
    texts = ids.dtype == object and any(isinstance(id, str) for id in ids)
    return rows.assign(id=ids if texts else ids.astype("int64"))


def _of_symbols(symbols: pd.Series) -> dict[str, np.ndarray]:
    """Places of the rows of each symbol, in order."""
    codes, names = symbols.cat.codes.to_numpy(), symbols.cat.categories
    order = np.argsort(codes, kind="stable")
    ends = np.searchsorted(codes[order], np.arange(len(names) + 1))
    return {name: order[ends[k] : ends[k + 1]] for k, name in enumerate(names) if ends[k] < ends[k + 1]}


def _with_gaps(rows: pd.DataFrame, longest: int) -> pd.DataFrame:
    """Say before the row that ends a silence longer than ``longest`` that nothing is known of it."""
    holes = []
    sound = np.flatnonzero(rows["fault"] == "")
    for symbol, at in _of_symbols(rows["symbol"].iloc[sound]).items():
        at = sound[at]
        known = np.maximum.accumulate(rows["known"].to_numpy(np.int64)[at])
        for end in np.flatnonzero((np.diff(known) > longest) & (known[:-1] > 0)) + 1:
            cuts = np.r_[np.arange(known[end - 1], known[end] - 1, _LONGEST), known[end] - 1]
            hole = {
                "symbol": symbol,
                "kind": "gap",
                "time": cuts[1:],
                "id": cuts[:-1],
                "known": known[end],
                "fault": "",
            }
            holes.append(pd.DataFrame(hole, index=np.full(len(cuts) - 1, at[end] - 0.5)))
    if not holes:
        return rows
    return pd.concat([rows, *holes]).sort_index(kind="stable").reset_index(drop=True)


def _sha256(path: Path) -> str:
    if path.is_dir():
        return hashlib.sha256("".join(map(_sha256, sorted(path.rglob("*.parquet")))).encode()).hexdigest()
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
