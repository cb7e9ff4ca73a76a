"""History for the page: who decided what and why, what was said meanwhile, and which alerts are alarms."""

import json
import threading
from contextlib import closing

import httpx
import pytest
from following import wait_for

from rtml.pipeline.options import SourceOptions
from rtml.registry.ledger import GATE
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.follower import Follower
from rtml.serving.live.session import Live
from rtml.serving.timeline import RECENT, SHOWN, History
from rtml.store.checkpoint_store import CheckpointReader, CheckpointStore

SECOND, NOW = 10**9, 1_700_000_000 * 10**9
FACTS = {"gain": 0.4, "gain_low": 0.1, "gain_high": 0.7, "share": 0.037, "answers": 381, "evidence": 845, "needed": 768}


@pytest.fixture
def registry(tmp_path):
    with closing(Registry(tmp_path / "registry")) as registry:
        parent = None
        for n in range(1, 5):
            data = {"part": "events", "first_offset": 100 * n - 99, "last_offset": 100 * n}
            parent = registry.save("champion", b"%d" % n, at=n * SECOND, features="f", parent=parent, data=data)
        yield registry


class Written:
    """A journal that says what it is told to."""

    def __init__(self, path) -> None:
        self._journal, self._offset = CheckpointStore(path, {}), 0
        self._journal.begin(0, b"")
        self.close = self._journal.close

    def say(self, *new_events: tuple[int, str, dict]) -> None:
        rows = [(at, 1, "gate", kind, json.dumps(detail)) for at, kind, detail in new_events]
        self._offset += 1
        self._journal.commit(self._offset, b"", [], [], new_events=rows)


@pytest.fixture
def journal(tmp_path):
    with closing(Written(tmp_path / "training.db")) as journal:
        yield journal


def alert(number: int, harm: float | None, what: str = "features", text: str = "x1 moved") -> dict:
    return {"number": number, "harm": harm, "what": what, "text": text}


def test_what_serves_is_told_with_what_was_measured_and_since_when_by_the_ledger(registry):
    registry.promote("champion", "champion@1", "first version", 10 * SECOND, {"by": GATE})
    registry.promote("champion", "champion@3", "loses less", 30 * SECOND, {"by": GATE, **FACTS})
    history = History(registry, "champion")
    history.read()
    serving = history.serving
    assert (serving.version, serving.at, serving.by, serving.why) == ("champion@3", 30_000, "gate", "loses less")
    assert (serving.before, serving.learned, serving.held) == ("champion@1", "log:events@201-300", "")
    assert {name: getattr(serving, name) for name in FACTS} == FACTS
    registry.acts.note("champion", "fallback", 35 * SECOND, "the checkpoint serves", {"by": "guard", "evidence": 99.0})
    history.read()
    assert (history.newest()[0].what, history.serving.by, history.serving.version) == (
        "fallback",
        "guard",
        "champion@3",
    )
    registry.rollback("champion", "ada: errors doubled", 40 * SECOND, {"who": "ada"})
    history.read()
    serving, last = history.serving, history.newest()[0]
    assert (serving.version, serving.by, serving.why, serving.share) == ("champion@1", "ada", "errors doubled", None)
    assert (last.what, last.by, last.at) == ("rolled back", "ada", 40_000)
    assert "until a person promotes" in serving.held


def test_decisions_and_what_was_said_are_one_list_newest_first_and_each_is_there_once(registry, journal, tmp_path):
    history = History(registry, "champion", tmp_path / "training.db")
    said = {"version": "champion@2", "why": "loses more"}
    journal.say((20 * SECOND, "shadow", {}), (25 * SECOND, "refused", said), (30 * SECOND, "promoted", {"why": "x"}))
    registry.promote("champion", "champion@1", "first version", 10 * SECOND, {"by": GATE})
    registry.promote("champion", "champion@3", "loses less", 30 * SECOND, {"by": GATE})
    for _ in range(2):
        history.read()
        assert [(one.at, one.what) for one in history.newest()] == [
            (30_000, "promoted"),
            (25_000, "refused"),
            (10_000, "promoted"),
        ]
    journal.say(*((n * SECOND, "given up", said) for n in range(40, 60)))
    history.read()
    assert [one.at for one in history.newest()] == [n * 1000 for n in range(59, 59 - SHOWN, -1)]


