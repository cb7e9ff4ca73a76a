"""The prediction log: what was predicted, from which frozen features, and the answers that came later."""

from __future__ import annotations

import sqlite3
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path

from rtml.store import database
from rtml.store import prediction_tables as tables
from rtml.store.prediction_tables import SESSION, Answered, Row

BACKLOG = 100_000  # predictions that may wait to be written


class LogUnavailable(RuntimeError):
    """The log cannot be written at the moment; the text says why.

    Examples
    --------
    >>> log = PredictionLog(":memory:")
    >>> log.close()
    >>> log.answer(7, 1.0, at=10)
    Traceback (most recent call last):
    ...
    rtml.store.prediction_log.LogUnavailable: the prediction log is closed: the endpoint is stopping
    """


class PredictionLog:
    """Predictions and answers in one SQLite file, written by one thread in batches.

    A prediction is on disk ``gather_s`` seconds after it was given; its answer is acknowledged once it is
    committed, and survives ``kill -9``. A prediction that was killed before it was written is unknown
    afterwards: its id, which holds the number of the session, is never given again.

    Examples
    --------
    >>> import numpy as np
    >>> log = PredictionLog(":memory:")
    >>> log.define("v1", ("a", "b"))
    >>> log.append(0, 0, "station 7", "v1", 12, None, np.array([1.0, 2.0]).tobytes(), 0.5, None, 900)
    '1-1'
    >>> id = tables.id_number("1-1")
    >>> log.answer(id, -1.5, at=10).result(), log.answer(id, -1.5, at=11).result()
    ('joined', 'repeated')
    >>> [(answer.x.tolist(), answer.y) for answer in log.answers()]
    [([1.0, 2.0], -1.5)]
    >>> log.close()
    """

    def __init__(self, path: str | Path, started: int = 0, gather_s: float = 0.1) -> None:
        self.error = ""
        self._gather_s = gather_s
        self._rows: deque[Row] = deque()
        self._batch: list[Row] = []  # taken from rows, not yet committed
        self._answers: deque[tuple[Future, int, float, int]] = deque()
        self._work = threading.Event()
        self._urgent = threading.Event()
        self._closing = False
        self._database = tables.opened(path)
        self._lock = threading.Lock()  # one user of the connection at a time
        begun = self._database.execute("insert into session (started) values (?) returning id", (started,))
        session = begun.fetchone()[0]
        self._prefix, self._first = f"{session}-", session * SESSION
        self.given, self._counting = 0, threading.Lock()  # ids given in this session
        self._thread = threading.Thread(target=self._run, name="rtml-prediction-log", daemon=True)
        self._thread.start()

    @property
    def waiting(self) -> int:
        """Predictions not written yet."""
        return len(self._rows) + len(self._batch)

    def define(self, version: str, names: tuple[str, ...], features: str = "", targets: Sequence = ()) -> None:
        """Keep the feature names of a version, the hash of their definition, and its targets."""
        with self._lock:
            tables.define(self._database, version, names, features, targets)

    def find(self, id: int) -> dict | None:
        """One prediction by its number with what belongs to it, None where there is none."""
        with self.reading() as connection:
            return tables.found(connection, id)

    def keep_served(self, rows: Iterable[tuple[int, str, bytes]]) -> None:
        """Keep what a frozen version answered questions of the stream with: question, version, predictions' bytes."""
        with self._lock:
            self._database.executemany("insert into served values (?, ?, ?) on conflict do nothing", rows)

    def served(self) -> dict[int, tuple[str, bytes]]:
        """By question, what frozen versions answered; of every other question the learner's prediction was served."""
        with self._lock:
            rows = self._database.execute("select question, version, predictions from served")
            return {question: about for question, *about in rows}

    def append(self, *row, propensity: float = 1.0, routed: tuple[str, str, str] = ("", "", "")) -> str:
        """Hand over a prediction (a :class:`Row` without its id), to be written soon; its id as text.

        ``propensity`` is the probability with which its version was chosen to answer, ``routed`` route, arm and unit.
        An id is never given again, by this session or a later one.
        """
        if self._closing or len(self._rows) + len(self._batch) >= BACKLOG:
            raise LogUnavailable(self._full())
        with self._counting:
            self.given = number = self.given + 1
        self._rows.append((self._first + number, *row, propensity, *routed))
        if not self._work.is_set():
            self._work.set()
        return self._prefix + str(number)

    def fail(self, route: str, arm: str, unit: str, propensity: float, why: str, at: int) -> None:
        """Keep that an arm failed, or was too slow, for a unit."""
        new = "insert into failure (route, arm, unit, propensity, why, at) values (?, ?, ?, ?, ?, ?)"
        with self._lock:
            self._database.execute(new, (route, arm, unit, propensity, why, at))

    def _full(self) -> str:
        if self._closing:
            return "the prediction log is closed: the endpoint is stopping"
        return f"{BACKLOG} predictions wait to be written: {self.error or 'the disk is too slow'}"

    def answer(self, id: int, y: float, at: int) -> Future:
        """Join an answer; the future gives "joined", "repeated", "unknown" or, when told otherwise, the first ``y``."""
        if self._closing:
            raise LogUnavailable(self._full())
        future: Future = Future()
        future.set_running_or_notify_cancel()  # an answer told is joined, whoever stops waiting for it
        self._answers.append((future, id, y, at))
        self._urgent.set()
        self._work.set()
        return future

    def flush(self) -> None:
        """Wait until everything handed over is written."""
        self.answer(0, 0.0, 0).result()

    def close(self) -> None:
        """Write what waits and let go of the file; a second call does nothing."""
        self._closing, self.error = True, ""
        self._urgent.set()
        self._work.set()
        self._thread.join()
        self._database.close()
        if self.waiting:
            raise LogUnavailable(f"{self.waiting} predictions were not written: {self.error}")

    def answers(self, after: int = 0, n: int = 1000) -> list[Answered]:
        """Answers behind a place, in the order they came; a reader keeps the last ``place`` with its own state."""
        with self._lock:
            return tables.answers(self._database, after, n)

    def drain(self, n: int = 1000) -> list[Answered]:
        """Answers not drained before, each once, across restarts too.

        Marked as drained before they are returned. A learner that may lose none when it is killed reads
        :meth:`answers` instead, and keeps the last ``place`` in the transaction of its own state.
        """
        with self._lock:
            row = self._database.execute("select place from drained").fetchone()
            drained = tables.answers(self._database, row[0] if row else 0, n)
            if drained:
                new = "insert into drained values (1, ?) on conflict (one) do update set place = excluded.place"
                self._database.execute(new, (drained[-1].place,))
        return drained

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """The connection, with all that was handed over written, and nobody else using it meanwhile."""
        if not self._closing:
            self.flush()
        with self._lock:
            yield self._database

    def _run(self) -> None:
        while not self._closing or self._answers or (self.waiting and not self.error):
            self._work.wait()
            self._urgent.wait(self._gather_s)
            self._work.clear()
            self._urgent.clear()
            answers = [self._answers.popleft() for _ in range(min(len(self._answers), 1000))]
            try:
                verdicts = self._write(answers)
            except Exception as ex:  # whatever it is, those who wait must hear of it
                self._failed(ex, answers)
                continue
            self.error = ""
            for (future, *_), verdict in zip(answers, verdicts, strict=True):
                future.set_result(verdict)
            if self._answers or self._closing:
                self._work.set()

    def _failed(self, ex: Exception, answers: list) -> None:
        """Keep the predictions for the next try; refuse the answers, so that they are told again."""
        self.error = f"the prediction log cannot be written: {ex}"
        for future, *_ in answers:
            future.set_exception(LogUnavailable(self.error))
        self._urgent.wait(1.0)
        self._work.set()

    def _write(self, answers: list) -> list:
        """One transaction: all predictions that wait, then the answers."""
        self._batch += [self._rows.popleft() for _ in range(len(self._rows))]
        if not self._batch and not answers:
            return []
        with self._lock, database.transaction(self._database):
            tables.insert(self._database, self._batch)
            verdicts = tables.join(self._database, answers) if answers else []
        self._batch = []
        return verdicts
