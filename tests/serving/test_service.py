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

from rtml.core.clock import ManualClock, span, utc
from rtml.serving.schemas import Refused, read_predict
from rtml.serving.service import NO_MODEL, Service
from rtml.serving.snapshot import Snapshot, StreamClock
from rtml.store import prediction_log as predictions
from rtml.store.prediction_log import LogUnavailable

T0 = 1_700_000_000_000_000_000
S = 10**9
NAMES = ("return_1", "imbalance_60s")


class Weighted:
    """A model that gives the dot product with fixed weights."""

    def __init__(self, *weights: float) -> None:
        self.weights = np.array(weights)

    def predict(self, x: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.weights @ x)


def snapshot(version="v1", model=None, names=NAMES, **about) -> Snapshot:
    about = {
        "symbols": ("ETH-USD", "BTC-USD"),
        "target": "ETH-USD",
        "horizon": span("10s"),
        "trained_up_to": T0,
    } | about
    return Snapshot(version, model or Weighted(1.0, 2.0), names, **about)


@pytest.fixture
def service(tmp_path):
    with closing(Service(tmp_path / "predictions.sqlite", ManualClock(T0))) as service:
        service.publish(snapshot())
        service.update_features("ETH-USD", T0, [3.0, 0.5], 2000.0)
        yield service


def test_a_prediction_says_what_when_and_from_what(service):
    service.clock.advance(span("250ms"))
    given = service.predict("ETH-USD")
    assert (given.symbol, given.return_bp, given.close, given.version) == ("ETH-USD", 4.0, 2000.0, "v1")
    assert given.price == pytest.approx(2000.0 * math.exp(4e-4), rel=1e-15), "the return is a log return"
    assert (given.features_at, given.due_at) == tuple(
        utc(at).isoformat(timespec="microseconds") for at in (T0, T0 + span("10s"))
    )
    assert (given.age_ms, given.horizon_s) == (250.0, 10.0)


def test_given_features_are_of_now(service):
    service.clock.advance(span("3s"))
    given = service.predict_features({"imbalance_60s": 1.0, "return_1": 1.0})
    assert (given.symbol, given.return_bp, given.close, given.age_ms) == ("ETH-USD", 3.0, 2000.0, 0.0)
    assert given.due_at == utc(T0 + span("13s")).isoformat(timespec="microseconds")


def test_a_symbol_without_a_close_has_no_price(service):
    given = service.predict_features({"imbalance_60s": 1.0, "return_1": 1.0}, symbol="BTC-USD")
    assert (given.symbol, given.close, given.price) == ("BTC-USD", None, None)


def test_the_probability_comes_from_the_model_of_the_sign(service):
    service.publish(snapshot(sign=Weighted(0.1, 0.1)))
    assert service.predict("ETH-USD").p_up == pytest.approx(0.35)


@pytest.mark.parametrize(
    ("ask", "status", "says"),
    [
        (lambda s: s.predict("DOGE-USD"), 422, "symbol: must be one of ETH-USD, BTC-USD"),
        (lambda s: s.predict("BTC-USD"), 503, "no features of BTC-USD yet"),
        (lambda s: s.predict_features({"return_1": 1.0}), 422, "features.imbalance_60s: is required"),
        (lambda s: s.predict_features(dict.fromkeys([*NAMES, "x"], 1.0)), 422, "features.x: is no feature"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, math.nan)), 422, "features.return_1: expected a number"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, 1e308)), 422, "features: must be of a size"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, 1e9)), 422, "features: must be of a size"),
        (lambda s: s.predict_features(dict.fromkeys(NAMES, 1.0), "X"), 422, "symbol: must be one of"),
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
        "symbol": st.sampled_from([None, "ETH-USD", "", "DOGE-USD", 5]),
        "features": st.one_of(st.none(), st.dictionaries(KEYS, VALUES, max_size=4), st.lists(VALUES)),
        "more": st.just(1),
    },
)


@given(FIELDS.map(json.dumps) | st.sampled_from(["", "[]", "null", "{", '{"features": {"return_30s": 1e999}}']))
def test_a_request_in_json_is_answered_or_refused_as_the_request_that_it_holds(body):
    with closing(Service(clock=ManualClock())) as service:
        assert outcome(lambda: service.ask_json(body.encode())) == outcome(lambda: asked(service, body.encode()))
        service.publish(snapshot())
        service.update_features("ETH-USD", service.clock.now(), np.ones(len(NAMES)), 100.0)
        assert outcome(lambda: service.ask_json(body.encode())) == outcome(lambda: asked(service, body.encode()))


def asked(service, body):
    return service.ask(read_predict(body))


def outcome(ask):
    """What is given, apart from its id, or the refusal."""
    try:
        given = structs.asdict(ask())
    except Refused as refused:
        return refused.status, refused.refusal
    return given | {"prediction_id": "", "age_ms": 0.0}


