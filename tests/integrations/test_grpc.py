"""gRPC gives what HTTP gives: the same bits, the same refusals, the same stream."""

import re
import socket
import time
from contextlib import ExitStack, closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from msgspec.structs import fields
from published import NAMES, Weighted, ask, snapshot

from rtml.core.target import Target
from rtml.pipeline.serve import _with_grpc
from rtml.serving import schemas
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.service import Service
from rtml.serving.workers import serve_by

grpc = pytest.importorskip("grpc", reason="pip install 'rtml[grpc]'")
pytest.importorskip("grpc_health", reason="pip install 'rtml[grpc]'")
pytest.importorskip("grpc_reflection", reason="pip install 'rtml[grpc]'")

from google.protobuf.json_format import MessageToDict, ParseDict  # noqa: E402
from grpc_health.v1 import health_pb2, health_pb2_grpc  # noqa: E402
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc  # noqa: E402

from rtml.integrations import predictions_pb2 as messages  # noqa: E402
from rtml.integrations.grpc import REFUSAL, attach, stub  # noqa: E402

SECRET = "a-secret-of-the-house"
PAID = (("authorization", f"Bearer {SECRET}"),)
CHANGES = {"prediction_id", "age_ms", "features_at", "due_at"}  # of two requests, whoever asks


class Fixed:
    """A model that says what it was made with, moved by the first feature."""

    def __init__(self, *said):
        self.said = np.array(said)

    def predict(self, x):
        return self.said + 0.1 * abs(x[0]) if len(self.said) > 1 else float(self.said[0] + x[0] / 3)


TARGETS = (
    Target("move", unit="bp"),
    Target("rise", "probability"),
    Target("sky", "classes", classes=("dry", "wet")),
    Target("next", "ranking", size=3),
    Target("odd", "anomaly"),
)
MODELS = {"move": Weighted(4 / 3, 2 / 7), "rise": Fixed(0.25), "sky": Fixed(0.25, 0.75)}
MODELS |= {"next": Fixed(7.0, 3.0, 2.0**40), "odd": Fixed(1e-300)}


@pytest.fixture(scope="module")
def both():
    """The same service over HTTP and over gRPC."""
    with closing(Service()) as service:
        service.publish(snapshot(models=MODELS, targets=TARGETS))
        ask(service, 10**18, [0.1, 0.2], extra={"price": 1 / 3, "place": None})
        app = _with_grpc(make_app(service, access=Access(SECRET)), 0, "127.0.0.1")  # as rtml serve RUN --grpc 0
        with (
            Endpoint(app) as endpoint,
            httpx.Client(base_url=endpoint.url) as http,
            grpc.insecure_channel(f"127.0.0.1:{app.state.grpc}") as channel,
        ):
            http.service, http.calls, http.channel = service, stub(channel), channel
            http.port = app.state.grpc
            yield http


def told(message):
    """A message as JSON holds it, whole numbers as such, without what differs between two requests."""
    said = MessageToDict(message, preserving_proto_field_name=True)
    said |= {name: int(said[name]) for name in ("offset", "question") if name in said}
    for answer in said.get("predictions", {}).values():
        for item in answer.get("items", ()):
            item["item"] = int(item["item"])
    return {name: value for name, value in said.items() if name not in CHANGES}


def same(said, answer):
    """Whether JSON says the same; null there is a field that is not set."""
    assert without_null(said) == without_null({name: v for name, v in answer.items() if name not in CHANGES})
    return True


def without_null(value):
    if isinstance(value, dict):
        return {name: without_null(v) for name, v in value.items() if v is not None}
    return [without_null(v) for v in value] if isinstance(value, list) else value


FEATURES = [dict(zip(NAMES, row, strict=True)) for row in ((0.1, 0.2), (1 / 3, -1e-17), (-0.0, 5e-324), (1e17, 3.0))]
ASKED = [
    {"key": "ETH-USD"},
    {"symbol": "ETH-USD", "unit": "me"},
    *({"key": "BTC-USD", "features": f} for f in FEATURES),
]


