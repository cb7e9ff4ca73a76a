"""Delimited text of any dialect as one table of texts: its delimiter, header, encoding and comments are found."""

from __future__ import annotations

import codecs
import csv
import io
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import pyarrow as pa
import pyarrow.csv as arrow_csv

from rtml.core.later import pd
from rtml.sources.table import Known, Table, Unreadable, few, unique

_HEAD = 1 << 17  # bytes of a text file that its form is judged by
_EMPTY = ["", "NA", "NaN", "nan", "null", "NULL", "None", "<NA>", "N/A", "n/a", "#N/A"]
_ENDS, _SPACES = re.compile(rb"^[ \t]+|[ \t]+(?=\r?$)", re.MULTILINE), re.compile(rb"[ \t]+")
_DATA = re.compile(r"[-+]?[$\d.].*|[-+]?(inf|nan)|true|false", re.IGNORECASE)


def read_csv(path: Path, opened: Callable[[Path], IO[bytes]], known: Known) -> Table:
    """A text file as one table; ``opened`` gives its bytes, unpacked.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trades.csv"
    ...     _ = path.write_text("# exported\\nprice;side\\n1.50;buy\\n2;sell;?\\n")
    ...     table = read_csv(path, lambda path: path.open("rb"), lambda name: False)
    >>> table.frame.to_dict("list"), table.ragged
    ({'price': ['1.50'], 'side': ['buy']}, [('line 4 has 3 fields, the header names 2', '2;sell;?')])
    """
    with opened(path) as file:
        head = file.read(_HEAD)
    encoding = _encoding(head)
    text = head.decode(encoding, errors="replace")
    if not text.strip():
        raise Unreadable(f"{path.name} cannot be read as csv: it is empty")
    lines = text.splitlines(keepends=True)[: -1 if len(head) == _HEAD else None] or [text]
    form = _Form.judged(path, lines, _delimiter(lines[:50]), known)
    try:
        frame, ragged = _cells(opened(path), form, encoding)
    except pa.ArrowInvalid as wrong:
        if "UTF8" not in str(wrong):
            raise
        frame, ragged = _cells(opened(path), form, "latin-1")
    if "" in frame.columns and frame[""].isna().all():
        frame = frame.drop(columns="")
    return Table(frame, form.headless, few(path, ragged, len(frame)), form.ticker)


def _cells(packed: IO[bytes], form: _Form, encoding: str) -> tuple[pd.DataFrame, list[tuple[str, str]]]:
    """All fields as texts, and the rows that have another number of them; comments and a header again are left out."""
    names, ragged = unique(form.names), []

    def put_aside(row: arrow_csv.InvalidRow) -> str:
        reason = f"line {row.number} has {row.actual_columns} fields, the header names {row.expected_columns}"
        ragged.extend([] if row.text.lstrip().startswith("#") else [(reason, row.text)])
        return "skip"

    how = arrow_csv.ReadOptions(use_threads=False, column_names=names, skip_rows=form.skip, encoding=encoding)
    texts = {name: pa.string() for name in names}
    convert = arrow_csv.ConvertOptions(column_types=texts, strings_can_be_null=True, null_values=_EMPTY)
    parse = arrow_csv.ParseOptions(delimiter=form.delimiter, invalid_row_handler=put_aside)
    with packed as file:
        held = io.BytesIO(_SPACES.sub(b" ", _ENDS.sub(b"", file.read()))) if form.delimiter == " " else file
        frame = arrow_csv.read_csv(held, how, parse, convert).to_pandas()
    again = frame.index[frame.iloc[:, 0] == names[0]]
    again = again[frame.loc[again].eq(names).all(axis=1)]
    return frame.drop(again).reset_index(drop=True) if len(again) else frame, ragged


def _encoding(head: bytes) -> str:
    if head.startswith((b"\xff\xfe", b"\xfe\xff")):
        return "utf-16"
    if head[1:200:2].count(0) > 0.9 * len(head[1:200:2]) > 0:
        return "utf-16-le"
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
    words = Counter(len(line.split()) for line in lines if line.strip())
    return best if most[1] or len(words) != 1 or words.keys() == {1} else " "


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
        lines = [line.strip() for line in lines] if delimiter == " " else lines
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        rows = [(reader.line_num, row) for row in reader if any(map(str.strip, row))]
        width = Counter(len(row) for _, row in rows[1:] or rows).most_common(1)[0][0]
        while len(rows) > 1 and _about(rows[0][1], width, known):
            rows = rows[1:]
        (line, first), rest = rows[0], rows[1:]
        first = [first[0].lstrip("\ufeff#"), *first[1:]]
        if not any(map(known, first)) and any(map(_is_data, first)):
            return cls([str(k) for k in range(width)], line - 1, delimiter, headless=True)
        if not rest:
            raise Unreadable(
                f"{path.name} has no rows, only the columns {', '.join(first)}: name a file that holds some"
            )
        first, line, ticker, rest = _second_header(path, first, line, rest, known)
        first = _as_wide(path, first, rest, width, delimiter)
        return cls(first, line, delimiter, ticker=ticker)


def _about(row: list[str], width: int, known: Known) -> bool:
    """Whether a line before the header says something about the file: a comment, Excel's ``sep=``, a single field."""
    if any(known(cell.lstrip("#")) for cell in row):
        return False
    return row[0].lstrip().startswith(("#", "sep=")) or len(row) == 1 < width


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
