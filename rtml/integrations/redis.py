"""Redis: the event log on streams, and the online store on hashes (``redis://HOST:PORT/0``).

An entry of a stream is a block of rows whose id is its last offset, so an offset is found by the server itself. An
append is one Lua script: the server does nothing else meanwhile, and its append-only file holds it whole or not at all.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import pandas as pd
import redis

from rtml.core.clock import NEVER
from rtml.integrations.block_log import Append, Block, BlockLog, Patient
from rtml.integrations.groups import TTL_S, Membership, member
from rtml.store.facts import keys_of
from rtml.store.online import Group, Latest, group_of

_APPEND = """
local known = redis.call('HGET', KEYS[1], ARGV[1])
if known and known ~= ARGV[2] then return {known} end
if not known then
  redis.call('HSET', KEYS[1], ARGV[1], ARGV[2])
  redis.call('RPUSH', KEYS[2], ARGV[1])
end
local last = tonumber(redis.call('HGET', KEYS[3], ARGV[1]) or '0')
local at = 5
for _ = 1, tonumber(ARGV[4]) do
  last = last + tonumber(ARGV[at])
  redis.call('XADD', KEYS[4], string.format('%d-0', last), 't', ARGV[3], 'r', ARGV[at + 1])
  at = at + 2
end
redis.call('HSET', KEYS[3], ARGV[1], string.format('%d', last))
while at < #ARGV do
  redis.call('XADD', KEYS[5], '*', 'a', string.format('%d', last), 'q', ARGV[at], 'w', ARGV[at + 1])
  at = at + 2
