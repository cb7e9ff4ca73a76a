"""Connections: no more than so many, none that keeps the server waiting, no endless header."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from rtml.serving.schemas import Refusal, encode

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers
WHOLE_S = 10.0  # seconds in which a request has to be there, from the connection or its first byte on
_SAYS = {
    408: b"Request Timeout",
    431: b"Request Header Fields Too Large",
    503: b"Service Unavailable",
}


def most() -> int:
    """How many connections may be open: half the files that this process may open, 1,000 at most.

    Examples
    --------
    >>> 1 <= most() <= 1000
    True
    """
    files = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return 1000 if files < 0 else max(1, min(1000, files // 2))


class Connection(HttpToolsProtocol):
    """uvicorn's connection with limits; where there are too many, the one that has been idle longest goes."""

    _timer: asyncio.TimerHandle | None = None
    _head = 0  # bytes since the request began, while its headers are not complete
    _heading = True
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of an idle one where there is none left."""
        super().connection_made(transport)
        self._idle[self] = None
        self._wait()
        if len(self.connections) > most():
            oldest = next(iter(self._idle))
            if oldest is self:
                self._refuse(503, "too many connections are at work: try again")
            else:
                oldest._drop()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget it."""
        self._leave()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; the headers of one may be so long."""
        if self._refused:
            return
        self._head += len(data)
        super().data_received(data)
        if self._heading and self._head > HEAD_LIMIT and not self._refused:
            self._refuse(431, f"the headers are over {HEAD_LIMIT // 1024} kB")

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._heading = True
        self._wait()

    def on_headers_complete(self) -> None:
        """The request is known: let it be answered."""
        self._heading, self._head = False, 0
        size = len(self.url) + sum(len(name) + len(value) for name, value in self.headers)
        if size > HEAD_LIMIT:
            self._refuse(431, f"the headers are over {HEAD_LIMIT // 1024} kB")
        elif not self._refused:
            self._idle.pop(self, None)
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The whole request is there."""
        if not self._refused:
            self._stop_timer()
            super().on_message_complete()

    def on_response_complete(self) -> None:
        """It is answered, and the connection idle."""
        self._idle[self] = None
        super().on_response_complete()

    @property
    def _idle(self) -> dict[Connection, None]:
        """Connections of this server without a request at work, the one idle longest first."""
        return self.server_state.__dict__.setdefault("idle", {})

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(WHOLE_S, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        if self.cycle is not None and self.cycle.response_started:  # the body stays away, and the answer has begun
            self._drop()
        elif not self.transport.is_closing():
            self._refuse(408, f"the request was not there within {WHOLE_S:g} s")

    def _refuse(self, status: int, why: str) -> None:
        """Answer, and close whatever comes behind."""
        self._refused = True
        body = encode(Refusal(why))
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, _SAYS[status], len(body)) + body)
        self._leave()
        self.transport.close()

    def _drop(self) -> None:
        self._refused = True
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        self._idle.pop(self, None)
        self._stop_timer()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
