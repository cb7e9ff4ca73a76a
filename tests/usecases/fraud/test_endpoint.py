"""Payments over HTTP: judged with the very predictions that the backtest and the trainer come to, each once."""

import json
import threading
from contextlib import closing, contextmanager

import httpx
import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families

from rtml.core.clock import span
from rtml.core.state import dumps
from rtml.pipeline.options import SourceOptions
from rtml.registry.registry import Registry
from rtml.registry.routing.assignment import assigned
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.events import Events
from rtml.serving.live.session import Live
from rtml.serving.publisher import Publisher
from rtml.serving.schemas import Refused, encode
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.store.label_join import questions
from rtml.store.protocols import run_stores
from rtml.training.run_config import RunConfig
from rtml.training.trainer import Trainer
from rtml.usecases.fraud import use_case as fraud
from rtml.usecases.fraud.endpoint import PaymentEndpoint
from rtml.usecases.fraud.schema import LABEL, PAYMENT, PAYMENTS
from rtml.usecases.fraud.synthetic_cards import Cards

PART, BEFORE = "events", 1200
CONFIG = RunConfig.of("fraud", (), "cards", models={"fraud": "logistic"})


@pytest.fixture(scope="module")
def stream():
    return np.concatenate(
        [PAYMENTS.accept(f)[0] for f in Cards(seed=5, days=20, cards=60, terminals=40, delay="2d").chunks()]
    )


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "registry")


@pytest.fixture
def log(tmp_path, stream):
    with EventLog(tmp_path / "events.db") as log:
        log.append(PART, stream[:BEFORE])
        yield log


@pytest.fixture
def trainer(tmp_path, registry, log):
    """Has learned what the log held when the endpoint opened."""
    places = (log, PART, tmp_path / "training.db", registry, "fraud", span("1d"))
    trainer = Trainer(CONFIG.flow(), *places, publish="learner")
    trainer.run()
    yield trainer
    trainer.close()


@pytest.fixture
def service(tmp_path):
    service = Service(tmp_path / "predictions.db", clock=StreamClock())
    yield service
    service.close()


@pytest.fixture
def taken(tmp_path, registry, service, log, trainer):
    publisher = Publisher(service, registry, CONFIG, tmp_path / "training.db")
    publisher.begin()
    publisher.view.threshold = 0.02
    return Events(publisher, log, tmp_path / "training.db", durable=False)


@pytest.fixture
def endpoint(taken):
    return PaymentEndpoint(taken)


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


def test_what_is_served_is_what_the_backtest_computes_and_the_trainer_commits(
    endpoint, service, trainer, stream, tmp_path
):
    part = stream[BEFORE : BEFORE + 400]
    judged = hand_in(endpoint, part)
    service.log.flush()
    kept = questions(service.log)
    whole = CONFIG.flow()
    whole.push(stream[:BEFORE])
    asked = whole.push(part)
    said = dict(zip(asked.id.tolist(), asked.predictions["fraud"].tolist(), strict=True))
    assert len(kept) == len(judged) == len(asked.id)
    assert kept.X.tobytes() == asked.X.tobytes()
    assert {j.id: j.probability for j in judged} == said, "learning went on between the payments"
    assert [j.alert for j in judged] == [j.probability >= 0.02 for j in judged]
    trainer.run()
    reader = CheckpointReader(tmp_path / "training.db")
    committed = {one.id: one.predictions["fraud"] for one in reader.questions(0, 10**6)}
    reader.close()
    assert {id: committed[id] for id in said} == said


def test_the_log_holds_every_request_and_gives_the_same_state_again(endpoint, taken, log, stream):
    hand_in(endpoint, stream[BEFORE : BEFORE + 300])
    again = fraud.operator()
    again.push(log.read(PART, 0, 10_000)[1])
    assert log.count(PART) == BEFORE + 300
    assert dumps(again.state) == dumps(taken.flow.operator.state)


def test_a_restart_goes_on_from_the_checkpoint_and_the_events_behind_it(endpoint, taken, log, stream, tmp_path):
    hand_in(endpoint, stream[BEFORE : BEFORE + 200])  # not committed by any trainer
    again = Events(taken.publisher, log, tmp_path / "training.db")
    assert dumps(again.flow.state) == dumps(taken.flow.state)


def test_a_payment_asked_again_gets_the_same_answer_and_counts_once(endpoint, log, stream):
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    first, before = endpoint.pay(encode(payment(row))), log.count(PART)
    assert endpoint.pay(encode(payment(row))) == first and log.count(PART) == before


def test_a_payment_of_a_text_id_is_the_same_by_its_number_which_the_log_has(endpoint, log, stream):
    row = payment(stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0])
    endpoint.pay(encode(row | {"id": "p-17", "card": "0007"}))
    kept, before = log.read(PART, log.count(PART) - 1)[1][-1], log.count(PART)
    assert kept["id"] >= 2**62 and kept["card"] >= 2**62
    with pytest.raises(Refused) as refused:  # it was made already: a replay of the log speaks of the same payment
        endpoint.pay(encode(row | {"id": int(kept["id"]), "card": int(kept["card"])}))
    assert refused.value.status == 409 and log.count(PART) == before + 1
    with pytest.raises(Refused, match="id"):
        endpoint.pay(encode(row | {"id": 2**63}))


