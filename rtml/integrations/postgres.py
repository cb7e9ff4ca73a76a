"""PostgreSQL: the event log, and the tables and states of the registry (``postgres://USER@HOST:5432/DATABASE``).

A part is a row that an append locks while it writes its blocks, so offsets are without a hole and an append is there
whole or not at all.
"""

from __future__ import annotations

from typing import Any

import psycopg
from psycopg import sql

from rtml.integrations.block_log import Append, Block, BlockLog

_TABLES = """
create table if not exists part (id serial primary key, name text unique not null, descr text not null,
    last bigint not null default 0);
create table if not exists block (part integer, last bigint, token bytea not null, rows bytea not null,
    primary key (part, last));
create table if not exists quarantine (id bigserial primary key, part text not null, after bigint not null,
    reason text not null, line text not null);
"""
_BLOCKS = """
select last, token, rows from block where part = (select id from part where name = %s) and last > %s
order by last limit %s
"""
_QUARANTINE = "insert into quarantine (part, after, reason, line) values (%s, %s, %s, %s)"


class EventLog(BlockLog):
    """The event log in a schema of a PostgreSQL database, named as the log."""

    LOST = (psycopg.OperationalError, psycopg.InterfaceError)
    _db: Any = None

    def _connect(self) -> None:
        self.close()
        self._db = psycopg.connect(self.url, connect_timeout=5, autocommit=True)
        self._db.execute("set client_min_messages = warning")
        name = sql.Identifier(self.log_name)
        search = sql.SQL("set search_path to {}").format(name)
        with self._db.transaction():  # one process at a time makes the tables
            self._db.execute("select pg_advisory_xact_lock(hashtext(%s))", (self.log_name,))
            self._db.execute(sql.SQL("create schema if not exists {}").format(name))
            self._db.execute(search)
            self._db.execute(_TABLES)
        self._db.execute(search)

    def _add(self, what: Append) -> int:
        with self._db.transaction(), self._db.cursor() as cursor:
            if not what.durable:
                cursor.execute("set local synchronous_commit = off")
            known = "insert into part (name, descr) values (%s, %s) on conflict do nothing"
            cursor.execute(known, (what.part, what.descr))
            cursor.execute("select id, descr, last from part where name = %s for update", (what.part,))
            part, descr, last = cursor.fetchone()
            if descr != what.descr:
                raise self._other(what.part, descr, what.descr)
            rows = []
            for n, piece in what.pieces:
                last += n
                rows.append((part, last, what.token, piece))
            cursor.executemany("insert into block values (%s, %s, %s, %s)", rows)
            cursor.execute("update part set last = %s where id = %s", (last, part))
            cursor.executemany(_QUARANTINE, [(what.part, last, *pair) for pair in what.rejected])
        return last

    def _blocks(self, part: str, after: int, k: int) -> list[Block]:
        return [Block(*row) for row in self._db.execute(_BLOCKS, (part, after, k), binary=True)]

    def _one(self, query: str, part: str) -> Any:
        found = self._db.execute(query, (part,)).fetchone()
        return found and found[0]

    def _descr(self, part: str) -> str | None:
        return self._one("select descr from part where name = %s", part)

    def _last(self, part: str) -> int:
        return self._one("select last from part where name = %s", part) or 0

    def _reject(self, part: str, after: int, rejected: list[tuple[str, str]]) -> None:
        with self._db.transaction(), self._db.cursor() as cursor:
            cursor.executemany(_QUARANTINE, [(part, after, *pair) for pair in rejected])

    def _rejected(self, part: str) -> list[tuple[int, str, str]]:
        return self._db.execute(
            "select after, reason, line from quarantine where part = %s order by id", (part,)
        ).fetchall()

    def refused(self, part: str) -> int:
        """Number of rows in the quarantine of a part."""
        query = "select count(*) from quarantine where part = %s"
        with self._lock:
            return self._tried(lambda again: self._one(query, part))

    def _parts(self) -> list[str]:
        return [name for (name,) in self._db.execute("select name from part order by id")]

    def sync(self) -> None:
        """Wait until everything that was committed before is on the disk: a durable commit is behind it."""
        with self._lock:
            self._tried(lambda again: self._db.execute("select pg_current_xact_id()"))

    def close(self) -> None:
        """Let go of the connection."""
        if self._db is not None:
            self._db.close()
