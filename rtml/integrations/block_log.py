"""An event log on a server: rows are kept in blocks, and each block says up to which offset it goes.

What all servers have in common is here: record types, cutting into blocks, reading from any offset, and going on after
a lost connection without losing or doubling an append: a block carries a token of the append it belongs to, and what
was cut off is looked for before it is sent again.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple, Self
from urllib.parse import parse_qs, urlencode, urlsplit

import msgspec
import numpy as np

from rtml.core.clock import Clock
from rtml.store import blocks
from rtml.store.protocols import without_password

if TYPE_CHECKING:
    import pandas as pd

PATIENCE_S = 10.0  # how long a server may be away
_NO_EVENTS = np.dtype([("time", "<i8")])  # of a part that was never written


class Block(NamedTuple):
    """Rows of one append up to offset ``last``, as :mod:`rtml.store.blocks` packs them; older ones as they were."""

    last: int
    token: bytes
    rows: bytes


class Append(NamedTuple):
    """One append on its way: record type as JSON, pieces of rows with their number, rejected ``(reason, row)``."""

    part: str
    descr: str
    token: bytes
    pieces: list[tuple[int, bytes]]
    rejected: list[tuple[str, str]]
    durable: bool = True


def address(url: str) -> tuple[str, str, dict[str, str]]:
    """Of a URL what the client takes, the name of the log on that server, and our own other options.

    Examples
    --------
    >>> address("redis://127.0.0.1:6379/0?log=shop&volatile=1&socket_timeout=2")
    ('redis://127.0.0.1:6379/0?socket_timeout=2', 'shop', {'volatile': '1'})
    """
    parts = urlsplit(url)
    query = {name: values[-1] for name, values in parse_qs(parts.query).items()}
    name, own = (
        query.pop("log", "rtml"),
        {key: query.pop(key) for key in ("volatile", "patience", "topics") if key in query},
    )
    if not name or not all(c.isalnum() or c in "-_" for c in name):
        raise ValueError(f"log={name!r} must be letters, digits, '-' and '_': a log's name is part of names on servers")
    return parts._replace(query=urlencode(query)).geturl(), name, own


class Patient:
    """A client that tries again while its server is away, for so long, and then says it in a sentence.

    Examples
    --------
    >>> Patient("redis://host/0?log=a:b")
    Traceback (most recent call last):
        ...
    ValueError: log='a:b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    LOST: tuple[type[BaseException], ...] = ()  # what the client raises when the server is away

    def __init__(self, url: str) -> None:
        self.url, self.log_name, self.options = address(url)
        self.name = without_password(self.url)
        self.patience_s = float(self.options.get("patience", PATIENCE_S))
        self._lock = threading.RLock()
        self._tried(lambda again: None if again else self._connect())

    def _connect(self) -> None:
        """Open the connection, or open it again."""
        raise NotImplementedError

    def _tried(self, action: Callable[[bool], Any]) -> Any:
        """Do something, over a new connection where one was lost; ``action`` gets whether it was tried before."""
        clock, pause, again = Clock(), 0.05, False
        began = clock.elapsed()
        while True:
            try:
                if again:
                    self._connect()
                return action(again)
            except self.LOST as ex:
                text = " ".join(str(ex).split()) or type(ex).__name__
                if any(word in text.lower() for word in ("auth", "password", "wrongpass", "denied", "does not exist")):
                    raise PermissionError(f"{self.name} refuses: {text}; see RTML_PASSWORD and the URL") from ex
                if (clock.elapsed() - began) / 1e9 > self.patience_s:
                    away = f"{self.name} was not reached for {self.patience_s:g} s ({text})"
                    raise ConnectionError(f"{away}: start the server, or name another") from ex
            threading.Event().wait(pause)
            pause, again = min(2 * pause, 1.0), True


