"""The service predicts from what was published, logs what it gave, and joins each answer once."""

from __future__ import annotations

import json
import math
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from published import NAMES, Weighted, snapshot
from published import ask as ask_at

from rtml.core.clock import ManualClock, span, utc
from rtml.core.target import Target
from rtml.serving.schemas import PredictRequest, Refused, read
from rtml.serving.service import NO_MODEL, Service
from rtml.serving.snapshot import StreamClock
from rtml.store import prediction_log as predictions
from rtml.store.prediction_log import LogUnavailable

T0 = 1_700_000_000_000_000_000
S = 10**9


def value(given) -> float:
    return given.answers()["return"]["value"]


@pytest.fixture
def service(tmp_path):
    with closing(Service(tmp_path / "predictions.sqlite", ManualClock(T0))) as service:
        service.publish(snapshot())
        ask_at(service, T0, [3.0, 0.5], extra={"close": 2000.0})
        yield service


def test_a_prediction_says_what_when_from_what_and_by_whom(service):
    service.clock.advance(span("250ms"))
    given = service.predict("ETH-USD")
    assert given.answers() == {"return": {"value": 4.0, "unit": "bp", "low": -2.0, "high": 4.5}}
    assert (given.key, given.version, given.offset, given.question) == ("ETH-USD", "crypto@learner", 12, 7)
    assert json.loads(bytes(given.extra)) == {"close": 2000.0}
    assert (given.features_at, given.due_at) == tuple(
        utc(at).isoformat(timespec="microseconds") for at in (T0, T0 + span("10s"))
    )
    assert (given.age_ms, given.horizon_s) == (250.0, 10.0)


def test_given_features_are_of_now_and_answered_by_the_newest_state(service):
    service.clock.advance(span("3s"))
    given = service.predict_features({"imbalance_60s": 1.0, "return_1": 1.0})
    assert (given.key, value(given), given.question, given.age_ms) == ("ETH-USD", 3.0, None, 0.0)
    assert given.due_at == utc(T0 + span("13s")).isoformat(timespec="microseconds")
    service.publish(snapshot(model=Weighted(10.0, 0.0)), check=False)
    assert value(service.predict_features({"imbalance_60s": 1.0, "return_1": 1.0})) == 10.0
    assert value(service.predict("ETH-USD")) == 4.0, "a question is asked once: its prediction stays what was served"


def test_all_targets_are_in_one_answer_by_their_kinds(service):
    class Classes:
        def predict(self, x):
            return np.array([0.25, 0.5, 0.25, 99.0])  # what a model keeps for itself stands behind

    targets = (Target("sky", "classes", classes=("dry", "wet", "snow")), Target("rise", "probability"))
    service.publish(snapshot("v2", models={"sky": Classes(), "rise": Weighted(0.1, 0.1)}, targets=targets))
    given = service.predict_features(dict.fromkeys(NAMES, 1.0))
    assert given.answers() == {
        "sky": {"label": "wet", "probabilities": {"dry": 0.25, "wet": 0.5, "snow": 0.25}},
        "rise": {"probability": 0.2},
    }
    told = service.given(given.prediction_id)
    assert told["predictions"] == {"sky": [0.25, 0.5, 0.25], "rise": 0.2} and told["features"] == dict.fromkeys(
        NAMES, 1
    )
    assert (told["version"], told["offset"], told["question"], told["y"]) == ("v2", 12, None, None)


def test_the_key_of_a_pooled_stream_is_filled_in_and_may_be_left_out_where_there_is_one():
    with closing(Service(clock=ManualClock(T0))) as service:
        service.publish(snapshot(model=Weighted(1.0, 100.0), names=("a", "key_number")))
        assert value(service.predict_features({"a": 1.0}, "BTC-USD")) == 101.0
        assert value(service.predict_features({"a": 1.0}, "ETH-USD")) == 1.0
        with pytest.raises(Refused, match="key: give a key, features, or both"):
            service.predict()
        service.publish(snapshot(names=("a",), model=Weighted(1.0), keys=("",)))
        ask_at(service, T0, [2.0], key="")
        assert value(service.predict()) == 2.0


