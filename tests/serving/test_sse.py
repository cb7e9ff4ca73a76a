"""The stream: every client gets each event once, in order, after a break too, and none of them holds up the rest."""

from __future__ import annotations

import asyncio
import json
import socket
import threading
import time
from contextlib import closing, contextmanager

import httpx
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from rtml.serving.app import FULL, make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import Service
from rtml.serving.sse import CLIENTS, Stream


@pytest.fixture
def service():
    with closing(Service()) as service:
        yield service


@pytest.fixture
def url(service):
    with Endpoint(make_app(service)) as endpoint:
        yield endpoint.url


def asked(stream: Stream, ids) -> None:
    for id in ids:
        stream.publish(id, "question", {"at": id})


@contextmanager
def listening(url: str, after: int | None = None, **headers: str):
    """Events of an open stream as ``(event, id, data)``, and the client that reads it."""
    query = {} if after is None else {"after": after}
    client = httpx.stream("GET", f"{url}/predictions/stream", params=query, headers=headers, timeout=30)
    with client as response:
        assert response.status_code == 200 and response.headers["content-type"] == "text/event-stream"
        yield events(response.iter_lines())


def events(lines):
    fields = {}
    for line in lines:
        if line:
            name, _, value = line.partition(":")
            fields[name] = value.strip()
        else:
            if "data" in fields:
                yield fields.get("event"), fields.get("id"), json.loads(fields["data"])
            fields = {}


def opened(service: Service, n: int) -> None:
    while service.stream.clients < n:
        time.sleep(0.002)


def test_what_is_published_arrives_in_order_under_the_id_of_its_question(service, url):
    with listening(url) as told:
        opened(service, 1)
        threads = [threading.Thread(target=asked, args=(service.stream, range(n, 100, 2))) for n in (0, 1)]
        for thread in threads:
            thread.start()
        got = [next(told) for _ in range(100)]
        for thread in threads:
            thread.join()
    assert sorted(data["at"] for _, _, data in got) == list(range(100))
    assert all(kind == "question" and id == str(data["at"]) for kind, id, data in got)
    for n in (0, 1):
        assert [data["at"] for *_, data in got if data["at"] % 2 == n] == list(range(n, 100, 2))


def test_a_client_that_comes_back_gets_what_it_missed_and_the_newest_status(service, url):
    asked(service.stream, range(10, 60, 10))
    service.stream.publish(1, "status", {"state": "starting"})
    service.stream.publish(2, "status", {"state": "live"})
    with listening(url, **{"last-event-id": "30"}) as told:
        assert [next(told) for _ in range(3)] == [
            ("status", None, {"state": "live"}),
            ("question", "40", {"at": 40}),
            ("question", "50", {"at": 50}),
        ]
    with listening(url, after=30, **{"last-event-id": "40"}) as told:
        assert [next(told)[2] for _ in range(2)] == [{"state": "live"}, {"at": 50}], "the browser's id is newer"
    with listening(url, after=45) as told:
        assert [next(told)[2] for _ in range(2)] == [{"state": "live"}, {"at": 50}], "an id that the ring lost"


@given(kept=st.integers(1, 8), ids=st.lists(st.integers(0, 5), max_size=12), data=st.data())
def test_after_any_break_each_question_that_is_kept_comes_once(kept, ids, data):
    stream = Stream(kept)
    asked(stream, ids := sorted(set(ids)))
    seen = data.draw(st.integers(0, len(ids)))
    after = ids[seen - 1] if seen else -1

    async def first() -> bytes:
        return await stream.open(after).next(1.0)

    text = asyncio.run(first()).decode().splitlines()
    assert [int(line[4:]) for line in text if line.startswith("id: ")] == [id for id in ids[-kept:] if id > after]


def test_ids_that_start_again_are_resumed_by_their_place(service):
    asked(service.stream, [10, 20, 30, 10, 20])

    async def first() -> bytes:
        return await service.stream.open(10).next(1.0)

    assert asyncio.run(first()).count(b"id: 20\n") == 1


def test_a_slow_client_is_dropped_and_the_others_miss_nothing(service, url):
    """One client never reads: once the sockets are full and its queue too, it is let go."""
    host, port = url.removeprefix("http://").split(":")
    with closing(socket.create_connection((host, int(port)))) as slow, listening(url) as told:
        slow.sendall(b"GET /predictions/stream HTTP/1.1\r\nhost: localhost\r\n\r\n")
        opened(service, 2)
        for id in range(100_000):
            service.stream.publish(id, "question", {"at": id, "much": "x" * 20_000})
            assert next(told)[2]["at"] == id
            if service.stream.dropped:
                break
        assert (service.stream.dropped, service.stream.clients) == (1, 1)
        asked(service.stream, [id + 1])
        assert next(told)[2] == {"at": id + 1}
        slow.settimeout(20)
        while slow.recv(2**20):  # what had gone out already, then the end: it comes back and resumes
            pass