def test_an_ab_test_judges_each_card_by_one_version_and_scores_its_arms(endpoint, taken, registry, stream):
    router, part = taken.publisher.router, stream[BEFORE : BEFORE + 500]
    old = registry.all("fraud")[-1].name
    router.change("ab", {"champion": 0.5, old: 0.5}, "ada", "is what was learned since worth it?")
    judged = {}
    for row, one in zip(part[part["kind"] == PAYMENT], hand_in(endpoint, part), strict=True):
        judged.setdefault(int(row["card"]), set()).add(one.version)
        assert one.version == assigned(router.route.test, str(row["card"]), router.route.cut)
        assert one.alert == (one.probability >= 0.02)
    assert all(len(versions) == 1 for versions in judged.values())
    assert set.union(*judged.values()) == {"fraud@learner", old}
    router.learn()
    first, second = router.as_dict()["arms"]
    assert first["units"] + second["units"] == len(judged) and first["answered"] > 20 < second["answered"]
    assert {"precision", "recall", "f1", "fpr", "capture_rate"} <= second["metrics"].keys()
    assert 0 < second["coverage"] < 1 and second["delay_s"] > 3600, "labels come later, in time of the stream"


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
        ({"card": ""}, "card"),
        ({"card": 1.5}, "card"),
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


def test_a_payment_from_before_it_opened_is_refused(endpoint, stream):
    row = stream[:BEFORE][stream[:BEFORE]["kind"] == PAYMENT][-1]
    with pytest.raises(Refused, match="made before this endpoint opened"):
        endpoint.pay(encode(payment(row)))


def test_over_http_while_the_trainer_commits_what_was_served(taken, service, trainer, log, stream):
    publisher, part = taken.publisher, stream[BEFORE : BEFORE + 500]
    app = make_app(service, publisher.lineage, view=publisher.view, events=taken)
    with (
        Endpoint(app) as endpoint,
        taken.learning(trainer, pause=0.01),
        httpx.Client(base_url=endpoint.url, timeout=30) as client,
    ):
        codes = []
        for row in part:
            paid = row["kind"] == PAYMENT
            path, body = ("/payments", payment(row)) if paid else ("/labels", label(row))
            codes.append(client.post(path, json=body).status_code)
        refused = client.post("/payments", json={"id": 1})
        health = client.get("/health").json()
        newest = client.get("/predict").json()
    assert set(codes) <= {200, 409}
    assert refused.status_code == 422 and refused.json()["field"] == "card"
    assert health["ready"] and health["score"]["target"] == "fraud"
    assert trainer.status().offset == log.last(PART) == BEFORE + 500
    assert newest["version"] == "fraud@learner" and 0 <= newest["predictions"]["fraud"]["probability"] <= 1
    said, trained = publisher.scores.served.scores()["fraud"], trainer.status().scores["fraud"]
    assert not {name: (value, trained[name]) for name, value in said.items() if value == value != trained[name]}


def test_a_training_that_fails_is_said_and_serving_goes_on(taken, endpoint, trainer, stream):
    trainer.close()
    row = stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0]
    with pytest.raises(RuntimeError, match="training failed while it served"), taken.learning(trainer, 0.01):
        assert endpoint.pay(encode(payment(row))).version == "fraud@learner"


@pytest.fixture
def finished(tmp_path, trainer):
    """Folder of a run whose training came to the end of its log."""
    CONFIG.write(tmp_path / "recipe.json")
    about = {"after": 0, "until": BEFORE, "every": "1d", "threshold": 0.03}
    (tmp_path / "training.json").write_text(json.dumps(about))
    trainer.close()
    return tmp_path


@contextmanager
def living(finished, **how):
    """A live run that goes on from a finished one with what is posted, and a client of it."""
    what = SourceOptions("http", behind=finished)
    stop = threading.Event()
    with Live(finished / "live", what, out=lambda line: None, **how) as live:
        thread = threading.Thread(target=live.run, args=(stop,))
        thread.start()
        try:
            with httpx.Client(base_url=live.url, timeout=30) as client:
                yield live, client
        finally:
            stop.set()
            thread.join()


