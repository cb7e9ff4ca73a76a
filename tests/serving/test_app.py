"""The app over real HTTP: what it gives, what it refuses and how, and a swap under load."""

from __future__ import annotations

import asyncio
import json
import logging
import re
import socket
import threading
import time
from contextlib import closing, contextmanager

import httpx
import jsonschema
import pytest
from fastapi import FastAPI
from hypothesis import example, given, settings
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families
from published import NAMES, Weighted, ask, snapshot

from rtml.core.target import Target
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import NO_MODEL, Service

ETH = {"key": "ETH-USD"}
ROUTES = ("/", "/docs", "/openapi.json", "/health", "/models", "/metrics")


def value(body: dict) -> float:
    return body["predictions"]["return"]["value"]


def lineage(version: str) -> list[dict]:
    if version == "broken":
        raise OSError("secret path of the registry")
    return [{"version": version}, {"version": "v0"}]


@contextmanager
def serving(service: Service):
    app = make_app(service, lineage)
    with closing(service), Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url) as client:
        client.service = service
        yield client


@pytest.fixture(scope="module")
def client():
    with serving(Service()) as client:
        client.service.publish(snapshot())
        ask(client.service, time.time_ns(), [3.0, 0.5], extra={"close": 2000.0})
        yield client


@pytest.fixture
def fresh():
    with serving(Service()) as client:
        yield client


def metrics(client: httpx.Client) -> dict[tuple, float]:
    families = text_string_to_metric_families(client.get("/metrics").text)
    return {(s.name, *sorted(s.labels.values())): s.value for family in families for s in family.samples}


def test_a_prediction_by_symbol(client):
    given = client.post("/predict", json=ETH)
    assert given.status_code == 200 and given.headers["content-type"] == "application/json"
    body = given.json()
    names = "prediction_id key predictions version offset question features_at age_ms horizon_s due_at extra"
    assert " ".join(body) == names
    assert (value(body), body["extra"], body["version"]) == (4.0, {"close": 2000.0}, "crypto@learner")
    assert (body["question"], body["offset"], body["horizon_s"]) == (7, 12, 10.0)
    by_query = client.get("/predict", params=ETH).json()
    assert {**body, "prediction_id": 0, "age_ms": 0} == {**by_query, "prediction_id": 0, "age_ms": 0}
    by_symbol = client.get("/predict", params={"symbol": "ETH-USD"}).json()
    assert value(by_symbol) == 4.0, "the field's older name"


def test_a_prediction_from_given_features(client):
    asked = {"features": {"imbalance_60s": -1, "return_1": 0.5}, "key": "BTC-USD"}
    body = client.post("/predict", json=asked).json()
    assert (body["key"], value(body), body["question"], "extra" in body) == ("BTC-USD", -1.5, None, False)


def test_every_target_answers_by_its_kind(fresh):
    targets = (Target("rise", "probability"), Target("demand", unit="MW"))
    fresh.service.publish(snapshot(models={"rise": Weighted(0.25, 0), "demand": Weighted(1.0, 0)}, targets=targets))
    body = fresh.post("/predict", json={"features": {"return_1": 2.0, "imbalance_60s": 0.0}}).json()
    assert body["predictions"] == {"rise": {"probability": 0.5}, "demand": {"value": 2.0, "unit": "MW"}}


def test_a_prediction_can_be_looked_up(client):
    id = client.post("/predict", json=ETH).json()["prediction_id"]
    told = client.get(f"/predictions/{id}").json()
    assert (told["prediction_id"], told["question"], told["predictions"]) == (id, 7, {"return": 4.0})
    assert told["features"] == dict(zip(NAMES, (3.0, 0.5), strict=True)) and told["y"] is None
    assert client.get("/predictions/9-9").status_code == 404


def test_answers_by_what_becomes_of_them(client):
    id = client.post("/predict", json=ETH).json()["prediction_id"]
    told = [client.post("/answers", json={"prediction_id": id, "y": y}) for y in (1.5, 1.5, 2)]
    assert [answer.status_code for answer in told] == [200, 200, 409]
    assert [answer.json().get("status") for answer in told] == ["joined", "repeated", None]
    assert told[2].json() == {"error": f"{id} was answered with 1.5 before, got 2.0: the first answer stands"}
    unknown = client.post("/answers", json={"prediction_id": "77-1", "y": 1})
    assert (unknown.status_code, unknown.json()["error"]) == (
        404,
        "no prediction '77-1': tell the prediction_id that /predict gave",
    )
    assert client.service.drain_answers()[-1].id == id