end
return last
"""
_PUT = """
local written = 0
for at = 4, #ARGV, 5 do
  local key, stamp = ARGV[at], ARGV[at + 1] .. ARGV[at + 2]
  local held = redis.call('HGET', KEYS[1], key)
  if not held or string.sub(held, 1, 40) <= stamp then
    redis.call('HSET', KEYS[1], key, stamp .. string.format('%4d', #ARGV[at + 3]) .. ARGV[at + 3] .. ARGV[at + 4])
    written = written + 1
  end
end
if ARGV[1] ~= '' and tonumber(redis.call('HGET', KEYS[2], ARGV[1]) or '-1') < tonumber(ARGV[2]) then
  redis.call('HSET', KEYS[2], ARGV[1], ARGV[2])
end
return written
"""
_TAKE = """
local held = redis.call('GET', KEYS[1])
if held and held ~= ARGV[1] then return 0 end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return 1
"""
_GIVE_BACK = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end"
_LIFT = 1 << 63  # added to a time, so that it has no sign
_GONE = "gone"  # in place of values that were taken back


class _Redis(Patient):
    """A connection whose server is known to keep what it acknowledged."""

    LOST = (redis.ConnectionError, redis.TimeoutError)

    def _connect(self) -> None:
        self.client = redis.Redis.from_url(self.url, socket_timeout=max(5.0, self.patience_s), retry=None)
        about: Any = self.client.info("persistence")
        if about["loading"]:
            raise redis.ConnectionError("it is still loading")
        if not about["aof_enabled"] and not self.options.get("volatile"):
            raise ValueError(
                f"{self.name} keeps nothing over a crash: start it with --appendonly yes, or add ?volatile=1 to the URL"
            )
        self._waits = bool(about["aof_enabled"]) and self._version() >= (7, 2)

    def _version(self) -> tuple[int, ...]:
        about: Any = self.client.info("server")
        return tuple(int(part) for part in about["redis_version"].split(".")[:2])

    def sync(self) -> None:
        """Wait for the disk, where the server can be asked for that (7.2); before, ``appendfsync`` decides."""
        if self._waits:
            self._tried(lambda again: self.client.execute_command("WAITAOF", 1, 0, 5000))

    def close(self) -> None:
        """Let go of the connection."""
        self.client.close()


class EventLog(_Redis, BlockLog):
    """The event log on a Redis server that writes an append-only file.

    Examples
    --------
    >>> EventLog("redis://host/0?log=a:b")
    Traceback (most recent call last):
        ...
    ValueError: log='a:b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    def _key(self, *names: str) -> str:
        return ":".join((f"{{{self.log_name}}}", *names))  # one slot of a cluster

    def _add(self, what: Append) -> int:
        keys = [self._key("descr"), self._key("parts"), self._key("last"), self._key("log", what.part)]
        words: list[Any] = [what.part, what.descr, what.token, len(what.pieces)]
        words += [word for piece in what.pieces for word in piece]
        words += [word for pair in what.rejected for word in pair]
        found: Any = self.client.eval(_APPEND, 5, *keys, self._key("bad", what.part), *words)
        if isinstance(found, list):
            raise self._other(what.part, found[0].decode(), what.descr)
        if what.durable and self._waits:
            self.client.execute_command("WAITAOF", 1, 0, 5000)
        return int(found)

    def _blocks(self, part: str, after: int, k: int) -> list[Block]:
        found: Any = self.client.xrange(self._key("log", part), min=f"({after}-0", count=k)
        return [Block(int(id.partition(b"-")[0]), fields[b"t"], fields[b"r"]) for id, fields in found]

    def _descr(self, part: str) -> str | None:
        found: Any = self.client.hget(self._key("descr"), part)
        return found and found.decode()

    def _last(self, part: str) -> int:
        found: Any = self.client.hget(self._key("last"), part)
        return int(found or 0)

    def _reject(self, part: str, after: int, rejected: list[tuple[str, str]]) -> None:
        with self.client.pipeline() as batch:
            for reason, row in rejected:
                batch.xadd(self._key("bad", part), {"a": after, "q": reason, "w": row})
            batch.execute()

    def _rejected(self, part: str) -> list[tuple[int, str, str]]:
        found: Any = self.client.xrange(self._key("bad", part))
        return [(int(row[b"a"]), row[b"q"].decode(), row[b"w"].decode()) for _, row in found]

    def refused(self, part: str) -> int:
        """Number of rows in the quarantine of a part."""
        return self._tried(lambda again: self.client.xlen(self._key("bad", part)))

    def _parts(self) -> list[str]:
        found: Any = self.client.lrange(self._key("parts"), 0, -1)
        return [name.decode() for name in found]


class Leases(_Redis, Membership):
    """Members of a consumer group: keys that expire.

    Groups of Redis streams hand out single entries, which breaks the order within a part; so whole parts are leased.

    Examples
    --------
    >>> Leases("redis://host/0?log=a:b", "readers")
    Traceback (most recent call last):
        ...
    ValueError: log='a:b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    def __init__(self, url: str, group: str, ttl_s: float = TTL_S) -> None:
        super().__init__(url)
        self._group, self._ttl_ms, self._me = group, int(1000 * ttl_s), member()
        self._mine: set[str] = set()

    def _key(self, name: str) -> str:
        return f"{{{self.log_name}}}:group:{self._group}:{name}"

    def take(self, name: str) -> bool:
        """Take a lease, or keep it; False where another member has it."""
        words = (self._key(name), self._me, self._ttl_ms)
        taken = bool(self._tried(lambda again: self.client.eval(_TAKE, 1, *words)))
        self._mine = self._mine | {name} if taken else self._mine - {name}
        return taken

    def give_back(self, name: str) -> None:
        """End a lease of this member."""
        if name in self._mine:
            self._mine.discard(name)
            self._tried(lambda again: self.client.eval(_GIVE_BACK, 1, self._key(name), self._me))

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of the leases that some member has now."""
        found: Any = self._tried(lambda again: self.client.mget([self._key(name) for name in names]))
        return {name for name, held in zip(names, found, strict=True) if held}

    def close(self) -> None:
        """Leave the group."""
        for name in list(self._mine):
            self.give_back(name)
        super().close()


class OnlineStore(_Redis):
    """Latest values of every key on a Redis server; see :class:`rtml.store.online.OnlineStore`.

    A group is a hash of its keys. Newer is never overwritten by older: one Lua script compares and writes.

    Examples
    --------
    >>> OnlineStore("redis://host/0?log=a:b")
    Traceback (most recent call last):
        ...
    ValueError: log='a:b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self._groups: dict[str, Group] = {}
        self.counters: Counter[tuple[str, str]] = Counter()  #: by (group, what)

    def _key(self, *names: str) -> str:
        return ":".join((f"{{{self.log_name}}}", "online", *names))

    def declare(
        self,
        group: str,
        names: Sequence[str],
        *,
        ttl: str | Mapping[str, str],
        defaults: Sequence[float] | None = None,
        definition: str = "",
        missing: str = "default",
    ) -> None:
        """Say what a group holds; what was declared before is refused with other names or another definition."""
        made = group_of(group, names, ttl, defaults, definition, missing)
        known = self._stored(group)
        if known:
            known.check(made)
        text = json.dumps(asdict(made))
        self._tried(lambda again: self.client.hset(self._key("groups"), group, text))
        self._groups[group] = made

    def put(self, group: str, key: int | str, moment: int, values: Any, known: int | None = None) -> bool:
        """Store the values of a key; False when newer ones are there. ``None`` takes back what was known."""
        values = None if values is None else [values]
        return bool(self.put_many(group, [key], [moment], values, None if known is None else [known]))

    def put_many(
        self,
        group: str,
        keys: Any,
        moments: Any,
        values: Any,
        known: Any = None,
        *,
        definition: str = "",
        progress: tuple | None = None,
    ) -> int:
        """Store many as one, with the ``(source, offset)`` they came from; the number that was not older."""
        held, n = self._group(group), len(keys)
        words = [*(progress or ("", 0)), n, *_words(held, keys, moments, values, known, definition)]
        places = (self._key("latest", group), self._key("progress"))
        written = int(self._tried(lambda again: self.client.eval(_PUT, 2, *places, *words)))
        self.counters[group, "written"] += written
        self.counters[group, "older"] += n - written
        return written

    def get(self, group: str, key: int | str, now: int) -> Latest:
        """The values of a key with their ages; a missing key gives the defaults, or is refused if so declared."""
        held = self._groups.get(group) or self._group(group)
        row = self._tried(lambda again: self.client.hget(self._key("latest", group), _field(key)))
        return held.latest(*(_row(row) if row else (NEVER, "", None)), key, now, self.counters)

    def join(self, keys: Mapping[str, int | str], now: int) -> Latest:
        """The values of several groups side by side, each by its own key."""
        first, *others = [self.get(group, key, now) for group, key in keys.items()]
        return sum(others, first)

    def table(self, group: str, now: int) -> pd.DataFrame:
        """Every key of a group: moment, age in seconds, whether a value is stale, definition and values."""
        held = self._group(group)
        found = self._tried(lambda again: self.client.hgetall(self._key("latest", group)))
        rows: list[Any] = [(_key(key.decode()), *_row(row)) for key, row in found.items()]
        rows = sorted((row for row in rows if row[3] is not None), key=lambda row: (isinstance(row[0], str), row[0]))
        frame = pd.DataFrame([row[:3] for row in rows], columns=["key", "moment", "definition"])
        age = (now - frame["moment"].astype("int64")) / 1e9
        columns = {name: [row[3][j] for row in rows] for j, name in enumerate(held.names)}
        return frame.assign(age_s=age, stale=age > min(held.ttl) / 1e9, **columns)

    def progress(self, source: str) -> int:
        """Offset up to which a source was stored, 0 when it never was."""
        return int(self._tried(lambda again: self.client.hget(self._key("progress"), source)) or 0)

    def _stored(self, group: str) -> Group | None:
        found = self._tried(lambda again: self.client.hget(self._key("groups"), group))
        return Group.read(found) if found else None

    def _group(self, group: str) -> Group:
        if group not in self._groups:
            if (found := self._stored(group)) is None:
                raise LookupError(f"no group {group!r} in {self.name}: declare it first")
            self._groups[group] = found
        return self._groups[group]


def _words(held: Group, keys: Any, moments: Any, values: Any, known: Any, definition: str) -> Iterator[Any]:
    """What the script takes of each row: key, two stamps, definition and values."""
    fields = [_field(key) for key in keys_of(keys).tolist()]
    definition, blobs = definition or held.definition, [b""] * len(fields)
    if values is None:
        definition = _GONE
    else:
        blobs = [row.tobytes() for row in np.ascontiguousarray(values, np.float64).reshape(-1, len(held.names))]
    stamps = _stamps(moments), _stamps(moments if known is None else known)
    for field, moment, at, blob in zip(fields, *stamps, blobs, strict=True):
        yield from (field, moment, at, definition, blob)


def _stamps(times: Any) -> list[str]:
    """Times as twenty digits each, which compare as text in their order."""
    return [f"{int(time) + _LIFT:020d}" for time in np.asarray(times).tolist()]


def _row(held: bytes) -> tuple[int, str, np.ndarray | None]:
    """Moment, definition and values as they are kept: two stamps, length of the definition, it, and the values."""
    end = 44 + int(held[40:44])
    definition = held[44:end].decode()
    values = None if definition == _GONE else np.frombuffer(held[end:])
    return int(held[:20]) - _LIFT, definition, values


def _field(key: int | str) -> str:
    """Name of a key in the hash: 7 is another key than "7"."""
    return f"s{key}" if isinstance(key, str) else f"i{int(key)}"


def _key(field: str) -> int | str:
    return field[1:] if field[0] == "s" else int(field[1:])