@pytest.mark.parametrize("body", ASKED, ids=str)
def test_a_prediction_has_the_bits_of_http(both, body):
    given = both.calls["Predict"](ParseDict(body, messages.PredictRequest()))
    assert same(told(given), both.post("/predict", json=body).json())
    assert set(given.predictions) == {"move", "rise", "sky", "next", "odd"}
    both.service.log.flush()
    logged = both.get(f"/predictions/{given.prediction_id}").json()
    assert given.predictions["move"].value == logged["predictions"]["move"], "what was given is what is logged"
    assert logged["features"] == body.get("features", FEATURES[0])


WRONG = [
    ({"key": "nobody"}, "NOT_FOUND"),
    ({"features": {"return_1": 1.0}}, "INVALID_ARGUMENT"),
    ({"features": {"return_1": 1.0, "imbalance_60s": "NaN"}}, "INVALID_ARGUMENT"),
    ({"features": {"return_1": 1.7e308, "imbalance_60s": 1.7e308}, "key": "ETH-USD"}, "INVALID_ARGUMENT"),
    ({}, "INVALID_ARGUMENT"),
    ({"key": "x" * 65}, "INVALID_ARGUMENT"),
    ({"key": "BTC-USD"}, "UNAVAILABLE"),
]


@pytest.mark.parametrize(("body", "code"), WRONG, ids=str)
def test_a_refusal_is_the_sentence_of_http(both, body, code):
    asked = ParseDict(body, messages.PredictRequest())
    with pytest.raises(grpc.RpcError) as refused:
        both.calls["Predict"](asked)
    answer = both.post("/predict", json=MessageToDict(asked, preserving_proto_field_name=True))
    assert (refused.value.code().name, refused.value.details()) == (code, answer.json()["error"])
    assert dict(refused.value.trailing_metadata())[REFUSAL] == answer.content


def test_many_requests_are_answered_each_by_itself_and_tables_as_they_are(both):
    import pyarrow as pa

    asked = [ASKED[0], {"key": "nobody"}, ASKED[3]]
    many = ParseDict({"requests": asked}, messages.PredictManyRequest())
    results, answers = both.calls["PredictMany"](many).results, both.post("/predict", json=asked).json()
    assert [r.WhichOneof("result") for r in results] == ["prediction", "refusal", "prediction"]
    for one, answer in zip(results, answers, strict=True):
        assert same(told(getattr(one, one.WhichOneof("result"))), answer)
    table, sink = pa.table({name: [0.1, 1 / 3] for name in NAMES} | {"key": ["ETH-USD"] * 2}), pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body = sink.getvalue().to_pybytes()
    assert both.calls["PredictTable"](messages.Table(arrow=body)).arrow == both.post("/predict", content=body).content


def test_an_answer_needs_the_token_and_is_joined_once(both):
    id = both.calls["Predict"](messages.PredictRequest(key="ETH-USD")).prediction_id
    tell, answer = both.calls["Answer"], messages.AnswerRequest(prediction_id=id, y=0.0)
    with pytest.raises(grpc.RpcError) as refused:
        tell(answer)
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert [tell(answer, metadata=PAID).status for _ in range(2)] == ["joined", "repeated"], "0 is an answer"
    for wrong, code in (
        (messages.AnswerRequest(prediction_id=id, y=1.0), "ALREADY_EXISTS"),
        (messages.AnswerRequest(prediction_id=id), "INVALID_ARGUMENT"),
        (messages.AnswerRequest(prediction_id="1-999", y=1.0), "NOT_FOUND"),
    ):
        with pytest.raises(grpc.RpcError) as refused:
            tell(wrong, metadata=PAID)
        assert refused.value.code().name == code
    assert both.get(f"/predictions/{id}").json()["y"] == 0.0
    assert 'route="/answers",status="401"' in both.get("/metrics").text, "calls are counted as requests are"


