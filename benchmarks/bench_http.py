"""CPU microseconds a request of the server, at 64 connections: our hot route beside a plain FastAPI route.

    python benchmarks/bench_http.py [REQUESTS]

Servers and load run in processes of their own; only the server's CPU time is counted (all its threads, the
prediction log included), so that a busy machine changes little. The same service, compiled model, log and
uvicorn settings stand behind both routes; the floor is the same uvicorn with an app that answers fixed bytes.
The servers take turns, and the best of three turns counts.
"""

import asyncio
import json
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import numpy as np

CONNECTIONS = 64
NAMES = tuple(f"feature_{i}" for i in range(20))
ASKED = {
    "by key": {"key": "ETH-USD"},
    "20 features": {"key": "ETH-USD", "features": {name: 0.1 * i for i, name in enumerate(NAMES)}},
}


def main(requests: int = 15_000) -> list[dict]:
    """Measure every server with every body; one row a body, microseconds a request."""
    table = []
    with ExitStack() as stack:
        servers = {kind: stack.enter_context(Server(kind)) for kind in ("floor", "ours", "fastapi")}
        for asked, body in ASKED.items():
            turns = [{kind: server.cost(body, requests) for kind, server in servers.items()} for _ in range(3)]
            row = {kind: min(turn[kind] for turn in turns) for kind in servers}
            rate = servers["ours"].rate
            table.append({"asked": asked, **row, "ratio": row["fastapi"] / row["ours"], "rate": rate})
            print(
                f"{asked:12} CPU us a request: uvicorn alone {row['floor']:5.1f}   ours {row['ours']:5.1f}   "
                f"plain FastAPI + pydantic {row['fastapi']:6.1f}   ratio {table[-1]['ratio']:.1f}   "
                f"{rate:,.0f} requests/s sustained with the load on the same machine",
                flush=True,
            )
    return table


class Server:
    """A server in a process of its own, that tells its CPU time."""

    def __init__(self, kind: str) -> None:
        command = [sys.executable, __file__, "--server", kind]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._port = int(self._process.stdout.readline())

    def cost(self, body: dict, requests: int) -> float:
        """CPU microseconds of one request, after a tenth of the requests to warm up."""
        asyncio.run(load(self._port, body, requests // 10))
        before, began = self._cpu(), time.perf_counter()
        asyncio.run(load(self._port, body, requests))
        self.rate = requests / (time.perf_counter() - began)  #: requests a second of the last turn
        return (self._cpu() - before) / requests * 1e6

    def _cpu(self) -> float:
        self._process.stdin.write("cpu\n")
        self._process.stdin.flush()
        return float(self._process.stdout.readline())

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.communicate()  # ends stdin, and with it the server


async def load(port: int, body: dict, requests: int) -> None:
    """Keep the connections asking until all requests are answered with 200."""
    payload = json.dumps(body).encode()
    head = f"POST /predict HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\n"
    request = f"{head}content-length: {len(payload)}\r\n\r\n".encode() + payload
    loop, done = asyncio.get_running_loop(), asyncio.Event()
    left = [requests]
    asking = [
        await loop.create_connection(lambda: Asking(request, left, done), "127.0.0.1", port) for _ in range(CONNECTIONS)
    ]
    await done.wait()
    for transport, _ in asking:
        transport.close()
    if wrong := [protocol.wrong for _, protocol in asking if protocol.wrong]:
        raise RuntimeError(f"{len(wrong)} connections got something else than 200: {wrong[0]!r}")


class Asking(asyncio.Protocol):
    """One connection that asks again as soon as it is answered."""

    def __init__(self, request: bytes, left: list[int], done: asyncio.Event) -> None:
        self._request, self._left, self._done = request, left, done
        self._got, self.wrong = b"", b""

    def connection_made(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._ask()

    def data_received(self, data: bytes) -> None:
        self._got += data
        head, split, body = self._got.partition(b"\r\n\r\n")
        if not split or len(body) < int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]):
            return
        if not head.startswith(b"HTTP/1.1 200"):
            self.wrong = self._got
        self._got = b""
        self._ask()

    def _ask(self) -> None:
        self._left[0] -= 1
        if self._left[0] >= 0:
            self._transport.write(self._request)
        elif self._left[0] <= -CONNECTIONS:
            self._done.set()


def serve(kind: str) -> None:
    """Run one server until stdin ends; tell its CPU time when asked."""
    from river import linear_model, preprocessing

    from rtml.core.target import Target
    from rtml.models.compiled import compile
    from rtml.serving.endpoint import Endpoint
    from rtml.serving.service import Service
    from rtml.serving.snapshot import Question, Snapshot

    model = compile(preprocessing.StandardScaler() | linear_model.LinearRegression(), NAMES)
    for x in np.random.default_rng(7).normal(size=(500, len(NAMES))):
        model.learn(x, x[0] - x[1])
    with tempfile.TemporaryDirectory() as folder:
        service = Service(Path(folder) / "predictions.sqlite")
        targets, x = (Target("return", unit="bp"),), np.linspace(-1, 1, len(NAMES))
        service.publish(Snapshot("v1", lambda: (0, {"return": model}), NAMES, ("ETH-USD",), targets, 10 * 10**9, 0))
        question = Question("v1", 0, 1, "ETH-USD", time.time_ns(), x.tobytes(), 10 * 10**9)
        question.answered(targets, service.snapshot.predict(x), {"return": (-1.0, 1.0)})
        service.answered(question)
        with Endpoint(APPS[kind](service)) as endpoint:
            print(endpoint.url.rpartition(":")[2], flush=True)
            for _ in sys.stdin:
                service.log.flush()
                print(time.process_time(), flush=True)
        service.close()


def ours(service):
    """The app of rtml."""
    from rtml.serving.app import make_app

    return make_app(service)


def fastapi(service):
    """The same as one would write it with FastAPI and pydantic."""
    from fastapi import FastAPI, HTTPException
    from pydantic import BaseModel, ConfigDict

    from rtml.serving.schemas import PredictRequest, Refused

    class Request(BaseModel):
        model_config = ConfigDict(extra="forbid", strict=True)
        key: str | None = None
        features: dict[str, float] | None = None

    class Response(BaseModel):
        prediction_id: str
        key: str
        predictions: dict[str, dict[str, float | str]]
        version: str
        offset: int
        question: int | None
        features_at: str
        age_ms: float
        horizon_s: float
        due_at: str

    app = FastAPI()

    @app.post("/predict")
    async def predict(request: Request) -> Response:
        try:
            given = service.ask(PredictRequest(request.key, features=request.features))
        except Refused as ex:
            raise HTTPException(ex.status, str(ex)) from ex
        about = {name: getattr(given, name) for name in Response.model_fields}
        return Response(**about | {"predictions": given.answers()})

    return app


def floor(service):
    """What uvicorn alone costs: fixed bytes, the body not looked at."""
    start = {"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]}

    async def app(scope, receive, send) -> None:
        if scope["type"] == "http":
            await receive()
            await send(start)
            await send({"type": "http.response.body", "body": b"ok"})

    return app


APPS = {"ours": ours, "fastapi": fastapi, "floor": floor}

if __name__ == "__main__":
    if sys.argv[1:2] == ["--server"]:
        serve(sys.argv[2])
    else:
        main(*map(int, sys.argv[1:2]))
