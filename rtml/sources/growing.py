"""Sources that grow on a foreign system: rows behind a position, which the log keeps beside the rows it led to.

Rows are taken once each, whatever is killed: the position behind a chunk is written first, with the number of rows that
the log will have then. After a stop that number says which positions were reached.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Protocol

import msgspec
import numpy as np

from rtml.core.later import pd
from rtml.core.plugin import load
from rtml.core.use_case import UseCase
from rtml.sources.columns import Schema
from rtml.sources.protocol import Status
from rtml.sources.records import schema_of
from rtml.store.protocols import EventLog, with_password, without_password

#: What a source on a foreign system is called, each in the module of ``rtml.integrations`` of that name.
SYSTEMS = {
    "kafka": "kafka",
    "postgres": "postgres",
    "postgresql": "postgres",
    "file": "files",
    "s3": "files",
}
PLACES = ".places"  # behind the name of a part: positions of its source
_PLACE = np.dtype([("group", "<i8"), ("before", "<i8"), ("rows", "<i8"), ("upto", "<i8"), ("of", "S240")])


class Growing(Protocol):
    """A :class:`rtml.sources.protocol.Source` that is asked again and again for what has come."""

    name: str
    symbols: tuple[str, ...]
    rows: int
    schema: Schema
    position: dict[str, int]  #: by partition, table or file: up to where rows were sent

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """What is there now behind ``position``, which is moved before each frame is sent."""

    def status(self) -> Status:
        """What it is doing."""


class Follows:
    """What all sources that grow have in common.

    Examples
    --------
    >>> source = Follows(schema_of(np.dtype([("time", "<i8")])), ["north"])
    >>> source.symbols, source.position, source.status().state
    (('north',), {}, 'LIVE')
    """

    rows = 0

    def __init__(self, schema: Schema, symbols: Sequence[str]) -> None:
        self.schema, self.symbols = schema, tuple(symbols)
        self.position: dict[str, int] = {}

    def status(self) -> Status:
        """Live: more may come at any time."""
        return Status("LIVE")


def open_growing(source: str, schema: Schema, symbols: Sequence[str]) -> Growing | None:
    """The source that grows of this URL, None where it is none.

    Parameters
    ----------
    source
        Such as ``kafka://HOST:9092/TOPIC``, ``postgres://USER@HOST:5432/DATABASE?table=NAME&by=COLUMN``,
        ``file:///FOLDER`` or ``s3://BUCKET/PREFIX``; passwords are taken from RTML_PASSWORD.
    schema, symbols
        What judges its rows, and the keys of the run.

    Examples
    --------
    >>> open_growing("bikes.csv", schema_of(np.dtype([("time", "<i8")])), ["north"]) is None
    True
    """
    scheme, there, _ = source.strip().partition("://")
    if not there or scheme not in SYSTEMS:
        return None
    if not symbols:
        raise ValueError(
            f"the keys of {without_password(source)} are not known before its rows: name them, SYMBOLS=A,B"
        )
    try:
        opens = load(f"rtml.integrations.{SYSTEMS[scheme]}:Source", {}, "sources")
    except ModuleNotFoundError as ex:
        raise ModuleNotFoundError(f"{scheme} needs {ex.name}: pip install 'rtml[servers]'", name=ex.name) from ex
    url = source.strip()
    return opens(with_password(url) if SYSTEMS[scheme] == "postgres" else url, schema, symbols)


def posted_schema(case: UseCase) -> Schema:
    """What an event that comes from elsewhere must hold: what one that is posted over HTTP must.

    Examples
    --------
    >>> from rtml.core.use_case import load_use_case
    >>> posted_schema(load_use_case("sessions")).columns["time"]
    'ns UTC as an integer, or a date and time with its zone'
    """
    return (load(case.view, {}, "views").schema if case.view else None) or schema_of(case.event)


def arriving(source: Growing, log: EventLog, part: str, n: int) -> Iterator[pd.DataFrame]:
    """What a source has behind the rows that a part of the log has seen; the position of each frame is kept before.

    Parameters
    ----------
    source
        Its position is set to where the log is.
    log, part
        Where the rows of each frame, accepted or rejected, are appended as one before the next is asked for.
    n
        Most rows of a frame.
    """
    seen = log.last(part) - log.count_posted(part) + log.refused(part)
    kept = log.read(part + PLACES, 0, log.last(part + PLACES))[1]
    before = source.position = reached(kept, seen, source.name)
    for frame in source.chunks(n):
        moved = {of: upto for of, upto in source.position.items() if before.get(of) != upto}
        if long := [of for of in moved if len(of.encode()) > _PLACE["of"].itemsize]:
            raise ValueError(
                f"{source.name}: {long[0]!r} is longer than {_PLACE['of'].itemsize} bytes: shorten the name"
            )
        group = log.last(part + PLACES)
        rows = [(group, seen, seen + len(frame), upto, of.encode()) for of, upto in moved.items()]
        log.append(part + PLACES, np.array(rows, _PLACE))
        seen, before = seen + len(frame), dict(source.position)
        yield frame


def reached(kept: np.ndarray, seen: int, name: str = "") -> dict[str, int]:
    """The position at which a log had seen so many rows.

    From the newest entry back: one that was written before rows that never came is skipped.

    Examples
    --------
    >>> places = [(0, 0, 50, 50, b"a"), (1, 50, 70, 20, b"b"), (2, 50, 90, 90, b"a")]
    >>> kept = np.array(places, _PLACE)
    >>> reached(kept, 90), reached(kept, 70), reached(kept, 50)
    ({'a': 90}, {'b': 20, 'a': 50}, {'a': 50})
    """
    found: dict[str, int] = {}
    need, k = seen, len(kept) - 1
    while k >= 0 and need:
        group = int(kept["group"][k])
        if kept["rows"][k] == need:
            for row in kept[group : k + 1]:
                found.setdefault(row["of"].decode(), int(row["upto"]))
            need = int(kept["before"][k])
        k = group - 1
    if need:
        raise ValueError(f"the log holds {need:,} rows that did not come from {name}: name another RUN")
    return found


def rows_of(texts: Sequence[bytes | str | Mapping]) -> pd.DataFrame:
    """A frame of JSON objects, a row each; what is none has its reason in the column ``fault``.

    Examples
    --------
    >>> rows_of([b'{"a": 1}', b"?", b"[1]"])["fault"].tolist()
    [nan, 'is no JSON object', 'is no JSON object']
    """
    rows = []
    for text in texts:
        row: object = text
        if isinstance(text, bytes | str):
            try:
                row = msgspec.json.decode(text)
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                row = None
        if not isinstance(row, Mapping):
            shown = text.decode(errors="replace") if isinstance(text, bytes) else str(text)
            row = {"fault": "is no JSON object", "text": shown[:500]}
        rows.append(row)
    return pd.DataFrame(rows, dtype=object).infer_objects()  # whole numbers stay whole where some are missing
