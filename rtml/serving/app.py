"""The HTTP app: predictions, answers, the live page and its stream, models, health, metrics and their description."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import FastAPI, Request, Response
from starlette.exceptions import HTTPException
from starlette.responses import HTMLResponse

from rtml.core.clock import Clock, utc
from rtml.serving import pages
from rtml.serving import schemas as messages
from rtml.serving import stream_schemas as stream_messages
from rtml.serving.auth import Access
from rtml.serving.download import written
from rtml.serving.event_writer import EventWriter
from rtml.serving.events import Events
from rtml.serving.fast_route import BROKEN, LOG, Check, Reply, Through, failed, refuse, through
from rtml.serving.many_rows import ARROW, predict_list, predict_table
from rtml.serving.prometheus import Counters
from rtml.serving.promotions import Promotions
from rtml.serving.schemas import encode
from rtml.serving.service import Service, verdict
from rtml.serving.sse import CLIENTS, EventStream
from rtml.serving.view import View

_elapsed = Clock().elapsed  # how long a request took, whatever the clock of the service
FULL = f"{CLIENTS} streams are open: close one"


def _message(kind: type) -> Callable[[bytes, bytes], list]:
    """What reads the message of a body."""
    return lambda query, body: [messages.read(kind, body)]


#: Routes of the ledger: the method of the promotions that does it, and what reads its arguments from query and body.
_LEDGER = (
    ("POST", "/promote", "promote", _message(stream_messages.PromoteRequest)),
    ("POST", "/rollback", "rollback", _message(stream_messages.RollbackRequest)),
    ("GET", "/ledger", "ledger", lambda query, body: [stream_messages.read_moment(query)]),
    ("POST", "/routes", "route", _message(stream_messages.RouteRequest)),
    ("GET", "/routes", "routes", lambda query, body: []),
    ("POST", "/candidates", "add", _message(stream_messages.CandidateRequest)),
    ("GET", "/candidates", "candidates", lambda query, body: []),
)


def make_app(
    service: Service,
    lineage: Callable[[str], list[dict]] | None = None,
    promotions: Promotions | None = None,
    access: Access | None = None,
    view: View | None = None,
    events: Events | None = None,
    writer: EventWriter | None = None,
) -> App:
    """The endpoint's app over a service.

    ``lineage`` gives the ancestors of a version as dicts, newest first, for ``/models``. Without ``promotions`` there
    is no ``/promote``, ``/rollback`` or ``/ledger``. ``access`` is what the environment says unless given. ``view`` is
    what the use case adds to the page and to the routes, some of which take ``events``. With a ``writer`` there is
    ``POST /events``.

    Examples
    --------
    >>> service = Service()
    >>> paths = sorted(make_app(service).openapi()["paths"])
    >>> paths[:6]
    ['/answers', '/health', '/metrics', '/models', '/predict', '/predictions.csv']
    >>> paths[6:]
    ['/predictions.parquet', '/predictions/stream', '/predictions/{id}', '/quality', '/questions']
    >>> service.close()
    """
    app = App(service, promotions, Access.from_environment() if access is None else access, writer, view)
    _add_state(app, service, lineage or (lambda version: []))
    _add_quality(app, service)
    _add_stream(app, service)
    _add_pages(app, view.panel if view else "")
    if view is not None:
        view.routes(app, events)
    app.add_exception_handler(messages.Refused, _refused)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(Exception, _broken)
    return app


class App(FastAPI):
    """FastAPI with a fast lane in front: routes asked thousands of times a second skip its machinery.

    They are decoded, checked and encoded by msgspec and are described in OpenAPI like the others. Behind
    a mount, where the path differs, they are found through the router and do the same.
    """

    def __init__(
        self,
        service: Service,
        promotions: Promotions | None,
        access: Access,
        writer: EventWriter | None = None,
        view: View | None = None,
    ) -> None:
        quiet = {"tracing": False, "metrics": False, "logs": False, "auto_configure": False}  # nothing leaves here
        about = {"title": "rtml", "summary": pages.SUMMARY, "version": "1"}
        super().__init__(**about, docs_url=None, redoc_url=None, redirect_slashes=False, telemetry=quiet)
        self.counters = Counters(service)
        self.draining = False  #: whether each connection is closed with its next answer
        self._service = service
        self._promotions = promotions
        self._access = access
        self._writer = writer
        self._view = view if view is not None and type(view).reply is not View.reply else None
        self._quick: dict[tuple[str, str], tuple[Reply, Check | None]] = {}
        self._open(access.check)
        self._direct: dict[tuple[bytes, bytes], Reply] = {(b"GET", b"/predict"): self._get_predict}
        if self._view is None:
            self._direct[b"POST", b"/predict"] = self._post_predict

    def _open(self, check: Check) -> None:
        """Add the fast routes that this service has."""
        self._fast("POST", "/predict", self._post_predict)
        self._fast("GET", "/predict", self._get_predict)
        self._fast("POST", "/answers", self._post_answers, check)
        if self._writer is not None:
            self._fast("POST", "/events", self._post_events, check)
        for method, path, name, read in _LEDGER:
            if do := getattr(self._promotions, name, None):
                self._fast(method, path, partial(_carried_out, do, read), check if method == "POST" else None)

    @property
    def guarded(self) -> bool:
        """Whether calls that change something need the token."""
        return self._access.guarded

    @property
    def promoting(self) -> bool:
        """Whether there is a ledger, and what serves can be changed."""
        return self._promotions is not None

    def check(self, scope: dict) -> None:
        """Refuse a request that may not change anything: for routes that a use case adds."""
        self._access.check(scope)

    def stopping(self) -> None:
        """The server is about to stop: let go of those who would stay for ever."""
        self._service.stream.end()

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http":
            return await super().__call__(scope, receive, send)
        if self.draining:
            send = _last(send)
        started, route = _elapsed(), scope["path"]
        try:
            self._access.admit(scope)
        except messages.Refused as ex:
            await refuse(ex, send)
            return self.counters.request("refused", ex.status, (_elapsed() - started) * 1e-9)
        fast = self._quick.get((scope["method"], route))
        if fast is not None:
            status = await through(*fast, scope, receive, send)
        else:
            status = await self._routed(scope, receive, send)
            route = getattr(scope.get("route"), "path", "other")
        self.counters.request(route, status, (_elapsed() - started) * 1e-9)

    def at_once(self, method: bytes, url: bytes, headers: list[tuple[bytes, bytes]]) -> Reply | None:
        """The reply of a route that waits for nothing, to be given to :meth:`answer`; None for what goes the long way.

        That is also what is not admitted: it is refused there.
        """
        path = url.partition(b"?")[0]
        reply = self._direct.get((method, path))
        if reply is None or self.draining or b"#" in url:
            return None
        try:
            self._access.admit({"method": method.decode(), "path": path.decode(), "headers": headers})
        except messages.Refused:
            return None
        return reply

    def answer(self, reply: Reply, method: bytes, url: bytes, body: bytes) -> tuple[int, bytes]:
        """Status and body, now; what :func:`rtml.serving.fast_route.through` answers."""
        started, (path, _, query) = _elapsed(), url.partition(b"?")
        try:
            status, answer = 200, reply(query, body)
        except Exception as ex:
            status, answer = failed(ex, method.decode(), path.decode())
        self.counters.request(path.decode(), status, (_elapsed() - started) * 1e-9)
        return status, answer

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
            LOG.exception("%s %s failed", scope["method"], scope["path"])
        return status

    def _fast(self, method: str, path: str, reply: Reply, check: Check | None = None) -> None:
        """Answer a route past the framework, and the same as a route that OpenAPI describes."""
        self._quick[method, path] = reply, check

        async def route(request: Request) -> Response:
            return Through(reply, check)

        secret = check is not None and self.guarded
        self.add_api_route(path, route, methods=[method], **pages.described(method, path, secret))

    def _post_predict(self, query: bytes, body: bytes) -> bytes | Awaitable[bytes]:
        if body[:1] == b"[":
            return predict_list(self._service, body)
        if body[:4] == ARROW:
            return predict_table(self._service, body)
        return encode(self._service.ask_json(body)) if self._view is None else self._reply(body)

    async def _reply(self, body: bytes) -> bytes:
        given = await self._view.reply(self._service, body)
        return encode(self._service.ask_json(body) if given is None else given)

    def _get_predict(self, query: bytes, body: bytes) -> bytes:
        return encode(self._service.ask(messages.read_query(query)))

    async def _post_answers(self, query: bytes, body: bytes) -> bytes:
        request = messages.read(messages.AnswerRequest, body)
        result = await asyncio.wrap_future(self._service.tell(request.prediction_id, request.y))
        self.counters.answer(result if isinstance(result, str) else "contradicting")
        status = verdict(request.prediction_id, request.y, result)
        return encode(messages.AnswerReply(request.prediction_id, status))

    async def _post_events(self, query: bytes, body: bytes) -> tuple[int, bytes]:
        return 202, encode(await asyncio.wrap_future(self._writer.send(query, body)))

    def openapi(self) -> dict[str, Any]:
        """The description, with the messages of the fast routes among its components."""
        if not self.openapi_schema:
            components = super().openapi().setdefault("components", {})
            components.setdefault("schemas", {}).update(pages.SCHEMAS)
            components |= {"securitySchemes": pages.BEARER} if self.guarded else {}
        return self.openapi_schema


async def _carried_out(do: Callable, read: Callable[[bytes, bytes], list], query: bytes, body: bytes) -> bytes:
    """Do what a request asks of the promotions, without keeping other requests waiting."""
    try:
        done = await asyncio.to_thread(do, *read(query, body))
    except LookupError as ex:
        raise messages.Refused(404, str(ex.args[0])) from ex
    except ValueError as ex:
        raise messages.Refused(422, str(ex)) from ex
    return encode(stream_messages.Promoted(done) if isinstance(done, str) else done)


def _last(send: Callable) -> Callable:
    """A ``send`` that tells the client to connect again for its next request."""

    async def received(message: dict) -> None:
        if message["type"] == "http.response.start":
            message = message | {"headers": [*message.get("headers", ()), (b"connection", b"close")]}
        await send(message)

    return received


def _add_state(app: App, service: Service, lineage: Callable[[str], list[dict]]) -> None:
    """What serves, how it is, and what it counted."""

    @app.get("/models", **pages.described("GET", "/models"))
    def models() -> Response:
        snapshot = service.snapshot
        if snapshot is None:
            return _json(messages.Models(None, []))
        until = utc(snapshot.trained_up_to).isoformat()
        targets = [messages.TargetAbout(t.name, t.kind, t.unit, t.classes) for t in snapshot.targets]
        what = (snapshot.version, snapshot.offset, targets, snapshot.keys, snapshot.names)
        serving = messages.Version(*what, snapshot.horizon / 1e9, until)
        return _json(messages.Models(serving, lineage(snapshot.version)))

    @app.get("/health", **pages.described("GET", "/health"))
    async def health() -> Response:
        health = service.health()
        return _json(health, 200 if health.ready else 503)

    @app.get("/metrics", **pages.described("GET", "/metrics"))
    async def metrics() -> Response:
        return Response(app.counters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def _add_stream(app: App, service: Service) -> None:
    """What happens, as it happens, and what happened last."""

    @app.get("/predictions/stream", **pages.described("GET", "/predictions/stream"))
    async def stream(request: Request) -> Response:
        last = request.headers.get("last-event-id", "").encode("latin-1")
        after = stream_messages.read_after(request.scope["query_string"], last)
        if service.stream.clients >= CLIENTS:
            raise messages.Refused(503, FULL)
        return EventStream(service.stream, after)

    @app.get("/predictions/{id}", **pages.described("GET", "/predictions/{id}"))
    def prediction(id: str) -> Response:
        return _json(service.given(id))

    async def questions(query: bytes, body: bytes) -> bytes:
        newest = service.stream.questions(stream_messages.read_count(query))
        return b'{"questions":%s,"status":%s}' % (newest, service.stream.status)

    app._fast("GET", "/questions", questions)


def _add_quality(app: App, service: Service) -> None:
    """How good what was served is, and all of it to take away."""

    @app.get("/quality", **pages.described("GET", "/quality"))
    def quality() -> Response:
        return _json(stream_messages.Quality(service.headline, app.counters.latencies(), **service.quality()))

    for format in ("csv", "parquet"):
        _add_table(app, service, format)


def _add_table(app: App, service: Service, format: str) -> None:
    """What was served, to take away."""
    about = pages.described("GET", f"/predictions.{format}")

    @app.get(f"/predictions.{format}", **about)
    def table() -> Response:
        headers = {"content-disposition": f'attachment; filename="predictions.{format}"'}
        media = next(iter(about["openapi_extra"]["responses"]["200"]["content"]))
        return Response(written(service.table(), format), headers=headers, media_type=media)


def _add_pages(app: App, panel: str) -> None:
    """The pages for people."""
    live, shut = pages.live(panel, ledger=app.promoting)

    @app.get("/docs", include_in_schema=False)
    async def docs(request: Request) -> HTMLResponse:
        return HTMLResponse(pages.docs(app.openapi(), str(request.base_url)), headers=pages.SHUT)

    @app.get("/", include_in_schema=False)
    async def index() -> HTMLResponse:
        return HTMLResponse(live, headers=shut)


def _json(value: Any, status: int = 200) -> Response:
    return Response(encode(value), status, media_type="application/json")


async def _refused(request: Request, ex: messages.Refused) -> Response:
    return _json(ex.refusal, ex.status)


async def _http_error(request: Request, ex: HTTPException) -> Response:
    asked = f"{request.method} {request.url.path}"
    texts = {404: f"{asked} is nothing here: see /docs", 405: f"{asked} is not allowed: see /docs for the method"}
    refusal = messages.Refusal(texts.get(ex.status_code, str(ex.detail)))
    return Response(encode(refusal), ex.status_code, headers=ex.headers, media_type="application/json")


async def _broken(request: Request, ex: Exception) -> Response:
    return Response(BROKEN, 500, media_type="application/json")