def test_symbol_is_another_name_for_key(service):
    assert value(service.ask(read(PredictRequest, b'{"symbol": "ETH-USD"}'))) == 4.0


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (lambda s: s.predict("DOGE-USD"), 422, "key: must be one of ETH-USD, BTC-USD"),
        (lambda s: s.predict("BTC-USD"), 503, "no question of BTC-USD yet"),
        (lambda s: s.predict_features({"return_1": 1.0}), 422, "features.imbalance_60s: is required"),
        (lambda s: s.predict_features(dict.fromkeys([*NAMES, "x"], 1.0)), 422, "features.x: is no feature"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, math.nan)), 422, "features.return_1: expected a number"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, 1e308)), 422, "features: must be of a size"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, 1.0), "X"), 422, "key: must be one of"),
    ],
)
def test_what_cannot_be_predicted_is_refused(service, ask, status, says):
    with pytest.raises(Refused, match=says.replace(".", r"\.")) as refused:
        ask(service)
    assert refused.value.status == status


VALUES = st.one_of(st.integers(-3, 3), st.floats(-1e3, 1e3), st.none(), st.booleans(), st.just("1.5"), st.just(1e200))
KEYS = st.sampled_from([*NAMES, *NAMES, *NAMES, "other"])
FIELDS = st.fixed_dictionaries(
    {},
    optional={
        "key": st.sampled_from([None, "ETH-USD", "", "DOGE-USD", 5]),
        "symbol": st.sampled_from(["ETH-USD", "DOGE-USD"]),
        "features": st.one_of(st.none(), st.dictionaries(KEYS, VALUES, max_size=4), st.lists(VALUES)),
        "more": st.just(1),
    },
)


@given(FIELDS.map(json.dumps) | st.sampled_from(["", "[]", "null", "{", '{"features": {"return_30s": 1e999}}']))
def test_a_request_in_json_is_answered_or_refused_as_the_request_that_it_holds(body):
    with closing(Service(clock=ManualClock())) as service:
        assert outcome(lambda: service.ask_json(body.encode())) == outcome(lambda: asked(service, body.encode()))
        service.publish(snapshot())
        ask_at(service, service.clock.now(), np.ones(len(NAMES)))
        assert outcome(lambda: service.ask_json(body.encode())) == outcome(lambda: asked(service, body.encode()))


def asked(service, body):
    return service.ask(read(PredictRequest, body))


def outcome(ask):
    """What is given, apart from its id, or the refusal."""
    try:
        given = structs.asdict(ask())
        given["predictions"] = bytes(given["predictions"])
    except Refused as refused:
        return refused.status, refused.refusal
    return given | {"prediction_id": "", "age_ms": 0.0}


def test_without_a_model_the_command_that_makes_one_is_named():
    with closing(Service()) as service:
        with pytest.raises(Refused) as refused:
            service.predict("ETH-USD")
        assert (refused.value.status, str(refused.value), service.health().reason) == (503, NO_MODEL, NO_MODEL)


def test_a_model_that_cannot_answer_is_refused_and_the_last_one_serves_on(service):
    with pytest.raises(ValueError, match="size"):
        service.publish(snapshot("v2", Weighted(1.0)))
    assert service.predict("ETH-USD").version == "crypto@learner"


def test_another_version_answers_from_the_next_question_on(service):
    service.publish(snapshot("v2", Weighted(0.0, 1.0)))
    assert (service.predict("ETH-USD").version, value(service.predict("ETH-USD"))) == ("crypto@learner", 4.0)
    ask_at(service, T0 + S, [3.0, 0.5])
    assert (service.predict("ETH-USD").version, value(service.predict("ETH-USD"))) == ("v2", 0.5)


def test_questions_of_another_definition_are_dropped_with_it(service):
    service.publish(snapshot("v2", names=("imbalance_60s", "return_1")))
    with pytest.raises(Refused, match="no question of ETH-USD yet"):
        service.predict("ETH-USD")


def test_an_older_question_never_replaces_a_newer_one(service):
    assert ask_at(service, T0 - S, [9.0, 9.0]) is False
    assert ask_at(service, T0, [5.0, 0.0]) is True
    assert value(service.predict("ETH-USD")) == 5.0