def test_the_stream_is_that_of_the_page_and_goes_on_behind_a_question(both):
    stream = both.service.stream
    for k in (1, 2):
        stream.publish(k, "question", {"at": 10**12 + k, "key": "ETH-USD", "lag_s": 1 / 3})
    following = both.calls["Follow"](messages.FollowRequest(after=1), timeout=20)
    first = next(following)
    assert (first.kind, first.id, first.data["lag_s"]) == ("question", 2, 1 / 3)
    stream.publish(3, "status", {"state": "live"})
    stream.publish(4, "question", {"at": 10**12 + 4, "key": "ETH-USD"})
    second, third = next(following), next(following)
    assert (second.kind, second.HasField("id"), second.data["state"]) == ("status", False, "live")
    assert (third.id, third.data["at"]) == (4, 10**12 + 4)
    following.cancel()
    deadline = time.monotonic() + 10
    while stream.clients and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not stream.clients, "who left is let go"


def test_health_follows_the_service_and_reflection_describes_it(both):
    health, asked = (
        health_pb2_grpc.HealthStub(both.channel),
        health_pb2.HealthCheckRequest(service="rtml.v1.Predictions"),
    )
    watching = health.Watch(asked, timeout=20)
    now = next(watching).status
    while now != health_pb2.HealthCheckResponse.SERVING:
        now = next(watching).status
    assert health.Check(health_pb2.HealthCheckRequest()).status == now
    newest, both.service._newest = both.service._newest, {}  # no question yet: not ready
    assert next(watching).status == health_pb2.HealthCheckResponse.NOT_SERVING
    both.service._newest = newest
    assert next(watching).status == health_pb2.HealthCheckResponse.SERVING
    watching.cancel()
    reflection = reflection_pb2_grpc.ServerReflectionStub(both.channel)
    wanted = reflection_pb2.ServerReflectionRequest(file_containing_symbol="rtml.v1.Predictions")
    (answer,) = reflection.ServerReflectionInfo(iter([wanted]))
    assert answer.file_descriptor_response.file_descriptor_proto[0] == messages.DESCRIPTOR.serialized_pb


def test_what_protoc_wrote_is_the_proto_file_and_has_the_fields_of_http():
    text = Path(messages.__file__).with_name("predictions.proto").read_text()
    for name, message in messages.DESCRIPTOR.message_types_by_name.items():
        (body,) = re.findall(rf"message {name} {{\n(.*?)\n}}", text, re.DOTALL)
        written = {field: int(number) for field, number in re.findall(r"(\w+) = (\d+);", body)}
        assert written == {field.name: field.number for field in message.fields}
        if hasattr(schemas, name):
            assert list(written) == [field.name for field in fields(getattr(schemas, name))], name


def test_a_port_that_is_taken_and_a_host_without_token_are_said(both):
    app = make_app(both.service, access=Access())
    with pytest.raises(RuntimeError, match=r"gRPC cannot listen on 127\.0\.0\.1:\d+: .*take another port"):
        attach(app, both.port)
    with pytest.raises(ValueError, match="set RTML_TOKEN"):
        attach(app, 0, "0.0.0.0")


def test_processes_of_one_endpoint_share_the_port_and_one_that_ends_is_not_missed(both):
    """As ``rtml serve RUN --workers 2 --grpc PORT``: each answers on the port, with a log of its own session."""
    asked = messages.PredictRequest(key="ETH-USD")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def answers():
        """Which of them answered a new connection, and what; asked again while one that ends is left."""
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(f"127.0.0.1:{port}", options) as channel:
            said = stub(channel)["Predict"](asked, wait_for_ready=True, timeout=20)
            return said.version, told(said)["predictions"]

    expected = told(both.calls["Predict"](asked))["predictions"]
    with ExitStack() as stack:
        parts = []
        for version in ("one", "two"):
            service = stack.enter_context(closing(Service()))
            service.publish(snapshot(version, models=MODELS, targets=TARGETS))
            ask(service, 10**18, [0.1, 0.2])
            app = _with_grpc(make_app(service, access=Access(SECRET)), port, "127.0.0.1", True)
            parts.append(stack.enter_context(ExitStack()))
            parts[-1].enter_context(Endpoint(app))
        found = [answers() for _ in range(40)]
        assert {version for version, _ in found} == {"one", "two"} and all(said == expected for _, said in found)
        parts[0].close()
        assert {answers()[0] for _ in range(10)} == {"two"}
    with pytest.raises(ValueError, match="name that of gRPC"):
        serve_by(Path("unused"), 2, port=0, host="127.0.0.1", grpc=0)
