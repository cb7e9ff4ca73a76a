"""SQLite files whose every row carries a checksum, with sentences for what is wrong with a file.

A table's column ``crc`` is computed by SQLite from the other columns whenever a row is written, so no statement has to
know of it. What reads rows selects ``sound(...)`` beside them, and a row that is not what was written raises. It does
not stand in a condition: there SQLite puts what a column is compared with in its place.
"""

from __future__ import annotations

import os
import re
import sqlite3
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import msgspec

from rtml.store.protocols import open_database

_ADDED = ", crc integer generated always as (crc({})) stored"
_CONSTRAINTS = ("primary key", "unique", "foreign", "check", "constraint")
_TABLE = re.compile(r"create table if not exists (\w+) \( ?(.*)\)( without rowid)?", re.IGNORECASE)
_COLUMN = re.compile(r",(?![^(]*\))")
_FIX = "restore it from a backup, or start a new run; rtml verify RUN says what is sound"
_encode = msgspec.msgpack.Encoder().encode


class Damaged(ValueError):
    """A file is not what was written."""


class Full(OSError):
    """The disk is full or does not take what is written; it is worth another try."""


def crc(*cells) -> int:
    """Checksum of the cells of a row.

    Examples
    --------
    >>> crc(7, "ada", b"x", None) == crc(7, "ada", b"x", None) != crc(7, "ada", b"y", None)
    True
    """
    return zlib.crc32(_encode(cells))


def _sound(kept: int | None, *cells) -> bool:
    if kept is not None and kept != crc(*cells):
        raise Damaged(cells)
    return True


def server(path: str | Path) -> str:
    """URL of the server that is used instead of a file: its own, or that in ``<file>.url`` beside it; else empty.

    Examples
    --------
    >>> server("postgres://host/runs"), server("runs/mine/training.db")
    ('postgres://host/runs', '')
    """
    kept = Path(f"{path}.url")
    return str(path) if "://" in str(path) else kept.read_text().strip() if kept.exists() else ""


def exists(path: str | Path) -> bool:
    """Whether there is the file, or a server is used instead of it.

    Examples
    --------
    >>> exists("no/such/training.db"), exists("postgres://host/runs")
    (False, True)
    """
    return Path(path).exists() or bool(server(path))


def opened(path: str | Path, tables: Iterable[str] = (), *, durable: bool = False, timeout: float = 30.0) -> Any:
    """A connection in autocommit to a file of these tables, made where they are missing, each with checksums.

    Where a server is used instead, its ``Database`` takes the same statements.

    ``durable``: every commit waits for the disk; otherwise a power cut can take back commits, it never corrupts one.
    Only the user of the process may read the file.

    Examples
    --------
    >>> db = opened(":memory:", ["create table if not exists trade (id integer, price real)"])
    >>> _ = db.execute("insert into trade values (7, 1.5)")
    >>> db.execute("select price, sound(crc, id, price) from trade").fetchall()
    [(1.5, 1)]
    """
    if url := server(path):
        return open_database(url, tables=tuple(tables))
    name = str(path)
    if name != ":memory:" and not Path(name).exists():
        with suppress(FileExistsError):
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o600))
    with explained(path):
        database = prepared(sqlite3.connect(name, timeout=timeout, isolation_level=None, check_same_thread=False))
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = full")
        database.execute("begin immediate")
        for statement in tables:
            _made(database, statement)
        database.execute("commit")
        database.execute(f"pragma synchronous = {'full' if durable else 'normal'}")
    return database


def reading(path: str | Path) -> Any:
    """A connection that only reads.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trades.db"
    ...     opened(path, ["create table if not exists trade (id integer)"]).close()
    ...     with closing(reading(path)) as db:
    ...         db.execute("insert into trade values (7)")
    Traceback (most recent call last):
    ...
    sqlite3.OperationalError: attempt to write a readonly database
    """
    if url := server(path):
        return open_database(url)
    with explained(path):
        database = prepared(
            sqlite3.connect(
                f"file:{path}?mode=ro", uri=True, isolation_level=None, timeout=30.0, check_same_thread=False
            )
        )
        database.execute("select count(*) from sqlite_master").fetchone()
    return database


def prepared(database: sqlite3.Connection) -> sqlite3.Connection:
    """The connection with the functions that checksums need.

    Examples
    --------
    >>> prepared(sqlite3.connect(":memory:")).execute("select crc(7, 'ada')").fetchone() == (crc(7, "ada"),)
    True
    """
    database.create_function("crc", -1, crc, deterministic=True)
    database.create_function("sound", -1, _sound)
    return database


