"""The prediction log: what was predicted, from which frozen features, and the answers that came later."""

from __future__ import annotations

import itertools
import json
import sqlite3
import threading
from collections import deque
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

_TABLES = """
create table if not exists session (id integer primary key autoincrement, started integer not null);
create table if not exists definition (version text primary key, names text not null);
create table if not exists prediction (
    id integer primary key, asked_at integer not null, moment integer not null, symbol text not null,
    version text not null, x blob not null, close real, prediction real not null, p_up real,
    latency_ns integer not null);
create table if not exists answer (
    place integer primary key autoincrement, id integer not null unique, y real not null, answered_at integer not null);
create table if not exists drained (one integer primary key check (one = 1), place integer not null);
"""
_CHUNKS = (256, 16, 1)  # rows of one insert: one call a chunk, since each call lets go of the interpreter lock
_SESSION = 2**32  # ids of one session
BACKLOG = 100_000  # predictions that may wait to be written


class LogUnavailable(RuntimeError):
    """The log cannot be written at the moment; the text says why."""


class Row(NamedTuple):
    """One prediction as the log keeps it; ``x`` are the bytes of its float64 features."""

    id: int
    asked_at: int
    moment: int
    symbol: str
    version: str
    x: bytes
    close: float | None
    prediction: float
    p_up: float | None
    latency_ns: int


@dataclass(frozen=True)
class Answered:
    """A prediction with its answer: what a learner learns from."""

    place: int
    id: str
    symbol: str
    version: str
    moment: int
    names: tuple[str, ...]
    x: np.ndarray
    prediction: float
    y: float
    answered_at: int


class PredictionLog:
    """Predictions and answers in one SQLite file, written by one thread in batches.

    A prediction is on disk a moment (``gather_s``) after it was given; its answer is acknowledged once it is
    committed, and survives ``kill -9``. A prediction that was killed before it was written is unknown
    afterwards: its id, which holds the number of the session, is never given again.

    Examples
    --------
    >>> log = PredictionLog(":memory:")
    >>> log.define("v1", ("a", "b"))
    >>> id = log.next_id()
    >>> log.append(Row(id, 0, 0, "ETH-USD", "v1", np.array([1.0, 2.0]).tobytes(), 100.0, 0.5, None, 900))
    >>> log.answer(id, -1.5, at=10).result(), log.answer(id, -1.5, at=11).result()
    ('joined', 'repeated')
    >>> [(told.x.tolist(), told.y) for told in log.answers()]
    [([1.0, 2.0], -1.5)]
    >>> log.close()
    """

    def __init__(self, path: str | Path, started: int = 0, gather_s: float = 0.02) -> None:
        self.error = ""
        self._gather_s = gather_s
        self._rows: deque[Row] = deque()
        self._batch: list[Row] = []  # taken from rows, not yet committed
        self._told: deque[tuple[Future, int, float, int]] = deque()
        self._work, self._urgent, self._closing = threading.Event(), threading.Event(), False
        self._database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
        self._database.execute("pragma journal_mode = wal")
        self._database.execute("pragma synchronous = normal")
        self._database.executescript(_TABLES)
        self._lock = threading.Lock()  # one user of the connection at a time
        self.session = self._database.execute("insert into session (started) values (?)", (started,)).lastrowid
        self._ids = itertools.count(self.session * _SESSION + 1)
        self._thread = threading.Thread(target=self._run, name="rtml-prediction-log", daemon=True)
        self._thread.start()

    def next_id(self) -> int:
        """An id never given before, by this session or an earlier one."""
        return next(self._ids)

    @property
    def waiting(self) -> int:
        """Predictions not written yet."""
        return len(self._rows) + len(self._batch)

    def define(self, version: str, names: tuple[str, ...]) -> None:
        """Keep the feature names of a version."""
        with self._lock:
            self._database.execute("insert or replace into definition values (?, ?)", (version, json.dumps(names)))

    def append(self, row: Row) -> None:
        """Hand over a prediction; it is written soon."""
        self._rows.append(row)
        if not self._work.is_set():
            self._work.set()

    def check(self) -> None:
        """Raise when predictions can no longer be logged."""
        if len(self._rows) + len(self._batch) >= BACKLOG:
            raise LogUnavailable(f"{BACKLOG} predictions wait to be written ({self.error or 'the disk is slow'})")

    def answer(self, id: int, y: float, at: int) -> Future:
        """Join an answer; the future gives "joined", "repeated", "unknown" or, when told otherwise, the first ``y``."""
        future: Future = Future()
        self._told.append((future, id, y, at))
        self._urgent.set()
        self._work.set()
        return future

    def flush(self) -> None:
        """Wait until everything handed over is written."""
        self.answer(0, 0.0, 0).result()

    def close(self) -> None:
        """Write what waits and let go of the file."""
        self._closing = True
        self._urgent.set()
        self._work.set()
        self._thread.join()
        self._database.close()
        if self.waiting:
            raise LogUnavailable(f"{self.waiting} predictions were not written: {self.error}")

    def answers(self, after: int = 0, n: int = 1000) -> list[Answered]:
        """Answers behind a place, in the order they came; a reader keeps the last ``place`` with its own state."""
        with self._lock:
            found = self._database.execute(
                "select a.place, a.id, symbol, version, moment, names, x, prediction, y, answered_at from answer a "
                "join prediction using (id) join definition using (version) where a.place > ? order by a.place limit ?",
                (after, n),
            ).fetchall()
        return [
            Answered(place, id_text(id), *about, tuple(json.loads(names)), np.frombuffer(x), *rest)
            for place, id, *about, names, x, prediction, y, at in found
            for rest in ((prediction, y, at),)
        ]

    def drain(self, n: int = 1000) -> list[Answered]:
        """Answers not drained before, each once, across restarts too."""
        with self._lock:
            row = self._database.execute("select place from drained").fetchone()
        drained = self.answers(row[0] if row else 0, n)
        if drained:
            with self._lock:
                self._database.execute("insert or replace into drained values (1, ?)", (drained[-1].place,))
        return drained

    def _run(self) -> None:
        while not self._closing or self._told or (self.waiting and not self.error):
            self._work.wait()
            self._urgent.wait(self._gather_s)
            self._work.clear()
            self._urgent.clear()
            told = [self._told.popleft() for _ in range(min(len(self._told), 1000))]
            try:
                verdicts = self._write(told)
            except Exception as ex:  # whatever it is, those who wait must hear of it
                self._failed(ex, told)
                continue
            self.error = ""
            for (future, *_), verdict in zip(told, verdicts, strict=True):
                future.set_result(verdict)
            if self._told or self._closing:
                self._work.set()

    def _failed(self, ex: Exception, told: list) -> None:
        """Keep the predictions for the next try; refuse the answers, so that they are told again."""
        self.error = f"the prediction log cannot be written: {ex}"
        for future, *_ in told:
            future.set_exception(LogUnavailable(self.error))
        self._work.set()

    def _write(self, told: list) -> list:
        """One transaction: all predictions that wait, then the answers."""
        self._batch += [self._rows.popleft() for _ in range(len(self._rows))]
        with self._lock:
            self._database.execute("begin immediate")
            try:
                _insert(self._database, self._batch)
                verdicts = _join(self._database, told) if told else []
                self._database.execute("commit")
            except BaseException:
                self._database.execute("rollback")
                raise
        self._batch = []
        return verdicts


