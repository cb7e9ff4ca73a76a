"""gRPC beside HTTP: each call of ``predictions.proto`` is a request of the endpoint's own app (``--grpc PORT``).

Nothing is predicted, checked or logged here: a message becomes the JSON of the HTTP API by protobuf's own rules, the
app answers it, and its answer becomes a message. So answers have the same bits, and refusals the same sentences.
"""

from __future__ import annotations

import asyncio
import json
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import grpc
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from rtml.integrations.predictions_pb2 import DESCRIPTOR
from rtml.serving.app import App
from rtml.serving.auth import check_host
from rtml.serving.schemas import MANY_LIMIT

SERVICE = DESCRIPTOR.services_by_name["Predictions"]
REFUSAL = "rtml-refusal-bin"  # trailer with the refusal in JSON
_CODES = {401: "UNAUTHENTICATED", 403: "PERMISSION_DENIED", 404: "NOT_FOUND", 409: "ALREADY_EXISTS"}
_CODES |= {413: "RESOURCE_EXHAUSTED", 422: "INVALID_ARGUMENT", 429: "RESOURCE_EXHAUSTED", 503: "UNAVAILABLE"}
_ONE = "must be one of"  # rule of a key that nobody knows
_HEALTH_S = 0.5  # how old the health may be
_GRACE_S = 0.4  # how long an open call may take to end after stop

Send = Callable[[dict], Any]


def attach(app: App, port: int, host: str = "127.0.0.1", shared: bool = False) -> None:
    """Let an app answer gRPC too, from when its server starts until it stops; ``app.state.grpc`` is the port then.

    Parameters
    ----------
    app
        Of :func:`rtml.serving.app.make_app`.
    port, host
        Where to listen, 0 for a free port; without TLS, as HTTP: another host than this machine needs the token.
    shared
        Whether several processes of one endpoint listen on the port.

    Raises
    ------
    RuntimeError
        Where the port cannot be listened on.
    """
    check_host(host, app.guarded)
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as one:
            one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT if shared else socket.SO_REUSEADDR, 1)
            one.bind((host, port))
    except OSError as ex:
        raise RuntimeError(f"gRPC cannot listen on {where}: {ex.strerror}; take another port") from ex

    app.router.lifespan_context = partial(_running, host, where, shared)


@asynccontextmanager
async def _running(host: str, where: str, shared: bool, app: App) -> AsyncIterator[None]:
    options = [(f"grpc.max_{way}_message_length", MANY_LIMIT) for way in ("receive", "send")]
    options += [("grpc.so_reuseport", int(shared))]
    server, state = grpc.aio.server(options=options), health.aio.HealthServicer()
    server.add_generic_rpc_handlers((_handlers(app),))
    health_pb2_grpc.add_HealthServicer_to_server(state, server)
    reflection.enable_server_reflection((SERVICE.full_name, health.SERVICE_NAME, reflection.SERVICE_NAME), server)
    app.state.grpc = server.add_insecure_port(where)
    await server.start()
    print(f"rtml: gRPC on {host}:{app.state.grpc}", file=sys.stderr, flush=True)
    watch = asyncio.create_task(_watched(app, state))
    try:
        yield
    finally:
        watch.cancel()
        await state.enter_graceful_shutdown()
        await server.stop(_GRACE_S)


def stub(channel: grpc.Channel) -> dict[str, Callable]:
    """The calls of a client by name, for a Python program without generated code.

    Examples
    --------
    >>> with grpc.insecure_channel("127.0.0.1:9000") as channel:
    ...     sorted(stub(channel))
    ['Answer', 'Follow', 'Predict', 'PredictMany', 'PredictTable']
    """
    calls: dict[str, Callable] = {}
    for method in SERVICE.methods:
        kind = channel.unary_stream if method.server_streaming else channel.unary_unary
        takes, gives = GetMessageClass(method.input_type), GetMessageClass(method.output_type)
        path = f"/{SERVICE.full_name}/{method.name}"
        calls[method.name] = kind(
            path, request_serializer=takes.SerializeToString, response_deserializer=gives.FromString
        )
    return calls


def _handlers(app: App) -> grpc.GenericRpcHandler:
    """What the server does for each method of the service."""
    does = {"Predict": _predict, "PredictMany": _many, "PredictTable": _table, "Answer": _answer, "Follow": _follow}
    handlers = {}
    for method in SERVICE.methods:
        gives = GetMessageClass(method.output_type)
        kind = grpc.unary_stream_rpc_method_handler if method.server_streaming else grpc.unary_unary_rpc_method_handler
        act = partial(does[method.name], app, gives)
        handlers[method.name] = kind(act, GetMessageClass(method.input_type).FromString, gives.SerializeToString)
    return grpc.method_handlers_generic_handler(SERVICE.full_name, handlers)


