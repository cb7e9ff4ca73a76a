"""The tables of the prediction log: sessions, feature names, predictions, answers."""

from __future__ import annotations

import bisect
import itertools
import json
import sqlite3
from collections import Counter
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from rtml.core.clock import NEVER, span
from rtml.store import database

_TABLES = """
create table if not exists session (id integer primary key autoincrement, started integer not null);
create table if not exists definition (version text primary key, names text not null,
    features text not null default '', targets text not null default '[]');
create table if not exists prediction (
    id integer primary key, asked_at integer not null, moment integer not null, key text not null,
    version text not null, offset integer not null default 0, question integer, x blob not null, prediction not null,
    others blob, latency_ns integer not null, propensity real not null default 1.0,
    route text not null default '', arm text not null default '', unit text not null default '');
create table if not exists failure (place integer primary key autoincrement, route text not null, arm text not null,
    unit text not null, propensity real not null, why text not null, at integer not null);
create table if not exists served (question integer primary key, version text not null, predictions blob not null);
create table if not exists answer (
    place integer primary key autoincrement, id integer not null unique, y real not null, answered_at integer not null);
create table if not exists drained (one integer primary key check (one = 1), place integer not null);
create table if not exists forgotten (id integer primary key);
create table if not exists verdict (name text primary key, n integer not null);
create table if not exists delay (below integer primary key, n integer not null);
create table if not exists learner (name text primary key, place integer not null, state blob not null);
create index if not exists routed on prediction (route, arm) where route != '';
"""
_COLUMNS = "id, asked_at, moment, key, version, offset, question, x, prediction, others, latency_ns, propensity"
_COLUMNS += ", route, arm, unit"
MARKS = ",".join("?" * 15)
# Many rows an insert, as a number is made of powers of two: each call lets go of the interpreter lock and takes it
# again, and every time a server that answers meanwhile is woken and held up.
_CHUNKS = [2**power for power in range(10, -1, -1)]
_INSERT = {n: f"insert into prediction ({_COLUMNS}) values {','.join([f'({MARKS})'] * n)}" for n in _CHUNKS}
SESSION = 2**32  # ids of one session
#: Upper ends of the classes in which delays of answers are counted, ns.
DELAYS = tuple(span(text) for text in ("1s", "10s", "1m", "10m", "1h", "6h", "1d", "2d", "7d", "14d", "30d")) + (NEVER,)


class Row(NamedTuple):
    """One prediction as the log keeps it.

    ``version`` had learned ``offset`` events of the log; ``question`` is the stream's question that was answered, None
    where a request brought features of its own. ``x`` and ``others`` are bytes of float64: the features, and the
    predictions of all targets but the first, one behind the other. ``prediction`` is that of the first target: a
    number, or several as their bytes. ``propensity`` is the probability with which this version was chosen to answer;
    ``arm`` the version that ``route`` chose for a ``unit``, which is another where that one failed.

    Examples
    --------
    >>> row = Row(SESSION + 1, 10, 10, "north", "v1", 12, None, np.zeros(2).tobytes(), 0.5, None, 900)
    >>> id_text(row.id), row.propensity
    ('1-1', 1.0)
    """

    id: int
    asked_at: int
    moment: int
    key: str
    version: str
    offset: int
    question: int | None
    x: bytes
    prediction: float | bytes
    others: bytes | None
    latency_ns: int
    propensity: float = 1.0
    route: str = ""
    arm: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Answered:
    """A prediction with its answer: what a learner learns from."""

    place: int
    id: str
    key: str
    version: str
    moment: int
    names: tuple[str, ...]
    x: np.ndarray
    prediction: float | np.ndarray
    y: float
    answered_at: int
    asked_at: int = 0
    propensity: float = 1.0
    features: str = ""  # hash of the features' definition
    route: str = ""
    arm: str = ""
    unit: str = ""


def id_text(id: int) -> str:
    """An id as clients see it: session and number.

    Examples
    --------
    >>> id_text(3 * 2**32 + 7), id_number("3-7"), id_number("seven")
    ('3-7', 12884901895, None)
    """
    return f"{id // SESSION}-{id % SESSION}"


def id_number(text: str) -> int | None:
    """Number of an id, None when no prediction can have it.

    Examples
    --------
    >>> id_number("3-7") == 3 * 2**32 + 7, id_number("3-007"), id_number("7")
    (True, None, None)
    """
    session, dash, number = text.partition("-")
    if not (dash and session.isascii() and session.isdigit() and number.isascii() and number.isdigit()):
        return None
    id = int(session) * SESSION + int(number)
    return id if id < 2**63 and id_text(id) == text else None


