"""The HTTP app: predictions, answers, models, health, metrics and their description."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from rtml.clock import Clock, utc
from rtml.serving import messages, pages
from rtml.serving.counters import Counters
from rtml.serving.messages import BODY_LIMIT, Refused, encode
from rtml.serving.predictions import LogUnavailable
from rtml.serving.service import Service, verdict

_elapsed = Clock().elapsed  # how long a request took, whatever the clock of the service
_LOG = logging.getLogger("rtml.serving")
_JSON = (b"content-type", b"application/json")
_BROKEN = encode(messages.Refusal("internal error: the request was not served; the server's log has the reason"))

# Query and body in, body out, at once or awaited; refuses by raising Refused.
Reply = Callable[[bytes, bytes], bytes | Awaitable[bytes]]


def make_app(service: Service, lineage: Callable[[str], list[dict]] | None = None) -> FastAPI:
    """The endpoint's app over a service.

    ``lineage`` gives the ancestors of a version as dicts, newest first, for ``/models``.

    Examples
    --------
    >>> service = Service()
    >>> sorted(make_app(service).openapi()["paths"])
    ['/answers', '/health', '/metrics', '/models', '/predict']
    >>> service.close()
    """
    app = App(service)
    _add_state(app, service, lineage or (lambda version: []))
    _add_pages(app)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _broken)
    return app


class App(FastAPI):
    """FastAPI with a door in front: routes asked thousands of times a second skip its machinery.

    They are decoded, checked and encoded by msgspec and are described in OpenAPI like the others. Behind
    a mount, where the path differs, they are found through the router and do the same.
    """

    def __init__(self, service: Service) -> None:
        quiet = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}  # nothing leaves here
        about = {"title": "rtml", "summary": pages.SUMMARY, "version": "1"}
        super().__init__(**about, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=quiet)
        self.counters = Counters(service)
        self._service = service
        self._doors: dict[tuple[str, str], Reply] = {}
        self._door("POST", "/predict", self._post_predict)
        self._door("GET", "/predict", self._get_predict)
        self._door("POST", "/answers", self._post_answers)

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        started, route = _elapsed(), scope["path"]
        reply = self._doors.get((scope["method"], route))
        if reply is not None:
            status = await _through(reply, scope, receive, send)
        else:
            status = await self._routed(scope, receive, send)
            route = getattr(scope.get("route"), "path", "other")
        self.counters.request(route, status, (_elapsed() - started) * 1e-9)

    async def _routed(self, scope: dict, receive: Callable, send: Callable) -> int:
        status = 500

        async def watched(message: dict) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await super().__call__(scope, receive, watched)
        except Exception:  # already answered by _broken; kept from the server, which would print it
            _LOG.exception("%s %s failed", scope["method"], scope["path"])
        return status

    def _door(self, method: str, path: str, reply: Reply) -> None:
        """Open a door, and the same as a route that OpenAPI describes."""
        self._doors[method, path] = reply

        async def route(request: Request) -> Response:
            return _Through(reply)

        self.add_api_route(path, route, methods=[method], **pages.described(method, path))

    def _post_predict(self, query: bytes, body: bytes) -> bytes:
        return self._predicted(messages.read_predict(body))

    def _get_predict(self, query: bytes, body: bytes) -> bytes:
        return self._predicted(messages.read_query(query))

    def _predicted(self, request: messages.PredictRequest) -> bytes:
        return encode(self._service.ask(request))

    async def _post_answers(self, query: bytes, body: bytes) -> bytes:
        request = messages.read_answer(body)
        told = await asyncio.wrap_future(self._service.tell(request.prediction_id, request.y))
        self.counters.answer(told if isinstance(told, str) else "contradicting")
        status = verdict(request.prediction_id, request.y, told)
        return encode(messages.AnswerReply(request.prediction_id, status))

    def openapi(self) -> dict[str, Any]:
        """The description, with the messages of the doors among its components."""
        if not self.openapi_schema:
            super().openapi().setdefault("components", {}).setdefault("schemas", {}).update(pages.SCHEMAS)
        return self.openapi_schema


class _Through(Response):
    """A response that runs a door."""

    def __init__(self, reply: Reply) -> None:
        super().__init__()
        self._reply = reply

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        await _through(self._reply, scope, receive, send)


async def _through(reply: Reply, scope: dict, receive: Callable, send: Callable) -> int:
    """Read, reply, write; nothing that goes wrong leaves without a status and a sentence."""
    status = 200
    try:
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
        status, body = 503, encode(messages.Refusal(str(ex)))
    except Exception:
        _LOG.exception("%s %s failed", scope["method"], scope["path"])
        status, body = 500, _BROKEN
    headers = (_JSON, (b"content-length", b"%d" % len(body)))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
    return status


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


def _add_state(app: App, service: Service, lineage: Callable[[str], list[dict]]) -> None:
    """What serves, how it is, and what it counted."""

    @app.get("/models", **pages.described("GET", "/models"))
    def models() -> Response:
        snapshot = service.snapshot
        if snapshot is None:
            return _json(messages.Models(None, []))
        until = utc(snapshot.trained_up_to).isoformat()
        what = (snapshot.version, snapshot.kind, snapshot.target, snapshot.symbols, snapshot.names)
        serving = messages.Version(*what, snapshot.horizon / 1e9, until)
        return _json(messages.Models(serving, lineage(snapshot.version)))

    @app.get("/health", **pages.described("GET", "/health"))
    async def health() -> Response:
        health = service.health()
        return _json(health, 200 if health.ready else 503)

    @app.get("/metrics", **pages.described("GET", "/metrics"))
    async def metrics() -> Response:
        return Response(app.counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_pages(app: App) -> None:
    """The pages for people."""

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(pages.docs(app.openapi(), str(request.base_url)), headers=pages.SHUT)

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(pages.index(), headers=pages.SHUT)


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


async def _http_error(request: Request, ex: HTTPException) -> Response:
    asked = f"{request.method} {request.url.path}"
    says = {404: f"{asked} is nothing here: see /docs", 405: f"{asked} is not allowed: see /docs for the method"}
    refusal = messages.Refusal(says.get(ex.status_code, str(ex.detail)))
    return Response(encode(refusal), ex.status_code, headers=ex.headers, media_type="application/json")


async def _broken(request: Request, ex: Exception) -> Response:
    return Response(_BROKEN, 500, media_type="application/json")
