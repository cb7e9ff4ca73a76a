"""The publisher: what is served is what is evaluated, and one number is said everywhere."""

import json
import signal
import sqlite3
import subprocess
import sys
import threading
import urllib.request
from contextlib import closing
from io import BytesIO

import httpx
import numpy as np
import pandas as pd
import pytest
from prometheus_client.parser import text_string_to_metric_families
from runs import market_run

from rtml.core.clock import span
from rtml.pipeline.options import SourceOptions
from rtml.registry.lineage import models
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.live.session import Live
from rtml.serving.outcomes import Committed, ends_of, newest, slices
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.store.prediction_tables import opened
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer


class World:
    """A run in a folder: its log, registry, trainer and publisher."""

    def __init__(self, folder) -> None:
        source = open_source("synthetic", hours=0.5)
        self.folder, self.log, self.registry = folder, EventLog(folder / "events.db"), Registry(folder / "registry")
        ingest(source, self.log, PART)
        self.config = market_run(source.symbols, source.name, horizon="20s").write(folder / "recipe.json")
        self.key, self.last = self.config.keys[0], self.log.last(PART)

    def trainer(self, on_outcome=lambda outcome: None) -> Trainer:
        places = (self.log, PART, self.folder / "training.db", self.registry, "crypto", span("5m"))
        return Trainer(self.config.flow(), *places, chunk=300, publish="learner", on_outcome=on_outcome)

    def publisher(self, service: Service) -> Publisher:
        return Publisher(service, self.registry, self.config, self.folder / "training.db")


@pytest.fixture
def world(tmp_path):
    (tmp_path / ".rtml-run").touch()
    world = World(tmp_path)
    yield world
    world.log.close()


@pytest.fixture
def service():
    with closing(Service(clock=StreamClock())) as service:
        yield service


def committed(folder, target: str = "return"):
    with closing(CheckpointReader(folder / "training.db")) as reader:
        return {one.id: one.predictions[target] for one in reader.questions(0, 10**6)}


def test_what_predict_gives_for_a_key_is_the_bytes_that_the_flow_said_and_the_store_keeps(world, service):
    said, given = {}, {}

    def told(outcome) -> None:
        said.update(zip(outcome.id.tolist(), outcome.predictions["return"].tolist(), strict=True))
        publisher.outcome(outcome)
        if len(outcome.id):
            one = service.predict(world.key)
            given[one.question] = one.answers()["return"]["value"]

    publisher, trainer = world.publisher(service), world.trainer(lambda outcome: told(outcome))
    with closing(trainer):
        trainer.run()
        kept = committed(world.folder)
        assert len(given) > 5 and all(given[id] == said[id] == kept[id] for id in given)
        service.log.flush()
        rows = service.log._database.execute("select question, prediction, version from prediction").fetchall()
        assert {(id, p) for id, p, _ in rows} == set(given.items()) and {v for *_, v in rows} == {"crypto@learner"}
        assert publisher.scores.served.scores() == trainer.status().scores, "the same digits, to the last bit"


