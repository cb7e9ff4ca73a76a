"""Server-sent events: what happens, handed to every open page, by a publisher that waits for none of them."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import Any, NamedTuple

import msgspec
from starlette.responses import Response

KEPT = 1000  # events that a client can resume from
BACKLOG = 256  # events that may wait for one client before it is dropped
CLIENTS = 256  # open streams at a time
KEEP_ALIVE_S = 10.0  # of silence before a comment is sent
RETRY_MS = 500  # how soon a browser comes back

_encode = msgspec.json.Encoder(enc_hook=lambda value: value.item()).encode  # numbers of numpy as plain ones


class Event(NamedTuple):
    r"""One event as it is kept: its id, its kind and its data in JSON.

    Examples
    --------
    >>> Event(7, "question", b'{"at":7}').text(), Event(8, "status", b"{}").text()
    (b'id: 7\nevent: question\ndata: {"at":7}\n\n', b'event: status\ndata: {}\n\n')
    """

    id: int
    kind: str
    data: bytes

    def text(self) -> bytes:
        """As it goes over the line. Only questions carry an id: resuming is by the one that was seen last."""
        head = b"id: %d\n" % self.id if self.kind == "question" else b""
        return b"%sevent: %s\ndata: %s\n\n" % (head, self.kind.encode(), self.data)


class Stream:
    """Events in a ring, and one bounded queue a client.

    Any thread may publish; it never waits for a client. One that does not read is dropped once ``backlog`` events wait
    for it: a browser comes back by itself, tells the last question that it saw, and gets what it missed.

    Examples
    --------
    >>> stream = Stream()
    >>> stream.publish(10_000, "question", {"at": 10_000, "key": "station 7"})
    >>> stream.publish(10_400, "status", {"state": "live"})
    >>> stream.questions(), stream.status
    (b'[{"at":10000,"key":"station 7"}]', b'{"state":"live"}')
    """

    def __init__(self, kept: int = KEPT, backlog: int = BACKLOG) -> None:
        self._questions: deque[Event] = deque(maxlen=kept)
        self._status: Event | None = None
        self._backlog = backlog
        self._clients: set[Client] = set()
        self._lock = threading.Lock()
        self.dropped = 0
        self.state = ""  # of the source, as the newest status says
        self.lag_s: float | None = None  # as the newest question says

    @property
    def clients(self) -> int:
        """Streams open now."""
        return len(self._clients)

    @property
    def status(self) -> bytes:
        """Data of the newest status, JSON; ``null`` before the first."""
        return self._status.data if self._status else b"null"

    def questions(self, n: int = KEPT) -> bytes:
        """Data of the newest ``n`` questions, oldest first, a JSON list."""
        with self._lock:
            newest = list(self._questions)[-n:] if n else []
        return b"[%s]" % b",".join(event.data for event in newest)

    def publish(self, id: int, kind: str, data: dict[str, Any]) -> None:
        """Hand an event to every client and keep it; a status takes the place of the one before."""
        event = Event(int(id), kind, _encode(data))
        text = event.text()
        with self._lock:
            if kind == "question":
                self._questions.append(event)
                self.lag_s = data.get("lag_s")
            else:
                self._status, self.state = event, data.get("state", "")
            slow = [client for client in self._clients if not client.offer(text)]
            self._clients.difference_update(slow)
            self.dropped += len(slow)

    def open(self, after: int | None = None) -> Client:
        """A client of the running event loop: first the newest status, then the questions behind one, then what comes.

        Without ``after`` it gets what comes from now on; where the ring no longer knows that one, all later ones.
        """
        with self._lock:
            missed = [] if after is None else _behind(list(self._questions), after)
            first = ([self._status] if self._status else []) + missed
            client = Client(b"".join(event.text() for event in first), self._backlog)
            self._clients.add(client)
        return client

    def leave(self, client: Client) -> None:
        """The client has gone."""
        with self._lock:
            self._clients.discard(client)

    def end(self) -> None:
        """End every open stream, so that a server can stop; new ones may be opened."""
        with self._lock:
            for client in self._clients:
                client.end()
            self._clients.clear()


class Client:
    """One open stream: what waits to be sent to it.

    Examples
    --------
    >>> import asyncio
    >>> async def two_events():
    ...     client = Client(b"first ", backlog=1)
    ...     taken = client.offer(b"second"), client.offer(b"third: too many wait")
    ...     return taken, await client.next(1.0)
    >>> asyncio.run(two_events())
    ((True, False), b'first second')
    """

    def __init__(self, first: bytes, backlog: int) -> None:
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[bytes] = deque([first])
        self._backlog = backlog + 1  # beside what it missed
        self._news, self.dropped = asyncio.Event(), asyncio.Event()
        self._news.set()
        self._ended = False

    def offer(self, text: bytes) -> bool:
        """Let an event wait for this client; False when too many do, and the client is dropped."""
        if len(self._waiting) >= self._backlog:
            self._wake(self.dropped)
            return False
        self._waiting.append(text)
        self._wake(self._news)
        return True

    def end(self) -> None:
        """Send what waits, then no more."""
        self._ended = True
        self._wake(self._news)

    def _wake(self, event: asyncio.Event) -> None:
        with contextlib.suppress(RuntimeError):  # its loop is closed: nobody listens
            self._loop.call_soon_threadsafe(event.set)

    async def next(self, timeout_s: float) -> bytes | None:
        """What has come since; a comment when nothing came for so long; None at the end."""
        if not self._ended:
            try:
                async with asyncio.timeout(timeout_s):
                    await self._news.wait()
            except TimeoutError:
                return b": still here\n\n"
        self._news.clear()
        texts = [self._waiting.popleft() for _ in range(len(self._waiting))]
        return b"".join(texts) if texts or not self._ended else None


class EventStream(Response):
    """The response that sends a stream to one client until it leaves, is dropped, or the server stops."""

    def __init__(self, stream: Stream, after: int | None) -> None:
        super().__init__()
        self._stream = stream
        self._after = after

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        headers = ((b"content-type", b"text/event-stream"), (b"cache-control", b"no-store"))
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        client = self._stream.open(self._after)
        parts = (self._send(client, send), _left(receive), client.dropped.wait())
        tasks = [asyncio.ensure_future(part) for part in parts]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._stream.leave(client)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _send(self, client: Client, send: Any) -> None:
        text: bytes | None = b"retry: %d\n\n" % RETRY_MS
        while text is not None:
            await send({"type": "http.response.body", "body": text, "more_body": True})
            text = await client.next(KEEP_ALIVE_S)
        await send({"type": "http.response.body", "body": b""})


async def _left(receive: Any) -> None:
    """Wait until the client has gone; whatever it sends is of no interest."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _behind(kept: list[Event], after: int) -> list[Event]:
    """The questions behind the newest one with this id, or, where there is none, those of later ids."""
    places = [place for place, event in enumerate(kept) if event.id == after]
    return kept[places[-1] + 1 :] if places else [event for event in kept if event.id > after]
