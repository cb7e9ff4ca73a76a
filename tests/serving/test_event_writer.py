"""Events over HTTP: each once, on the disk before they are acknowledged, and learned like those of any source."""

import threading
from contextlib import closing

import httpx
import numpy as np
import pytest

from rtml.core.clock import span
from rtml.pipeline.options import SourceOptions
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.event_writer import EventWriter
from rtml.serving.live.session import Live
from rtml.serving.schemas import Refused, encode
from rtml.serving.service import Service
from rtml.serving.view import view_of
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

NOW = 1_700_000_000_000_000_000
CLICK = {"visitor": "ada", "item": "red shoe", "time": NOW}
TOKEN = "a-token-of-the-house"
EXAMPLES = {
    "crypto": {"symbol": "ETH-USD", "time": NOW, "price": 2000.5, "size": 1.0, "side": "buy", "id": 7},
    "fraud": {"kind": "payment", "id": 7, "time": NOW, "card": 1, "terminal": 2, "amount": 10.5},
    "sessions": CLICK,
}


def view(use_case="sessions"):
    return view_of(RunConfig.of(use_case, ()))


@pytest.fixture
def log(tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        yield log


@pytest.fixture
def writer(log):
    with closing(EventWriter(log, view(), lambda: NOW)) as writer:
        yield writer


def send(writer, events, query=b""):
    return writer.send(query, encode(events)).result(20)


@pytest.mark.parametrize("use_case", EXAMPLES)
def test_an_event_of_every_use_case_is_what_its_schema_makes_of_it(use_case, log):
    row = EXAMPLES[use_case]
    with closing(EventWriter(log, view(use_case), lambda: NOW)) as writer:
        assert send(writer, row).accepted == 1
        with pytest.raises(Refused, match=r"events\[1\]: time is .*nothing was written"):
            send(writer, [row, row | {"time": "yesterday"}])
    written = log.read(PART)[1]
    assert written.dtype == RunConfig.of(use_case, ()).case.event and written["time"].tolist() == [NOW]


def test_one_without_a_time_gets_that_of_the_service(writer, log):
    reply = send(writer, {"visitor": 1, "item": 7})
    assert log.read(PART)[1]["time"].tolist() == [NOW] and reply.time == "2023-11-14T22:13:20.000000+00:00"


def test_an_id_counts_once_in_a_request_between_requests_and_after_a_restart(writer, log):
    first, second = CLICK | {"event_id": "a"}, CLICK | {"event_id": "b", "item": 8}
    assert (send(writer, [first, second, first]).repeated, log.count(PART)) == (1, 2)
    with closing(EventWriter(log, view(), lambda: NOW + 5)) as again:
        reply = send(again, [second, CLICK | {"event_id": "c"}])
        assert (reply.accepted, reply.repeated, log.count(PART)) == (1, 1, 3)
        with pytest.raises(Refused, match="'b' was sent before with another content") as refused:
            send(again, [CLICK, second | {"item": 9}])
    assert refused.value.status == 409 and log.count(PART) == 3, "of a refused request nothing is written"


def test_a_repeated_event_without_a_time_is_the_same_one(log):
    moments = iter([NOW, NOW + 9])
    with closing(EventWriter(log, view(), lambda: next(moments))) as writer:
        sent = [send(writer, {"visitor": 1, "item": 7, "event_id": "a"}) for _ in range(2)]
    assert [(one.accepted, one.repeated) for one in sent] == [(1, 0), (0, 1)]


def test_it_is_acknowledged_only_when_the_disk_has_it_unless_that_was_not_asked(log, monkeypatch):
    disk, entered = threading.Event(), threading.Event()
    monkeypatch.setattr(log, "sync", lambda: (entered.set(), disk.wait(20)))
    with closing(EventWriter(log, view(), lambda: NOW)) as writer:
        waits = writer.send(b"", encode(CLICK))
        assert entered.wait(20) and not waits.done() and log.count(PART) == 1
        disk.set()
        assert waits.result(20).durable
        monkeypatch.setattr(log, "sync", lambda: pytest.fail("nobody asked for the disk"))
        assert not send(writer, CLICK, b"durable=false").durable


def test_a_full_queue_refuses_and_takes_again_when_it_is_written(log, monkeypatch):
    disk, entered = threading.Event(), threading.Event()
    monkeypatch.setattr(log, "sync", lambda: (entered.set(), disk.wait(20)))
    with closing(EventWriter(log, view(), lambda: NOW, most=3)) as writer:
        first = writer.send(b"", encode([CLICK, CLICK]))
        assert entered.wait(20)
        writer.send(b"", encode(CLICK))
        with pytest.raises(Refused, match="come again in a second") as full:
            writer.send(b"", encode(CLICK))
        assert full.value.status == 429
        disk.set()
        first.result(20)
    assert log.count(PART) == 3


def test_what_cannot_be_written_is_said_and_the_next_is_tried(log, monkeypatch):
    with closing(EventWriter(log, view(), lambda: NOW)) as writer:
        with monkeypatch.context() as broken:
            broken.setattr(log, "append_posted", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
            with pytest.raises(Refused, match="could not be written: OSError: disk full") as refused:
                send(writer, CLICK)
        assert refused.value.status == 503 and send(writer, CLICK).accepted == 1


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"{", "is not JSON"),
        (b"[]", "an event or a list of 1 to 1000"),
        (b"[1]", r"events\[0\]: must be an object with time"),
        (b'{"itme": 1}', "itme: is no column; there are time, session"),
        (b'{"event_id": 7}', "must be a text of 1 to 200"),
        (b'{"item": {"a": [1]}, "session": null}', "neither a session nor a visitor"),
    ],
)
def test_bad_input_is_refused_with_the_rule(writer, body, said):
    with pytest.raises(Refused, match=said) as refused:
        writer.send(b"", body).result(20)
    assert refused.value.status == 422
    with pytest.raises(Refused, match="durable: must be true or false"):
        writer.send(b"durable=perhaps", encode(CLICK))


