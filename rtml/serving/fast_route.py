"""Fast routes: bytes in, bytes out, for routes that are asked too often for the machinery of a framework."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

from starlette.responses import Response

from rtml.serving.schemas import BODY_LIMIT, Refusal, Refused, encode
from rtml.store.prediction_log import LogUnavailable

LOG = logging.getLogger("rtml.serving")
BROKEN = encode(Refusal("internal error: the request was not served; the server's log has the reason"))
_JSON = (b"content-type", b"application/json")
_BEARER = (b"www-authenticate", b"Bearer")

# Query and body in, body out, at once or awaited; refuses by raising Refused.
Reply = Callable[[bytes, bytes], bytes | Awaitable[bytes]]
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
            body = await _rest(body, receive)
        body = reply(scope["query_string"], body)
        if body.__class__ is not bytes:
            body = await body
    except Refused as ex:
        status, body = ex.status, encode(ex.refusal)
    except LogUnavailable as ex:
        status, body = 503, encode(Refusal(str(ex)))
    except Exception:
        LOG.exception("%s %s failed", scope["method"], scope["path"])
        status, body = 500, BROKEN
    await _answer(status, body, send)
    return status


async def refuse(ex: Refused, send: Callable) -> None:
    """Answer a request that is not looked at any further."""
    await _answer(ex.status, encode(ex.refusal), send)


async def _answer(status: int, body: bytes, send: Callable) -> None:
    headers = [_JSON, (b"content-length", b"%d" % len(body))]
    if status == 401:
        headers.append(_BEARER)
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _rest(body: bytes, receive: Callable) -> bytes:
    """The whole body, which came in parts, if it is not too long."""
    more = True
    while more and len(body) <= BODY_LIMIT:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    if len(body) > BODY_LIMIT:
        raise Refused(413, f"the body is over {BODY_LIMIT // 1024} kB: ask for one prediction at a time")
    return body
