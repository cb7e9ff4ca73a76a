"""The same prediction by the Python client, at once or awaited, by GET, by POST and by curl."""

import asyncio
import json
import shutil
import subprocess
import time
from contextlib import closing

import httpx
import msgspec
import pytest
from published import ask, snapshot

import rtml
from rtml.core.clock import utc
from rtml.integrations.client import Predicted
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.schemas import AnswerReply, GivenPrediction, Models, Prediction, Refused
from rtml.serving.service import Service

OWN = {"return_1": 0.5, "imbalance_60s": -1.0}
SAME = ("key", "predictions", "version", "question", "features_at", "horizon_s", "due_at", "extra")


def test_the_clients_prediction_has_the_fields_of_the_endpoints_in_their_order():
    """Two, because the endpoint's holds what is encoded already; so a field added to one is missed by neither."""
    ours, theirs = (msgspec.structs.fields(kind) for kind in (Predicted, Prediction))
    assert [field.name for field in ours] == [field.name for field in theirs]
    assert [field.required for field in ours] == [field.required for field in theirs]


@pytest.fixture(scope="module")
def url():
    with closing(Service()) as service, Endpoint(make_app(service, access=Access(""))) as endpoint:
        service.publish(snapshot())
        ask(service, time.time_ns(), [3.0, 0.5], extra={"close": 2000.0, "price": 2000.8})
        yield endpoint.url


@pytest.fixture
def client(url):
    with rtml.Client(url) as client:
        yield client


def test_get_post_curl_and_client_give_price_version_time_of_features_and_horizon(url, client):
    given = client.predict("ETH-USD")
    assert (given.value, given.extra["price"], given.version, given.horizon_s) == (4.0, 2000.8, "crypto@learner", 10.0)
    assert utc(time.time_ns()).isoformat()[:10] == given.features_at[:10] and given.age_ms >= 0.0
    told = [
        httpx.get(f"{url}/predict", params={"key": "ETH-USD"}).json(),
        httpx.post(f"{url}/predict", json={"key": "ETH-USD"}).json(),
    ]
    if shutil.which("curl"):
        for words in ([f"{url}/predict?key=ETH-USD"], ["-d", '{"key": "ETH-USD"}', f"{url}/predict"]):
            done = subprocess.run(["curl", "-sS", "--max-time", "10", *words], capture_output=True, check=True)
            told.append(json.loads(done.stdout))
    for body in told:
        assert {name: body[name] for name in SAME} == {name: getattr(given, name) for name in SAME}


def test_what_it_gives_is_typed_from_the_question_to_its_answer(client):
    given = client.predict("BTC-USD", OWN)
    assert (given.value, given.question, given.extra) == (-1.5, None, {})
    kept = client.given(given.prediction_id)
    assert isinstance(kept, GivenPrediction) and kept.features == OWN and kept.y is None
    assert client.answer(given.prediction_id, 2.5) == AnswerReply(given.prediction_id, "joined")
    assert client.given(given.prediction_id).y == 2.5
    models = client.models()
    assert isinstance(models, Models) and models.serving.targets[0].unit == "bp"
    assert client.health().ready and client.health().features_age_s["ETH-USD"] >= 0.0


def test_many_calls_wait_at_once_and_give_what_the_other_client_gives(url, client):
    async def at_once():
        async with rtml.AsyncClient(url) as client:
            found = await asyncio.gather(*(client.predict("ETH-USD") for _ in range(30)))
            own, models, health = await asyncio.gather(client.predict(None, OWN), client.models(), client.health())
            reply = await client.answer(own.prediction_id, 1.0)
            return found, own, models, health, reply, await client.given(own.prediction_id)

    found, own, models, health, reply, kept = asyncio.run(at_once())
    assert len({one.prediction_id for one in found}) == 30 and {one.value for one in found} == {4.0}
    assert (own.value, models, health.ready) == (-1.5, client.models(), True)
    assert (reply.status, kept.y) == ("joined", 1.0)


def test_a_refusal_has_the_sentence_of_the_endpoint_and_the_field(client):
    with pytest.raises(Refused, match="key: must be one of ETH-USD, BTC-USD") as refused:
        client.predict("DOGE")
    assert (refused.value.status, refused.value.refusal.field, refused.value.refusal.got) == (422, "key", "DOGE")
    with pytest.raises(Refused, match="no prediction '9-9'"):
        client.given("9-9")


def test_where_no_endpoint_is_it_says_so(url):
    with pytest.raises(ValueError, match="begins with http"):
        rtml.Client("127.0.0.1:8000")
    with rtml.Client("http://127.0.0.1:9") as client, pytest.raises(ConnectionError, match="rtml serve RUN starts one"):
        client.health()
    with rtml.Client(f"{url}/docs") as client, pytest.raises(Refused) as refused:
        client.models()
    assert refused.value.status == 404


def test_the_token_is_sent_and_asked_for(client):
    with closing(Service()) as service, Endpoint(make_app(service, access=Access("only-of-this-test"))) as endpoint:
        service.publish(snapshot())
        with rtml.Client(endpoint.url) as stranger, rtml.Client(endpoint.url, token="only-of-this-test") as known:
            id = known.predict(features=OWN).prediction_id
            with pytest.raises(Refused) as refused:
                stranger.answer(id, 1.0)
            assert refused.value.status == 401 and known.answer(id, 1.0).status == "joined"
