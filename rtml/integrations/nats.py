"""NATS JetStream: the event log on streams (``nats://HOST:4222``, over ``nats-py``).

A stream is a part, a message a block of rows. A message says which number it expects to get, so of two writers at once
one is told to look again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Coroutine, Sequence
from typing import Any

import nats
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy, KeyValueConfig, StorageType, StreamConfig
from nats.js.errors import APIError, KeyWrongLastSequenceError, NoKeysError, NotFoundError, ServiceUnavailableError

from rtml.integrations.block_log import Append, MessageLog, Patient
from rtml.integrations.groups import TTL_S, Membership, member

_WAIT_S = 5.0
_WRONG_SEQUENCE = 10071


class _Nats(Patient):
    """A connection to a server with JetStream, served by an event loop on a thread of its own."""

    LOST = (nats.errors.Error, OSError, asyncio.TimeoutError, ServiceUnavailableError)
    _client: Any = None

    def __init__(self, url: str) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="rtml-nats", daemon=True)
        self._thread.start()
        super().__init__(url)

    def _do(self, what: Coroutine) -> Any:
        return asyncio.run_coroutine_threadsafe(what, self._loop).result(4 * _WAIT_S)

    def _connect(self) -> None:
        self._drop()
        quiet = {"error_cb": _quiet, "allow_reconnect": False, "connect_timeout": 2}
        quiet |= {"max_reconnect_attempts": 1, "reconnect_time_wait": 0.05}
        self._client = self._do(nats.connect(self.url, **quiet))
        self._js = self._client.jetstream(timeout=_WAIT_S)
        self._do(self._js.account_info())

    def _drop(self) -> None:
        if self._client is not None and not self._client.is_closed:
            self._do(self._client.close())

    def close(self) -> None:
        """Let go of the connection."""
        self._drop()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


class EventLog(_Nats, MessageLog):
    """The event log on a server with JetStream; streams are called NAME-PART.

    Examples
    --------
    >>> EventLog("nats://host:4222?log=a.b")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    def _connect(self) -> None:
        self._pulls: dict[str, tuple[int, Any]] = {}  # of a part: number of the message that comes next, and what pulls
        super()._connect()

    def _stream(self, part: str) -> str:
        if not part or any(c in part for c in " .*>/\\\t\n"):
            raise ValueError(f"a part on NATS has a name without blanks, '.', '*', '>' and '/', got {part!r}")
        return f"{self.log_name}-{part}"

    def _state(self, part: str) -> Any:
        return self._do(self._js.stream_info(self._stream(part))).state

    def _bounds(self, part: str) -> tuple[int, int]:
        try:
            state = self._state(part)
        except NotFoundError:
            return 1, 1
        return max(1, state.first_seq), state.last_seq + 1

    def _messages(self, part: str, seq: int, k: int) -> list[bytes]:
        if k == 1:
            return [self._do(self._js.get_msg(self._stream(part), seq)).data]
        following, pull = self._pulls.get(part, (0, None))
        if following != seq:
            if pull is not None:
                self._do(pull.unsubscribe())
            start = {"deliver_policy": DeliverPolicy.BY_START_SEQUENCE, "opt_start_seq": seq}
            config = ConsumerConfig(ack_policy=AckPolicy.NONE, mem_storage=True, inactive_threshold=300.0, **start)
            stream = self._stream(part)
            pull = self._do(self._js.pull_subscribe(stream, durable=None, stream=stream, config=config))
        found = self._do(pull.fetch(k, timeout=_WAIT_S))
        self._pulls[part] = (seq + len(found), pull)
        return [message.data for message in found]

    def _add(self, what: Append) -> int:
        while True:
            try:
                return super()._add(what)
            except APIError as ex:  # another writer was first
                if ex.err_code != _WRONG_SEQUENCE:
                    raise

    def _send(self, part: str, content: bytes, seq: int, durable: bool) -> None:
        expected = {"Nats-Expected-Last-Sequence": str(seq - 1)}
        self._do(self._js.publish(self._stream(part), content, headers=expected, timeout=_WAIT_S))

    def _make(self, part: str) -> None:
        name = self._stream(part)
        self._do(self._js.add_stream(StreamConfig(name=name, subjects=[name], storage=StorageType.FILE)))

    def _parts(self) -> list[str]:
        head, found = f"{self.log_name}-", self._do(self._js.streams_info())
        own = [info for info in found if info.config.name.startswith(head) and info.state.messages]
        return [info.config.name.removeprefix(head) for info in sorted(own, key=lambda info: str(info.created))]


class Leases(_Nats, Membership):
    """Members of a consumer group: entries of a key-value bucket that expire.

    Durable consumers of JetStream keep an offset apart from the state, and hand single messages to whoever asks; so
    whole parts are leased.

    Examples
    --------
    >>> Leases("nats://host:4222?log=a.b", "readers")
    Traceback (most recent call last):
        ...
    ValueError: log='a.b' must be letters, digits, '-' and '_': a log's name is part of names on servers
    """

    def __init__(self, url: str, group: str, ttl_s: float = TTL_S) -> None:
        self._group, self._ttl_s, self._me = group, ttl_s, member().encode()
        self._mine: dict[str, int] = {}  # revision of each entry
        super().__init__(url)

    def _connect(self) -> None:
        super()._connect()
        config = KeyValueConfig(f"{self.log_name}-{self._group}", ttl=self._ttl_s, storage=StorageType.MEMORY)
        self._bucket = self._do(self._js.create_key_value(config))

    def take(self, name: str) -> bool:
        """Take a lease, or keep it; False where another member has it."""
        return self._tried(lambda again: self._take(name))

    def _take(self, name: str) -> bool:
        revision = self._mine.pop(name, 0)
        try:
            if not revision and self._holder(name) is not None:
                return False
            put = (
                self._bucket.update(name, self._me, last=revision) if revision else self._bucket.create(name, self._me)
            )
            self._mine[name] = self._do(put)
        except KeyWrongLastSequenceError:  # it expired, or another was first
            return False
        return True

    def _holder(self, name: str) -> bytes | None:
        try:
            return self._do(self._bucket.get(name)).value
        except NotFoundError:
            return None

    def give_back(self, name: str) -> None:
        """End a lease of this member."""
        if (revision := self._mine.pop(name, 0)) and self._tried(lambda again: self._holder(name)) == self._me:
            self._tried(lambda again: self._do(self._bucket.delete(name, last=revision)))

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of the leases that some member has now."""
        try:
            return set(names) & set(self._tried(lambda again: self._do(self._bucket.keys())))
        except NoKeysError:
            return set()

    def close(self) -> None:
        """Leave the group."""
        for name in list(self._mine):
            self.give_back(name)
        super().close()


async def _quiet(_: Exception) -> None:
    """A lost connection is seen by the call that needs it."""