def test_without_a_model_the_command_that_makes_one_is_named():
    with closing(Service()) as service:
        assert service.update_features("ETH-USD", T0, [1.0, 2.0], 1.0) is False
        with pytest.raises(Refused) as refused:
            service.predict("ETH-USD")
        assert (refused.value.status, str(refused.value), service.health().reason) == (503, NO_MODEL, NO_MODEL)


def test_a_model_that_explodes_on_published_features_is_no_answer(service):
    service.publish(snapshot("v2", Weighted(1e308, 1e308)))
    service.update_features("ETH-USD", T0 + S, [10.0, 10.0], 2000.0)
    with pytest.raises(Refused, match="version v2 has no finite prediction") as refused:
        service.predict("ETH-USD")
    assert refused.value.status == 503


def test_a_model_that_cannot_answer_is_refused_and_the_last_one_serves_on(service):
    with pytest.raises(ValueError, match="size"):
        service.publish(snapshot("v2", Weighted(1.0)))
    assert service.predict("ETH-USD").version == "v1"


def test_a_new_snapshot_serves_from_the_next_prediction_on(service):
    assert service.predict("ETH-USD").return_bp == 4.0
    service.publish(snapshot("v2", Weighted(0.0, 1.0)))
    given = service.predict("ETH-USD")
    assert (given.version, given.return_bp) == ("v2", 0.5)


def test_features_of_another_definition_are_dropped_with_it(service):
    service.publish(snapshot("v2", names=("imbalance_60s", "return_1")))
    with pytest.raises(Refused, match="no features of ETH-USD yet"):
        service.predict("ETH-USD")


def test_older_features_never_replace_newer_ones(service):
    assert service.update_features("ETH-USD", T0 - S, [9.0, 9.0], 1.0) is False
    assert service.update_features("ETH-USD", T0, [5.0, 0.0], 1999.0) is True
    assert service.predict("ETH-USD").return_bp == 5.0


@pytest.mark.parametrize(
    ("x", "close", "says"),
    [
        ([1.0], 1.0, "must be 2 finite numbers, got .1.0.: version v1 takes return_1, imbalance_60s"),
        ([1.0, math.nan], 1.0, "must be 2 finite numbers"),
        ([1.0, 2.0], math.nan, "close of ETH-USD must be a positive number or None, got nan"),
        ([1.0, 2.0], 0.0, "close of ETH-USD must be a positive number"),
    ],
)
def test_features_that_no_model_can_take_are_refused(service, x, close, says):
    with pytest.raises(ValueError, match=says):
        service.update_features("ETH-USD", T0 + S, x, close)
    assert service.predict("ETH-USD").return_bp == 4.0


def test_the_log_holds_the_very_features_that_were_asked_with(service):
    x = np.array([0.1, 1 / 3])
    service.update_features("ETH-USD", T0 + S, x, 2000.0)
    given = service.predict("ETH-USD")
    x[:] = 0.0
    service.answer(given.prediction_id, -1.5)
    (told,) = service.drain_answers()
    assert told.x.tobytes() == np.array([0.1, 1 / 3]).tobytes()
    assert (told.id, told.names, told.prediction, told.y) == (given.prediction_id, NAMES, given.return_bp, -1.5)
    assert (told.symbol, told.version, told.moment, told.answered_at) == ("ETH-USD", "v1", T0 + S, T0)


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

class Zero:
    def predict(self, x):
        return 0.0

service = Service(sys.argv[1])
service.publish(Snapshot("v1", Zero(), ("a",), ("ETH-USD",), "ETH-USD", {10 * S}, 0))
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
    assert service.predict("ETH-USD").return_bp == 4.0


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
    service.update_features("ETH-USD", T0 + S, [1.0, 7.0], 2000.0)
    service.publish(snapshot("0", Weighted(0.0, 0.0)))
    stop, seen = threading.Event(), []

    def ask() -> None:
        while not stop.is_set():
            given = service.predict("ETH-USD")
            seen.append((given.version, given.return_bp, given.prediction_id))
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
    assert all(float(version) == value for version, value, _ in seen)
    assert len({id for *_, id in seen}) == len(seen)
    assert len({version for version, *_ in seen}) > 90
    service.log.flush()
    assert service.log.given == len(seen) and service.log.waiting == 0


def test_a_replayed_stream_has_ages_of_event_time():
    clock = StreamClock()
    with closing(Service(clock=clock)) as service:
        service.publish(snapshot())
        clock.tell(T0 + 2 * S)
        service.update_features("ETH-USD", T0, [1.0, 1.0], 10.0)
        assert 2000.0 <= service.predict("ETH-USD").age_ms < 3000.0