def test_without_a_model_each_route_says_so_or_works(fresh):
    for asked in (fresh.post("/predict", json=ETH), fresh.get("/predict", params=ETH)):
        assert (asked.status_code, asked.json()) == (503, {"error": NO_MODEL})
    health = fresh.get("/health")
    assert (health.status_code, health.json()["ready"], health.json()["reason"]) == (503, False, NO_MODEL)
    assert fresh.get("/models").json() == {"serving": None, "lineage": []}
    assert metrics(fresh)["rtml_ready",] == 0.0


def test_health_is_ready_once_there_are_features(fresh):
    fresh.service.publish(snapshot())
    assert fresh.get("/health").json()["reason"] == "no question yet"
    ask(fresh.service, time.time_ns() - 5 * 10**9, [0.0, 0.0])
    health = fresh.get("/health")
    assert health.status_code == 200
    assert (health.json()["ready"], health.json()["version"]) == (True, "crypto@learner")
    assert 5.0 <= health.json()["features_age_s"]["ETH-USD"] < 8.0 and 0 < health.json()["uptime_s"] < 60


def test_models_tell_what_serves_and_where_it_comes_from(client):
    body = client.get("/models").json()
    assert body["serving"] == {
        "version": "crypto@learner",
        "offset": 0,
        "targets": [{"name": "return", "kind": "number", "unit": "bp", "classes": []}],
        "keys": ["ETH-USD", "BTC-USD"],
        "features": list(NAMES),
        "horizon_s": 10.0,
        "trained_up_to": "1970-01-01T00:00:00+00:00",
    }
    assert body["lineage"] == [{"version": "crypto@learner"}, {"version": "v0"}]


@pytest.mark.parametrize(
    ("path", "body", "field", "rule", "got"),
    [
        ("/predict", "", "body", "the body must be JSON in UTF-8 (Input data was truncated)", ""),
        ("/predict", "{", "body", "the body must be JSON in UTF-8 (Input data was truncated)", "{"),
        ("/predict", "[]", "body", "expected an object, got a list", "[]"),
        ("/predict", "{}", "key", "give a key, features, or both", None),
        ("/predict", '{"key": 5}', "key", "expected a text or null, got a whole number", 5),
        ("/predict", '{"key": ""}', "key", "must be one of ETH-USD, BTC-USD", ""),
        ("/predict", '{"symbol": "DOGE"}', "symbol", "must be one of ETH-USD, BTC-USD", "DOGE"),
        ("/predict", '{"simbol": "ETH-USD"}', "simbol", "is not a field of this request", "ETH-USD"),
        ("/predict", '{"features": {}}', "features.return_1", "is required; the models take", None),
        ("/predict", '{"features": {"return_1": true}}', "features.return_1", "got true or false", True),
        ("/predict", '{"features": {"return_1": null}}', "features.return_1", "expected a number, got null", None),
        ("/predict", '{"features": {"return_1": "1"}}', "features.return_1", "expected a number, got a text", "1"),
        ("/predict", '{"features": {"return_1": NaN}}', "body", "JSON is malformed", '{"features": {"return_1": NaN}}'),
        ("/predict", '{"features": {"return_1": 1e999}}', "features", "number out of range", None),
        ("/predict", '{"features": {"return_1": 1, "imbalance_60s": 1, "x": 2}}', "features.x", "is no feature", 2.0),
        ("/predict", '{"features": {"return_1": 1e308, "imbalance_60s": 1e308}}', "features", "finite", "[1e+308, 1e"),
        ("/answers", "{}", "prediction_id", "is required", None),
        ("/answers", '{"prediction_id": "1-1"}', "y", "is required", None),
        ("/answers", '{"prediction_id": "1-1", "y": "up"}', "y", "expected a number, got a text", "up"),
        ("/answers", '{"prediction_id": "1-1", "y": Infinity}', "body", "JSON is malformed", '{"prediction_id"'),
        ("/answers", '{"prediction_id": 1, "y": 1}', "prediction_id", "expected a text, got a whole number", 1),
    ],
)
def test_bad_input_is_refused_with_the_field_the_rule_and_what_was_got(client, path, body, field, rule, got):
    refused = client.post(path, content=body)
    said = refused.json()
    assert (refused.status_code, said["field"]) == (422, field)
    assert rule in said["rule"] and said["error"] == f"{field}: {said['rule']}"
    assert said["got"].startswith(got) if isinstance(got, str) else said["got"] == got


