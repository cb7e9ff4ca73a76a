"""PostgreSQL: the event log, and tables that are appended to as sources (``postgres://USER@HOST:5432/DATABASE``).

A part is a row that an append locks while it writes its blocks, so offsets are without a hole and an append is there
whole or not at all.
"""

from __future__ import annotations

import weakref
import zlib
from collections.abc import Iterator, Sequence
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

import pandas as pd
import psycopg
from psycopg import sql

from rtml.integrations.block_log import Append, Block, BlockLog, Patient
from rtml.integrations.groups import TTL_S, Membership
from rtml.integrations.postgres_database import Database as Database
from rtml.integrations.postgres_database import connected
from rtml.sources.columns import Schema
from rtml.sources.growing import Follows, rows_of
from rtml.store.checkpoint_store import CheckpointStore as CheckpointStore
from rtml.store.prediction_log import PredictionLog as PredictionLog
from rtml.store.protocols import without_password

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
    """The event log in a schema of a PostgreSQL database, named as the log.

    Examples
    --------
    >>> EventLog("postgres://host/db?log=a.b")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST = (psycopg.OperationalError, psycopg.InterfaceError)
    _db: Any = None

    def _connect(self) -> None:
        self.close()
        self._db = connected(self.url, self.log_name, _TABLES)

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


_TAKEN = """
select objid::bigint from pg_locks where locktype = 'advisory' and granted and classid = %s::bigint::oid
    and database = (select oid from pg_database where datname = current_database())
"""


class Leases(Patient, Membership):
    """Members of a consumer group: advisory locks, which end with the connection of their member.

    Examples
    --------
    >>> Leases("postgres://host/db?log=a.b", "readers")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST = (psycopg.OperationalError, psycopg.InterfaceError)
    _db: Any = None

    def __init__(self, url: str, group: str, ttl_s: float = TTL_S) -> None:
        self._group = group
        super().__init__(url)

    def _connect(self) -> None:
        self.close()
        self._db = psycopg.connect(self.url, connect_timeout=5, autocommit=True)
        self._mine: set[str] = set()

    def _keys(self, name: str) -> tuple[int, int]:
        whole = f"{self.log_name}:{self._group}".encode()
        return zlib.crc32(whole) - 2**31, zlib.crc32(name.encode()) - 2**31

    def _ask(self, query: str, name: str) -> Any:
        return self._tried(lambda again: self._db.execute(query, self._keys(name)).fetchone()[0])

    def take(self, name: str) -> bool:
        """Take a lease, or keep it; False where another member has it."""
        if name in self._mine:  # unless the connection was lost meanwhile, and another one made
            self._tried(lambda again: self._db.execute("select 1"))
        if name not in self._mine and self._ask("select pg_try_advisory_lock(%s::int, %s::int)", name):
            self._mine.add(name)
        return name in self._mine

    def give_back(self, name: str) -> None:
        """End a lease of this member."""
        if name in self._mine:
            self._ask("select pg_advisory_unlock(%s::int, %s::int)", name)
            self._mine.discard(name)

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of the leases that some member has now."""
        whole = self._keys("")[0] % 2**32
        found = self._tried(lambda again: self._db.execute(_TAKEN, (whole,)).fetchall())
        held = {number for (number,) in found}
        return {name for name in names if self._keys(name)[1] % 2**32 in held}

    def close(self) -> None:
        """Leave the group."""
        if self._db is not None:
            self._db.close()


_COLUMN = """
select exists (select from pg_index i where i.indrelid = a.attrelid and i.indisunique and i.indnkeyatts = 1
    and i.indkey[0] = a.attnum and i.indpred is null), s.seqcache
from pg_attribute a left join pg_sequence s on s.seqrelid = pg_get_serial_sequence(%(table)s, %(by)s)::regclass
where a.attrelid = %(table)s::regclass and a.attname = %(by)s and a.attnum > 0
"""
_WRITERS = """
select coalesce(virtualtransaction, '') || coalesce(pid::text, '') from pg_locks
where relation = %s::regclass and locktype = 'relation' and granted and pid is distinct from pg_backend_pid()
    and mode in ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock', 'AccessExclusiveLock')
