"""What a consumer of the log has done: its offset, its state and its outputs, committed as one.

A consumer killed anywhere goes on from its last commit; what it did since is done again, and nothing is there twice.
"""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from rtml.core.state import digest

_TABLES = (
    "create table if not exists consumer (one integer primary key check (one = 1), identity text not null)",
    "create table if not exists progress (one integer primary key check (one = 1), step integer not null, "
    "offset integer not null, state blob not null, digest text not null)",
    "create table if not exists prediction (target text, id integer, moment integer not null, prediction real not "
    "null, y real, known integer, primary key (target, id)) without rowid",
    "create table if not exists bar (end integer primary key, record blob not null, x blob)",
    "create table if not exists happening (seq integer primary key, at integer not null, place integer not null, "
    "who text not null, kind text not null, detail text not null)",
)
_SINCE = """
select end, record, x,
    (select prediction from prediction where target = 'return' and id = end),
    (select prediction from prediction where target = 'sign' and id = end),
    (select prediction from prediction where target = 'volatility' and id = end),
    answer.y, answer.prediction, answer.known
from bar left join prediction answer on answer.target = 'return' and answer.id = end - ?
where end > ? order by end limit ?
"""
_HAPPENED = "insert into happening (at, place, who, kind, detail) values (?, ?, ?, ?, ?)"
_HAPPENINGS = "select seq, at, place, who, kind, detail from happening where seq > ? order by seq"


class CheckpointStore:
    """One SQLite file of one consumer; others may read it meanwhile.

    Examples
    --------
    >>> import tempfile
    >>> journal = CheckpointStore(Path(tempfile.mkdtemp()) / "training.db", {"part": "events"})
    >>> journal.begin(offset=0, state=b"fresh")
    >>> journal.commit(offset=100, state=b"wiser", asked=[("return", 1, 10, 0.5)], answered=[])
    >>> journal.commit(offset=200, state=b"wisest", asked=[], answered=[(0.7, 20, "return", 1)])
    >>> journal.offset, journal.state
    (200, b'wisest')
    >>> journal.predictions("return").to_dict("records")
    [{'id': 1, 'moment': 10, 'prediction': 0.5, 'y': 0.7, 'known': 20}]
    """

    def __init__(self, path: str | Path, identity: dict) -> None:
        self.path = Path(path)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = sqlite3.connect(self.path, timeout=30.0, isolation_level=None, check_same_thread=False)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = normal")  # a power cut may take back commits, never tear one
        self._step = -1
        with self._lock, self._db:
            self._db.execute("begin immediate")
            for statement in _TABLES:
                self._db.execute(statement)
            self._db.execute("insert or ignore into consumer values (1, ?)", (json.dumps(identity, sort_keys=True),))
        self._check(identity)

    def begin(self, offset: int, state: bytes) -> None:
        """Commit the state to start from, unless there is progress already; then take up the last commit."""
        with self._lock, self._db:
            self._db.execute(
                "insert or ignore into progress values (1, 0, ?, ?, ?)", (int(offset), state, digest(state))
            )
            self._step = self._db.execute("select step from progress").fetchone()[0]

    @property
    def offset(self) -> int:
        """Offset of the log up to which everything is done."""
        with self._lock:
            return self._db.execute("select offset from progress").fetchone()[0]

    @property
    def state(self) -> bytes:
        """State at that offset."""
        with self._lock:
            state, name = self._db.execute("select state, digest from progress").fetchone()
        if digest(state) != name:
            raise ValueError(
                f"the state in {self.path} was changed: restore the file from a backup, or start a new run"
            )
        return state

    def commit(
        self,
        offset: int,
        state: bytes,
        asked: Iterable[tuple[str, int, int, float]],
        answered: Iterable[tuple[float, int, str, int]],
        bars: Iterable[tuple[int, bytes, bytes | None]] = (),
        new_events: Iterable[tuple[int, int, str, str, str]] = (),
    ) -> None:
        """Store progress and outputs in one transaction.

        Parameters
        ----------
        offset, state : what the consumer goes on from.
        asked : target, id, moment and prediction of each new question.
        answered : y, known, target and id of each answer that became known; a question never asked here is let be.
        bars : end of each closed bar, its records of all symbols, and the features asked with there, if any.
        happened : what watchers said, rows of :class:`rtml.core.callbacks.Callbacks`.
        """
        with self._lock, self._db:
            self._db.execute("begin immediate")
            row = (int(offset), state, digest(state), self._step)
            moved = self._db.execute(
                "update progress set step = step + 1, offset = ?, state = ?, digest = ? where step = ?", row
            )
            if moved.rowcount != 1:
                raise RuntimeError(f"somebody else made progress in {self.path}: let one process at a time train there")
            self._db.executemany("insert into prediction (target, id, moment, prediction) values (?, ?, ?, ?)", asked)
            self._db.executemany("update prediction set y = ?, known = ? where target = ? and id = ?", answered)
            self._db.executemany("insert into bar values (?, ?, ?)", bars)
            self._db.executemany(_HAPPENED, new_events)
        self._step += 1

    def predictions(self, target: str) -> pd.DataFrame:
        """Every prediction of a target in order of moment; ``y`` is NaN and ``known`` NA while there is no answer."""
        with self._lock:
            rows = self._db.execute(
                "select id, moment, prediction, y, known from prediction where target = ? order by moment, id",
                (target,),
            ).fetchall()
        frame = pd.DataFrame(rows, columns=["id", "moment", "prediction", "y", "known"])
        return frame.astype({"id": "int64", "moment": "int64", "prediction": float, "y": float, "known": "Int64"})

    def history(self) -> list[tuple]:
        """Everything that watchers said: at, place, who, kind, detail."""
        with self._lock:
            return [row[1:] for row in self._db.execute(_HAPPENINGS, (0,))]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _check(self, identity: dict) -> None:
        with self._lock:
            stored = json.loads(self._db.execute("select identity from consumer").fetchone()[0])
        other = [name for name in identity if stored.get(name) != identity[name]]
        if other:
            told = "; ".join(f"{name} was {stored.get(name)!r}, now {identity[name]!r}" for name in other)
            self.close()
            raise ValueError(
                f"{self.path} belongs to another training ({told}): start a new run, or go back to what was"
            )


