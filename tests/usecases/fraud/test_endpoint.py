"""The desk: payments judged over HTTP with the features that the backtest would compute, each once."""

import httpx
import numpy as np
import pytest

from rtml.core.clock import span
from rtml.core.state import dumps
from rtml.models import catalogue as zoo
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.schemas import Refused, encode
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.store.event_log import EventLog
from rtml.store.label_join import questions
from rtml.training.flow import Flow
from rtml.training.learner import Learner
from rtml.training.trainer import Trainer
from rtml.training.versioning import save
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.endpoint import PaymentEndpoint, publish
from rtml.usecases.fraud.schema import LABEL, PAYMENT, PAYMENTS
from rtml.usecases.fraud.synthetic_cards import Cards

PART, BEFORE = "events", 1200


@pytest.fixture(scope="module")
def stream():
    return np.concatenate(
        [PAYMENTS.accept(f)[0] for f in Cards(seed=5, days=20, cards=60, terminals=40, delay="2d").chunks()]
    )


def flow_of():
    operator = fraud.operator()
    return Flow(operator, {"fraud": Learner(zoo.build("logistic"), operator.features.names)}, fraud.use_case.targets)


@pytest.fixture
def registry(tmp_path, stream):
    flow = flow_of()
    flow.push(stream[:BEFORE])
    registry = Registry(tmp_path / "registry")
    about = {"parent": "", "data": {}, "metrics": {}, "cause": "first"}
    version = save(registry, "champion", flow, int(stream["time"][BEFORE - 1]), **about)
    registry.promote("champion", version, "first", version.at)
    return registry


@pytest.fixture
def log(tmp_path, stream):
    with EventLog(tmp_path / "events.db") as log:
        log.append(PART, stream[:BEFORE])
        yield log


@pytest.fixture
def service(tmp_path, registry):
    service = Service(tmp_path / "predictions.db", clock=StreamClock())
    publish(service, registry, "champion")
    yield service
    service.close()


@pytest.fixture
def endpoint(service, log, stream):
    operator = fraud.operator()
    operator.push(stream[:BEFORE])
    return PaymentEndpoint(service, operator, log, PART, 0.02, durable=False)


def payment(row):
    where = {name: int(row[name]) for name in ("id", "time", "card", "terminal")}
    return where | {"amount": int(row["amount"]) / 100}


def label(row):
    return {"id": int(row["id"]), "time": int(row["time"]), "fraud": bool(row["label"])}


def hand_in(endpoint, rows):
    told = []
    for row in rows:
        if row["kind"] == PAYMENT:
            told.append(endpoint.pay(encode(payment(row))))
        else:
            try:
                endpoint.tell(encode(label(row)))
            except Refused as ex:
                assert ex.status == 409, ex  # a label that contradicts the first one
    return told


def test_what_is_served_is_what_the_backtest_computes(endpoint, service, log, stream):
    part = stream[BEFORE : BEFORE + 400]
    judged = hand_in(endpoint, part)
    service.log.flush()
    kept = questions(service.log)
    whole = fraud.operator()
    whole.push(stream[:BEFORE])
    asked = whole.push(part)
    rows = {id: x for id, x in zip(asked.id.tolist(), asked.X, strict=True)}
    assert len(kept) == len(judged) == len(asked.id)
    assert sorted(x.tobytes() for x in kept.X) == sorted(x.tobytes() for x in rows.values())
    model = service.snapshot.model
    assert [j.probability for j in judged] == [model.predict(rows[j.id]) for j in judged]
    assert [j.alert for j in judged] == [j.probability >= 0.02 for j in judged]


def test_the_log_holds_every_request_and_gives_the_same_state_again(endpoint, log, stream):
    hand_in(endpoint, stream[BEFORE : BEFORE + 300])
    again = fraud.operator()
    again.push(log.read(PART, 0, 10_000)[1])
    assert log.count(PART) == BEFORE + 300
    assert dumps(again.state) == dumps(endpoint._operator.state)


def test_a_payment_asked_again_gets_the_same_answer_and_counts_once(endpoint, log, stream):
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    first, before = endpoint.pay(encode(payment(row))), log.count(PART)
    assert endpoint.pay(encode(payment(row))) == first and log.count(PART) == before


def test_a_label_answers_the_prediction_of_its_payment(endpoint, service, stream):
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    endpoint.pay(encode(payment(row)))
    told = {"id": int(row["id"]), "time": int(row["time"]) + span("1d"), "fraud": True}
    assert endpoint.tell(encode(told))["status"] == "joined"
    assert endpoint.tell(encode(told))["status"] == "repeated"
    with pytest.raises(Refused, match="the first answer stands"):
        endpoint.tell(encode(told | {"fraud": False}))
    assert endpoint.tell(encode(told | {"id": 10**9}))["status"] == "logged"
    (answered,) = service.drain_answers()
    assert answered.y == 1.0


@pytest.mark.parametrize(
    ("change", "field"),
    [
        ({"amount": 9.999}, "amount"),
        ({"amount": -1}, "amount"),
        ({"card": "x"}, "card"),
        ({"time": 0}, "time"),
        ({"colour": 1}, "colour"),
    ],
)
def test_what_no_till_would_send_is_refused_and_leaves_no_trace(endpoint, log, stream, change, field):
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    with pytest.raises(Refused) as refused:
        endpoint.pay(encode(payment(row) | change))
    assert refused.value.status == 422 and refused.value.refusal.field == field
    assert log.count(PART) == BEFORE


def test_a_payment_from_before_the_desk_opened_is_refused(endpoint, stream):
    row = stream[:BEFORE][stream[:BEFORE]["kind"] == PAYMENT][-1]
    with pytest.raises(Refused, match="made before this desk opened"):
        endpoint.pay(encode(payment(row)))


def test_over_http_while_the_trainer_follows_and_versions_take_over(endpoint, service, registry, log, stream, tmp_path):
    places = (log, PART, tmp_path / "training.db", registry, "champion", span("1d"))
    trainer = Trainer(flow_of(), *places)
    app, part = endpoint.add_to(make_app(service)), stream[BEFORE : BEFORE + 500]
    learning = endpoint.learning(trainer, registry, "champion", pause=0.01)
    with Endpoint(app) as endpoint, learning, httpx.Client(base_url=endpoint.url, timeout=30) as client:
        codes = []
        for row in part:
            paid = row["kind"] == PAYMENT
            path, body = ("/payments", payment(row)) if paid else ("/labels", label(row))
            codes.append(client.post(path, json=body).status_code)
        refused = client.post("/payments", json={"id": 1})
        health = client.get("/health").json()
    assert set(codes) <= {200, 409}
    assert refused.status_code == 422 and refused.json()["field"] == "time"
    assert health["ready"]
    assert trainer.status().offset == log.last(PART) == BEFORE + 500
    assert service.snapshot.version == registry.champion("champion").name != "champion@1"
    trainer.close()


def test_a_training_that_fails_is_said_and_serving_goes_on(endpoint, service, registry, log, stream, tmp_path):
    trainer = Trainer(flow_of(), log, PART, tmp_path / "training.db", registry, "champion", span("1d"))
    trainer.close()
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    with (
        pytest.raises(RuntimeError, match="training failed while it served"),
        endpoint.learning(trainer, registry, "champion", 0.01),
    ):
        assert endpoint.pay(encode(payment(row))).version == "champion@1"


def test_labels_of_the_stream_are_there(stream):
    assert (stream[BEFORE : BEFORE + 400]["kind"] == LABEL).sum() > 50
