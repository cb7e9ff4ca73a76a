"""The registry's tables on SQLite or PostgreSQL, and durable transactions on them.

``version`` holds what was saved, ``edge`` what it came from, ``promotion`` what served: a ledger that only grows. On a
server ``blob`` holds the states, which are files beside a SQLite file.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import sqlite

from rtml.store.database import explained, opened, prepared
from rtml.store.protocols import with_password

_TABLES = sa.MetaData()
_SEQUENCE = sa.BigInteger().with_variant(sa.Integer, "sqlite")

_TEXT = sa.Text
_NUMBER = sa.BigInteger
_JSON = sa.JSON


def _table(named: str, /, *more: sa.Column | sa.Index | sa.UniqueConstraint, keys: int = 1, **columns: Any) -> sa.Table:
    """A table of columns that are never empty, the first of which are its key, and whatever more it has."""
    made = [sa.Column(name, columns[name], primary_key=k < keys, nullable=False) for k, name in enumerate(columns)]
    return sa.Table(named, _TABLES, *made, *more)


VERSION = _table(
    "version",
    sa.UniqueConstraint("model", "number"),
    id=_TEXT,
    model=_TEXT,
    number=_NUMBER,
    at=_NUMBER,  # event time, ns UTC, as all times here
    blob=_TEXT,
    format=_TEXT,
    features=_TEXT,
    data=_JSON,
    metrics=_JSON,
    describe=_JSON,
    code=_TEXT,
    libraries=_JSON,
)
EDGE = _table(
    "edge",
    keys=3,
    child=sa.ForeignKey("version.id"),
    kind=_TEXT,  # parent, data
    ref=_TEXT,  # a version's id, log:<part>@<first>-<last>
)
PROMOTION = _table(
    "promotion",
    sa.Column("entered", _NUMBER),  # wall time, while ``at`` is event time
    sa.Index("promotion_of", "model", "alias", "seq"),
    seq=_SEQUENCE,
    model=_TEXT,
    alias=_TEXT,  # champion
    action=_TEXT,  # promote, rollback; of the guard fallback, reinstated, reset
    version=_TEXT,  # a version's id, or model@learner: the registry checks it
    at=_NUMBER,
    why=_TEXT,
    evidence=_JSON,
)
BLOB = _table("blob", name=_TEXT, content=sa.LargeBinary)
_ONE_WRITER = 0x72746D6C  # key of the lock that every writer of a server's tables takes


def _statements() -> list[str]:
    """The tables and indexes as SQLite makes them, where they are missing."""
    made = []
    for table in _TABLES.sorted_tables:
        made.append(sa.schema.CreateTable(table, if_not_exists=True))
        made += [sa.schema.CreateIndex(index, if_not_exists=True) for index in table.indexes]
    return [str(one.compile(dialect=sqlite.dialect())) for one in made]


#: Whether an entry of the ledger is what was written.
SOUND = sa.func.sound(sa.literal_column("crc"), *PROMOTION.c)


class Tables:
    """A database holding the tables, a file or a server's by its URL; safe for several threads, processes and hosts."""

    def __init__(self, where: Path | str):
        server, self._where = "://" in str(where), where
        if server:
            address = with_password(str(where)).replace("postgres://", "postgresql://", 1)
            address = address.replace("postgresql://", "postgresql+psycopg://", 1)
            url = sa.make_url(address)
            schema = str(url.query.get("log", ""))
            how = {"options": f"-csearch_path={schema}"} if schema else {}
            self._engine = sa.create_engine(
                url.difference_update_query(["log", "patience"]), pool_pre_ping=True, connect_args=how
            )
        else:
            opened(where, _statements(), durable=True).close()
            self._engine = sa.create_engine(f"sqlite:///{where}", connect_args={"timeout": 30})
            sa.event.listen(self._engine, "connect", _prepare)
        sa.event.listen(self._engine, "begin", _lock if server else _begin)
        self._writing = self._engine.execution_options(writing=True)
        weakref.finalize(self, self._engine.dispose)
        if server:
            with self.write() as connection:
                if schema:
                    connection.execute(sa.schema.CreateSchema(schema, if_not_exists=True))
                _TABLES.create_all(connection)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """A transaction that holds the database's only write lock from its start, kept whole or not at all."""
        with self._explained(), self._writing.begin() as connection:
            yield connection

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """A consistent view that waits for no writer."""
        with self._explained(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Say of which file an error is, and what it means."""
        with explained(self._where):
            try:
                yield
            except sa.exc.DatabaseError as ex:
                raise (ex.orig or ex) from ex

    def close(self) -> None:
        """Close the connections; the next use opens new ones."""
        self._engine.dispose()


def _prepare(connection, _record) -> None:
    connection.isolation_level = None  # we begin transactions ourselves
    prepared(connection)
    connection.execute("PRAGMA journal_mode = wal")
    connection.execute("PRAGMA synchronous = full")
    connection.execute("PRAGMA foreign_keys = on")


def _lock(connection: sa.Connection) -> None:
    if connection.get_execution_options().get("writing", False):
        connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_ONE_WRITER)))


def _begin(connection: sa.Connection) -> None:
    writing = connection.get_execution_options().get("writing", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