def test_a_publisher_waits_for_nobody():
    stream = Stream(backlog=4)

    async def never_read() -> None:
        for _ in range(3):
            stream.open()
        asked(stream, range(100))  # the loop is not given a chance to send

    asyncio.run(never_read())
    assert (stream.clients, stream.dropped) == (0, 3)
    asked(stream, [100])  # the loop of the clients is closed


def test_a_client_that_leaves_is_forgotten(service, url):
    with listening(url):
        opened(service, 1)
    while service.stream.clients:
        time.sleep(0.002)
    assert service.stream.dropped == 0


def test_silence_is_filled_with_comments():
    stream = Stream()

    async def wait() -> tuple:
        client = stream.open()
        return await client.next(1.0), await client.next(0.001)

    assert asyncio.run(wait()) == (b"", b": still here\n\n")


def test_open_streams_end_before_the_server_stops(service):
    with Endpoint(make_app(service)) as endpoint, listening(endpoint.url) as told:
        opened(service, 1)
        asked(service.stream, [1])
        endpoint.stop()
        assert [data for *_, data in told] == [{"at": 1}], "ended by the server, whole"
    assert service.stream.clients == 0
    asked(service.stream, [2])


def test_a_page_starts_with_the_newest_questions_and_the_status(service, url):
    assert httpx.get(f"{url}/questions").json() == {"questions": [], "status": None}
    asked(service.stream, range(5))
    service.stream.publish(7, "status", {"state": "live"})
    given = httpx.get(f"{url}/questions?n=2").json()
    assert given == {"questions": [{"at": 3}, {"at": 4}], "status": {"state": "live"}}
    assert httpx.get(f"{url}/questions?n=0").json()["questions"] == []


@pytest.mark.parametrize("query", ["n=-1", "n=1001", "n=x", "n=1&n=2", "m=1", "n=", "n=%ff", "n=" + "9" * 50, "n=٣"])
def test_a_bad_number_of_questions_is_refused(url, query):
    refused = httpx.get(f"{url}/questions?{query}")
    assert refused.status_code == 422 and {"error", "field", "rule", "got"} == set(refused.json())


def test_a_bad_place_to_resume_from_is_refused(url):
    for query in ("after=x", "after=-1", "since=3", "after=9223372036854775808"):
        assert httpx.get(f"{url}/predictions/stream?{query}").status_code == 422


def test_a_strange_last_event_id_is_no_place(service, url):
    asked(service.stream, [1])
    for strange in ("x", "-1", "9" * 40):
        with listening(url, **{"last-event-id": strange}) as told:
            opened(service, 1)
            asked(service.stream, [2])
            assert next(told)[2] == {"at": 2}
        while service.stream.clients:
            time.sleep(0.002)


def test_there_is_an_end_to_how_many_streams_are_open(service, url):
    async def crowd() -> None:
        for _ in range(CLIENTS):
            service.stream.open()

    asyncio.run(crowd())
    refused = httpx.get(f"{url}/predictions/stream")
    assert (refused.status_code, refused.json()) == (503, {"error": FULL})


def test_numbers_of_any_kind_are_told_and_what_is_none_is_null():
    stream = Stream()
    stream.publish(
        np.int64(5), "question", {"a": np.float64(1.5), "b": np.int64(2), "c": float("nan"), "d": np.bool_(True)}
    )
    assert json.loads(stream.questions()) == [{"a": 1.5, "b": 2, "c": None, "d": True}]


def test_metrics_tell_of_events_lag_and_the_source(service):
    app = make_app(service)
    service.stream.publish(10, "question", {"at": 10, "lag_s": 0.75})
    service.stream.publish(1, "status", {"state": "reconnecting"})
    for seconds in (0.0004, 0.0004, 0.02):
        app.counters.observe_event(seconds)
    families = text_string_to_metric_families(app.counters.text().decode())
    seen = {(s.name, *s.labels.values()): s.value for family in families for s in family.samples}
    assert seen["rtml_event_lag_seconds",] == 0.75
    assert seen["rtml_source_state", "reconnecting"] == 1 and seen["rtml_source_state", "live"] == 0
    assert seen["rtml_event_to_prediction_seconds_bucket", "0.0005"] == 2
    assert seen["rtml_event_to_prediction_seconds_count",] == 3
    assert seen["rtml_event_to_prediction_seconds_sum",] == pytest.approx(0.0208)
