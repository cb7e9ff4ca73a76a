"""Hot routes are answered at once, with the very bytes of the long way through ASGI, in order, whatever comes."""

from __future__ import annotations

import os
import re
import socket
import time
from contextlib import ExitStack, closing
from types import SimpleNamespace

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from published import ask, snapshot

from rtml.core.clock import Clock
from rtml.serving import connections
from rtml.serving.app import App, make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import Service
from rtml.store.prediction_log import LogUnavailable

EXAMPLES = 20_000 if os.environ.get("RTML_DEEP") else 40
OWN = b'{"key":"BTC-USD","features":{"imbalance_60s":-1,"return_1":0.5}}'
BODIES = (
    b'{"key":"ETH-USD"}',
    OWN,
    b"{}",
    b"",
    b"{",
    b"[]",
    b"[" + OWN + b"]",
    b'{"key":"?"}',
    b'{"features":{"a":1}}',
)
ODD = (b"\xff\xfe", b"ARROW1", b"\xff\xff\xff\xff" + b"x" * 20, b" " * 70_000, b'{"key":"' + b"y" * 66_000 + b'"}')
LAST = b"GET /nothing HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
BROKEN = (
    b"\x16\x03\x01\x02\x00",
    b"GET\r\n\r\n",
    b"BREW / HTCPCP/1.0\r\n\r\n",
    b"POST /predict HTTP/1.1\r\nbad head\r\n\r\n",
)


class Fixed(Clock):
    """A clock that stands."""

    def now(self) -> int:
        return 1_700_000_000 * 10**9

    def elapsed(self) -> int:
        return 5


def long_way(app):
    """The same app, of which the connection sees nothing but its ASGI side."""

    async def asgi(scope, receive, send) -> None:
        await app(scope, receive, send)

    return asgi


@pytest.fixture(scope="module")
def pair():
    with ExitStack() as stack:
        found = []
        for way in (lambda app: app, long_way):
            service = stack.enter_context(closing(Service(clock=Fixed())))
            service.publish(snapshot())
            ask(service, Fixed().now(), [3.0, 0.5])
            app = make_app(service, access=Access("a-secret-of-sixteen"))
            endpoint = stack.enter_context(Endpoint(way(app)))
            port = int(endpoint.url.rpartition(":")[2])
            found.append(SimpleNamespace(service=service, app=app, port=port, endpoint=endpoint))
        yield found


def request(method: bytes, target: bytes, headers: list[bytes], body: bytes, cut: int = 0) -> bytes:
    """A request; with ``cut`` its body is chunked, in pieces of that size."""
    head = [b"%b %b HTTP/1.1" % (method, target), *headers]
    if cut:
        head.append(b"transfer-encoding: chunked")
        pieces = [body[k : k + cut] for k in range(0, len(body), cut)]
        body = b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"
    elif body or method == b"POST":
        head.append(b"content-length: %d" % len(body))
    return b"\r\n".join(head) + b"\r\n\r\n" + body


hosts = st.sampled_from([b"host: localhost"] * 6 + [b"host: evil.example", b"host: 127.0.0.1:80", b"x: no host"])
extras = st.lists(
    st.sampled_from(
        [b"origin: http://evil.example", b"origin: http://localhost", b"sec-fetch-site: cross-site",
         b"expect: 100-continue", b"connection: keep-alive", b"x: " + b"y" * 3000, b"X-Odd: \xe9",
         b"authorization: Bearer a-secret-of-sixteen"]
    ),
    max_size=2,
)  # fmt: skip
targets = st.sampled_from(
    (
        "/predict "
        * 5
        + "/predict?key=ETH-USD /predict?key=? /predict?a=1 /predict#x /predict?key=a#b /%70redict /predict/ "
        "http://localhost/predict /answers /nothing"
    )
    .encode()
    .split()
)
requests = st.builds(
    request,
    st.sampled_from([b"POST"] * 4 + [b"GET", b"GET", b"HEAD", b"PUT"]),
    targets,
    st.tuples(hosts, extras).map(lambda pair: [pair[0], *pair[1]]),
    st.sampled_from(BODIES * 2 + ODD) | st.binary(max_size=30),
    st.sampled_from([0, 0, 0, 1000, 3, 70_000]),
)