class CheckpointReader:
    """What another process has committed to its journal, read while it goes on; read-only.

    Examples
    --------
    >>> import tempfile
    >>> journal = CheckpointStore(Path(tempfile.mkdtemp()) / "training.db", {})
    >>> journal.begin(0, b"")
    >>> journal.commit(1, b"", asked=[("return", 10, 10, 0.5)], answered=[], bars=[(10, b"bar", b"x")])
    >>> CheckpointReader(journal.path).since(0, horizon=10)
    [(10, b'bar', b'x', 0.5, None, None, None, None, None)]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        if not self.path.exists():
            raise FileNotFoundError(f"{path} is missing: start python -m rtml.pipeline.train RUN --follow")
        self._db = sqlite3.connect(f"file:{self.path}?mode=ro", uri=True, timeout=30.0, check_same_thread=False)

    def since(self, end: int, horizon: int, n: int = 1000) -> list[tuple]:
        """The next bars behind an end: end, record, x, predictions of return, sign and volatility asked there, and the
        y, prediction and known of the return question a horizon before."""
        return self._db.execute(_SINCE, (int(horizon), int(end), int(n))).fetchall()

    def history(self, after: int = 0) -> list[tuple]:
        """What watchers said behind a number: number, at, place, who, kind, detail; nothing in an older journal."""
        there = self._db.execute("select 1 from sqlite_master where name = 'happening'").fetchone()
        return self._db.execute(_HAPPENINGS, (int(after),)).fetchall() if there else []

    def close(self) -> None:
        """Close the file."""
        self._db.close()
