"""Fast routes: bytes in, bytes out, for routes that are asked too often for the machinery of a framework."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from rtml.serving.many_rows import ARROW
from rtml.serving.schemas import BODY_LIMIT, MANY_LIMIT, Refusal, Refused, encode
from rtml.store.prediction_log import LogUnavailable

LOG = logging.getLogger("rtml.serving")
BROKEN = encode(Refusal("internal error: the request was not served; the server's log has the reason"))
_JSON = (b"content-type", b"application/json")
_ARROW = (b"content-type", b"application/vnd.apache.arrow.stream")
_HINTS = {401: [(b"www-authenticate", b"Bearer")], 429: [(b"retry-after", b"1")]}

# Query and body in, body out, at once, or awaited with its status where that is not 200; refuses by raising Refused.
Content = bytes | tuple[int, bytes]
Reply = Callable[[bytes, bytes], bytes | Awaitable[Content]]
Check = Callable[[dict], None]  # looks at the scope of a request before its body is read


class Through(Response):
    """A response that runs a fast route."""

    def __init__(self, reply: Reply, check: Check | None = None) -> None:
        super().__init__()
        self._reply, self._check = reply, check

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        await through(self._reply, self._check, scope, receive, send)


async def through(reply: Reply, check: Check | None, scope: dict, receive: Callable, send: Callable) -> int:
    """Check, read, reply, write; nothing that goes wrong leaves without a status and a sentence."""
    status = 200
    try:
        if check is not None:
            check(scope)
        message = await receive()
        body = message.get("body", b"")
        if message.get("more_body") or len(body) > BODY_LIMIT:
            body = await _rest(message, receive, _limit(body, scope["path"]))
        body = reply(scope["query_string"], body)
        if body.__class__ is not bytes:
            content = await body
            status, body = (200, content) if content.__class__ is bytes else content
    except Exception as ex:
        status, body = failed(ex, scope["method"], scope["path"])
    await _answer(status, body, send)
    return status


def failed(ex: Exception, method: str, path: str) -> tuple[int, bytes]:
    """Status and body for a request that was refused, or that failed here: then the log has the reason.

    Examples
    --------
    >>> failed(Refused(404, "no such key"), "GET", "/predict")
    (404, b'{"error":"no such key"}')
    """
    if isinstance(ex, Refused):
        return ex.status, encode(ex.refusal)
    if isinstance(ex, LogUnavailable):
        return 503, encode(Refusal(str(ex)))
    LOG.error("%s %s failed", method, path, exc_info=ex)
    return 500, BROKEN


async def refuse(ex: Refused, send: Callable) -> None:
    """Answer a request that is not looked at any further.

    Examples
    --------
    >>> import asyncio
    >>> sent = []
    >>> async def send(message):
    ...     sent.append(message)
    >>> asyncio.run(refuse(Refused(413, "the body is too long"), send))
    >>> sent[0]["status"], sent[1]["body"]
    (413, b'{"error":"the body is too long"}')
    """
    await _answer(ex.status, encode(ex.refusal), send)


async def _answer(status: int, body: bytes, send: Callable) -> None:
    await send({"type": "http.response.start", "status": status, "headers": headers(status, body)})
    await send({"type": "http.response.body", "body": body})


def headers(status: int, body: bytes) -> list[tuple[bytes, bytes]]:
    """The headers of an answer.

    Examples
    --------
    >>> headers(200, b'{"ready":true}')
    [(b'content-type', b'application/json'), (b'content-length', b'14')]
    """
    kind = _ARROW if body[:4] == ARROW else _JSON
    return [kind, (b"content-length", b"%d" % len(body)), *_HINTS.get(status, ())]


def is_many(body: bytes | bytearray) -> bool:
    """Whether a body that begins so is of many rows.

    Examples
    --------
    >>> is_many(b'[{"key": "a"}]'), is_many(b'{"key": "a"}')
    (True, False)
    """
    return body[:1] in (b"[", ARROW[:1])


def _limit(body: bytes, path: str) -> int:
    """How long a body may be that begins so."""
    return MANY_LIMIT if path.endswith("/predict") and is_many(body) else BODY_LIMIT


async def _rest(message: dict, receive: Callable, limit: int) -> bytes:
    """The whole body, which came in parts, if it is not too long."""
    whole, more = bytearray(message.get("body", b"")), message.get("more_body", False)
    while more and len(whole) <= limit:
        message = await receive()
        whole += message.get("body", b"")
        more = message.get("more_body", False)
    if len(whole) > limit:
        raise Refused(413, f"the body is over {limit // 1024} kB: ask for one prediction at a time, or for fewer rows")
    return bytes(whole)