def test_a_live_run_goes_on_from_a_finished_one_and_judges_what_is_posted(finished, stream):
    before = {path: path.read_bytes() for path in finished.glob("*.db")}
    rows = stream[BEFORE : BEFORE + 60]
    part = rows[rows["kind"] == PAYMENT]
    judged = []
    for some in (part[:10], part[10:]):  # started again in between
        with living(finished) as (live, client):
            for row in some:
                said = client.post("/payments", json=payment(row))
                assert said.status_code == 200, said.text
                judged.append(said.json())
            assert client.post("/payments", json=payment(row)).json() == judged[-1], "sent twice it counts once"
            told = {"kind": "label", "id": judged[-1]["id"], "card": 1, "terminal": 1, "amount": 0, "fraud": "yes"}
            labelled = client.post("/events", json=told | {"event_id": str(len(judged))})
            assert labelled.status_code == 202, labelled.text
            assert live.publisher.view.threshold == 0.03
    asked = CONFIG.flow().push(live_log(finished))
    said = dict(zip(asked.id.tolist(), asked.predictions["fraud"].tolist(), strict=True))
    assert [said[one["id"]] for one in judged] == [one["probability"] for one in judged]
    with closing(CheckpointReader(finished / "live" / "training.db")) as reader:
        committed = {one.id: one.predictions["fraud"] for one in reader.questions(0, 10**6)}
    assert [committed[one["id"]] for one in judged] == [one["probability"] for one in judged]
    assert {path: path.read_bytes() for path in before} == before, "the run it went on from stays as it was"


def live_log(folder):
    with EventLog(folder / "live" / "events.db") as log:
        return log.read(PART, 0, 10_000)[1]


def test_where_there_is_a_token_a_payment_needs_it(finished, stream, monkeypatch):
    monkeypatch.setenv("RTML_TOKEN", "a-token-of-the-house")
    row = payment(stream[BEFORE:][stream[BEFORE:]["kind"] == PAYMENT][0])
    with living(finished) as (_, client):
        assert client.post("/payments", json=row).status_code == 401
        assert client.post("/labels", json={"id": 1, "fraud": True}).status_code == 401
        client.headers["Authorization"] = "Bearer a-token-of-the-house"
        assert client.post("/payments", json=row).status_code == 200


def test_texts_are_keys_and_a_payment_without_a_time_is_of_now(finished):
    body = {"id": "p-1", "card": "0007", "terminal": "Berlin 3", "amount": 12.5}
    with living(finished) as (_, client):
        said = client.post("/payments", json=body).json()
        assert said["id"] == "p-1" and 0 < said["probability"] < 1
        assert client.post("/labels", json={"id": "p-1", "fraud": True}).json() == {"id": "p-1", "status": "joined"}
        again = client.post("/events", json=body | {"kind": "label", "fraud": True})
        assert again.status_code == 202, "the same payment by its text"
        told = client.get("/metrics").text
    assert "rtml_event_to_prediction_seconds_count 1.0" in told


def test_what_an_event_changed_is_served_and_asking_computes_nothing(finished, stream, monkeypatch):
    part = stream[BEFORE : BEFORE + 60]
    paid = [payment(row) | {"kind": "payment"} for row in part[part["kind"] == PAYMENT]]
    with living(finished) as (live, client):
        said = client.post("/events", json=paid).json()
        with monkeypatch.context() as broken:  # what is read was computed when the event came
            broken.setattr(live.events.flow, "push", None)
            newest = [client.get("/predict").json()["features_at"] for _ in range(20)]
        told = {
            (one.name, *one.labels.values()): one.value
            for family in text_string_to_metric_families(client.get("/metrics").text)
            for one in family.samples
        }
        latency = client.get("/quality").json()["latency"]
    assert set(newest) == {said["time"]}
    count, soon = (
        told["rtml_event_to_prediction_seconds_count",],
        told["rtml_event_to_prediction_seconds_bucket", "1.0"],
    )
    assert count == len(paid) and told["rtml_events_on_time_ratio",] == soon / count
    assert told["rtml_features_age_seconds", "payment"] >= 0
    buckets = [told["rtml_request_seconds_bucket", edge, "/predict"] for edge in ("0.0001", "0.1", "+Inf")]
    assert buckets == sorted(buckets) and buckets[-1] == latency["/predict"]["count"] == 20
    assert 0 < latency["/predict"]["p50_ms"] <= latency["/predict"]["p99_ms"]


def test_a_run_that_is_not_finished_is_no_beginning(finished):
    (finished / "training.json").unlink()
    with pytest.raises(FileNotFoundError, match=r"training\.json is missing: run 04_online_train first"):
        Live(finished / "live", SourceOptions("http", behind=finished))
    assert not (finished / "live" / "recipe.json").exists()


@pytest.mark.parametrize(
    "keep", [lambda run, url: run_stores(run / "live", url), lambda run, url: (run / "log.url").write_text(url)]
)
def test_a_run_that_a_server_keeps_part_of_is_no_beginning(finished, keep):
    keep(finished, "postgres://localhost/runs?log=fraud")
    with pytest.raises(ValueError, match=r"\.url says that a server keeps .* without --log and --stores"):
        Live(finished / "live", SourceOptions("http", behind=finished))
    assert not (finished / "live" / "recipe.json").exists(), "the run on the server would be written into"


def test_labels_of_the_stream_are_there(stream):
    assert (stream[BEFORE : BEFORE + 400]["kind"] == LABEL).sum() > 50
