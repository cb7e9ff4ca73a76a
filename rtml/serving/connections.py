"""Connections: so many at most, none that keeps the server waiting, no endless header; hot routes answered at once."""

from __future__ import annotations

import asyncio
import resource

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol

from rtml.serving.fast_route import Reply, headers, is_many
from rtml.serving.schemas import BODY_LIMIT, Refusal, encode

HEAD_LIMIT = 64 * 1024  # bytes of a request's line and headers
WHOLE_S = 10.0  # seconds in which a request has to be there, from the connection or its first byte on
_REASONS = {
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
    """uvicorn's connection with limits; where there are too many, the one that has been idle longest goes.

    A request of a route that waits for nothing (``app.at_once``) is answered as soon as it is whole, in the order of
    the connection, without scope, task and cycle. All others, and those that ask for more than an answer (an upgrade,
    ``Expect``, a connection that closes, a client that does not read), take uvicorn's way and get the same bytes.
    """

    _timer: asyncio.TimerHandle | None = None
    _resting: asyncio.TimerHandle | None = None  # closes a connection that rests after an answer at once
    _rests = 0.0  # since when, loop time; 0.0 while it does not
    _head = 0  # bytes since the request began, while its headers are not complete
    _piece = 0  # bytes of the newest piece
    _longest = 0  # bytes that the headers may have at most, by the pieces they came in
    _heading = True
    _whole = True  # whether no request is half here
    _refused = False
    _reply: Reply | None = None  # of the request that is answered at once, while its body comes
    _default: tuple[list, bytes] = [], b""  # headers of every answer, as uvicorn has them and as bytes

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection, in the place of an idle one where there is none left."""
        super().connection_made(transport)
        self._at_once = getattr(self.app, "at_once", None)
        #: connections of this server without a request at work, the one idle longest first
        self._idle: dict[Connection, None] = self.server_state.__dict__.setdefault("idle", {})
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
        self._reply = None
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Take bytes of a request; the headers of one may be so long, and the whole may take so long."""
        if self._refused:
            return
        self._rests, self._piece = 0.0, len(data)
        self._head += self._piece
        self._longest += self._piece
        super().data_received(data)
        if self._heading and self._head > HEAD_LIMIT and not self._refused:
            self._refuse(431, f"the headers are over {HEAD_LIMIT // 1024} kB")
        if not self._whole and not self._refused:
            self._wait()

    def on_message_begin(self) -> None:
        """A request begins; its scope is made when it is needed."""
        self.url = b""
        self.headers = []
        self.expect_100_continue = False
        self._heading = True
        self._whole = False
        self._longest = self._piece

    def on_headers_complete(self) -> None:
        """The request is known: let it be answered."""
        self._heading, self._head = False, 0
        if self._refused:
            return
        if self._longest > HEAD_LIMIT and self._head_size() > HEAD_LIMIT:
            self._refuse(431, f"the headers are over {HEAD_LIMIT // 1024} kB")
            return
        self._idle.pop(self, None)
        if self._at_once is not None and self._is_plain():
            self._reply = self._at_once(self.parser.get_method(), self.url, self.headers)
            self._body = b""
        if self._reply is None:
            self._go_the_long_way()

    def on_body(self, body: bytes) -> None:
        """A part of the body."""
        if self._refused:
            return
        if self._reply is None:
            super().on_body(body)
            return
        self._body = self._body + body if self._body else body
        if len(self._body) > BODY_LIMIT or is_many(self._body):
            self._go_the_long_way()

    def on_message_complete(self) -> None:
        """The whole request is there."""
        if self._refused:
            return
        self._whole = True
        self._stop_timer()
        if self._reply is None:
            super().on_message_complete()
            return
        reply, self._reply = self._reply, None
        self._write(*self.app.answer(reply, self.parser.get_method(), self.url, self._body))
        self.server_state.total_requests += 1
        self._idle[self] = None
        self._rests = self.loop.time()
        if self._resting is None:
            self._resting = self.loop.call_later(self.timeout_keep_alive, self._rest_is_over)

    def on_response_complete(self) -> None:
        """It is answered, and the connection idle."""
        self._idle[self] = None
        super().on_response_complete()

    def shutdown(self) -> None:
        """End; a request whose body still comes is answered before."""
        if self._reply is not None:
            self._go_the_long_way()
        super().shutdown()

    def _head_size(self) -> int:
        return len(self.url) + sum(len(name) + len(value) for name, value in self.headers)

    def _is_plain(self) -> bool:
        """Whether nothing is asked for but an answer, everything before is answered, and the client reads."""
        if self.expect_100_continue or self.flow.write_paused or (self.cycle and not self.cycle.response_complete):
            return False
        parser = self.parser
        return parser.get_http_version() == "1.1" and parser.should_keep_alive() and not parser.should_upgrade()

    def _go_the_long_way(self) -> None:
        """Have uvicorn make scope, cycle and task of a request, with as much of its body as there is."""
        body = self._body if self._reply is not None else b""
        self._reply = None
        url = self.url
        headers = self.headers
        expected = self.expect_100_continue
        super().on_message_begin()
        self.url, self.expect_100_continue = url, expected
        self.headers.extend(headers)
        super().on_headers_complete()
        if body:
            super().on_body(body)

    def _write(self, status: int, body: bytes) -> None:
        """Write an answer, as uvicorn's cycle does."""
        if self._default[0] is not self.server_state.default_headers:
            before = self.server_state.default_headers
            self._default = before, b"".join(b"%b: %b\r\n" % pair for pair in before)
        lines = [b"%b: %b\r\n" % pair for pair in headers(status, body)]
        self.transport.write(b"".join((STATUS_LINE[status], self._default[1], *lines, b"\r\n", body)))

    def _rest_is_over(self) -> None:
        """Close a connection that rests long enough; one timer serves many answers."""
        self._resting = None
        left = self._rests + self.timeout_keep_alive - self.loop.time()
        if self._rests and left > 0:
            self._resting = self.loop.call_later(left, self._rest_is_over)
        elif self._rests and not self.transport.is_closing():
            self.transport.close()

    def _wait(self) -> None:
        if self._timer is None:
            self._timer = self.loop.call_later(WHOLE_S, self._too_slow)

    def _too_slow(self) -> None:
        self._timer = None
        if self._is_answering():  # the body stays away, and the answer has begun
            self._drop()
        elif not self.transport.is_closing():
            self._refuse(408, f"the request was not there within {WHOLE_S:g} s")

    def _is_answering(self) -> bool:
        """Whether an answer to the request that is not whole has begun, or one to the request before goes on."""
        if self.cycle is None or self._reply is not None:
            return False
        return self.cycle.response_started and not (self._heading and self.cycle.response_complete)

    def _refuse(self, status: int, why: str) -> None:
        """Answer, and close whatever comes behind."""
        self._refused = True
        body = encode(Refusal(why))
        head = b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n\r\n"
        self.transport.write(head % (status, _REASONS[status], len(body)) + body)
        self._leave()
        self.transport.close()

    def _drop(self) -> None:
        self._refused = True
        self._leave()
        self.transport.abort()

    def _leave(self) -> None:
        self._idle.pop(self, None)
        self._stop_timer()
        if self._resting is not None:
            self._resting.cancel()
            self._resting = None

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
