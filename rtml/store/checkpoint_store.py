"""What a consumer of the log has done: its offset, its state and its outputs, committed as one.

A consumer killed anywhere goes on from its last commit; what it did since is done again, and nothing is there twice.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtml.core.later import pd
from rtml.core.state import digest
from rtml.store import database
from rtml.store.database import explained
from rtml.store.protocols import without_password

_TABLES = (
    "create table if not exists consumer (one integer primary key check (one = 1), identity text not null)",
    "create table if not exists progress (one integer primary key check (one = 1), step integer not null, "
    "offset integer not null, state blob not null, digest text not null)",
    "create table if not exists question (seq integer primary key, id integer not null unique, key integer not null, "
    "moment integer not null, x blob not null)",
    "create table if not exists prediction (target text, id integer, prediction not null, y real, known integer, "
    "primary key (target, id)) without rowid",
    "create index if not exists answered on prediction (known) where known is not null",
    "create table if not exists closed (end integer primary key, record blob not null)",
    "create table if not exists event (seq integer primary key, at integer not null, place integer not null, "
    "who text not null, kind text not null, detail text not null)",
)
_QUESTION = "sound(q.crc, q.seq, q.id, q.key, q.moment, q.x)"
_SOUND = f"{_QUESTION} and sound(p.crc, p.target, p.id, p.prediction, p.y, p.known)"
_PREDICTIONS = f"""
select id, key, moment, prediction, y, known, {_SOUND} from prediction p join question q using (id)
where target = ? order by moment, id
"""
_ANSWERED = f"""
select known, target, id, key, moment, prediction, y, {_SOUND} from prediction p join question q using (id)
where known > ? and known is not null order by known, id, target limit ?
"""
_ANSWERS_OF = f"""
select known, target, id, key, moment, prediction, y, {_SOUND} from prediction p join question q using (id)
where id = ? and known is not null
"""
_EVENT = "insert into event (at, place, who, kind, detail) values (?, ?, ?, ?, ?)"
_OUTPUTS = (  # questions, asked, answered, closed, new events
    "insert into question (id, key, moment, x) values (?, ?, ?, ?)",
    "insert into prediction (target, id, prediction) values (?, ?, ?)",
    "update prediction set y = ?, known = ? where target = ? and id = ?",
    "insert into closed values (?, ?)",
    _EVENT,
)
_EVENTS = """
select seq, at, place, who, kind, detail, sound(crc, seq, at, place, who, kind, detail) from event where seq > ?
order by seq
"""


class Asked(NamedTuple):
    """A question as a consumer committed it: its number, what it was asked with, and what was predicted by target."""

    seq: int
    id: int
    key: int
    moment: int
    x: bytes
    predictions: dict[str, float | bytes]


class Answered(NamedTuple):
    """An answer as a consumer committed it: when it was known, of which question and target, what had been said.

    Examples
    --------
    >>> answer = Answered(known=70, target="demand", id=1, key=0, moment=10, prediction=0.5, y=0.7)
    >>> answer.known - answer.moment, round(answer.y - answer.prediction, 3)
    (60, 0.2)
    """

    known: int
    target: str
    id: int
    key: int
    moment: int
    prediction: float | bytes
    y: float | None


class CheckpointStore:
    """One SQLite file of one consumer; others may read it meanwhile.

    Examples
    --------
    >>> import tempfile
    >>> store = CheckpointStore(Path(tempfile.mkdtemp()) / "training.db", {"part": "events"})
    >>> store.begin(offset=0, state=b"fresh")
    >>> store.commit(100, b"wiser", asked=[("demand", 1, 0.5)], answered=[], questions=[(1, 0, 10, b"x")])
    >>> store.commit(200, b"wisest", asked=[], answered=[(0.7, 20, "demand", 1)])
    >>> store.offset, store.state
    (200, b'wisest')
    >>> store.predictions("demand").to_dict("records")
    [{'id': 1, 'key': 0, 'moment': 10, 'prediction': 0.5, 'y': 0.7, 'known': 20}]
    """

    def __init__(self, path: str | Path, identity: dict) -> None:
        self.path = _place(path)
        if isinstance(self.path, Path):
            self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = threading.RLock()
        self._db = database.opened(path, _TABLES)  # a power cut can take back commits, it never corrupts one
        self._step = -1
        with self._lock, explained(self.path):
            mine = (json.dumps(identity, sort_keys=True),)
            self._db.execute("insert into consumer values (1, ?) on conflict do nothing", mine)
        self._check(identity)

    def begin(self, offset: int, state: bytes) -> None:
        """Commit the state to start from, unless there is progress already; then take up the last commit."""
        with self._lock, explained(self.path):
            self._db.execute(
                "insert into progress values (1, 0, ?, ?, ?) on conflict do nothing",
                (int(offset), state, digest(state)),
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
        with self._lock, explained(self.path):
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
        asked: Iterable[tuple[str, int, float | bytes]],
        answered: Iterable[tuple[float, int, str, int]],
        questions: Iterable[tuple[int, int, int, bytes]] = (),
        closed: Iterable[tuple[int, bytes]] = (),
        new_events: Iterable[tuple[int, int, str, str, str]] = (),
    ) -> None:
        """Store progress and outputs in one transaction.

        Parameters
        ----------
        offset, state : what the consumer goes on from.
        asked : target, id and prediction of each new question, several numbers as their bytes.
        answered : y, known, target and id of each answer that became known; a question never asked here is let be.
        questions : id, key, moment and features of each new question.
        closed : what the operator closed: its end, and its records of all keys.
        new_events : what callbacks said, rows of :class:`rtml.core.callbacks.Callbacks`.
        """
        row = (int(offset), state, digest(state), self._step)
        outputs = [*map(list, (questions, asked, answered, closed, new_events))]
        with self._lock, explained(self.path):
            database.insist(self._db, lambda: self._write(row, outputs))
        self._step += 1

    def predictions(self, target: str) -> pd.DataFrame:
        """Every prediction of a target in order of moment; ``y`` is NaN and ``known`` NA while there is no answer.

        A prediction of several numbers is an array in its cell.
        """
        with self._lock, explained(self.path):
            rows = [row[:-1] for row in self._db.execute(_PREDICTIONS, (target,))]
        frame = pd.DataFrame(rows, columns=["id", "key", "moment", "prediction", "y", "known"])
        several = len(rows) and isinstance(rows[0][3], bytes)
        if several:
            frame["prediction"] = [np.frombuffer(row[3]) for row in rows]
        types = {"id": "int64", "key": "int64", "moment": "int64", "y": float, "known": "Int64"}
        return frame.astype(types if several else types | {"prediction": float})

    def history(self) -> list[tuple]:
        """Everything that callbacks said: at, place, who, kind, detail."""
        with self._lock, explained(self.path):
            return [row[1:-1] for row in self._db.execute(_EVENTS, (0,))]

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _write(self, row: tuple, outputs: Iterable[list]) -> None:
        with database.transaction(self._db):
            moved = self._db.execute(
                "update progress set step = step + 1, offset = ?, state = ?, digest = ? where step = ?", row
            )
            if moved.rowcount != 1:
                raise RuntimeError(f"another process made progress in {self.path}: let one process train there")
            for statement, rows in zip(_OUTPUTS, outputs, strict=True):
                self._db.executemany(statement, rows)

    def _check(self, identity: dict) -> None:
        with self._lock:
            stored = json.loads(self._db.execute("select identity from consumer").fetchone()[0])
        other = [name for name in identity if stored.get(name) != identity[name]]
        if other:
            changes = "; ".join(f"{name} was {stored.get(name)!r}, now {identity[name]!r}" for name in other)
            self.close()
            raise ValueError(
                f"{self.path} belongs to another training ({changes}): start a new run, or go back to what was"
            )


class CheckpointReader:
    """What another process has committed to its store, read while it goes on; read-only.

    Examples
    --------
    >>> import tempfile
    >>> store = CheckpointStore(Path(tempfile.mkdtemp()) / "training.db", {})
    >>> store.begin(0, b"")
    >>> store.commit(1, b"", asked=[("demand", 7, 0.5)], answered=[], questions=[(7, 0, 10, b"x")])
    >>> CheckpointReader(store.path).questions(after=0)
    [Asked(seq=1, id=7, key=0, moment=10, x=b'x', predictions={'demand': 0.5})]
    """

    def __init__(self, path: str | Path) -> None:
        self.path = _place(path)
        if not database.exists(path):
            raise FileNotFoundError(f"{path} is missing: start rtml train RUN --follow")
        self._db = database.reading(path)

    def questions(self, after: int, n: int = 1000) -> list[Asked]:
        """The next questions behind a number, in the order asked, with what was predicted."""
        rows = self._all(
            f"select seq, id, key, moment, x, {_QUESTION} from question q where seq > ? order by seq limit ?",
            (int(after), int(n)),
        )
        asked = [Asked(*row, {}) for row in rows]
        by_id = {one.id: one for one in asked}
        for first in range(0, len(asked), 500):
            ids = [one.id for one in asked[first : first + 500]]
            marks = ", ".join("?" * len(ids))
            query = "select id, target, prediction, sound(crc, target, id, prediction, y, known) from prediction "
            query += f"where id in ({marks}) and target in (select distinct target from prediction)"
            for id, target, prediction in self._all(query, tuple(ids)):
                by_id[id].predictions[target] = prediction
        return asked

    def answers(self, after: int, n: int = 1000) -> list[Answered]:
        """The next answers known behind a time (ns), in the order known; all of one time come together."""
        rows = [Answered(*row) for row in self._all(_ANSWERED, (int(after), int(n)))]
        if len(rows) < n:
            return rows
        last = rows[-1].known  # there may be more of that time than fit
        whole = [row for row in rows if row.known < last]
        return whole or self.answers(after, 4 * n)

    def answers_of(self, question: int) -> list[Answered]:
        """The answers of one question, as far as they are known."""
        return [Answered(*row) for row in self._all(_ANSWERS_OF, (question,))]

    def closed(self, after: int, n: int = 1000) -> list[tuple[int, bytes]]:
        """What the operator closed behind an end (ns): end, and the records of all keys."""
        query = "select end, record, sound(crc, end, record) from closed where end > ? order by end limit ?"
        return self._all(query, (int(after), int(n)))

    @contextmanager
    def at_one_commit(self) -> Iterator[None]:
        """Read everything inside the block as one commit left it, whatever is committed meanwhile."""
        self._db.execute("begin")
        try:
            yield
        finally:
            self._db.execute("commit")

    def last_question(self) -> int:
        """Number of the newest question, 0 before the first."""
        return self._db.execute("select coalesce(max(seq), 0) from question").fetchone()[0]

    def progress(self) -> tuple[int, int, bytes]:
        """Number of the last commit, the offset of the log behind it, and the state there."""
        step, offset, state, name = self._db.execute("select step, offset, state, digest from progress").fetchone()
        if digest(state) != name:
            raise ValueError(f"the state in {self.path} was changed: restore the file from a backup")
        return step, offset, state

    def step(self) -> int:
        """Number of the last commit."""
        return self._db.execute("select step from progress").fetchone()[0]

    def done(self) -> tuple[int, int]:
        """Number of the last commit, and the offset of the log behind it."""
        return self._db.execute("select step, offset from progress").fetchone()

    def history(self, after: int = 0) -> list[tuple]:
        """What callbacks said behind a number: number, at, place, who, kind, detail."""
        return self._all(_EVENTS, (int(after),))

    def _all(self, query: str, parameters: tuple = ()) -> list[tuple]:
        """Rows of a query whose last column says that they are sound."""
        with explained(self.path):
            return [row[:-1] for row in self._db.execute(query, parameters)]

    def close(self) -> None:
        """Close the file."""
        self._db.close()


def _place(path: str | Path) -> str | Path:
    """What messages call it."""
    return without_password(str(path)) if "://" in str(path) else Path(path)
