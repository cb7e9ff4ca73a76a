"""A file of any usual kind as one table: read whole and exactly, or refused with a sentence."""

from __future__ import annotations

import bz2
import codecs
import csv
import gzip
import lzma
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import msgspec
import pandas as pd
import pyarrow as pa
import pyarrow.csv as arrow_csv
import pyarrow.feather as feather
import pyarrow.parquet as pq

_KINDS = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".tsv": "csv", ".txt": "csv", ".log": "log"}
_KINDS |= {".feather": "feather", ".arrow": "feather", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}
_PACKED = {b"\x1f\x8b": "gzip", b"PK\x03\x04": "zip", b"BZh": "bz2", b"\xfd7zXZ": "xz", b"\x28\xb5\x2f\xfd": "zstd"}
_HEAD = 1 << 17  # bytes of a text file that its form is judged by
_EMPTY = ["", "NA", "NaN", "nan", "null", "NULL", "None", "<NA>", "N/A", "n/a", "#N/A"]
_DATA = re.compile(r"[-+]?[$\d.].*|[-+]?(inf|nan)|true|false", re.IGNORECASE)


Known = Callable[[str], bool]


class Unreadable(ValueError):
    """A file that cannot be read right: the sentence names the row, the value and the column, and what to do."""


@dataclass
class Table:
    """The rows of a file, and what is to be said of the way they were read.

    Attributes
    ----------
    frame
        The columns as the file has them; cells of text formats are texts, so that no digit is lost.
    headless
        Whether the file has no header; the columns are then called ``0``, ``1`` ...
    ragged
        Reason and text of rows that have another number of fields; they are not in ``frame``.
    ticker
        What a second header row says that all columns are of.
    """

    frame: pd.DataFrame
    headless: bool = False
    ragged: list[tuple[str, str]] = field(default_factory=list)
    ticker: str = ""


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
    table.frame.columns = _unique(list(map(str, table.frame.columns)))
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
    """The bytes of a file, unpacked by what it begins with."""
    with path.open("rb") as file:
        head = file.read(8)
    packed = next((how for magic, how in _PACKED.items() if head.startswith(magic)), "")
    if packed == "zip":
        return zipfile.ZipFile(path).open(_member(path))
    if packed == "zstd":
        return pa.CompressedInputStream(str(path), "zstd")
    return {"gzip": gzip.open, "bz2": bz2.open, "xz": lzma.open}.get(packed, open)(path, "rb")


def _unique(names: list[str]) -> list[str]:
    """Names stripped, a repeated one with a number behind it."""
    names, seen = [name.strip().lstrip("\ufeff") for name in names], Counter()
    for k, name in enumerate(names):
        seen[name] += 1
        names[k] = name if seen[name] == 1 else f"{name}.{seen[name] - 1}"
    return names


# -- tables with types -----------------------------------------------------------------------------------------------


def _typed(path: Path, kind: str) -> Table:
    if path.is_dir():
        held = pq.read_table(path)
    else:
        with opened(path) as file:
            content = pa.py_buffer(file.read())
        read_table = pq.read_table if kind == "parquet" else feather.read_table
        held = read_table(pa.BufferReader(content))
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
        if kind == "json":
            return _records(path, msgspec.json.decode(file.read()))
        if kind == "jsonl":
            return _lines(path, file.read().splitlines())
    return _csv(path, known)


def _records(path: Path, held: object) -> Table:
    """A list of objects, a list of lists, or an object that holds one of them or is columns."""
    while isinstance(held, dict):
        lists = [value for value in held.values() if isinstance(value, list)]
        if len(lists) == len(held) > 1 and not any(isinstance(v, dict) for column in lists for v in column):
            return Table(pd.DataFrame({name: pd.Series(column, dtype=object) for name, column in held.items()}))
        inner = [value for value in held.values() if isinstance(value, list | dict) and value]
        held = inner[0] if len(inner) == 1 else None
    if isinstance(held, list) and held and all(isinstance(row, dict) for row in held):
        return Table(pd.DataFrame(held, dtype=object))
    if isinstance(held, list) and held and all(isinstance(row, list) for row in held):
        return Table(pd.DataFrame(held, dtype=object), headless=True)
    raise Unreadable(f"{path.name} holds no list of rows: JSON must be a list of objects, one a row")


def _lines(path: Path, lines: list[bytes]) -> Table:
    rows, ragged = [], []
    for number, line in enumerate(lines, 1):
        try:
            rows += [msgspec.json.decode(line)] if line.strip() else []
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as broken:
            ragged.append((f"line {number} is no JSON: {broken}", line.decode(errors="replace")))
    table = _records(path, rows)
    return Table(table.frame, table.headless, _few(path, ragged, len(table.frame)))


