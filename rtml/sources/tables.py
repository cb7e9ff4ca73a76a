"""A file of any usual kind as one table: read whole and exactly, or refused with a sentence."""

from __future__ import annotations

import bz2
import gzip
import lzma
import re
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import IO

import pandas as pd
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq

from rtml.sources.csv_tables import read_csv
from rtml.sources.json_tables import read_json
from rtml.sources.table import Known, Table, Unreadable, unique

__all__ = ["Table", "Unreadable", "opened", "read"]

_KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".log": "log"}
_KINDS |= {".feather": "feather", ".arrow": "feather", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}


def _no_name(name: str) -> bool:
    return False


def _no_log(lines: Iterable[bytes]) -> pd.DataFrame:
    raise Unreadable("a message log is read where its messages are known: save it as Parquet or CSV")


def read(path: Path, known: Known = _no_name, log: Callable[[Iterable[bytes]], pd.DataFrame] = _no_log) -> Table:
    """Read a file, or a folder of Parquet files, by its ending; packed (gz, zip, bz2, xz, zst) or not.

    Parameters
    ----------
    path
        The file.
    known
        Whether a name is one that a column may have: a header is told from a first row by it, where cells look alike.
    log
        Reads the lines of a message log, a file that ends in ``.log``.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "cards.csv"
    ...     _ = path.write_text("card,amount\\n007,1.5\\n7,2\\n")
    ...     read(path).frame["card"].tolist()
    ['007', '7']
    """
    kind = "parquet" if path.is_dir() else _kind(path)
    try:
        table = _typed(path, kind) if kind in ("parquet", "feather") else _texts(path, kind, known, log)
    except Unreadable:
        raise
    except Exception as broken:  # whatever a foreign reader makes of broken bytes
        raise Unreadable(f"{path.name} cannot be read as {kind}: {str(broken) or type(broken).__name__}") from broken
    table.frame.columns = unique(list(map(str, table.frame.columns)))
    if table.frame.empty:
        columns = ", ".join(table.frame.columns)
        raise Unreadable(f"{path.name} has no rows, only the columns {columns}: name a file that holds some")
    return table


def _kind(path: Path) -> str:
    name = re.sub(r"\.(gz|gzip|zip|bz2|xz|zst)$", "", path.name, flags=re.IGNORECASE)
    if zipfile.is_zipfile(path) and Path(name).suffix.lower() not in _KINDS:
        name = name + Path(_member(path)).suffix if path.suffix.lower() == ".zip" else name
    kind = _KINDS.get(Path(name).suffix.lower(), "csv" if path.suffix.lower() == ".zip" else None)
    if kind is None:
        raise Unreadable(
            f"{path.name} is neither Parquet nor CSV nor a message log, nor feather, JSON or JSON lines: save it as "
            "one of them; its name must end in .parquet, .csv, .tsv, .txt, .log, .feather, .json or .jsonl, packed "
            "(.gz, .zip, .bz2, .xz, .zst) or not"
        )
    return kind


def _member(path: Path) -> str:
    with zipfile.ZipFile(path) as packed:
        names = [n for n in packed.namelist() if not n.endswith("/") and not n.startswith("__MACOSX")]
    if len(names) != 1:
        raise Unreadable(f"{path.name} holds {len(names)} files ({', '.join(names[:4])}): unpack it and name one")
    return names[0]


def opened(path: Path) -> IO[bytes]:
    """The bytes of a file, unpacked by what it begins with.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trades.csv"
    ...     _ = path.write_bytes(gzip.compress(b"price\\n1.5\\n"))
    ...     opened(path).read()
    b'price\\n1.5\\n'
    """
    with path.open("rb") as file:
        head = file.read(8)
    packed = next((how for magic, how in _PACKED.items() if head.startswith(magic)), "")
    if packed == "zip":
        return zipfile.ZipFile(path).open(_member(path))
    if packed == "zstd":
        return pa.CompressedInputStream(str(path), "zstd")
    return {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(packed, open)(path, "rb")


# -- tables with types -----------------------------------------------------------------------------------------------


def _typed(path: Path, kind: str) -> Table:
    if path.is_dir():
        held = pq.read_table(path)
    else:
        with opened(path) as file:
            content = pa.py_buffer(file.read())
        held = (pq.read_table if kind == "parquet" else _arrow)(pa.BufferReader(content))
    frame = held.to_pandas(integer_object_nulls=True, date_as_object=False)
    ticker = ""
    if frame.columns.nlevels > 1 or _tuples(frame.columns):
        frame.columns, ticker = _one_header(path, list(frame.columns))
    frame = _with_index(frame)
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(object)
    headless = frame.shape[1] > 0 and all(str(name).isdigit() for name in frame.columns)
    return Table(frame, headless, ticker=ticker)


def _arrow(content: pa.BufferReader) -> pa.Table:
    """A feather file, or the same as a stream."""
    try:
        return feather.read_table(content)
    except pa.ArrowInvalid:
        content.seek(0)
        return pa.ipc.open_stream(content).read_all()


def _with_index(frame: pd.DataFrame) -> pd.DataFrame:
    """The index as a column where it says something: a name, or moments."""
    moments = isinstance(frame.index, pd.DatetimeIndex)
    if frame.index.nlevels == 1 and frame.index.name is None and not moments:
        return frame.reset_index(drop=True)
    if frame.index.nlevels == 1 and frame.index.name in (None, *frame.columns):
        free = next(name for name in ("time", "index", "index of the rows") if name not in frame.columns)
        frame.index = frame.index.rename(free)
    return frame.reset_index()


def _tuples(columns: pd.Index) -> bool:
    return len(columns) > 0 and all(re.fullmatch(r"\('.*', '.*'\)", str(name)) for name in columns)


def _one_header(path: Path, columns: list) -> tuple[list[str], str]:
    """Names of two header rows, one of which says the same of every column."""
    levels = [re.findall(r"'([^']*)'", name) if isinstance(name, str) else list(map(str, name)) for name in columns]
    for names, same in (([a for a, *_ in levels], {b for _, b, *_ in levels}), ([x[1] for x in levels], None)):
        same = {a for a, *_ in levels} if same is None else same
        if len(same - {""}) <= 1 and all(len(level) == 2 for level in levels):
            return names, "".join(same)
    raise Unreadable(
        f"{path.name} has two header rows, such as {levels[0]} and {levels[-1]}: write one file for each "
        "instrument, with one header row"
    )


# -- tables of texts -------------------------------------------------------------------------------------------------


def _texts(path: Path, kind: str, known: Known, log: Callable) -> Table:
    with opened(path) as file:
        if kind == "log":
            return Table(log(file))
        if kind in ("json", "jsonl"):
            return read_json(path, file.read(), known)
    return read_csv(path, opened, known)