class BlockLog(Patient):
    """The event log of :class:`rtml.store.protocols.EventLog`, over five things that a server has to do.

    Examples
    --------
    >>> BlockLog("redis://host/0?log=a:b")
    Traceback (most recent call last):
        ...
    ValueError: log='a:b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    MOST = 1 << 19  # bytes a block

    def __init__(self, url: str) -> None:
        self._known: dict[str, np.dtype] = {}
        self._seen: dict[str, int] = {}  # newest offset known of a part
        super().__init__(url)

    def count_posted(self, part: str) -> int:
        """None: events over HTTP go to a log of files alone."""
        return 0

    def _add(self, what: Append) -> int:
        """Write blocks and rejected rows as one, behind the newest of the part; the last offset then."""
        raise NotImplementedError

    def _blocks(self, part: str, after: int, k: int) -> list[Block]:
        """At most ``k`` blocks in order, from the one that holds the offset behind ``after``."""
        raise NotImplementedError

    def _descr(self, part: str) -> str | None:
        """Record type of a part as it was written, None where there is no such part."""
        raise NotImplementedError

    def _last(self, part: str) -> int:
        raise NotImplementedError

    def _rejected(self, part: str) -> list[tuple[int, str, str]]:
        raise NotImplementedError

    def _parts(self) -> list[str]:
        raise NotImplementedError

    def append(self, part: str, rows: np.ndarray, rejected: pd.DataFrame | None = None, durable: bool = True) -> int:
        """Write rows, and those rejected among them, as one; the last offset of the part."""
        if rows.dtype.names is None or rows.dtype.hasobject or rows.ndim != 1:
            raise ValueError(f"the log holds a line of fixed-size records, got {rows.ndim}-d {rows.dtype}")
        step = max(1, self.MOST // rows.dtype.itemsize)
        cut = [rows[k : k + step] for k in range(0, len(rows), step)]
        pieces = [(len(some), blocks.pack(some) if len(some) >= blocks.FEW else some.tobytes()) for some in cut]
        bad = [] if rejected is None else _pairs(rejected)
        what = Append(part, json.dumps(rows.dtype.descr), os.urandom(16), pieces, bad, durable)
        with self._lock:
            before = self._seen[part] if part in self._seen else self.last(part)
            stored = self.dtype(part) if part in self._known or before else None
            if stored is not None and stored != rows.dtype:
                raise self._other(part, str(stored.descr), what.descr)
            last = self._tried(lambda again: (again and self._found(part, before, what)) or self._add(what))
            self._seen[part] = last
        return last

    def _found(self, part: str, before: int, what: Append) -> int:
        """Last offset of an append whose answer was lost, 0 where it did not come through."""
        last = 0
        while what.pieces and (blocks := self._blocks(part, before, 16)):
            last = max([last, *(block.last for block in blocks if block.token == what.token)])
            before = blocks[-1].last
        return last

    def _other(self, part: str, stored: str, got: str) -> ValueError:
        return ValueError(
            f"part {part!r} of {self.name} holds records {stored}, got {got}: "
            "write another record type to another part, or start a new log"
        )

    def sync(self) -> None:
        """Wait until what was appended is on the server's disk, where the server can be asked for that."""

    def read(self, part: str, after: int = 0, n: int = 50_000) -> tuple[np.ndarray, np.ndarray]:
        """Offsets and rows of the next ``n`` events behind an offset; both empty where there are none yet."""
        dtype, after = self.dtype(part), int(after)
        found, at, held, k = [np.empty(0, dtype)], after, 0, 16
        while held < n:
            with self._lock:
                got = self._tried(lambda again, at=at, k=k: self._blocks(part, at, k))
            for block in got:
                first = block.last - blocks.size(block.rows, dtype)
                if first > at or block.last <= at:
                    why = "the server dropped rows, or two processes wrote it at once"
                    raise ValueError(f"{self.name}: part {part!r} goes on behind {first}, not behind {at}: {why}")
                found.append(blocks.unpack(block.rows, dtype)[at - first :])
                held, at = held + block.last - at, block.last
            if len(got) < k:
                break
            k = min(1024, 1 + (n - held) * len(found) // max(held, 1))
        rows = np.concatenate(found)[: max(0, n)]
        return np.arange(after + 1, after + 1 + len(rows)), rows

    def quarantine(self, part: str, rejected: pd.DataFrame, after_offset: int) -> None:
        """Keep rejected rows (``reason``, ``row``) with the offset behind which they arrived."""
        with self._lock:
            self._tried(lambda again: self._reject(part, int(after_offset), _pairs(rejected)))

    def _reject(self, part: str, after: int, rejected: list[tuple[str, str]]) -> None:
        raise NotImplementedError

    def rejected(self, part: str) -> pd.DataFrame:
        """The quarantine of a part: ``after`` (offset), ``reason`` and ``row`` (JSON), in order of arrival."""
        import pandas as pd

        with self._lock:
            found = self._tried(lambda again: self._rejected(part))
        return pd.DataFrame(found, columns=["after", "reason", "row"])

    def refused(self, part: str) -> int:
        """Number of rows in the quarantine of a part."""
        return len(self.rejected(part))

    def last(self, part: str) -> int:
        """Offset of the newest event of a part, 0 when it has none."""
        with self._lock:
            return self._tried(lambda again: self._last(part))

    count = last  # nothing is ever taken out

    def parts(self) -> list[str]:
        """Names of the parts, in the order in which they were begun."""
        with self._lock:
            return self._tried(lambda again: self._parts())

    def dtype(self, part: str) -> np.dtype:
        """Record type of a part; of one that was never written a time and nothing else."""
        if part not in self._known:
            with self._lock:
                descr = self._tried(lambda again: self._descr(part))
            if descr is None:
                return _NO_EVENTS
            self._known[part] = np.dtype([tuple(field) for field in json.loads(descr)])
        return self._known[part]

    def close(self) -> None:
        """Let go of the connection."""
        raise NotImplementedError

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()


class _Message(msgspec.Struct, array_like=True):
    last: int
    n: int
    token: bytes
    descr: str
    rows: bytes
    rejected: list[tuple[int, str, str]]


class MessageLog(BlockLog):
    """A log on a broker that numbers messages: a message holds a block, and a search finds that of an offset.

    A block with its rejected rows is one message, there whole or not at all; an append of more than ``MOST`` bytes is
    several. Of a part one process writes at a time.
    """

    def __init__(self, url: str) -> None:
        self._place: dict[str, tuple[int, int]] = {}  # of a part: an offset, and the message behind it
        super().__init__(url)

    def _bounds(self, part: str) -> tuple[int, int]:
        """Number of the first message of a part and of the one that comes next; equal where there is none."""
        raise NotImplementedError

    def _messages(self, part: str, seq: int, k: int) -> list[bytes]:
        """``k`` messages from a number on; they are known to be there."""
        raise NotImplementedError

    def _send(self, part: str, content: bytes, seq: int, durable: bool) -> None:
        """Append a message that is to get the number ``seq``, and wait until it is acknowledged."""
        raise NotImplementedError

    def _make(self, part: str) -> None:
        """Make what holds the messages of a part."""
        raise NotImplementedError

    def _newest(self, part: str) -> tuple[_Message | None, int]:
        first, following = self._bounds(part)
        if first == following:
            return None, following
        return self._decoded(self._messages(part, following - 1, 1)[0]), following

    @staticmethod
    def _decoded(content: bytes) -> _Message:
        return msgspec.msgpack.decode(content, type=_Message)

    def _add(self, what: Append) -> int:
        newest, seq = self._newest(what.part)
        if newest is None:
            self._make(what.part)
            newest, seq = self._newest(what.part)  # another writer may have been first
        if newest and newest.descr != what.descr:
            raise self._other(what.part, newest.descr, what.descr)
        last = newest.last if newest else 0
        total = last + sum(n for n, _ in what.pieces)
        bad = [(total, *pair) for pair in what.rejected]
        for k, (n, rows) in enumerate(what.pieces or ([(0, b"")] if bad else [])):
            last += n
            message = _Message(last, n, what.token, what.descr, rows, [] if k else bad)
            self._send(what.part, msgspec.msgpack.encode(message), seq + k, what.durable)
        return last

    def _found(self, part: str, before: int, what: Append) -> int:
        """As in every log, but an append of several messages that was cut off between them is finished here."""
        newest, seq = self._newest(part)
        if newest is None or newest.token != what.token:
            return 0
        behind = newest.last - before
        for n, rows in what.pieces:
            behind -= n
            if behind < 0:
                newest = _Message(newest.last + n, n, what.token, what.descr, rows, [])
                self._send(part, msgspec.msgpack.encode(newest), seq, what.durable)
                seq += 1
        return newest.last

    def _reject(self, part: str, after: int, rejected: list[tuple[str, str]]) -> None:
        newest, seq = self._newest(part)
        if newest is None:
            raise ValueError(f"part {part!r} of {self.name} was never written: append rows before rejected ones")
        message = _Message(newest.last, 0, os.urandom(16), newest.descr, b"", [(after, *pair) for pair in rejected])
        self._send(part, msgspec.msgpack.encode(message), seq, True)

    def _blocks(self, part: str, after: int, k: int) -> list[Block]:
        first, following = self._bounds(part)
        at, seq = self._place.get(part, (0, first))
        if at != after or not first <= seq <= following:
            seq = self._search(part, after, first, following)
        found: list[Block] = []
        while seq < following and len(found) < k:
            contents = self._messages(part, seq, min(k, following - seq))
            messages = [self._decoded(content) for content in contents]
            found += [Block(m.last, m.token, m.rows) for m in messages if m.n]
            seq += len(messages)
        if found:
            self._place[part] = (found[-1].last, seq)
        return found

    def _search(self, part: str, after: int, low: int, high: int) -> int:
        """Number of the first message that goes beyond an offset."""
        while low < high:
            middle = (low + high) // 2
            if self._decoded(self._messages(part, middle, 1)[0]).last > after:
                high = middle
            else:
                low = middle + 1
        return low

    def _descr(self, part: str) -> str | None:
        newest, _ = self._newest(part)
        return newest.descr if newest else None

    def _last(self, part: str) -> int:
        newest, _ = self._newest(part)
        return newest.last if newest else 0

    def _rejected(self, part: str) -> list[tuple[int, str, str]]:
        seq, following = self._bounds(part)
        found: list[tuple[int, str, str]] = []
        while seq < following:
            contents = self._messages(part, seq, min(64, following - seq))
            found += [row for content in contents for row in self._decoded(content).rejected]
            seq += len(contents)
        return found


def _pairs(rejected: pd.DataFrame) -> list[tuple[str, str]]:
    pairs = list(zip(rejected["reason"], rejected["row"], strict=True))
    for pair in pairs:
        if not all(isinstance(text, str) for text in pair):
            raise TypeError(f"a rejected row is a reason and its JSON, both text, got the types of {pair}")
    return pairs