@pytest.mark.parametrize(
    ("query", "field"),
    [("", "key"), ("key=", "key"), ("key=A&symbol=B", "key"), ("s=1", "s"), ("key=%ff", "query")],
)
def test_a_bad_query_is_refused(client, query, field):
    refused = client.get(f"/predict?{query}")
    assert (refused.status_code, refused.json()["field"]) == (422, field)


@pytest.mark.parametrize("path", ["/predict", "/answers"])
@pytest.mark.parametrize("size", [65_537, 3_000_000])
def test_a_body_that_is_too_long_is_refused(client, path, size):
    for content in (b"x" * size, iter([b"x" * size])):
        refused = client.post(path, content=content)
        assert (refused.status_code, "over 64 kB" in refused.json()["error"]) == (413, True)


def test_a_body_in_parts_is_read_whole(client):
    parts = [b'{"k', b'ey": "ETH-', b'USD"}', b" " * 65_000]
    assert client.post("/predict", content=iter(parts)).status_code == 200


def test_paths_and_methods_that_are_not_there(client):
    lost, wrong = client.get("/nothing"), client.put("/predict")
    assert (lost.status_code, lost.json()) == (404, {"error": "GET /nothing is nothing here: see /docs"})
    assert (wrong.status_code, wrong.json()) == (
        405,
        {"error": "PUT /predict is not allowed: see /docs for the method"},
    )


def test_an_error_of_our_own_is_a_sentence_and_a_line_in_the_log(fresh, caplog):
    fresh.service.publish(snapshot("broken"))
    with caplog.at_level(logging.ERROR):
        failed = fresh.get("/models")
    assert failed.status_code == 500 and "secret" not in failed.text
    assert failed.json() == {"error": "internal error: the request was not served; the server's log has the reason"}
    assert "secret path of the registry" in caplog.text
    assert metrics(fresh)["rtml_requests_total", "/models", "500"] == 1


def test_an_error_on_the_hot_route_is_a_sentence_and_a_line_in_the_log(fresh, caplog):
    fresh.service.publish(snapshot(model=Weighted(1.0, 1.0)))
    fresh.service.snapshot.learned[1]["return"].weights = "none"  # a snapshot that broke after it was published
    with caplog.at_level(logging.ERROR):
        failed = fresh.post("/predict", json={"features": dict.fromkeys(NAMES, 1.0)})
    assert failed.status_code == 500 and "Traceback" not in failed.text
    assert "POST /predict failed" in caplog.text and "Traceback" in caplog.text


def test_a_log_that_cannot_be_written_is_503(fresh):
    fresh.service.publish(snapshot())
    id = fresh.post("/predict", json={"features": dict.fromkeys(NAMES, 1.0)}).json()["prediction_id"]
    fresh.service.log.close()
    told = fresh.post("/answers", json={"prediction_id": id, "y": 1.0})
    asked = fresh.post("/predict", json={"features": dict.fromkeys(NAMES, 1.0)})
    for refused in (told, asked):
        assert (refused.status_code, "log is closed" in refused.json()["error"]) == (503, True)


values = st.one_of(
    st.none(), st.booleans(), st.floats(), st.integers(-(10**400), 10**400), st.text(), st.just([]), st.just({"a": []})
)
near = st.dictionaries(
    st.sampled_from(["symbol", "features", "prediction_id", "y", "x"]),
    values | st.dictionaries(st.sampled_from(NAMES) | st.text(), values) | st.sampled_from(["ETH-USD", "1-1"]),
)
bodies = st.binary(max_size=200) | st.text().map(str.encode) | near.map(lambda body: json.dumps(body).encode())


@settings(max_examples=300, deadline=None)
@given(body=bodies, path=st.sampled_from(["/predict", "/answers"]))
@example(body=b'{"symbol":' + b"[" * 60_000, path="/predict")
@example(body=b'{"x":' + b"[" * 60_000, path="/predict")
@example(body=b'{"features":{"a":' + b'{"a":' * 10_000, path="/predict")
@example(body=b"x" * 60_000, path="/predict")
@example(body=json.dumps({"symbol": "x" * 60_000}).encode(), path="/predict")
@example(body=json.dumps({"x" * 60_000: 1}).encode(), path="/predict")
@example(body=json.dumps({"features": {"x" * 60_000: "1"}}).encode(), path="/predict")
@example(body=json.dumps({"features": dict.fromkeys([*NAMES, "x" * 60_000], 1)}).encode(), path="/predict")
@example(body=b'{"symbol": "\\ud800"}', path="/predict")
@example(body=b'{"symbol": "\xff"}', path="/predict")
@example(body=b'{"y": ' + b"9" * 5000 + b"}", path="/answers")
@example(body=b'{"prediction_id": "1-1", "y": ' + b"9" * 309 + b"}", path="/answers")
@example(body=b'\xef\xbb\xbf{"symbol": "ETH-USD"}', path="/predict")
def test_no_body_whatsoever_breaks_it(client, body, path):
    answer = client.post(path, content=body)
    assert answer.status_code in (200, 404, 409, 413, 422) and "Traceback" not in answer.text
    said = answer.json()
    if answer.status_code == 422:
        assert set(said) == {"error", "field", "rule", "got"} and len(answer.content) < 2000, said