"""


class Source(Follows, Patient):
    """Rows of a table that is appended to: ``postgres://USER@HOST:5432/DATABASE?table=NAME&by=COLUMN``.

    ``by`` is a unique column that a sequence fills (serial, identity); what is updated or deleted later is not seen.
    Transactions become visible in another order than that of their numbers. So the newest number that is visible is
    noted first, then who is writing to the table: an insert locks it before it takes a number, so whatever is missing
    up to that number is one of theirs. Rows up to it are read once all of those have ended; no writer waits.

    Parameters
    ----------
    url
        Database, table and column (``id`` unless named).
    schema, symbols
        What judges the rows, and the keys of the run.

    Examples
    --------
    >>> Source("postgres://127.0.0.1:1/db", None, [])
    Traceback (most recent call last):
        ...
    ValueError: a table is missing: postgres://HOST/DATABASE?table=NAME, got postgres://127.0.0.1:1/db
    """

    LOST = (psycopg.OperationalError, psycopg.InterfaceError)
    _db: Any = None

    def __init__(self, url: str, schema: Schema, symbols: Sequence[str]) -> None:
        parts = urlsplit(url)
        query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
        self.table, self.by = query.pop("table", ""), query.pop("by", "id")
        if not self.table:
            raise ValueError(f"a table is missing: postgres://HOST/DATABASE?table=NAME, got {without_password(url)}")
        self._from = sql.SQL("from {} as t").format(sql.Identifier(*self.table.split(".")))
        self._limit, self._wait_for = -(2**63), frozenset[str]()
        Follows.__init__(self, schema, symbols)
        Patient.__init__(self, parts._replace(query=urlencode(query)).geturl())
        self.name = f"{self.name}{'&' if query else '?'}table={self.table}&by={self.by}"

    def _connect(self) -> None:
        if self._db is not None:
            self._db.close()
        self._db = psycopg.connect(self.url, connect_timeout=5, autocommit=True)
        weakref.finalize(self, self._db.close)  # nobody closes a source
        self._quoted = sql.Identifier(*self.table.split(".")).as_string(self._db)
        try:
            found = self._db.execute(_COLUMN, {"table": self._quoted, "by": self.by}).fetchone()
        except (psycopg.errors.UndefinedTable, psycopg.errors.UndefinedColumn, psycopg.errors.InvalidSchemaName) as ex:
            raise LookupError(f"{self.name}: there is no table {self.table!r}: name one, table=SCHEMA.NAME") from ex
        if found != (True, 1):
            rule = "must be a unique column that a sequence without a cache fills (serial, identity)"
            raise ValueError(f"{self.name}: by={self.by} {rule}: else rows that come late would be missed")

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """What is in the table now behind ``position`` and cannot be overtaken by what is still being written."""
        limit = self._tried(lambda again: self._safe())
        order = sql.SQL("where t.{0} > %s and t.{0} <= %s order by t.{0} limit %s").format(sql.Identifier(self.by))
        query = sql.SQL("select t.{}, row_to_json(t)::text {} ").format(sql.Identifier(self.by), self._from) + order
        while True:
            after = (self.position.get(self.by, -(2**63)), limit, n)
            rows = self._tried(lambda again, after=after: self._db.execute(query, after).fetchall())
            if not rows:
                return
            self.position = {self.by: rows[-1][0]}
            yield rows_of([text for _, text in rows])

    def _safe(self) -> int:
        """The number up to which everything is visible; it stays where it was while somebody still writes below."""
        newest = self._db.execute(sql.SQL("select max(t.{}) ").format(sql.Identifier(self.by)) + self._from)
        seen = newest.fetchone()[0]
        writing = frozenset(who for (who,) in self._db.execute(_WRITERS, (self._quoted,)))
        if not self._wait_for & writing:  # those who wrote when the limit was noted have ended
            safe, self._limit, self._wait_for = self._limit, -(2**63) if seen is None else seen, writing
            return self._limit if not writing else safe
        return self.position.get(self.by, -(2**63))