def test_features_of_ones_own_are_answered_by_the_newest_committed_state(world, service):
    publisher, trainer = world.publisher(service), world.trainer(lambda outcome: publisher.outcome(outcome))
    with closing(trainer):
        x = dict.fromkeys(world.config.flow().features.names, 0.5)
        values = []
        for until in (world.last // 2, world.last):
            trainer.run(until)
            publisher.committed()
            given = service.predict_features(x)
            model = trainer._flow.learners["return"].model
            assert given.answers()["return"]["value"] == model.predict(np.full(len(x), 0.5))
            assert given.offset == until and given.question is None and given.version == "crypto@learner"
            values.append(given.answers()["return"]["value"])
    assert values[0] != values[1]


def test_another_process_that_follows_the_store_serves_and_scores_the_same(world, service):
    trainer = world.trainer(lambda outcome: publisher.outcome(outcome))
    publisher = world.publisher(service)
    with closing(trainer), closing(Service(clock=StreamClock())) as other:
        following = world.publisher(other)
        assert following.follow() is False, "nothing is there yet"
        for until in (world.last // 3, world.last // 2, world.last):
            trainer.run(until)
            assert following.follow() and not following.follow()
            assert other.predict(world.key).answers() == service.predict(world.key).answers()
            assert bytes(other.predict(world.key).extra) == bytes(service.predict(world.key).extra)
        assert following.scores.as_dict() == publisher.scores.as_dict() and following.questions == publisher.questions
        assert other.stream.questions(50) == service.stream.questions(50)


def test_a_frozen_version_serves_what_it_says_is_kept_and_each_score_says_whose_it_is(world, tmp_path):
    trainer, said = world.trainer(lambda outcome: publisher.outcome(outcome)), {}
    with closing(Service(tmp_path / "predictions.db", clock=StreamClock())) as service:
        publisher = world.publisher(service)
        trainer.run(world.last // 2)
        world.registry.promote("crypto", "crypto@1", "ada: to see it", service.clock.now(), {"who": "ada"})
        publisher.refresh()
        before = set(committed(world.folder))
        assert service.predict(world.key).version == "crypto@learner", "a question is asked once"
        trainer.run(world.last)
        given = service.predict(world.key)
        assert given.version == "crypto@1"
        frozen = models(world.registry, "crypto@1")["return"]
        with closing(CheckpointReader(world.folder / "training.db")) as reader:
            asked = [one for one in reader.questions(0, 10**6) if one.id not in before]
            answers = {one.id: one.y for one in reader.answers(0, 10**6) if one.target == "return"}
        said = {one.id: frozen.predict(np.frombuffer(one.x)) for one in asked}
        assert given.answers()["return"]["value"] == said[given.question]
        kept = {id: np.frombuffer(cells)[0] for id, (version, cells) in service.log.served().items()}
        assert kept == said
        scores = publisher.scores.as_dict()
        served = committed(world.folder) | said
        errors = [(y - served[id]) ** 2 for id, y in answers.items() if y is not None]
        assert scores["served"]["return"]["mse"] == pytest.approx(np.mean(errors), rel=1e-12)
        assert publisher.scores.learner.scores() == trainer.status().scores
        own = [(answers[id] - said[id]) ** 2 for id in said if answers.get(id) is not None]
        assert scores["frozen"]["return"]["mse"] == pytest.approx(np.mean(own), rel=1e-12)
        assert scores["baseline"]["return"]["r2_zero"] == 0.0
        trainer.close()
    with closing(Service(tmp_path / "predictions.db", clock=StreamClock())) as service:
        again = world.publisher(service)
        again.begin()
        assert again.scores.as_dict() == scores and again.version == "crypto@1", "a restart knows what was served"
        world.registry.promote("crypto", "crypto@learner", "ada: back", service.clock.now(), {"who": "ada"})
        again.refresh(ask=True)
        assert service.predict(world.key).version == again.version == "crypto@learner"


def test_one_number_is_said_by_page_console_health_metrics_and_the_stores(tmp_path):
    lines, requests = [], {}
    source = SourceOptions("synthetic", speed=0.0, hours=0.5)
    with Live(tmp_path / "run", source, every="5m", out=lines.append) as session:
        publish = session.publisher.outcome

        def asked(outcome, arrived) -> None:
            publish(outcome, arrived)
            for key in set(outcome.key.tolist()):  # a client that asks after every outcome
                given = session.service.predict(session.config.keys[key])
                requests[given.question] = given.answers()["return"]["value"]

        session.publisher.outcome = asked
        session.run(threading.Event(), once=True)
        status = httpx.get(f"{session.url}/questions?n=1", timeout=20).json()
        health = httpx.get(f"{session.url}/health", timeout=20).json()["score"]
        families = list(text_string_to_metric_families(httpx.get(f"{session.url}/metrics", timeout=20).text))
        trained = session.trainer.status().scores["return"]["r2_zero"]
    gauges = {tuple(sorted(s.labels.items())): s.value for f in families if f.name == "rtml_score" for s in f.samples}
    labels = {"version": "crypto@learner", "target": "return", "metric": "r2_zero", "key": ""}
    folder = tmp_path / "run"
    with closing(CheckpointReader(folder / "training.db")) as reader:
        answers = {one.id: one for one in reader.answers(0, 10**6) if one.target == "return" and one.y is not None}
    with closing(opened(folder / "predictions.db")) as log:
        logged = dict(log.execute("select question, prediction from prediction where question is not null"))
    assert logged == requests and all(answers[id].prediction == logged[id] for id in logged if id in answers)
    y, p = (np.array([getattr(one, name) for one in answers.values()]) for name in ("y", "prediction"))
    joined = 1 - np.add.reduce((y - p) ** 2) / np.add.reduce(y * y)
    value = status["status"]["headline"]["value"]
    assert value == pytest.approx(joined, rel=1e-12), "joined by hand from the stores"
    assert value == trained == health["value"] == gauges[tuple(sorted(labels.items()))]
    assert (
        value == status["status"]["scores"]["served"]["return"]["r2_zero"] == status["questions"][-1]["score"]["value"]
    )
    assert f"| return r2_zero {value:.4f} |" in lines[-1] and health["text"] == f"return r2_zero {value:.4f}"
    keys = {key for key in ("ETH-USD", "BTC-USD") if gauges[tuple(sorted((labels | {"key": key}).items()))] < 1}
    assert keys == {"ETH-USD", "BTC-USD"}, "each key has its own"


def test_slices_cut_an_outcome_by_moment_and_lose_nothing(world):
    rows = world.log.read(PART, 0, 10**6)[1]
    outcome = world.config.flow().push(rows)
    parts = list(slices(outcome))
    for name in ("id", "answered", "y", "known", "X"):
        assert np.concatenate([getattr(part, name) for part in parts]).tobytes() == getattr(outcome, name).tobytes()
    assert all(len(np.unique(part.moment)) <= 1 for part in parts)


@pytest.mark.parametrize("n", [0, 1, 7, 10**6])
def test_the_newest_questions_come_moment_by_moment_and_nothing_is_lost(world, n):
    flow, rows = world.config.flow(), world.log.read(PART, 0, 10**6)[1]
    whole = [flow.push(chunk) for chunk in np.array_split(rows, 3)]
    total = sum(len(o.id) for o in whole)
    parts = list(newest(whole, n))
    for name in ("id", "X", "answered", "y"):
        joined = np.concatenate([getattr(part, name) for part, _ in parts])
        np.testing.assert_array_equal(joined, np.concatenate([getattr(o, name) for o in whole]))
    shown = [part for part, new in parts if new and len(part.id)]
    assert all(len(set(part.moment.tolist())) == 1 for part in shown)
    assert min(n, total) <= sum(len(part.id) for part in shown) <= min(n + len(world.config.keys), total) or not n


def test_read_in_batches_of_any_size_the_store_gives_every_answer_and_every_record(world, monkeypatch):
    trainer = world.trainer()
    trainer.run()
    trainer.close()
    targets, event = world.config.targets, world.config.case.event
    with closing(CheckpointReader(world.folder / "training.db")) as reader:
        answers = {(one.target, one.id): one.y for one in reader.answers(-1, 10**6)}
        ends = {end for end, _ in reader.closed(-1, 10**6)}
    for size in (7, 40):
        monkeypatch.setattr("rtml.serving.outcomes._AT_ONCE", size)
        found = list(Committed(world.folder / "training.db", world.config.flow(), targets, event).outcomes())
        rows = [(o.label.tolist(), o.answered.tolist(), o.y.tolist()) for o in found]
        told = {(targets[k].name, id): y for labels, ids, ys in rows for k, id, y in zip(labels, ids, ys, strict=True)}
        assert told.keys() == answers.keys() and len(answers) > 300
        for o in found:
            assert set(o.moment.tolist()) & ends <= ends_of(o.closed).keys(), "each question has what closed then"


def test_what_was_served_is_taken_away_as_a_table_with_answers_whoever_served_it(world, service):
    trainer = world.trainer()
    trainer.run()
    trainer.close()
    publisher = world.publisher(service)
    publisher.begin()
    id = max(committed(world.folder))
    service.log.keep_served([(id, "crypto@1", np.array([9.0] * len(publisher.scores.targets)).tobytes())])
    app = make_app(service, publisher.lineage, view=publisher.view)
    with Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url, timeout=30) as client:
        frame = pd.read_parquet(BytesIO(client.get("/predictions.parquet").content))
        text = client.get("/predictions.csv")
        quality = client.get("/quality").json()
    assert 'filename="predictions.csv"' in text.headers["content-disposition"]
    assert len(pd.read_csv(BytesIO(text.content))) == len(frame)
    with closing(sqlite3.connect(world.folder / "training.db")) as oracle:
        query = "select id, y, known from prediction where target = 'return' and y is not null order by id"
        rows = oracle.execute(query).fetchall()
    answered = frame[frame["return.known"].notna()].sort_values("question")
    assert rows == list(
        zip(answered["question"], answered["return.y"], answered["return.known"].astype("int64"), strict=True)
    )
    kept = committed(world.folder) | {id: 9.0}
    assert frame.set_index("question")["return"].to_dict() == kept
    assert frame.set_index("question").loc[id, "version"] == "crypto@1"
    assert set(frame["version"]) == {"crypto@learner", "crypto@1"} and frame["at"].is_monotonic_increasing
    assert quality["headline"]["answered"] == service.headline.answered and quality["scores"]["served"]
    assert [one["name"] for one in quality["features"]] == list(publisher.flow.features.names)


def test_the_lineage_leads_from_the_learner_s_newest_version_to_its_root(world, service):
    trainer = world.trainer()
    trainer.run()
    publisher, newest = world.publisher(service), world.registry.all("crypto")[-1]
    assert publisher.lineage("crypto@learner")[0]["version"] == newest.name
    assert [row["version"] for row in publisher.lineage("crypto@3")] == ["crypto@3", "crypto@2", "crypto@1"]
    trainer.close()


def served(folder):
    """Start ``make serve``'s command on a free port; the process and its url."""
    command = [sys.executable, "-m", "rtml", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if "http://" in line:
            return process, "http://" + line.split("http://")[1].split()[0].rstrip("/,;"), said
    raise AssertionError("".join(said))


def ended(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (0, 130, -signal.SIGINT)


def test_make_serve_answers_what_the_run_came_to(world):
    trainer = world.trainer()
    trainer.run()
    trainer.close()
    process, url, _ = served(world.folder)
    try:
        kept = committed(world.folder)
        answer = httpx.post(f"{url}/predict", json={"key": world.key}, timeout=20).json()
        assert answer["version"] == "crypto@learner" and answer["predictions"]["return"]["value"] == kept[max(kept)]
        assert urllib.request.urlopen(f"{url}/docs", timeout=20).status == 200
        told = httpx.get(f"{url}/questions?n=1000", timeout=20).json()
        assert told["status"]["state"] == "over" and len(told["questions"]) == len(kept)
        assert all(one["closed"] for one in told["questions"]), "the page has its bars"
        assert sum(bool(one["answers"]) for one in told["questions"]) > 100, "and what came true"
        assert answer["age_ms"] < 60_000, "a recording has its own time"
        assert answer["offset"] > 0, "what the state had learned"
        who = {"who": "ada", "why": "to see it"}
        assert httpx.post(f"{url}/promote", json={"version": "crypto@1", **who}, timeout=20).status_code == 200
        assert httpx.get(f"{url}/predict", timeout=20).json()["version"] == "crypto@1", "no further question comes"
    finally:
        ended(process)


BIKES = """
import numpy as np
from rtml.core.operator import NOTHING, Asked
from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, FeatureSet, column

EVENT = np.dtype([("time", "<i8"), ("hour", "<f8"), ("y", "<f8")])
HOUR = 3600 * 10**9

class Hours:
    horizon = HOUR

    def __init__(self):
        self.features = FeatureSet([Feature("hour", column("hour"), "h", "hour of the day")], ["hour"])
        self.last = np.empty(0, EVENT)

    def push(self, events):
        rows = np.concatenate([self.last, events])
        self.last = rows[-1:]
        answered = rows[:-1]
        asked = rows[len(rows) - len(events):]
        X = self.features.push(asked["time"].copy(), asked["hour"][:, None].copy())
        ids, moment = asked["time"] // HOUR, asked["time"].copy()
        return Asked(NOTHING, ids, moment, X, answered["time"] // HOUR, answered["y"].copy(), answered["time"] + HOUR)

    def check(self, asked):
        return "nothing"

    @property
    def state(self):
        return {"features": self.features.state, "last": self.last.copy()}

    def load(self, state):
        self.features.load(state["features"])
        self.last = state["last"]

use_case = UseCase("bikes", "How many bikes?", EVENT, lambda config: Hours(), (Target("demand", unit="bikes"),),
                   {"demand": "rls"}, source=lambda name, config, **how: None)
"""


def test_a_case_of_ones_own_is_served_by_the_same_command(tmp_path):
    from rtml.training.run_config import RunConfig

    (tmp_path / "bikes.py").write_text(BIKES)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".rtml-run").touch()
    config = RunConfig.of(str(tmp_path / "bikes.py"), ("dock 7",), "made up").write(folder / "recipe.json")
    hours = np.arange(1, 200)
    events = np.array([(h * 3600 * 10**9, h % 24, 10.0 + h % 24) for h in hours.tolist()], config.case.event)
    with EventLog(folder / "events.db") as log, closing(Registry(folder / "registry")) as registry:
        log.append(PART, events)
        places = (log, PART, folder / "training.db", registry, "bikes", span("1d"))
        with closing(Trainer(config.flow(), *places, publish="learner")) as trainer:
            trainer.run()
    process, url, _ = served(folder)
    try:
        answer = httpx.post(f"{url}/predict", json={}, timeout=20).json()
        assert (answer["key"], answer["version"]) == ("dock 7", "bikes@learner")
        assert answer["predictions"]["demand"]["unit"] == "bikes" and "extra" not in answer
        own = httpx.post(f"{url}/predict", json={"features": {"hour": 12.0}}, timeout=20).json()
        assert own["predictions"]["demand"]["value"] == pytest.approx(22.0, abs=2.0)
        status = httpx.get(f"{url}/questions", timeout=20).json()["status"]
        assert status["headline"]["target"] == "demand" and status["question"] == "How many bikes?"
    finally:
        ended(process)


def test_make_serve_without_a_run_says_which_command_makes_one(tmp_path):
    (tmp_path / "nothing").mkdir()
    process, url, said = served(tmp_path / "nothing")
    try:
        refused = httpx.post(f"{url}/predict", json={"key": "ETH-USD"}, timeout=20)
        assert refused.status_code == 503 and "make run-04" in refused.json()["error"]
        assert any("run 01_ingest first" in line for line in said)
    finally:
        ended(process)


def test_no_module_of_serving_knows_a_market_or_a_card():
    import re

    from rtml.serving import publisher

    folder = __import__("pathlib").Path(publisher.__file__).parent
    words = re.compile(r'"(return|sign|volatility)"|return_bp|p_up|prediction_bp|fraud|\bprice\b|\bbp\b')
    found = {
        path.name: words.findall(path.read_text()) for path in folder.rglob("*.*") if path.suffix in (".py", ".html")
    }
    assert not {name: hits for name, hits in found.items() if hits}
    assert json.dumps(sorted(found))
