"""A folder or bucket of Parquet, CSV and JSON-lines files that grows, as a source (``file:///FOLDER``, ``s3://BUCKET``).

What is half written is not read: of a text file only lines that have their end, of a Parquet file nothing before its
footer is there. A text file may grow, a Parquet file is read once.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from pyarrow import fs

from rtml.core.clock import Clock
from rtml.sources.columns import Schema
from rtml.sources.growing import Follows, rows_of
from rtml.store.protocols import without_password

KINDS = (".parquet", ".csv", ".jsonl", ".ndjson")
_REFUSED = ("access denied", "access_denied", "forbidden", "invalidaccesskey", "signature")
QUIET_S = 10.0  # a last line without an end is taken when its file has not changed for so long
_BLOCK = 1 << 20  # bytes of a text file that are read at once


class Source(Follows):
    """Rows of all files below a folder, file by file in the order of their paths; new files are found as they come.

    Its position is, by path, the bytes taken of a text file and the rows taken of a Parquet file. Names that begin with
    ``.`` or ``_`` or end in anything but the known kinds are left alone. A field of a CSV file holds no line break.

    Parameters
    ----------
    url
        ``file:///FOLDER`` or ``s3://BUCKET/PREFIX?region=...&endpoint_override=...``, whose credentials are those of
        the environment (AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY).
    schema, symbols
        What judges the rows, and the keys of the run.

    Examples
    --------
    >>> Source("ftp://host/folder", None, [])  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: ftp://host/folder is no folder or bucket: file:///FOLDER or s3://BUC...
    """

    def __init__(self, url: str, schema: Schema, symbols: Sequence[str]) -> None:
        super().__init__(schema, symbols)
        self.name, self._clock = without_password(url), Clock()
        try:
            self._files, self._base = fs.FileSystem.from_uri(url)
        except (pa.ArrowInvalid, ValueError) as ex:
            raise ValueError(f"{self.name} is no folder or bucket: file:///FOLDER or s3://BUCKET/PREFIX ({ex})") from ex
        self._sizes: dict[str, int] = {}  # of files that were read to their end
        self._listed()

    def _listed(self) -> list[fs.FileInfo]:
        """Files in the order of their paths."""
        try:
            found = self._files.get_file_info(fs.FileSelector(self._base, recursive=True))
        except FileNotFoundError as ex:
            raise FileNotFoundError(f"{self.name}: there is no such folder: make it, or name another") from ex
        except OSError as ex:
            refused = any(
                word in str(ex).lower() for word in ("access denied", "forbidden", "invalidaccesskey", "signature")
            )
            kind = PermissionError if refused else ConnectionError
            raise kind(f"{self.name} cannot be listed: {' '.join(str(ex).split())[:300]}") from ex
        wanted = [info for info in found if info.type == fs.FileType.File and info.extension in _ENDINGS]
        kept = [i for i in wanted if not any(part[:1] in "._" for part in self._short(i.path).split("/"))]
        return sorted(kept, key=lambda info: info.path)

    def _short(self, path: str) -> str:
        return path.removeprefix(self._base).lstrip("/")

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """What is in the folder now behind ``position``."""
        for info in self._listed():
            name = self._short(info.path)
            if self._sizes.get(name) == info.size:
                continue
            read = self._parquet if info.extension == "parquet" else self._lines
            for frame, upto in read(info, self.position.get(name, 0), n):
                self.position = self.position | {name: upto}
                yield frame

    def _parquet(self, info: fs.FileInfo, done: int, n: int) -> Iterator[tuple[pd.DataFrame, int]]:
        """Rows of a file that is whole, with the number of rows taken."""
        with self._files.open_input_file(info.path) as file:
            if info.size < 12 or file.read_at(4, info.size - 4) != b"PAR1":
                return  # its writer is not done
            held = pq.ParquetFile(file)
            left, at = done, 0
            for batch in held.iter_batches(n):
                skipped = min(left, len(batch))
                left, at = left - skipped, at + len(batch)
                if skipped < len(batch):
                    yield batch.slice(skipped).to_pandas(integer_object_nulls=True, date_as_object=False), at
        self._sizes[self._short(info.path)] = info.size

    def _lines(self, info: fs.FileInfo, done: int, n: int) -> Iterator[tuple[pd.DataFrame, int]]:
        """Lines of a text file behind so many bytes, with the number of bytes taken."""
        name, quiet = self._short(info.path), self._clock.now() - (info.mtime_ns or 0) > QUIET_S * 1e9
        if info.size < done:
            raise ValueError(f"{self.name}: {name} became shorter ({done} to {info.size} bytes): only append to files")
        with self._files.open_input_file(info.path) as file:
            lines, at = _whole(file, info.size, quiet), 0
            header = None
            if info.extension == "csv":
                first = next(lines, b"")
                at, header = len(first), next(csv.reader([first.decode("utf-8-sig", "replace").strip()]), [])
            if done > at:
                lines, at = _whole(file, info.size, quiet, done), done
            while taken := list(islice(lines, n)):
                at += sum(map(len, taken))
                texts = [line for line in taken if line.strip()]
                if texts:
                    yield (rows_of(texts) if header is None else _cells(texts, header)), at
        if at == info.size:
            self._sizes[name] = info.size


_ENDINGS = {kind[1:] for kind in KINDS}


def _whole(file: Any, size: int, quiet: bool, start: int = 0) -> Iterator[bytes]:
    """Lines with their ends from a byte on; the last one without an end where the file is quiet."""
    rest, at = b"", start
    while at < size:
        block = file.read_at(min(_BLOCK, size - at), at)
        at += len(block)
        *lines, rest = (rest + block).splitlines(keepends=True) or [b""]
        if rest.endswith(b"\n"):
            lines, rest = [*lines, rest], b""
        yield from lines
    if rest and quiet:
        yield rest


def _cells(lines: list[bytes], header: list[str]) -> pd.DataFrame:
    """Rows of CSV lines as texts; one of another number of fields has its reason in ``fault``."""
    rows: list[Any] = []
    for cells in csv.reader(io.StringIO(b"".join(lines).decode("utf-8", "replace"))):
        row: dict[str, Any] = dict(zip(header, (cell or None for cell in cells), strict=False))
        if (row.get("time") or "").isdigit():
            row["time"] = int(row["time"])
        if len(cells) != len(header):
            row = {"fault": f"has {len(cells)} fields, the header names {len(header)}", "text": ",".join(cells)[:500]}
        rows.append(row)
    return rows_of(rows)