def opened(path: str | Path) -> sqlite3.Connection:
    """A connection in autocommit, with the tables made when missing; a commit waits for the disk.

    Examples
    --------
    >>> opened(":memory:").execute("select count(*) from prediction").fetchone()
    (0,)
    """
    if str(path) != ":memory:" and Path(path).exists():  # an older version's file
        with database.explained(path), closing(sqlite3.connect(path)) as before:
            if "symbol" in {row[1] for row in before.execute("pragma table_info(prediction)")}:
                before.execute("alter table prediction rename column symbol to key")
    return database.opened(path, filter(None, map(str.strip, _TABLES.split(";"))), durable=True, timeout=5.0)


def define(
    db: sqlite3.Connection, version: str, names: tuple[str, ...], features: str = "", targets: Sequence = ()
) -> None:
    """Keep the names of a version's features, the hash of their definition, and name and columns of its targets.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> define(db, "v1", ("a", "b"), features="27a71e")
    >>> db.execute("select version, names, features from definition").fetchall()
    [('v1', '["a", "b"]', '27a71e')]
    """
    row = (version, json.dumps(names), features, json.dumps(targets))
    again = "names = excluded.names, features = excluded.features, targets = excluded.targets"
    new = "insert into definition (version, names, features, targets) values (?, ?, ?, ?) on conflict (version)"
    db.execute(f"{new} do update set {again}", row)


def found(db: sqlite3.Connection, id: int) -> dict | None:
    """One prediction by its number, with its version's definition and its answer, None where there is none.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> define(db, "v1", ("a",))
    >>> insert(db, [Row(7, 10, 10, "north", "v1", 12, None, np.zeros(1).tobytes(), 0.5, None, 900)])
    >>> prediction = found(db, 7)
    >>> prediction["key"], prediction["names"], prediction["y"], found(db, 8)
    ('north', '["a"]', None, None)
    """
    columns = [*Row._fields, "names", "features", "targets", "y", "answered_at"]
    sound = f"sound(prediction.crc, {_COLUMNS})".replace("(prediction.crc, id", "(prediction.crc, prediction.id")
    asked = f"select {', '.join(columns)}, {sound} from prediction join definition using (version) "
    row = db.execute(f"{asked} left join answer using (id) where prediction.id = ?", (id,)).fetchone()
    return row and dict(zip(columns, row[:-1], strict=True))


def numbers(cell: float | bytes) -> float | np.ndarray:
    """A prediction of a cell: one number, or several that were kept as their bytes.

    Examples
    --------
    >>> numbers(0.5), numbers(np.array([0.25, 0.75]).tobytes()).tolist()
    (0.5, [0.25, 0.75])
    """
    return np.frombuffer(cell) if isinstance(cell, bytes) else cell


def insert(db: sqlite3.Connection, rows: list[Row]) -> None:
    """Write predictions in few calls.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> row = Row(1, 10, 10, "north", "v1", 12, None, np.zeros(1).tobytes(), 0.5, None, 900)
    >>> insert(db, [row._replace(id=id) for id in range(1, 12)])
    >>> db.execute("select count(*), max(id) from prediction").fetchone()
    (11, 11)
    """
    start = 0
    for chunk, statement in _INSERT.items():
        while len(rows) - start >= chunk:
            db.execute(statement, list(itertools.chain.from_iterable(rows[start : start + chunk])))
            start += chunk


def join(db: sqlite3.Connection, given: list) -> list:
    """Join answers ``(future, id, y, at)`` with their predictions; the verdict of each.

    "joined", "repeated", "unknown", or the ``y`` that was told before. Verdicts and delays are counted. Of a prediction
    that was forgotten once learned, a further answer is "repeated": what was told before is not known any more.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> insert(db, [Row(7, 10, 10, "north", "v1", 12, None, np.zeros(1).tobytes(), 0.5, None, 900)])
    >>> join(db, [(None, 7, 0.7, 60), (None, 7, 0.7, 61), (None, 7, 0.9, 62), (None, 8, 0.7, 63)])
    ['joined', 'repeated', 0.7, 'unknown']
    """
    known = _known(db, [id for _, id, _, _ in given])
    verdicts = []
    fresh = []
    counts = Counter()
    delays = Counter()
    for _, id, y, at in given:
        first, asked_at = known.get(id, ("unknown", 0))
        if first is None:
            known[id] = (y, asked_at)
            fresh.append((id, y, at))
            delays[DELAYS[bisect.bisect_right(DELAYS, at - asked_at)]] += 1
        verdicts.append("joined" if first is None else "repeated" if first in (y, "repeated") else first)
        if id:  # 0 only waits for what was handed over before
            counts["contradicting" if isinstance(verdicts[-1], float) else verdicts[-1]] += 1
    db.executemany("insert into answer (id, y, answered_at) values (?, ?, ?)", fresh)
    _add(db, "verdict", counts)
    _add(db, "delay", delays)
    return verdicts