@contextmanager
def explained(path: str | Path) -> Iterator[None]:
    """Say of which file an error of SQLite is, and what it means.

    Examples
    --------
    >>> try:
    ...     with explained("training.db"):
    ...         raise sqlite3.DatabaseError("file is not a database")
    ... except Damaged as error:
    ...     print(str(error).partition(":")[0])
    training.db is not a file of rtml, or was changed (file is not a database)
    """
    try:
        yield
    except sqlite3.DatabaseError as ex:
        text = str(ex)
        if isinstance(ex, sqlite3.OperationalError) and re.search(r"full|disk I/O|unable to open|readonly", text):
            raise Full(f"{path} cannot be written or read now ({text}): make room, or raise ulimit -n") from ex
        if "user-defined function" in text:
            raise Damaged(f"{path}: a row is not what was written (its checksum differs): {_FIX}") from ex
        if re.search(r"malformed|not a database|corrupt|no such (table|column)", text):
            raise Damaged(f"{path} is not a file of rtml, or was changed ({text}): {_FIX}") from ex
        raise


@contextmanager
def transaction(database: Any) -> Iterator[None]:
    """One transaction: all of it or nothing, also where the disk is full; SQLite may have rolled back by itself.

    Examples
    --------
    >>> db = opened(":memory:", ["create table if not exists trade (id integer)"])
    >>> with suppress(ZeroDivisionError), transaction(db):
    ...     _ = db.execute("insert into trade values (7)")
    ...     1 / 0
    >>> db.execute("select count(*) from trade").fetchone()
    (0,)
    """
    database.execute("begin immediate")
    try:
        yield
        database.execute("commit")
    except BaseException:
        if database.in_transaction:
            with suppress(sqlite3.Error):
                database.execute("rollback")
        raise


def insist(database: Any, work: Callable[[], None]) -> None:
    """Do what is one transaction; on a server again, where the connection was lost before it was kept.

    Examples
    --------
    >>> db = opened(":memory:", ["create table if not exists trade (id integer)"])
    >>> insist(db, lambda: db.execute("insert into trade values (7)"))
    >>> db.execute("select id from trade").fetchall()
    [(7,)]
    """
    getattr(database, "insist", lambda work: work())(work)


def damages(path: str | Path) -> list[str]:
    """What is wrong with a file: its structure, and rows that are not what was written; empty where all is sound.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Path(folder) / "trades.db"
    ...     with closing(opened(path, ["create table if not exists trade (id integer)"])) as db:
    ...         _ = db.execute("insert into trade values (7)")
    ...     sound = damages(path)
    ...     with closing(sqlite3.connect(path)) as db:  # changed by a program that knows no checksums
    ...         db.create_function("crc", -1, lambda *cells: 0, deterministic=True)
    ...         _ = db.execute("update trade set id = 8")
    ...         db.commit()
    ...     sound, damages(path)
    ([], ['1 rows of trade are not what was written'])
    """
    try:
        with explained(path), closing(reading(path)) as database:
            wrong = [row[0] for row in database.execute("pragma integrity_check") if row[0] != "ok"]
            for table, columns in _checked(database):
                row = f"select count(*) from {table} where crc is not crc({columns})"
                if n := database.execute(row).fetchone()[0]:
                    wrong.append(f"{n} rows of {table} are not what was written")
            return wrong
    except (Damaged, OSError, sqlite3.Error, UnicodeDecodeError) as ex:
        return [str(ex)]


def _checked(database: sqlite3.Connection) -> list[tuple[str, str]]:
    """Tables with checksums, and the columns they are of."""
    tables = [name for (name,) in database.execute("select name from sqlite_master where type = 'table'")]
    found = []
    for table in tables:
        columns = [row[1] for row in database.execute(f"pragma table_xinfo({table})")]
        if "crc" in columns:
            found.append((table, _names(columns)))
    return found


def _names(columns: Iterable[str]) -> str:
    return ", ".join(f'"{name}"' for name in columns if name != "crc")


def _made(database: sqlite3.Connection, statement: str) -> None:
    """Carry out a statement; a table that is made, or was made without, gets its column of checksums."""
    match = _TABLE.fullmatch(" ".join(statement.split()))
    if match is None:
        database.execute(statement)
        return
    table = match[1]
    body = match[2]
    behind = match[3] or ""
    parts = [part.strip() for part in _COLUMN.split(body)]
    own = [part for part in parts if not part.lower().startswith(_CONSTRAINTS)]
    columns = [part.split()[0].strip('"') for part in own]
    names = _names(columns)
    whole = ", ".join(own) + _ADDED.format(names)
    whole += "".join(f", {part}" for part in parts if part not in own)
    there = {row[1] for row in database.execute(f"pragma table_xinfo({table})")}
    older = there and not {*columns, "crc"} <= there
    if older:
        database.execute(f"alter table {table} rename to {table}_before")
    database.execute(f"create table if not exists {table} ({whole}){behind}")
    if older:
        kept = _names(name for name in columns if name in there)
        database.execute(f"insert into {table} ({kept}) select {kept} from {table}_before")
        database.execute(f"drop table {table}_before")