@settings(max_examples=150, deadline=None)
@given(target=st.binary(max_size=60).map(lambda raw: raw.translate(None, b" \r\n")), named=st.booleans())
@example(target=b"%ff%00&&&&&&&&&&&&&&&&", named=True)
def test_no_query_whatsoever_breaks_it(client, target, named):
    request = b"GET /predict?%s HTTP/1.1\r\nhost: localhost\r\n\r\n" % (b"key=" + target if named else target)
    assert said_to(client, request)[9:12] in (b"200", b"400", b"422")


def said_to(client: httpx.Client, sent: bytes) -> bytes:
    """What the server says to these very bytes."""
    with closing(socket.create_connection((client.base_url.host, client.base_url.port), timeout=5)) as raw:
        raw.sendall(sent)
        return raw.recv(4096)


def test_bytes_that_are_no_request_leave_the_others_served(client):
    for sent in (
        b"\0" * 1000,
        b"POST /predict HTTP/1.1\r\ncontent-length: -5\r\n\r\n",
        b"POST /predict HTTP/9\r\n\r\n",
    ):
        assert said_to(client, sent).startswith(b"HTTP/1.1 400")
    for sent in (b"POST /predict HTTP/1.1\r\ncontent-length: 50\r\n\r\n{", b"GET /health HT"):
        with closing(socket.create_connection((client.base_url.host, client.base_url.port))) as raw:
            raw.sendall(sent)  # and gone
    assert client.post("/predict", json=ETH).status_code == 200