def _few(path: Path, ragged: list[tuple[str, str]], rows: int) -> list[tuple[str, str]]:
    """Broken lines, when they are few: they go to the quarantine; many say that the file is misread as a whole."""
    if len(ragged) > max(1, rows // 100):
        reason, text = ragged[0]
        raise Unreadable(f"{path.name}: {reason} ({text[:100]!r}), and so {len(ragged):,} of its rows: repair the file")
    return ragged


def _csv(path: Path, known: Known) -> Table:
    with opened(path) as file:
        head = file.read(_HEAD)
    encoding = _encoding(head)
    text = head.decode(encoding, errors="replace")
    if not text.strip():
        raise Unreadable(f"{path.name} cannot be read as csv: it is empty")
    lines = text.splitlines(keepends=True)[: -1 if len(head) == _HEAD else None] or [text]
    form = _Form.judged(path, lines, _delimiter(lines[:50]), known)
    try:
        frame, ragged = _cells(path, form, encoding)
    except pa.ArrowInvalid as wrong:
        if "UTF8" not in str(wrong):
            raise
        frame, ragged = _cells(path, form, "latin-1")
    if "" in frame.columns and frame[""].isna().all():
        frame = frame.drop(columns="")
    return Table(frame, form.headless, _few(path, ragged, len(frame)), form.ticker)


def _cells(path: Path, form: _Form, encoding: str) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """All fields as texts, and the rows that have another number of them."""
    names, ragged = _unique(form.names), []

    def put_aside(row: arrow_csv.InvalidRow) -> str:
        reason = f"line {row.number} has {row.actual_columns} fields, the header names {row.expected_columns}"
        ragged.append((reason, row.text))
        return "skip"

    how = arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=form.skip, encoding=encoding)
    texts = {name: pa.string() for name in names}
    convert = arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=_EMPTY)
    parse = arrow_csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=put_aside)
    with opened(path) as file:
        return arrow_csv.read_csv(file, how, parse, convert).to_pandas(), ragged


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    try:
        codecs.getincrementaldecoder("utf-8")().decode(head)
    except UnicodeDecodeError:
        return "latin-1"
    return "utf-8"


def _delimiter(lines: list[str]) -> str:
    """What cuts most lines into the same number of fields, more than one."""
    best, most = ",", (0, 0)
    for delimiter in (",", ";", "\t", "|"):
        counts = Counter(len(row) for row in csv.reader(lines, delimiter=delimiter) if row)
        fields, times = max(counts.items(), key=lambda one: one[1], default=(1, 0))
        if fields > 1 and (times, fields) > most:
            best, most = delimiter, (times, fields)
    return best


@dataclass
class _Form:
    """How a text file is laid out: names of its columns, lines before the first row, whether it has a header."""

    names: list[str]
    skip: int
    delimiter: str
    headless: bool = False
    ticker: str = ""

    @classmethod
    def judged(cls, path: Path, lines: list[str], delimiter: str, known: Known) -> _Form:
        reader = csv.reader(lines, delimiter=delimiter)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
        width = Counter(len(row) for _, row in rows[1:] or rows).most_common(1)[0][0]
        while len(rows) > 1 and width > 1 and len(rows[0][1]) == 1 and not known(rows[0][1][0]):
            rows = rows[1:]  # a line about the file
        (line, first), rest = rows[0], rows[1:]
        first = [first[0].lstrip("\ufeff#"), *first[1:]]
        if not any(map(known, first)) and any(map(_is_data, first)):
            return cls([str(k) for k in range(width)], line - 1, delimiter, headless=True)
        first, line, ticker, rest = _second_header(path, first, line, rest, known)
        first = _as_wide(path, first, rest, width, delimiter) if rest else first
        return cls(first, line, delimiter, ticker=ticker)


def _as_wide(path: Path, first: list[str], rest: list, width: int, delimiter: str) -> list[str]:
    """Names for each field of a row: a comma at the end of all rows, or of the header alone, means nothing."""
    if width == len(first) + 1 and all(not row[-1].strip() for _, row in rest if len(row) == width):
        return [*first, ""]
    if width == len(first) - 1 and not first[-1].strip():
        return first[:-1]
    if width != len(first):
        at, row = next((at, row) for at, row in rest if len(row) == width)
        raise Unreadable(
            f"{path.name}: line {at} has {width} fields, but the header names {len(first)} ({', '.join(first)}): "
            f"{delimiter.join(row)!r}; name every column, or take the field out"
        )
    return first


def _second_header(
    path: Path, first: list[str], line: int, rest: list, known: Known
) -> tuple[list[str], int, str, list]:
    """Names and ticker of the three header rows that yfinance writes; any other second header row is refused."""
    if len(rest) > 1 and first[0].strip().lower() == "price" and rest[0][1][0].strip().lower() == "ticker":
        tickers = {cell.strip() for cell in rest[0][1][1:]} - {""}
        if len(tickers) > 1:
            raise Unreadable(f"{path.name} has header rows for {', '.join(sorted(tickers))}: write one file for each")
        return [rest[1][1][0] or "Date", *first[1:]], rest[1][0], "".join(tickers), rest[2:]
    words = len(rest) > 1 and not any(map(_is_data, rest[0][1])) and any(map(_is_data, rest[1][1]))
    if words and sum(map(known, rest[0][1])) + (sum(map(bool, rest[0][1])) == len(first)):
        raise Unreadable(
            f"{path.name} has two header rows: {first} and, in line {rest[0][0]}, {rest[0][1]}; "
            "leave one, which names every column"
        )
    return first, line, "", rest


def _is_data(cell: str) -> bool:
    return bool(_DATA.fullmatch(cell.strip()))