def id_text(id: int) -> str:
    """An id as clients see it: session and number.

    Examples
    --------
    >>> id_text(3 * 2**32 + 7), id_number("3-7"), id_number("seven")
    ('3-7', 12884901895, None)
    """
    return f"{id // _SESSION}-{id % _SESSION}"


def id_number(text: str) -> int | None:
    """Number of an id, None when no prediction can have it."""
    session, dash, number = text.partition("-")
    if not (dash and session.isascii() and session.isdigit() and number.isascii() and number.isdigit()):
        return None
    id = int(session) * _SESSION + int(number)
    return id if id < 2**63 and id_text(id) == text else None


def _insert(database: sqlite3.Connection, rows: list[Row]) -> None:
    start = 0
    for chunk in _CHUNKS:
        statement = f"insert into prediction values {','.join(['(?,?,?,?,?,?,?,?,?,?)'] * chunk)}"
        while len(rows) - start >= chunk:
            database.execute(statement, list(itertools.chain.from_iterable(rows[start : start + chunk])))
            start += chunk


def _join(database: sqlite3.Connection, told: list) -> list:
    marks = ",".join("?" * len(told))
    ids = [id for _, id, _, _ in told]
    known = dict(
        database.execute(
            f"select id, y from prediction left join answer using (id) where prediction.id in ({marks})", ids
        ).fetchall()
    )
    verdicts, fresh = [], []
    for _, id, y, at in told:
        first = known.get(id, "unknown")
        if first is None:
            known[id] = y
            fresh.append((id, y, at))
        verdicts.append("joined" if first is None else "repeated" if first == y else first)
    database.executemany("insert into answer (id, y, answered_at) values (?, ?, ?)", fresh)
    return verdicts