def answered(port: int, pieces: list[bytes], wait: bool = False) -> bytes:
    """All that comes back for pieces sent one behind the other; with ``wait`` each after the answer to the last."""
    got = b""
    with closing(socket.create_connection(("127.0.0.1", port), timeout=20)) as client:
        try:
            for piece in pieces:
                client.sendall(piece)
                got += one(client, piece[:4] == b"HEAD") if wait else b""
            while data := client.recv(1 << 16):
                got += data
        except (BrokenPipeError, ConnectionResetError):  # it was closed behind a refusal
            while data := peeked(client):
                got += data
    return re.sub(rb"date: [^\r]*", b"date: now", got)


def peeked(client: socket.socket) -> bytes:
    try:
        return client.recv(1 << 16)
    except ConnectionResetError:
        return b""


def one(client: socket.socket, bare: bool) -> bytes:
    """One answer, with what comes before it where the client said that it expects that."""
    got = b""
    while data := client.recv(1 << 16):
        got += data
        head, split, rest = got.removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n").partition(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", head)
        if split and (bare or (length and len(rest) >= int(length[1])) or rest.endswith(b"0\r\n\r\n")):
            break
    return got


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(requests, max_size=5), st.sampled_from([b"", *BROKEN]), st.lists(st.integers(1, 4000), max_size=4))
@example([request(b"POST", b"/predict", [b"host: localhost"], OWN)] * 5, BROKEN[1], [90])
@example([request(b"POST", b"/predict", [b"host: localhost", b"expect: 100-continue"], OWN, 7)] * 2, b"", [])
@example([request(b"POST", b"/predict", [b"host: localhost"], body, 9000) for body in ODD], b"", [50, 3000])
def test_any_requests_get_the_bytes_of_the_long_way(pair, asked, broken, cuts):
    direct, reference = _level(pair)
    stream, pieces = b"".join(asked) + LAST, []
    for cut in cuts:
        pieces.append(stream[:cut])
        stream = stream[cut:]
    # uvicorn refuses at once what it cannot read, before earlier requests are answered: these go first
    sent = [*asked, broken] if broken else [*pieces, stream]
    told = answered(direct.port, sent, wait=bool(broken))
    assert told == answered(reference.port, [*asked, broken or LAST], wait=True)
    assert told.count(b"HTTP/1.1 ") >= 1


def _level(pair) -> list:
    """Both, giving the same numbers to their next predictions."""
    numbers = [_number(one) for one in pair]
    while numbers[0] != numbers[1]:
        behind = numbers.index(min(numbers))
        numbers[behind] = _number(pair[behind])
    return pair


def _number(one) -> int:
    return int(one.service.predict("ETH-USD").prediction_id.partition("-")[2])


def test_an_upgrade_gets_the_bytes_of_the_long_way(pair):
    asked = request(b"POST", b"/predict", [b"host: localhost", b"connection: upgrade", b"upgrade: websocket"], OWN)
    direct, reference = (answered(one.port, [asked, LAST], wait=True) for one in _level(pair))
    assert direct == reference and direct.count(b"HTTP/1.1 ") == 2


def test_most_of_these_are_answered_at_once(pair, monkeypatch):
    given, answer = [], App.answer
    monkeypatch.setattr(App, "answer", lambda app, *about: (given.append(about[1]), answer(app, *about))[1])
    asked = [request(b"POST", b"/predict", [b"host: localhost"], body, cut) for body in BODIES[:6] for cut in (0, 3)]
    asked.insert(0, request(b"GET", b"/predict?key=ETH-USD", [b"host: 127.0.0.1:80"], b""))
    answered(pair[0].port, [b"".join(asked) + LAST])
    assert given == [b"GET"] + [b"POST"] * 10, "a list of rows goes the long way, all others do not"