def test_the_log_holds_the_very_features_that_were_asked_with(service):
    x = np.array([0.1, 1 / 3])
    ask_at(service, T0 + S, x)
    given = service.predict("ETH-USD")
    x[:] = 0.0
    service.answer(given.prediction_id, -1.5)
    (told,) = service.drain_answers()
    assert told.x.tobytes() == np.array([0.1, 1 / 3]).tobytes()
    assert (told.id, told.names, told.prediction, told.y) == (given.prediction_id, NAMES, value(given), -1.5)
    assert (told.key, told.version, told.moment, told.answered_at) == ("ETH-USD", "crypto@learner", T0 + S, T0)


def test_an_answer_is_joined_once(service):
    id = service.predict("ETH-USD").prediction_id
    assert [service.answer(id, 1.5), service.answer(id, 1.5)] == ["joined", "repeated"]
    with pytest.raises(Refused, match=r"answered with 1\.5 before, got 2\.0: the first answer stands") as refused:
        service.answer(id, 2.0)
    assert refused.value.status == 409
    assert [told.y for told in service.drain_answers()] == [1.5]
    assert service.drain_answers() == []


@pytest.mark.parametrize(
    "id", ["1-99", "9-1", "1-01", "1", "", "-", "1-", "x-y", "1-²", "9" * 60 + "-1", "1-" + "9" * 60]
)
def test_an_unknown_prediction_is_said(service, id):
    with pytest.raises(Refused, match="no prediction") as refused:
        service.answer(id, 1.0)
    assert refused.value.status == 404


def test_an_answer_that_is_no_number_is_refused(service):
    with pytest.raises(Refused, match="y: must be a finite number"):
        service.answer(service.predict("ETH-USD").prediction_id, math.nan)


def test_an_answer_told_is_joined_though_nobody_waits_for_it(service):
    told = service.tell(service.predict("ETH-USD").prediction_id, 1.0)
    assert told.cancel() is False
    assert told.result() == "joined"


def test_of_answers_told_at_once_the_first_stands(service):
    id = service.predict("ETH-USD").prediction_id
    told = [service.tell(id, y) for y in (1.0, 2.0, 1.0)]
    assert [future.result() for future in told] == ["joined", 1.0, "repeated"]


answers_told = st.lists(
    st.one_of(
        st.just("predict"),
        st.just("restart"),
        st.just("drain"),
        st.tuples(st.integers(0, 8), st.sampled_from([0.0, 1.0, -2.5])),
    ),
    max_size=25,
)


@settings(max_examples=25, deadline=None)
@given(steps=answers_told)
def test_whatever_comes_in_whatever_order_each_answer_is_joined_and_drained_once(steps):
    with tempfile.TemporaryDirectory() as folder:
        given, first, drained = [], {}, []
        service = Service(Path(folder) / "log.sqlite", ManualClock(T0))
        for step in [*steps, "restart", "drain"]:
            if step == "restart":
                service.close()
                service = Service(Path(folder) / "log.sqlite", ManualClock(T0))
            elif step == "drain":
                drained += service.drain_answers()
            elif step == "predict":
                service.publish(snapshot())
                given.append(service.predict_features(dict.fromkeys(NAMES, 1.0)).prediction_id)
            elif step[0] < len(given):
                id, y = given[step[0]], step[1]
                verdict = service.tell(id, y).result()
                assert verdict == ("joined" if id not in first else "repeated" if first[id] == y else first[id])
                first.setdefault(id, y)
        service.close()
    assert len(set(given)) == len(given), "an id was given twice"
    assert [(told.id, told.y) for told in drained] == list(first.items())


KILLED = f"""
import sys
from rtml.serving.service import Service
from rtml.serving.snapshot import Snapshot
from rtml.core.target import Target

class Zero:
    def predict(self, x):
        return 0.0

service = Service(sys.argv[1])
service.publish(Snapshot("v1", lambda: (0, {{"y": Zero()}}), ("a",), ("ETH-USD",), (Target("y"),), {10 * S}, 0))
while True:
    ids = [service.predict_features({{"a": 1.0}}).prediction_id for i in range(100)]
    print("given", *ids, flush=True)
    service.answer(ids[50], 1.0)
    print("answered", ids[50], flush=True)
"""


