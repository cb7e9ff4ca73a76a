"""Another group of features: added while the old pipeline serves, learned in shadow, promoted, without a restart."""

import json
import threading
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np
import pytest
from following import wait_for

from rtml.core.clock import span
from rtml.core.use_case import title
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.follower import Follower
from rtml.serving.stream_schemas import PromoteRequest
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.training.candidates import Candidates, folders
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

MORE = """
from dataclasses import replace


def pipeline(*features):
    made = lambda config: Lookahead([*FEATURES, *features], ["bikes"], "bikes", config.options["horizon"], 3)
    return replace(use_case, operator=made)


class Torn(Lookahead):
    def push(self, events):
        raise RuntimeError("the weather station is silent")


wide = pipeline(Feature("wave", (moment() % 86_400 / 86_400.0 - 0.5).abs(), "", "distance from noon"))
torn = replace(use_case, operator=lambda config: Torn(FEATURES, ["bikes"], "bikes", config.options["horizon"], 3))
other = replace(use_case, targets=use_case.targets[1:], models={"empty": "recursive_logistic"})
"""
SECRET = "a-secret-of-the-house"


@pytest.fixture
def run(tmp_path):
    """A run whose training has learned half of its log; its log and trainer."""
    case = tmp_path / "city.py"
    case.write_text((Path(__file__).parents[2] / "examples/bikes.py").read_text() + MORE)
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / ".rtml-run").touch()
    config = RunConfig.of(f"{case}:use_case", ("north", "river", "station"), "city").write(folder / "recipe.json")
    with EventLog(folder / "events.db") as log, closing(Registry(folder / "registry")) as registry:
        ingest(type(config.case.source())(days=2), log, PART)
        places = (log, PART, folder / "training.db", registry, title(config.use_case), span("12h"))
        with closing(Trainer(config.flow(), *places, publish="learner")) as trainer:
            trainer.run(log.last(PART) // 2)
            yield folder, log, trainer


def test_a_group_of_features_is_added_learned_in_shadow_and_promoted_while_every_request_is_answered(run):
    folder, log, trainer = run
    follower, seen, stop = Follower(folder), [], threading.Event()
    with follower, Endpoint(make_app(follower.service, follower.lineage, follower, Access(SECRET))) as endpoint:
        token = {"authorization": f"Bearer {SECRET}"}

        def post(path, **about):
            about |= {"who": "ada", "why": "noon is special"}
            return httpx.post(f"{endpoint.url}/{path}", json=about, headers=token, timeout=30)

        def ask():
            with httpx.Client(base_url=endpoint.url, timeout=30) as client:
                while not stop.wait(0.01):
                    reply = client.post("/predict", json={"key": "north"})
                    seen.append((reply.status_code, reply.json().get("question")))

        wait_for(lambda: httpx.get(f"{endpoint.url}/predict?key=north").is_success, "the run's own pipeline serves")
        asker = threading.Thread(target=ask)
        asker.start()
        assert httpx.post(f"{endpoint.url}/candidates", json={}).status_code == 401
        assert post("candidates", name="wide", case="wide").json() == {"name": "wide", "features": ["wave"]}
        assert post("promote", version="candidate:wide").status_code == 404, "it has learned nothing yet"
        with closing(Candidates(folder, log, span("2d"))) as candidates:  # in the loop of rtml train --follow
            trainer.run()
            candidates.run()
        (row,) = httpx.get(f"{endpoint.url}/candidates", timeout=30).json()
        assert (row["name"], row["serves"], row["failure"]) == ("wide", False, "")
        assert row["verdicts"][0].startswith("bikes: ") and "wide" in row["verdicts"][0]
        wait_for(
            lambda: follower.publisher.questions == CheckpointReader(folder / "training.db").last_question(), "all"
        )
        assert "wave" not in httpx.get(f"{endpoint.url}/models").json()["serving"]["features"]
        assert post("promote", version="candidate:wide").json() == {"serving": "candidate:wide"}
        assert httpx.get(f"{endpoint.url}/models").json()["serving"]["features"][-2:] == ["wave", "key_number"]
        given = httpx.get(f"{endpoint.url}/predict?key=north").json()
        with closing(CheckpointReader(folder / "candidates/wide/training.db")) as reader:
            kept = {one.id: one.predictions["bikes"] for one in reader.questions(0, 10**6)}
        assert given["predictions"]["bikes"]["value"] == kept[given["question"]], "the bits that it committed in shadow"
        features = dict.fromkeys(("now", "change_1h", "mean_1d", "yesterday", "hour", "wave"), 1.0)
        own = httpx.post(f"{endpoint.url}/predict", json={"key": "north", "features": features})
        assert own.is_success, own.text
        stop.set()
        asker.join()
    assert {status for status, _ in seen} == {200} and len(seen) > 20, "no request failed"
    with Follower(folder) as again:
        wait_for(lambda: again.publisher and again.service.newest("north"), "after a restart it is the candidate")
        assert "wave" in again.publisher.flow.features.names
        assert again.promote(PromoteRequest("candidate:main", "ada", "and back")) == "candidate:main"
        assert "wave" not in again.service.snapshot.names and again.service.newest("north").x
    with closing(Registry(folder / "registry")) as registry:
        entries = [(one.version, one.why) for one in registry.acts.behind("use_case", 0, "pipeline")]
    assert entries == [("wide", "ada: noon is special"), ("main", "ada: and back")]


def test_what_cannot_be_a_candidate_is_said_and_one_that_fails_fails_alone(run):
    folder, log, trainer = run
    follower, said = Follower(folder), []
    with follower, Endpoint(make_app(follower.service, follower.lineage, follower, Access(SECRET))) as endpoint:

        def post(path, **about):
            token = {"authorization": f"Bearer {SECRET}"}
            return httpx.post(
                f"{endpoint.url}/{path}", json=about | dict(who="a", why="why"), headers=token, timeout=30
            )

        wait_for(lambda: httpx.get(f"{endpoint.url}/predict?key=north").is_success, "it serves")
        assert post("candidates", name="torn", case="torn").status_code == 200
        for about, status, text in (
            (dict(name="torn", case="wide"), 422, "a name of its own in small letters, got 'torn'"),
            (dict(name="main", case="wide"), 422, "a name of its own in small letters, got 'main'"),
            (dict(name="x", case="nothing"), 404, "nothing"),
            (dict(name="x", case="os.system"), 422, "case"),
            (dict(name="x", case="other"), 422, "its kind differs"),
        ):
            reply = post("candidates", **about)
            assert (reply.status_code, text in reply.text) == (status, True), reply.text
        with closing(Candidates(folder, log, span("2d"), said.append)) as candidates:
            candidates.run()
            candidates.run()
        trainer.run()
        assert said == ["candidate torn failed: the weather station is silent"] and list(folders(folder)) == ["torn"]
        (row,) = json.loads(httpx.get(f"{endpoint.url}/candidates").text)
        assert row["failure"] == "RuntimeError: the weather station is silent" and not row["serves"]
        assert "no candidate 'wide' that has learned; there are: torn" in post("promote", version="candidate:wide").text
        assert np.isfinite(httpx.get(f"{endpoint.url}/predict?key=north").json()["predictions"]["bikes"]["value"])