def test_what_fails_here_is_said_alike_and_counted_alike(pair, monkeypatch):
    asked = [request(b"POST", b"/predict", [b"host: localhost"], BODIES[0])] * 3 + [LAST]

    def counted() -> list[bytes]:
        texts = [one.app.counters.text() for one in pair]
        return [[line for line in text.splitlines() if b"/predict" in line and b"_requests" in line] for text in texts]

    for error in (RuntimeError("a secret path"), LogUnavailable("the log is full")):
        for one in pair:
            monkeypatch.setattr(one.service.log, "append", _raising(error))
        told = [answered(one.port, [b"".join(asked)]) for one in pair]
        assert told[0] == told[1] and told[0].count(b"internal error" if "path" in str(error) else b"log is full") == 3
    before = counted()
    [answered(one.port, [b"".join(asked)]) for one in pair]
    assert counted()[0] != before[0] and len(counted()[0]) > 0


def _raising(error: Exception):
    def append(*_, **__):
        raise error

    return append


def test_a_slow_request_ends_alike_also_behind_an_answer(pair, monkeypatch):
    monkeypatch.setattr(connections, "WHOLE_S", 0.3)
    whole = request(b"POST", b"/predict", [b"host: localhost"], OWN)
    for slow in (whole[:20], whole[:-5]):
        told = [answered(one.port, [whole, slow]) for one in _level(pair)]
        assert told[0] == told[1] and b"408 Request Timeout" in told[0] and told[0].startswith(b"HTTP/1.1 200")


def test_a_connection_at_rest_is_closed_and_one_at_work_is_not(pair):
    whole = request(b"POST", b"/predict", [b"host: localhost"], OWN)
    config = pair[0].endpoint._server.config
    before, config.timeout_keep_alive = config.timeout_keep_alive, 0.3
    try:
        with closing(socket.create_connection(("127.0.0.1", pair[0].port), timeout=20)) as client:
            for _ in range(4):
                client.sendall(whole)
                assert one(client, False).startswith(b"HTTP/1.1 200")
                time.sleep(0.15)
            client.sendall(whole[:-5])
            time.sleep(0.6)
            client.sendall(whole[-5:])
            assert one(client, False).startswith(b"HTTP/1.1 200") and client.recv(1) == b""
    finally:
        config.timeout_keep_alive = before


def test_a_client_that_does_not_read_fills_no_memory_and_gets_every_answer_in_order(pair):
    asked = [request(b"GET", b"/predict?key=ETH-USD", [b"host: localhost"], b"")] * 40_000
    with closing(socket.create_connection(("127.0.0.1", pair[0].port), timeout=20)) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 18)
        client.settimeout(0.5)
        sent, stream = 0, b"".join(asked) + LAST
        while sent < len(stream):
            try:
                sent += client.send(stream[sent:])
            except TimeoutError:
                break
        waiting = max(
            one.transport.get_write_buffer_size() for one in pair[0].endpoint._server.server_state.connections
        )
        assert 0 < waiting < 256 * 1024
        client.settimeout(20)
        got = b""
        while data := client.recv(1 << 20):
            got += data
            sent += client.send(stream[sent : sent + 50_000]) if sent < len(stream) else 0
    ids = re.findall(rb'"prediction_id":"\d+-(\d+)"', got)
    assert len(ids) == 40_000 and [int(id) for id in ids] == sorted(int(id) for id in ids)


def test_a_request_whose_body_comes_is_answered_though_the_server_stops():
    with closing(Service(clock=Fixed())) as service:
        service.publish(snapshot())
        endpoint = Endpoint(make_app(service))
        whole = request(b"POST", b"/predict", [b"host: localhost"], OWN)
        with closing(
            socket.create_connection(("127.0.0.1", int(endpoint.url.rpartition(":")[2])), timeout=20)
        ) as client:
            client.sendall(whole[:-5])
            time.sleep(0.1)
            endpoint._server.should_exit = True
            time.sleep(0.15)
            client.sendall(whole[-5:])
            got = one(client, False)
        endpoint.stop()
    assert got.startswith(b"HTTP/1.1 200") and b"connection: close" in got