def test_over_http_it_needs_the_token_and_says_202(log):
    with closing(Service()) as service, closing(EventWriter(log, view(), lambda: NOW, most=1)) as writer:
        app = make_app(service, access=Access(TOKEN), writer=writer)
        with Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url) as client:
            assert client.post("/events", json=CLICK).status_code == 401 and log.count(PART) == 0
            client.headers["Authorization"] = f"Bearer {TOKEN}"
            said = client.post("/events?durable=false", json=CLICK)
            assert said.status_code == 202 and said.json()["accepted"] == 1 and not said.json()["durable"]
            full = client.post("/events", json=[CLICK, CLICK])
            assert full.status_code == 429 and full.headers["Retry-After"] == "1"
            described = client.get("/openapi.json").json()["paths"]["/events"]["post"]
            assert {"202", "409", "429"} <= set(described["responses"])


def test_what_was_posted_is_learned_as_from_any_source_and_the_next_click_is_the_answer(log, writer, tmp_path):
    path = [1, 2, 3] * 12
    posted = [CLICK | {"item": item, "time": NOW + k * 10**9} for k, item in enumerate(path)]
    for click in posted:
        send(writer, click, b"durable=false")
    config = RunConfig.of("sessions", (), "http", models={"next_click": "markov"})
    with closing(Registry(tmp_path / "registry")) as registry:
        place = (log, PART, tmp_path / "training.db", registry, "sessions", span("1d"))
        with closing(Trainer(config.flow(), *place)) as trainer:
            trainer.run()
            said = trainer.predictions("next_click")
    last = said.sort_values("moment")
    assert len(last) == len(path) and last["y"].tolist()[:-2] == path[1:-1], "each click answers the one before"
    assert np.asarray(last["prediction"].iloc[-1])[0] == 1, (last["prediction"].iloc[-1], last["y"].tolist())


def test_a_live_run_learns_what_is_posted_and_goes_on_behind_it_after_a_restart(tmp_path):
    stop, what = threading.Event(), SourceOptions("shop", use_case="sessions", speed=0.0, hours=12.0)
    counts = []
    for event_id in ("a", "b"):
        with Live(tmp_path / "run", what, out=lambda line: None) as live:
            stop.clear()
            thread = threading.Thread(target=live.run, args=(stop,))
            thread.start()
            with httpx.Client(base_url=live.url, timeout=30) as client:
                said = client.post("/events", json={"visitor": "ada", "item": 7, "event_id": event_id})
                assert said.status_code == 202, said.text
            while not (live.ingestor.over and live.trainer.status().offset == live.log.last(PART)):
                assert thread.is_alive()
                stop.wait(0.05)
            counts.append(live.log.count(PART))
            stop.set()
            thread.join()
            assert live.log.count_posted(PART) == len(counts)
    assert counts[1] == counts[0] + 1, "a restart skipped rows of the source, or took some twice"


def test_an_application_may_be_the_only_source_and_sees_its_click_in_the_list(tmp_path):
    stop = threading.Event()
    with Live(tmp_path / "run", SourceOptions("http", use_case="sessions"), out=lambda line: None) as live:
        thread = threading.Thread(target=live.run, args=(stop,))
        thread.start()
        with httpx.Client(base_url=live.url, timeout=30) as client:
            taken = client.post("/events", json=[{"visitor": "ada", "item": 8}, {"visitor": "ada", "item": 7}]).json()
            asked = {"visitor": "ada", "clicked_at": taken["time"], "budget_ms": 5000}
            said = client.post("/predict", json=asked).json()
            while said.get("extra", {}).get("path") != "session" and thread.is_alive():
                said = client.post("/predict", json=asked).json()  # the first commit of a busy machine
        stop.set()
        thread.join()
    assert {one["item"] for one in said["predictions"]["next_click"]["items"]} == {7, 8}
    assert live.config.live and live.ingestor.state == "stopped"