async def _predict(app: App, gives: type, request: Any, context: Any) -> Any:
    return ParseDict(json.loads(await _asked(app, context, "/predict", _json(request))), gives())


async def _many(app: App, gives: type, request: Any, context: Any) -> Any:
    body = b"[%s]" % b",".join(_json(one) for one in request.requests)
    told = json.loads(await _asked(app, context, "/predict", body))
    return ParseDict({"results": [{"refusal" if "error" in one else "prediction": one} for one in told]}, gives())


async def _table(app: App, gives: type, request: Any, context: Any) -> Any:
    return gives(arrow=await _asked(app, context, "/predict", request.arrow))


async def _answer(app: App, gives: type, request: Any, context: Any) -> Any:
    return ParseDict(json.loads(await _asked(app, context, "/answers", _json(request))), gives())


async def _follow(app: App, gives: type, request: Any, context: Any) -> AsyncIterator[Any]:
    """The stream of the page: server-sent events, a message each; a client that is slow holds up itself alone."""
    query = b"after=%d" % request.after if request.HasField("after") else b""
    stream = _Streamed()
    asking = asyncio.create_task(stream.ask(app, _scope(context, "GET", "/predictions/stream", query)))
    try:
        while (chunk := await stream.chunks.get()) is not None:
            for event in _events(chunk):
                yield ParseDict(event, gives())
    finally:
        asking.cancel()
        with suppress(asyncio.CancelledError):
            await asking
    if stream.status != 200:
        await _abort(context, stream.status, stream.refused)


class _Streamed:
    """What the app sends of a stream, a chunk at a time."""

    def __init__(self) -> None:
        self.chunks: asyncio.Queue[bytes | None] = asyncio.Queue(1)
        self.status, self.refused = 200, b""

    async def ask(self, app: App, scope: dict) -> None:
        await app(scope, _never_left, self._send)
        await self.chunks.put(None)

    async def _send(self, message: dict) -> None:
        self.status = message.get("status", self.status)
        if self.status != 200:
            self.refused += message.get("body", b"")
        elif message.get("body"):
            await self.chunks.put(message["body"])


def _events(chunk: bytes) -> list[dict]:
    """Server-sent events, each a dict with kind, id where there is one, and data."""
    found = []
    for block in chunk.split(b"\n\n"):
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if b": " in line)
        if b"data" in lines:
            id = {"id": int(lines[b"id"])} if b"id" in lines else {}
            found.append({"kind": lines[b"event"].decode(), "data": json.loads(lines[b"data"]), **id})
    return found


async def _asked(app: App, context: Any, path: str, body: bytes) -> bytes:
    """What the app answers to a POST; a refusal ends the call."""
    status, said = await _answered(app, _scope(context, "POST", path), body)
    if status != 200:
        await _abort(context, status, said)
    return said


async def _answered(app: App, scope: dict, body: bytes = b"") -> tuple[int, bytes]:
    found, said = [500], []

    async def receive() -> dict:
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message: dict) -> None:
        found[0] = message.get("status", found[0])
        said.append(message.get("body", b""))

    await app(scope, receive, send)
    return found[0], b"".join(said)


async def _abort(context: Any, status: int, body: bytes) -> None:
    refusal = json.loads(body)
    unknown = status == 422 and refusal.get("field") in ("key", "symbol") and refusal["rule"].startswith(_ONE)
    code = grpc.StatusCode[_CODES.get(404 if unknown else status, "INTERNAL")]
    await context.abort(code, refusal["error"], trailing_metadata=((REFUSAL, body),))


def _scope(context: Any, method: str, path: str, query: bytes = b"") -> dict:
    """The request as the app takes one; of what came with the call only the authorization counts."""
    sent = {} if context is None else dict(context.invocation_metadata())
    headers = [(b"authorization", sent["authorization"].encode())] if "authorization" in sent else []
    about = {"type": "http", "asgi": {"version": "3.0"}, "http_version": "2", "scheme": "http", "root_path": ""}
    where = {"method": method, "path": path, "raw_path": path.encode(), "query_string": query, "headers": headers}
    return about | where | {"server": None, "client": None, "state": {}}


def _json(message: Any) -> bytes:
    return json.dumps(MessageToDict(message, preserving_proto_field_name=True)).encode()


async def _never_left() -> dict:
    """Wait until this is cancelled: who leaves a call cancels it."""
    await asyncio.Event().wait()
    return {"type": "http.disconnect"}


async def _watched(app: App, state: Any) -> None:
    """Say for ever whether the app can answer."""
    words = health_pb2.HealthCheckResponse
    while True:
        status, _ = await _answered(app, _scope(None, "GET", "/health"))
        for name in ("", SERVICE.full_name):
            await state.set(name, words.SERVING if status == 200 else words.NOT_SERVING)
        await asyncio.sleep(_HEALTH_S)