def _known(db: sqlite3.Connection, ids: list[int]) -> dict[int, tuple]:
    """The ``y`` told before, None, or "repeated" where it was forgotten, and the time asked, of each known id."""
    marks = ",".join("?" * len(ids))
    found = db.execute(
        f"select id, y, asked_at from prediction left join answer using (id) where prediction.id in ({marks})", ids
    )
    known = {id: (y, asked_at) for id, y, asked_at in found}
    gone = [id for id in ids if id not in known] or [0]
    forgotten = db.execute(f"select id from forgotten where id in ({','.join('?' * len(gone))})", gone)
    return known | {id: ("repeated", 0) for (id,) in forgotten}


def _add(db: sqlite3.Connection, table: str, counts: Counter) -> None:
    """Add to the counts of a table."""
    key = {"verdict": "name", "delay": "below"}[table]
    added = f"on conflict ({key}) do update set n = {table}.n + excluded.n"
    db.executemany(f"insert into {table} values (?, ?) {added}", counts.items())


def answers(db: sqlite3.Connection, after: int, n: int) -> list[Answered]:
    """Answers behind a place, with what was asked.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> define(db, "v1", ("a",))
    >>> insert(db, [Row(7, 10, 10, "north", "v1", 12, None, np.ones(1).tobytes(), 0.5, None, 900)])
    >>> _ = join(db, [(None, 7, 0.7, 60)])
    >>> [(one.id, one.x.tolist(), one.prediction, one.y) for one in answers(db, 0, 10)], answers(db, 1, 10)
    ([('0-7', [1.0], 0.5, 0.7)], [])
    """
    found = db.execute(
        "select a.place, a.id, key, version, moment, names, x, prediction, y, answered_at, asked_at, propensity, "
        "features, route, arm, unit, sound(a.crc, a.place, a.id, a.y, a.answered_at) from answer a "
        "join prediction using (id) join definition using (version) where a.place > ? order by a.place limit ?",
        (after, n),
    )
    return [
        Answered(
            place, id_text(id), key, version, moment, tuple(json.loads(names)), np.frombuffer(x), numbers(p), *rest
        )
        for place, id, key, version, moment, names, x, p, *rest, _ in found
    ]


def failures(db: sqlite3.Connection, after: int, n: int) -> list[tuple]:
    """Failures of arms behind a place: place, route, arm, unit, propensity."""
    asked = "select place, route, arm, unit, propensity from failure where place > ? order by place limit ?"
    return db.execute(asked, (after, n)).fetchall()


def requests(db: sqlite3.Connection, test: str, after: int, n: int) -> list[tuple]:
    """Requests that a test assigned, behind an id: id, route, arm, unit.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> row = Row(7, 10, 10, "north", "v1", 12, None, b"", 0.5, None, 900, 0.5, "price:1", "ridge", "user 3")
    >>> insert(db, [row, row._replace(id=8, route="other:1")])
    >>> requests(db, "price", 0, 10)
    [(7, 'price:1', 'ridge', 'user 3')]
    """
    asked = "select id, route, arm, unit from prediction where route glob ? and id > ? order by id limit ?"
    return db.execute(asked, (f"{test}:*", after, n)).fetchall()


def of_arms(db: sqlite3.Connection, test: str, n: int = 20_000) -> list[tuple]:
    """The newest requests of a test: arm, version that answered, prediction, its ``y``, ns until that was told.

    Examples
    --------
    >>> db = opened(":memory:")
    >>> insert(db, [Row(7, 10, 10, "north", "v1", 12, None, b"", 0.5, None, 900, 0.5, "price:1", "ridge", "user 3")])
    >>> _ = join(db, [(None, 7, 0.7, 60)])
    >>> of_arms(db, "price")
    [('ridge', 'v1', 0.5, 0.7, 50)]
    """
    asked = (
        "select arm, version, prediction, y, answered_at - asked_at from prediction left join answer using (id) "
        "where route glob ? order by prediction.id desc limit ?"
    )
    return db.execute(asked, (f"{test}:*", n)).fetchall()
