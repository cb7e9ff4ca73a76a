"""The tables of the prediction log: sessions, feature names, predictions, answers."""

from __future__ import annotations

import itertools
import json
import sqlite3
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
# Many rows an insert: each call lets go of the interpreter lock, which busy threads are slow to give back.
_INSERT = {
    rows: f"insert into prediction values {','.join(['(?,?,?,?,?,?,?,?,?,?)'] * rows)}" for rows in (1024, 64, 8, 1)
}
SESSION = 2**32  # ids of one session


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


def id_text(id: int) -> str:
    """An id as clients see it: session and number.

    Examples
    --------
    >>> id_text(3 * 2**32 + 7), id_number("3-7"), id_number("seven")
    ('3-7', 12884901895, None)
    """
    return f"{id // SESSION}-{id % SESSION}"


def id_number(text: str) -> int | None:
    """Number of an id, None when no prediction can have it."""
    session, dash, number = text.partition("-")
    if not (dash and session.isascii() and session.isdigit() and number.isascii() and number.isdigit()):
        return None
    id = int(session) * SESSION + int(number)
    return id if id < 2**63 and id_text(id) == text else None


def opened(path: str | Path) -> sqlite3.Connection:
    """A connection in autocommit, with the tables made when missing."""
    database = sqlite3.connect(path, check_same_thread=False, isolation_level=None, timeout=5.0)
    database.execute("pragma journal_mode = wal")
    database.execute("pragma synchronous = normal")
    database.executescript(_TABLES)
    return database


def insert(database: sqlite3.Connection, rows: list[Row]) -> None:
    """Write predictions in few calls."""
    start = 0
    for chunk, statement in _INSERT.items():
        while len(rows) - start >= chunk:
            database.execute(statement, list(itertools.chain.from_iterable(rows[start : start + chunk])))
            start += chunk


def join(database: sqlite3.Connection, told: list) -> list:
    """Join answers ``(future, id, y, at)`` with their predictions; the verdict of each.

    "joined", "repeated", "unknown", or the ``y`` that was told before.
    """
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


def answers(database: sqlite3.Connection, after: int, n: int) -> list[Answered]:
    """Answers behind a place, with what was asked."""
    found = database.execute(
        "select a.place, a.id, symbol, version, moment, names, x, prediction, y, answered_at from answer a "
        "join prediction using (id) join definition using (version) where a.place > ? order by a.place limit ?",
        (after, n),
    )
    return [
        Answered(place, id_text(id), symbol, version, moment, tuple(json.loads(names)), np.frombuffer(x), *rest)
        for place, id, symbol, version, moment, names, x, *rest in found
    ]