async def ask_on_one_connection(url: httpx.URL, until: threading.Event, answers: list) -> None:
    reader, writer = await asyncio.open_connection(url.host, url.port)
    body = json.dumps(ETH).encode()
    while not until.is_set():
        writer.write(b"POST /predict HTTP/1.1\r\nhost: localhost\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(re.search(rb"content-length: (\d+)", head)[1])
        answers.append((head[:15], await reader.readexactly(length)))
    writer.close()
    await writer.wait_closed()


def test_a_swap_under_64_connections_fails_no_request_and_mixes_nothing(fresh):
    """Version n has weight n on a feature that is 1, so that each answer shows whether it is of one version."""
    service, stop, answers = fresh.service, threading.Event(), []

    def publish_all() -> None:
        for version in range(1, 151):
            service.publish(snapshot(str(version), Weighted(float(version), 0.0)))
            ask(service, time.time_ns(), [1.0, float(version)])
            time.sleep(0.005)
        stop.set()

    async def ask_all() -> None:
        await asyncio.gather(*(ask_on_one_connection(fresh.base_url, stop, answers) for _ in range(64)))

    service.publish(snapshot("0", Weighted(0.0, 0.0)))
    ask(service, time.time_ns(), [1.0, 0.0])
    publisher = threading.Thread(target=publish_all)
    publisher.start()
    asyncio.run(ask_all())
    publisher.join()
    assert {status for status, _ in answers} == {b"HTTP/1.1 200 OK"}
    given = [json.loads(body) for _, body in answers]
    assert all(float(one["version"]) == value(one) for one in given)
    assert len({one["prediction_id"] for one in given}) == len(given)
    assert len({one["version"] for one in given}) > 20, "the swaps were not seen"
    service.log.flush()
    assert service.log.given == len(given)


def test_metrics_count_what_happened(fresh):
    fresh.service.publish(snapshot())
    ask(fresh.service, time.time_ns(), [0.0, 0.0])
    ids = [fresh.post("/predict", json=ETH).json()["prediction_id"] for _ in range(3)]
    fresh.get("/predict?key=X")
    fresh.get("/nowhere")
    for id in (ids[0], ids[0], "9-9"):
        fresh.post("/answers", json={"prediction_id": id, "y": 0.0})
    seen = metrics(fresh)
    assert seen["rtml_requests_total", "/predict", "200"] == 3
    assert seen["rtml_requests_total", "/predict", "422"] == 1
    assert seen["rtml_requests_total", "404", "other"] == 1
    assert (seen["rtml_predictions_total",], seen["rtml_ready",]) == (3, 1)
    assert [seen["rtml_answers_total", status] for status in ("joined", "repeated", "unknown")] == [1, 1, 1]
    assert (
        seen["rtml_request_seconds_bucket", "+Inf", "/predict"] == 4 == seen["rtml_request_seconds_count", "/predict"]
    )
    assert 0 < seen["rtml_request_seconds_sum", "/predict"] < 1
    assert seen["rtml_model_info", "crypto@learner", "number", "return"] == 1
    assert seen["rtml_features_age_seconds", "ETH-USD"] >= 0


def test_every_route_is_described_and_answers_as_described(client):
    openapi = client.get("/openapi.json").json()
    paths = {"/predict", "/answers", "/models", "/health", "/metrics", "/questions", "/predictions/stream"}
    paths |= {"/predictions/{id}", "/quality", "/predictions.csv", "/predictions.parquet"}
    assert set(openapi["paths"]) == paths
    assert set(openapi["paths"]["/predict"]) == {"get", "post"}
    given = client.post("/predict", json=ETH)
    id = given.json()["prediction_id"]
    replies = {
        ("/predict", "post", "200"): given,
        ("/predict", "get", "200"): client.get("/predict", params=ETH),
        ("/predict", "post", "422"): client.post("/predict", json={}),
        ("/predict", "post", "413"): client.post("/predict", content=b" " * 70_000),
        ("/answers", "post", "200"): client.post("/answers", json={"prediction_id": id, "y": 1}),
        ("/models", "get", "200"): client.get("/models"),
        ("/health", "get", "200"): client.get("/health"),
        ("/questions", "get", "200"): client.get("/questions"),
        ("/predictions/{id}", "get", "200"): client.get(f"/predictions/{id}"),
        ("/predictions/{id}", "get", "404"): client.get("/predictions/77-1"),
        ("/quality", "get", "200"): client.get("/quality"),
        ("/questions", "get", "422"): client.get("/questions?n=-1"),
        ("/answers", "post", "404"): client.post("/answers", json={"prediction_id": "x", "y": 1}),
    }
    for (path, method, status), reply in replies.items():
        assert reply.status_code == int(status), reply.text
        content = openapi["paths"][path][method]["responses"][status]["content"]["application/json"]
        jsonschema.validate(reply.json(), {**content["schema"], "components": openapi["components"]})


@pytest.mark.parametrize("path", ["/", "/docs"])
def test_a_page_asks_nothing_of_another_machine(client, path):
    page = client.get(path)
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert not re.findall(r"<(?:script .*src|link|img|iframe)|@import|url\(|https?://(?!127)", page.text)
    links = re.findall(r'href="([^"#]+)"', page.text)
    assert links and all(client.get(f"/{link}").status_code == 200 for link in links)


def test_the_docs_show_every_route_and_message(client):
    page, openapi = client.get("/docs").text, client.get("/openapi.json").json()
    for path, methods in openapi["paths"].items():
        assert all(f"<code>{method.upper()} {path}</code>" in page for method in methods)
    assert all(f'id="{name}"' in page for name in openapi["components"]["schemas"])
    assert "&lt;" not in page, "something is escaped twice"
    assert "-d &#x27;{&quot;key&quot;: &quot;ETH-USD&quot;}&#x27;" in page


def test_under_a_mount_it_does_the_same():
    with closing(Service()) as service:
        service.publish(snapshot())
        outer = FastAPI()
        outer.mount("/eth", make_app(service))
        with Endpoint(outer) as endpoint, httpx.Client(base_url=endpoint.url + "/eth") as client:
            asked = {"features": dict.fromkeys(NAMES, 1.0)}
            assert value(client.post("/predict", json=asked).json()) == 3.0
            assert client.post("/predict", json={}).status_code == 422
            assert client.post("/predict", content=b"x" * 70_000).status_code == 413
            assert metrics(client)["rtml_predictions_total",] == 1


def test_two_endpoints_share_one_service(client):
    with Endpoint(make_app(client.service)) as endpoint:
        given = httpx.post(f"{endpoint.url}/predict", json=ETH).json()
    assert client.post("/answers", json={"prediction_id": given["prediction_id"], "y": 1}).json()["status"] == "joined"


@pytest.mark.parametrize("path", ROUTES)
def test_what_is_asked_now_and_then_answers(client, path):
    assert client.get(path).status_code == 200
