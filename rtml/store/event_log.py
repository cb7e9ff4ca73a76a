"""The append-only log of events: one SQLite file, many readers, one place per event.

What arrived is written first and read by offset, so a consumer that stores its offset with its own state misses nothing
and sees nothing twice. An append is one transaction: after a crash a batch is there whole or not at all. No kill takes
back what was appended; a power cut does not either, unless the writer asked not to wait for the disk.

A row of the file is an event, or a block of many (:mod:`rtml.store.blocks`) under the offset of its last: what comes in
bulk is written as blocks, and events that came one by one are put together once there are enough of them.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterable, Sequence
from contextlib import contextmanager
from itertools import groupby, pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from rtml.store import blocks, database
from rtml.store.database import explained
from rtml.store.names import ENDING, Names

if TYPE_CHECKING:
    import pandas as pd

_TABLES = (
    "create table if not exists part (id integer primary key, name text unique not null, descr text not null)",
    "create table if not exists event (part integer, offset integer, record blob not null, "
    "primary key (part, offset)) without rowid",
    "create table if not exists quarantine (id integer primary key, part text not null, after integer not null, "
    "reason text not null, row text not null)",
    "create table if not exists posted (part text, offset integer, client text, digest blob, "
    "primary key (part, offset)) without rowid",
    "create unique index if not exists posted_client on posted (part, client) where client is not null",
)
_NEXT = """
insert into event select ?1, coalesce((select max(offset) from event where part = ?1), 0) + 1, ?2 returning offset
"""
_INSERT = "insert into event values (?, ?, ?)"
_ENTRY = "select offset, record, sound(crc, part, offset, record) from event where part = ? "
_READ, _NEWEST = f"{_ENTRY} and offset > ? order by offset", f"{_ENTRY} order by offset desc"
Found = tuple[np.ndarray, np.ndarray]  #: offsets and rows
_Entry = tuple[int, int, bytes]  # offset before it, its last offset, an event or a block
_QUARANTINE = """
select after, reason, row, sound(crc, id, part, after, reason, row) from quarantine where part = ? order by id
"""
_BULK = 512  # events of an append from which on they are written as blocks
_BLOCK = 1 << 14  # events of a block at most
_TOGETHER = 1 << 12  # events one by one that are put together
_NO_EVENTS = np.dtype([("time", "<i8")])  # of a part that was never written


class EventLog:
    """Parts of fixed-size records, each numbered 1, 2, 3, ... in order of arrival.

    Safe for one writer and many readers in several processes; within a process, for several threads.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> events = np.array([(10, 1.5), (20, 1.6), (30, 1.7)], [("time", "<i8"), ("price", "<f8")])
    >>> with TemporaryDirectory() as folder, EventLog(Path(folder) / "log.db") as log:
    ...     last = log.append("trades", events)
    ...     offsets, rows = log.read("trades", after=1, n=10)
    >>> last, offsets.tolist(), rows["price"].tolist()
    (3, [2, 3], [1.6, 1.7])
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.name = self.path.name
        self.names = Names(f"{self.path}{ENDING}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock, self._known = threading.RLock(), {}
        self._newest: dict[str, tuple[int, np.ndarray]] = {}  # offset before the last append, and its rows
        self._unpacked: dict[str, tuple[bytes, np.ndarray]] = {}  # the last block read, and its rows
        self._db = database.opened(self.path, _TABLES)  # ``sync`` waits for the disk

    def append(self, part: str, rows: np.ndarray, rejected: pd.DataFrame | None = None, durable: bool = True) -> int:
        """Write rows, and the rows rejected among them, in one transaction; the last offset of the part.

        One that is not ``durable`` survives the death of every process, but a power cut only once ``sync`` was called:
        for a source that can be asked again, and consumers that do not wait for the disk.
        """
        if rows.dtype.names is None or rows.dtype.hasobject or rows.ndim != 1:
            raise ValueError(f"the log holds a line of fixed-size records, got {rows.ndim}-d {rows.dtype}")
        if len(rows) == 1 and rejected is None and part in self._known:
            with (
                self._lock,
                explained(self.path),
            ):  # a statement is a transaction, and one that arrives alone is waited for
                last = self._db.execute(_NEXT, (self._open_part(part, rows.dtype), rows.tobytes())).fetchone()[0]
                self._put_together(part, last - 1, last)
        else:
            last = self._append(part, rows, rejected)
        self._newest[part] = (-1, rows) if durable else (last - len(rows), rows.copy())
        if durable:
            self.sync()
        return last

    def _append(self, part: str, rows: np.ndarray, rejected: pd.DataFrame | None) -> int:
        with self._transaction():
            key, last = self._open_part(part, rows.dtype), self.last(part)
            self._db.executemany(_INSERT, ((key, last + n, data) for n, data in _pieces(rows)))
            last += len(rows)
            if rejected is not None:
                self.quarantine(part, rejected, last)
            if len(rows) < _BULK:
                self._put_together(part, last - len(rows), last)
        return last

    def _put_together(self, part: str, before: int, last: int) -> None:
        """Make blocks of the newest events that were written one by one, once in so many."""
        if last // _TOGETHER == before // _TOGETHER:
            return
        with self._transaction():
            (key, dtype), alone = self._part(part), []
            for offset, record, _ in self._db.execute(_NEWEST, (key,)):
                if len(record) != dtype.itemsize or len(alone) == 2 * _TOGETHER:
                    break
                alone.append(record)
                before = offset - 1
            if alone:  # there may be a block of another writer by now
                rows = np.frombuffer(b"".join(reversed(alone)), dtype)
                self._db.execute("delete from event where part = ? and offset > ?", (key, before))
                self._db.executemany(_INSERT, ((key, before + n, data) for n, data in _pieces(rows)))

    def append_posted(self, part: str, rows: np.ndarray, clients: Sequence[tuple[str | None, bytes]]) -> int:
        """Write events that clients sent, each with the client's id and a digest, in one transaction; the last offset.

        It does not wait for the disk, as :meth:`sync` does. An id that is there already raises and writes nothing.
        """
        with self._transaction():
            last = self._append(part, rows, None)
            first = last - len(rows) + 1
            posted = ((part, first + k, *client) for k, client in enumerate(clients))
            self._db.executemany("insert into posted values (?, ?, ?, ?)", posted)
        return last

    def posted(self, part: str, clients: Iterable[str]) -> dict[str, bytes]:
        """Digests of the events that were posted with one of these ids."""
        query = "select client, digest from posted where part = ? and client = ?"
        with self._lock:
            return dict(row for client in clients for row in self._db.execute(query, (part, client)))

    def count_posted(self, part: str) -> int:
        """Number of events in a part that clients sent, and no source."""
        with self._lock:
            return self._db.execute("select count(*) from posted where part = ?", (part,)).fetchone()[0]

    def sync(self) -> None:
        """Wait until everything that was appended, by whichever process, is on the disk."""
        file = os.open(f"{self.path}-wal", os.O_RDONLY)  # SQLite keeps its locks on other files: this one may be closed
        try:
            os.fsync(file)
        finally:
            os.close(file)

    def read(self, part: str, after: int = 0, n: int = 50_000) -> Found:
        """Offsets and rows of the next ``n`` events behind offset ``after``; both empty when there are none yet.

        What was appended last by this very object, and not durably, is read from memory: fewer than there may be.
        """
        first, newest = self._newest.get(part, (-1, None))
        if first == after and len(newest):
            return np.arange(after + 1, after + 1 + len(newest[:n])), newest[:n].copy()
        with self._lock, explained(self.path):
            (key, dtype), found = self._part(part), []
            for offset, record, _ in self._db.execute(_READ, (key, int(after))):
                found.append((offset - _count(record, dtype), offset, record))
                if offset - max(after, found[0][0]) >= n:
                    break
            self._check(part, after, found)
            return self._rows(part, dtype, max(after, found[0][0]) if found else after, found, n)

    def _rows(self, part: str, dtype: np.dtype, start: int, found: list[_Entry], n: int) -> Found:
        """At most ``n`` offsets behind ``start``, and their rows, out of what the file has."""
        end = min(found[-1][1], start + max(0, n)) if found else start
        rows = np.empty(end - start, dtype)
        for alone, entries in groupby(found if end > start else (), lambda entry: len(entry[2]) == dtype.itemsize):
            if alone:
                befores, _, records = zip(*entries, strict=True)
                place = befores[0] - start
                rows[place : place + len(records)] = np.frombuffer(b"".join(records), dtype)
                continue
            for before, last, record in entries:
                low, high = max(before, start), min(last, end)
                into = rows[low - start : high - start]
                if high - low == last - before:
                    blocks.unpack(record, dtype, into)
                else:
                    into[:] = self._block(part, record, dtype)[low - before : high - before]
        return np.arange(start + 1, end + 1), rows

    def _block(self, part: str, record: bytes, dtype: np.dtype) -> np.ndarray:
        """Rows of a block, which the next read of the part may ask for again."""
        if part not in self._unpacked or self._unpacked[part][0] != record:
            self._unpacked[part] = record, blocks.unpack(record, dtype)
        return self._unpacked[part][1]

    def _check(self, part: str, after: int, found: list[_Entry]) -> None:
        """Events are numbered without a hole: behind ``after``, or from the first that is still kept."""
        hole = any(one[1] != other[0] for one, other in pairwise(found))
        if hole or (found and found[0][0] > after and found[0][0] + 1 != self.first(part)):
            raise database.Damaged(
                f"{self.path}: events of {part!r} behind offset {after} are missing: restore the file from a backup"
            )

    def quarantine(self, part: str, rejected: pd.DataFrame, after_offset: int) -> None:
        """Keep rejected rows (``reason``, ``row``) with the offset behind which they arrived."""
        rows = [(part, int(after_offset), *pair) for pair in zip(rejected["reason"], rejected["row"], strict=True)]
        with self._transaction():
            self._db.executemany("insert into quarantine (part, after, reason, row) values (?, ?, ?, ?)", rows)

    def rejected(self, part: str) -> pd.DataFrame:
        """The quarantine of a part: ``after`` (offset), ``reason`` and ``row`` (JSON), in order of arrival."""
        import pandas as pd  # a second of start-up that only people who look need to pay

        with self._lock:
            found = self._db.execute(_QUARANTINE, (part,)).fetchall()
        return pd.DataFrame([row[:3] for row in found], columns=["after", "reason", "row"])

    def refused(self, part: str) -> int:
        """Number of rows in the quarantine of a part."""
        with self._lock:
            return self._db.execute("select count(*) from quarantine where part = ?", (part,)).fetchone()[0]

    def count(self, part: str) -> int:
        """Number of events in a part."""
        return self.last(part) - self.first(part) + 1 if self.last(part) else 0

    def last(self, part: str) -> int:
        """Offset of the newest event of a part, 0 when it has none."""
        return self._number("select coalesce(max(offset), 0) from event where part = ?", part)

    def first(self, part: str) -> int:
        """Offset of the oldest event of a part that is kept, 0 when it has none."""
        with self._lock, explained(self.path):
            key, dtype = self._part(part)
            oldest = "select offset, record from event where part = ? order by offset limit 1"
            found = self._db.execute(oldest, (key,)).fetchone()
            return found[0] + 1 - _count(found[1], dtype) if found else 0

    def trim(self, part: str, before: int, until: int, batch: int = 20_000) -> int:
        """Let go of the oldest events, up to the first that is not older than ``before`` (ns); how many.

        ``until`` is the last offset that may go. Offsets stay what they are.
        """
        gone = 0
        until = until if "time" in (self.dtype(part).names or ()) else 0  # what has no time does not get old
        while (first := self.first(part)) and first <= until:
            offsets, rows = self.read(part, first - 1, min(batch, until - first + 1))
            late = np.flatnonzero(rows["time"] >= before)
            n = int(late[0]) if len(late) else len(rows)
            if not n or int(offsets[n - 1]) == self.last(part):  # the newest stays, so that numbers go on from it
                break
            with self._transaction():
                self._forget(part, int(offsets[n - 1]))
            gone += n
            if n < len(rows):
                break
        return gone

    def _forget(self, part: str, until: int) -> None:
        """Take out events up to an offset; of a block that goes beyond it, the rest stays."""
        key = self._part(part)[0]
        self._db.execute("delete from event where part = ? and offset <= ?", (key, until))
        if 0 < self.first(part) <= until:
            last = self._db.execute("select min(offset) from event where part = ?", (key,)).fetchone()[0]
            kept = _record(self.read(part, until, last - until)[1])
            self._db.execute("update event set record = ? where part = ? and offset = ?", (kept, key, last))

    def parts(self) -> list[str]:
        """Names of the parts, in the order in which they were begun."""
        with self._lock:
            return [name for (name,) in self._db.execute("select name from part order by id")]

    def close(self) -> None:
        """Close the file; what was appended is in it."""
        with self._lock:
            self._db.close()

    def __enter__(self) -> EventLog:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    @contextmanager
    def _transaction(self):
        """One transaction, which a transaction inside it joins."""
        with self._lock, explained(self.path):
            if self._db.in_transaction:
                yield
                return
            with database.transaction(self._db):
                yield

    def dtype(self, part: str) -> np.dtype:
        """Record type of a part; of one that was never written a time and nothing else."""
        with self._lock:
            return self._part(part)[1]

    def _number(self, query: str, part: str) -> int:
        with self._lock, explained(self.path):
            return self._db.execute(query, (self._part(part)[0],)).fetchone()[0]

    def _part(self, part: str) -> tuple[int, np.dtype]:
        """Key and record type of a part; one that was never written is empty."""
        if part in self._known:
            return self._known[part]
        found = self._db.execute("select id, descr from part where name = ?", (part,)).fetchone()
        if found is None:
            return -1, _NO_EVENTS
        known = found[0], np.dtype([tuple(field) for field in json.loads(found[1])])
        if not self._db.in_transaction:  # which could still be rolled back
            self._known[part] = known
        return known

    def _open_part(self, part: str, dtype: np.dtype) -> int:
        key, stored = self._part(part)
        if key == -1:
            descr = json.dumps(dtype.descr)
            return self._db.execute("insert into part (name, descr) values (?, ?)", (part, descr)).lastrowid
        if stored != dtype:
            raise ValueError(
                f"part {part!r} of {self.path.name} holds records {stored.descr}, got {dtype.descr}: "
                "write another record type to another part, or start a new log"
            )
        return key


def _pieces(rows: np.ndarray) -> list[tuple[int, bytes]]:
    """What rows are written as: how many there are up to the end of each piece, and its bytes."""
    step = _BLOCK if len(rows) >= _BULK else 1
    return [(min(k + step, len(rows)), _record(rows[k : k + step])) for k in range(0, len(rows), step)]


def _record(rows: np.ndarray) -> bytes:
    """An event as it is, or a block of several, which is never as long as one."""
    if len(rows) == 1:
        return rows.tobytes()
    data = blocks.pack(rows)
    return data + b" " if len(data) == rows.dtype.itemsize else data


def _count(record: bytes, dtype: np.dtype) -> int:
    return 1 if len(record) == dtype.itemsize else blocks.size(record, dtype)
