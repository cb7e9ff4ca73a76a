"""The endpoint starts, says why when it cannot, and stops quickly whatever its clients do."""

from __future__ import annotations

import asyncio
import signal
import socket
import statistics
import subprocess
import sys
import time
from contextlib import asynccontextmanager, closing, suppress

import httpx
import pytest
from fastapi import FastAPI

from rtml.serving import connections
from rtml.serving.endpoint import Endpoint

LIMITS = """
import json, resource, socket, sys, time, httpx
resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))
from rtml.serving.connections import most
from rtml.serving.endpoint import Endpoint

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

with Endpoint(app) as endpoint:
    print(endpoint.url, most(), flush=True)
    sys.stdin.read()
"""
GARBAGE = (b"\x16\x03\x01\x02\x00", b"GET\r\n\r\n", b"BREW / HTCPCP/1.0\r\n\r\n", b"\0" * 70_000)
FOREGROUND = """
from rtml.serving.endpoint import serve_forever

async def app(scope, receive, send):
    await receive()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})

serve_forever(app, port=0, started=lambda line: print(line, flush=True))
print("closed", flush=True)
"""


async def hello(scope, receive, send) -> None:
    """Answers every request, at /endless without end."""
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    while scope["path"] == "/endless":
        await send({"type": "http.response.body", "body": b"more", "more_body": True})
        await asyncio.sleep(0.01)
    body = (await receive())["body"] if scope["method"] == "POST" else b"hello"
    await send({"type": "http.response.body", "body": body})


def connected(url: str, request: bytes = b"") -> socket.socket:
    host, _, port = url.removeprefix("http://").partition(":")
    client = socket.create_connection((host, int(port)), timeout=5)
    client.sendall(request)
    return client


def said_to(url: str, request: bytes) -> bytes:
    with closing(connected(url, request)) as client:
        return client.recv(4096)


def seconds_to_stop(endpoint: Endpoint) -> float:
    started = time.monotonic()
    endpoint.stop()
    return time.monotonic() - started


def test_it_answers_and_frees_its_port():
    with Endpoint(hello) as endpoint:
        assert httpx.get(endpoint.url).text == "hello"
    port = int(endpoint.url.rpartition(":")[2])
    with pytest.raises(httpx.ConnectError):
        httpx.get(endpoint.url)
    with Endpoint(hello, port=port) as again:
        assert again.url == endpoint.url


def test_it_stops_when_its_block_fails():
    with pytest.raises(ZeroDivisionError), Endpoint(hello) as endpoint:
        1 / 0  # noqa: B018
    assert not endpoint._thread.is_alive()


def test_stopping_twice_does_nothing():
    endpoint = Endpoint(hello)
    endpoint.stop()
    endpoint.stop()


def test_a_taken_port_is_said():
    with Endpoint(hello) as endpoint:
        port = int(endpoint.url.rpartition(":")[2])
        says = rf"did not start on 127\.0\.0\.1:{port}: Address already in use; stop what listens there"
        with pytest.raises(RuntimeError, match=says):
            Endpoint(hello, port=port)


def test_an_app_that_fails_while_starting_is_said():
    @asynccontextmanager
    async def fails(app):
        raise OSError("no disk")
        yield

    with pytest.raises(RuntimeError, match="the app failed while starting"):
        Endpoint(FastAPI(lifespan=fails))


def test_a_start_that_takes_too_long_is_said():
    @asynccontextmanager
    async def slow(app):
        await asyncio.sleep(0.5)
        yield

    with pytest.raises(TimeoutError, match=r"not up after 0\.05 s"):
        Endpoint(FastAPI(lifespan=slow), start_timeout_s=0.05)


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"",
        b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET /endless HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf",
        b"POST / HTTP/1.1\r\nhost: localhost\r\nconte",
    ],
    ids=["silent", "idle", "endless answer", "half a body", "half a head"],
)
def test_it_stops_within_a_second_with_a_client_that_is(request_bytes):
    endpoint = Endpoint(hello)
    with closing(connected(endpoint.url, request_bytes)):
        time.sleep(0.05)
        assert seconds_to_stop(endpoint) < 1.0


def test_the_next_client_is_served_after_garbage():
    with Endpoint(hello) as endpoint:
        for garbage in GARBAGE:
            assert said_to(endpoint.url, garbage).startswith(b"HTTP/1.1 400")
        assert httpx.get(endpoint.url).text == "hello"


def test_no_request_waits_for_a_delayed_acknowledgement():
    with Endpoint(hello) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        took = []
        for _ in range(30):
            started = time.perf_counter()
            client.post("/", content=b"ping")
            took.append(time.perf_counter() - started)
    assert statistics.median(took) < 0.02, took


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_in_the_foreground_it_ends_cleanly_on(number):
    command = [sys.executable, "-c", FOREGROUND]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as server:
        url = server.stdout.readline().split()[2]
        assert httpx.get(url).text == "ok"
        for garbage in GARBAGE:  # nothing of it is printed
            assert said_to(url, garbage).startswith(b"HTTP/1.1 400")
        server.send_signal(number)
        out, error = server.communicate(timeout=5)
    assert (out, error, server.returncode) == ("closed\n", "", 0)


def test_idle_connections_beyond_the_cap_make_room_for_those_who_ask():
    server = subprocess.Popen([sys.executable, "-c", LIMITS], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        url, cap = server.stdout.readline().split()
        idle = [connected(url) for _ in range(3 * int(cap))]
        assert int(cap) == 128
        for _ in range(20):
            assert httpx.get(url, timeout=5).text == "ok"
        for client in idle:
            client.close()
        assert httpx.get(url, timeout=5).text == "ok"
    finally:
        server.stdin.close()
        assert server.wait(20) == 0
        server.stdout.close()


def test_an_endless_header_is_refused_and_a_slow_one_ends(monkeypatch):
    monkeypatch.setattr(connections, "WHOLE_S", 0.5)
    with Endpoint(hello) as endpoint:
        for request in (b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 70_000, b"GET /" + b"a" * 70_000):
            with closing(connected(endpoint.url, request)) as client:
                assert client.recv(4096).startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))
        whole = b"GET / HTTP/1.1\r\nhost: localhost\r\nx: " + b"a" * 66_000 + b"\r\n\r\n"
        assert said_to(endpoint.url, whole).startswith(b"HTTP/1.1 431")
        half = b"POST / HTTP/1.1\r\nhost: localhost\r\ncontent-length: 9\r\n\r\n"
        with closing(connected(endpoint.url, half)) as client, suppress(ConnectionError):
            while client.recv(4096):  # the answer has begun, and ends
                pass
        for request in (b"", b"GET / HTTP/1.1\r\nhost"):
            assert said_to(endpoint.url, request).startswith(b"HTTP/1.1 408"), request
        with closing(connected(endpoint.url)) as client:
            for _ in range(3):
                client.sendall(b"GET / HTTP/1.1\r\nhost: localhost\r\n\r\n")
                assert client.recv(4096).startswith(b"HTTP/1.1 200")
                time.sleep(0.6)