def test_an_alert_that_does_harm_is_an_alarm_while_it_is_recent_and_until_answers_say_it_did_none(
    registry, journal, tmp_path
):
    history = History(registry, "champion", tmp_path / "training.db")
    journal.say((NOW, "alert", alert(1, 0.02)), (NOW + SECOND, "alert", alert(2, 0.5)))
    history.read()
    assert [text[6:] for text in history.alarms(NOW + 2 * SECOND)] == ["x1 moved"]
    assert history.alarms(NOW + 2 * SECOND)[0].startswith("22:13 ")
    assert history.alarms(NOW + 2 * SECOND + RECENT) == []
    journal.say((NOW + 9 * SECOND, "assessed", alert(2, 0.0, text="the loss fell")))
    history.read()
    assert history.alarms(NOW + 9 * SECOND) == [] and history.newest()[0].why == "the loss fell"
    journal.say((NOW + 10 * SECOND, "alert", alert(3, None, "loss", "the loss rose")))
    history.read()
    assert len(history.alarms(NOW + 10 * SECOND)) == 1, "a rising loss always counts"


def test_a_history_that_cannot_be_read_is_an_alarm_and_what_was_read_stays(registry, tmp_path):
    history = History(registry, "champion", tmp_path / "training.db")
    registry.promote("champion", "champion@1", "first version", 10 * SECOND, {"by": GATE})
    (tmp_path / "training.db").mkdir()
    (said,) = history.read()
    assert said.startswith("the history of the run cannot be read now") and str(tmp_path) not in said
    assert [one.what for one in history.newest()] == ["promoted"]
    (tmp_path / "training.db").rmdir()
    assert history.read() == ()


def test_alerts_of_one_time_are_told_once_by_the_one_of_most_harm(registry, journal, tmp_path):
    history = History(registry, "champion", tmp_path / "training.db")
    harms = [(1, 0.2), (2, 0.6), (3, None)]
    journal.say(*((NOW, "alert", alert(n, harm, text=f"alert {n}")) for n, harm in harms), (NOW, "trigger", {}))
    history.read()
    assert [one.why for one in history.newest() if one.what == "alert"] == ["alert 2"]


def status(url: str) -> dict:
    return httpx.get(f"{url}/questions?n=0", timeout=10).json()["status"] or {}


def test_a_promotion_by_the_gate_and_a_rollback_by_a_person_are_told_live_and_by_the_follower(tmp_path):
    source_options, person = SourceOptions("synthetic", speed=0.0, hours=5.0), {"who": "ada", "why": "errors doubled"}
    with Live(tmp_path / "run", source_options, every="15m", publish="gate", out=lambda line: None) as session:
        session.run(threading.Event(), once=True)
        told = status(session.url)
    serving, new_events = told["serving"], told["happened"]
    ledger = Registry(tmp_path / "run" / "registry")
    act = ledger.ledger("crypto").iloc[-1]
    ledger.close()
    assert serving["version"] == told["version"] == f"crypto@{act['number']}" and serving["by"] == "gate"
    assert serving["at"] == act["at"].value // 10**6 and serving["why"] == act["why"]
    assert serving["gain_low"] < serving["gain"] < serving["gain_high"] and serving["share"] > 0
    assert {"promoted"} <= {one["what"] for one in new_events} and len(new_events) <= SHOWN
    assert [one["at"] for one in new_events] == sorted((one["at"] for one in new_events), reverse=True)
    with closing(CheckpointReader(tmp_path / "run" / "training.db")) as reading:
        assert "shadow" in {kind for *_, kind, _ in reading.history()}, "the gate held contests"
    with (
        Follower(tmp_path / "run") as follower,
        Endpoint(make_app(follower.service, promotions=follower)) as endpoint,
    ):
        wait_for(lambda: status(endpoint.url).get("serving"), "what serves is told")
        assert status(endpoint.url)["serving"] == serving and status(endpoint.url)["happened"] == new_events
        httpx.post(f"{endpoint.url}/rollback", json=person, timeout=10).raise_for_status()
        wait_for(lambda: status(endpoint.url)["serving"]["by"] == "ada", "the rollback is told")
        newest = [one for one in status(endpoint.url)["happened"] if one["by"] == "ada"]
        assert [(one["what"], one["why"]) for one in newest] == [("rolled back", "errors doubled")]
        assert "until a person promotes" in status(endpoint.url)["serving"]["held"]
        assert 'href="ledger"' in httpx.get(endpoint.url, timeout=10).text
        acts = httpx.get(f"{endpoint.url}/ledger", timeout=10).json()["acts"]
        assert (acts[-1]["action"], acts[-1]["by"]) == ("rollback", "ada")


def test_a_run_that_published_always_goes_on_with_the_gate(tmp_path):
    for publish, hours in (("always", 0.3), ("gate", 0.3)):
        source_options = SourceOptions("synthetic", speed=0.0, hours=hours)
        with Live(
            tmp_path / "run", source_options, every="3m", publish=publish, port=None, out=lambda _: None
        ) as session:
            session.run(threading.Event(), once=True)
            assert session.registry.champion("crypto")
