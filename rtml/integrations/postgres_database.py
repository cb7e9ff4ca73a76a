"""PostgreSQL instead of a SQLite file: what the checkpoint store and the prediction log say, in its dialect."""

from __future__ import annotations

import re
import weakref
from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg import sql
from psycopg.types.numeric import FloatDumper
from psycopg.types.string import StrDumper

from rtml.integrations.block_log import Patient
from rtml.store.database import transaction

_DIALECT = (
    (re.compile(r"sound\([^()]*\)"), "true"),  # checksums are the server's own
    (re.compile(r" and target in \(select distinct target from prediction\)"), ""),  # for SQLite's index
    (re.compile(r"primary key \(target, id\)\) without rowid"), "primary key (id, target))"),
    (re.compile(r"integer primary key( autoincrement)?"), "bigserial primary key"),
    (re.compile(r"\binteger\b"), "bigint"),
    (re.compile(r"\bblob\b"), "bytea"),
    (re.compile(r"\breal\b"), "double precision"),
    (re.compile(r"prediction not null"), "prediction varchar not null"),  # a number or bytes, see _Cell
    (re.compile(r"(\w+) glob \?"), r"starts_with(\1, rtrim(?, '*'))"),
    (re.compile(r"\b(offset|end)\b"), r'"\1"'),
    (re.compile(r"\?"), "%s"),
)


@lru_cache(maxsize=512)
def in_dialect(statement: str) -> str:
    """A statement of the stores as PostgreSQL takes it.

    Examples
    --------
    >>> in_dialect("select offset, sound(crc, offset) from progress where step = ?")
    'select "offset", true from progress where step = %s'
    >>> in_dialect("create table if not exists t (seq integer primary key, x blob, prediction not null, y real)")
    'create table if not exists t (seq bigserial primary key, x bytea, prediction varchar not null, y double precision)'
    """
    for pattern, replacement in _DIALECT:
        statement = pattern.sub(replacement, statement)
    return statement


class _Number(FloatDumper):
    """NaN is null, as in SQLite."""

    def dump(self, obj: float) -> Any:
        """The number as text, nothing for NaN."""
        return None if obj != obj else super().dump(obj)


class _Text(StrDumper):
    """Without the character 0, which PostgreSQL does not take."""

    def dump(self, obj: str) -> Any:
        """The text in UTF-8."""
        return super().dump(obj.replace("\0", "\ufffd"))


class _Cell(psycopg.adapt.Loader):
    """A prediction: a number, or the bytes of several."""

    def load(self, data: Any) -> float | bytes:
        """What was written."""
        text = bytes(data).decode()
        return bytes.fromhex(text[2:]) if text.startswith("\\x") else float(text)


def connected(url: str, schema: str, tables: str = "") -> Any:
    """A connection in autocommit that sees one schema, in which the tables are made where they are missing."""
    db = psycopg.connect(url, connect_timeout=5, autocommit=True)
    db.execute("set client_min_messages = warning")
    name = sql.Identifier(schema)
    search = sql.SQL("set search_path to {}").format(name)
    if tables:
        with db.transaction():  # one process at a time makes them
            db.execute("select pg_advisory_xact_lock(hashtext(%s))", (schema,))
            db.execute(sql.SQL("create schema if not exists {}").format(name))
            db.execute(search)
            db.execute(tables.encode())
    db.execute(search)
    return db


class Database(Patient):
    """A schema named as the log, behind what the stores use of a connection of :mod:`sqlite3`.

    One process writes at a time, as there: so numbers are given in the order in which others see them. A commit whose
    answer was lost is looked up by the number of its transaction; one that was not kept is done again where its caller
    insists, else it fails.

    Parameters
    ----------
    url
        ``postgres://USER@HOST:5432/DATABASE?log=NAME``.
    tables
        Statements that make them, in the dialect of SQLite; without any nothing is made.

    Examples
    --------
    >>> Database("postgres://host/db?log=a.b")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST = (psycopg.OperationalError, psycopg.InterfaceError)
    _db: Any = None

    def __init__(self, url: str, tables: Sequence[str] = ()) -> None:
        self._tables = ";".join(map(in_dialect, tables))
        self._number = ""  # of the transaction that was begun
        super().__init__(url)

    @property
    def in_transaction(self) -> bool:
        """Whether one was begun."""
        return bool(self._number)

    def execute(self, statement: str, parameters: Sequence = ()) -> Any:
        """Carry out a statement; one that writes is a transaction of its own where none was begun."""
        verb = statement.split(None, 1)[0].lower()
        if verb in ("begin", "commit", "rollback"):
            return getattr(self, f"_{verb}")(statement)
        return self._done(verb, lambda: self._db.execute(in_dialect(statement), parameters))

    def executemany(self, statement: str, rows: Iterable[Sequence]) -> None:
        """Carry out a statement with each of some rows."""
        given = list(rows)
        if given:
            self._done("", lambda: self._db.cursor().executemany(in_dialect(statement), given))

    def insist(self, work: Callable[[], Any]) -> Any:
        """Do what is one transaction, again over a new connection where it was lost before it was kept."""
        return self._tried(lambda again: work())

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            self._db.close()

    def _connect(self) -> None:
        self.close()
        self._number = ""
        self._db = connected(self.url, self.log_name, self._tables)
        weakref.finalize(self, self._db.close)  # nobody closes what only reads
        for type_, dumper in (("numpy.float64", _Number), (float, _Number), (str, _Text)):
            self._db.adapters.register_dumper(type_, dumper)
        self._db.adapters.register_loader("varchar", _Cell)

    def _done(self, verb: str, work: Callable[[], Any]) -> Any:
        if self.in_transaction:
            return work()
        return self.insist(work if verb == "select" else lambda: self._alone(work))

    def _alone(self, work: Callable[[], Any]) -> Any:
        with transaction(self):
            return work()

    def _begin(self, statement: str) -> None:
        def begin(again: bool) -> str:
            if "immediate" not in statement:
                self._db.execute("begin isolation level repeatable read read only")
                return "reading"
            self._db.execute("begin")
            self._db.execute("select pg_advisory_xact_lock(hashtext(%s))", (self.log_name,))
            return self._db.execute("select pg_current_xact_id()::text").fetchone()[0]

        self._number = self._tried(begin)

    def _commit(self, statement: str) -> None:
        number, self._number = self._number, ""
        try:
            self._db.execute("commit")
        except self.LOST:
            if number == "reading" or not self._tried(lambda again: self._kept(number)):
                raise

    def _kept(self, number: str) -> bool:
        """Whether a transaction was committed."""
        try:
            found = self._db.execute("select pg_xact_status(%s::text::xid8)", (number,)).fetchone()[0]
        except psycopg.DataError:  # a server that was killed does not know of it
            return False
        if found == "in progress":
            raise psycopg.OperationalError(f"transaction {number} has not ended yet")
        return found == "committed"

    def _rollback(self, statement: str) -> None:
        self._number = ""
        if not self._db.closed:
            self._db.rollback()