@pytest.mark.parametrize("lines", [1, 2, 9, 40])
def test_what_was_acknowledged_survives_a_kill_and_no_id_comes_twice(tmp_path, lines):
    path = tmp_path / "log.sqlite"
    with subprocess.Popen([sys.executable, "-c", KILLED, path], stdout=subprocess.PIPE, text=True) as killed:
        said = [killed.stdout.readline().split() for _ in range(lines)]
        killed.kill()
        said += [line.split() for line in killed.stdout]
    given = {id for word, *ids in said if word == "given" for id in ids}
    answered = [id for word, *ids in said if word == "answered" for id in ids]
    with closing(Service(path)) as service:
        assert service.log._database.execute("pragma integrity_check").fetchone() == ("ok",)
        assert [service.answer(id, 1.0) for id in answered] == ["repeated"] * len(answered)
        drained = [told.id for told in service.drain_answers()]
        assert drained[: len(answered)] == answered and len(drained) <= len(answered) + 1
        service.publish(snapshot())
        assert service.predict_features(dict.fromkeys(NAMES, 1.0)).prediction_id not in given


@pytest.fixture
def locked(service):
    """Another process holds the log; it lets go when called."""
    service.log.flush()
    service.log._database.execute("pragma busy_timeout = 20")
    path = service.log._database.execute("pragma database_list").fetchone()[2]
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("begin immediate")
        yield lambda: other.execute("rollback")


def test_a_log_that_cannot_be_written_is_said_and_nothing_is_lost(service, locked):
    ids = [service.predict("ETH-USD").prediction_id for _ in range(5)]
    with pytest.raises(LogUnavailable, match="cannot be written: database is locked"):
        service.answer(ids[0], 1.0)
    assert "database is locked" in service.health().reason
    locked()
    assert [service.answer(id, 1.0) for id in ids] == ["joined"] * 5
    assert service.health().ready


def test_predictions_stop_before_the_memory_is_full(service, locked, monkeypatch):
    monkeypatch.setattr(predictions, "BACKLOG", 10)
    for _ in range(10):
        service.predict("ETH-USD")
    with pytest.raises(LogUnavailable, match="10 predictions wait to be written"):
        service.predict("ETH-USD")
    locked()
    service.log.flush()
    assert value(service.predict("ETH-USD")) == 4.0


def test_a_log_that_loses_predictions_on_closing_says_how_many(tmp_path):
    service = Service(tmp_path / "log.sqlite")
    service.publish(snapshot())
    service.log._database.execute("pragma busy_timeout = 20")
    with closing(sqlite3.connect(tmp_path / "log.sqlite", isolation_level=None)) as other:
        other.execute("begin immediate")
        service.predict_features(dict.fromkeys(NAMES, 1.0))
        with pytest.raises(LogUnavailable, match="1 predictions were not written"):
            service.close()


def test_after_closing_nothing_is_taken(tmp_path):
    service = Service(tmp_path / "log.sqlite")
    service.publish(snapshot())
    id = service.predict_features(dict.fromkeys(NAMES, 1.0)).prediction_id
    service.close()
    with pytest.raises(LogUnavailable, match="closed"):
        service.answer(id, 1.0)
    with pytest.raises(LogUnavailable, match="closed"):
        service.predict_features(dict.fromkeys(NAMES, 1.0))


def test_threads_that_ask_while_another_publishes_never_see_a_mixture(service):
    """Version n has weight n on the first feature and 0 on the second; the first is 1."""
    features = dict(zip(NAMES, (1.0, 7.0), strict=True))
    service.publish(snapshot("0", Weighted(0.0, 0.0)))
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            given = service.predict_features(features)
            seen.append((given.version, value(given), given.prediction_id))
            time.sleep(0)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for version in range(1, 101):
        service.publish(snapshot(str(version), Weighted(float(version), 0.0)))
        enough = len(seen) + 10
        while len(seen) < enough:
            time.sleep(0.0001)
    stop.set()
    for thread in threads:
        thread.join()
    assert all(float(version) == said for version, said, _ in seen)
    assert len({id for *_, id in seen}) == len(seen)
    assert len({version for version, *_ in seen}) > 90
    service.log.flush()
    assert service.log.given == len(seen) and service.log.waiting == 0


def test_a_replayed_stream_has_ages_of_event_time():
    clock = StreamClock()
    with closing(Service(clock=clock)) as service:
        service.publish(snapshot())
        clock.advance(T0 + 2 * S)
        ask_at(service, T0, [1.0, 1.0])
        assert 2000.0 <= service.predict("ETH-USD").age_ms < 3000.0
