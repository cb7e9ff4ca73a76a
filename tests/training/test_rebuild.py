"""A version is built again from the log, compared with another, and told from its neighbours."""

from contextlib import closing
from dataclasses import replace

import numpy as np
import pytest
from command_line import carry_out, command
from runs import market_run

from rtml.core.clock import span
from rtml.core.state import dumps, loads
from rtml.evaluation.dataset import build
from rtml.metrics.confidence_sequence import compare
from rtml.registry import lineage
from rtml.registry.fingerprint import fingerprint, probe
from rtml.registry.registry import Registry
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training import rebuild
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.synthetic.market import Synthetic


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run of an hour, trained; the same with a river model."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    folder.mkdir()
    source = Synthetic(hours=1.0)
    config = market_run(
        source.symbols,
        source.name,
        models={"return": "rls", "sign": "logistic"},
    )
    config.write(folder / "recipe.json")
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
        for name, chosen in (("registry", config), ("river", replace(config, models={"return": "tree"}))):
            with closing(Registry(folder / name)) as registry:
                places = (log, PART, folder / f"{name}.db", registry, "champion", span("10m"))
                trainer = Trainer(chosen.flow(), *places, chunk=700)
                trainer.run(None if name == "registry" else 3000)
                trainer.close()
    return folder


@pytest.fixture
def opened(run):
    with EventLog(run / "events.db") as log, closing(Registry(run / "registry")) as registry:
        yield registry, log, RunConfig.read(run / "recipe.json")


def test_every_version_is_built_again_to_the_same_bytes(opened):
    registry, log, config = opened
    for number in (1, 3, 5):
        built = rebuild.rebuild(registry, log, config, f"champion@{number}")
        assert built.same and built.same_bytes and built.same_code and built.state == registry.load(built.version)
        assert built.fingerprint == built.version.fingerprint
    assert str(built).endswith(f"events: the same bytes, fingerprint {built.fingerprint}")


def test_a_river_model_is_built_again_to_the_same_predictions(run, opened):
    _, log, config = opened
    with closing(Registry(run / "river")) as registry:
        built = rebuild.rebuild(registry, log, replace(config, models={"return": "tree"}), "champion@1")
        assert built.version.format == "pickle" and built.same and built.fingerprint == built.version.fingerprint


def test_the_command_puts_a_collected_state_back(run, capsys):
    with closing(Registry(run / "registry")) as registry:
        registry.collect("champion", keep=1)
        registry._versions.drop([registry.get("champion@2")])  # it served, so nothing but an accident drops it
    carry_out("rebuild", run, "champion@2")
    said = capsys.readouterr().out
    assert "champion@2 built again from" in said and "its state was missing and is back in registry" in said
    with closing(Registry(run / "registry")) as registry:
        assert registry.kept("champion@2")
    assert command("rebuild", run, "champion@99") == 1
    assert "no version 'champion@99'" in capsys.readouterr().err


def test_what_cannot_be_built_again_is_said(opened, tmp_path):
    registry, log, config = opened
    with pytest.raises(ValueError, match="champion@1 was made of other models than this recipe"):
        rebuild.rebuild(registry, log, replace(config, models={"return": "sgd"}), "champion@1")
    with pytest.raises(ValueError, match="champion@1 was made of other features than this recipe"):
        rebuild.rebuild(
            registry, log, replace(config, options=config.options | {"inputs": ["B", "C", "D"]}), "champion@1"
        )
    with EventLog(tmp_path / "short.db") as short:
        short.append(PART, log.read(PART, 0, 100)[1])
        with pytest.raises(ValueError, match="events of 'events', the log holds 100"):
            rebuild.rebuild(registry, short, config, "champion@1")
    other = Registry(tmp_path / "registry")
    first = registry.get("champion@2")
    about = dict(at=first.at, features=first.features, data=first.data, describe=first.describe)
    other.save("champion", registry.load(first), **about)
    with pytest.raises(ValueError, match="does not go on from event 0: its lineage to champion@1 has a hole"):
        rebuild.rebuild(other, log, config, "champion@1")


def test_another_state_than_the_saved_one_is_told(opened, tmp_path):
    registry, log, config = opened
    version = registry.get("champion@1")
    state = loads(registry.load(version))
    state["models"]["return"]["intercept"] += 1e-9
    other = Registry(tmp_path / "registry")
    about = dict(at=version.at, features=version.features, data=version.data, describe=version.describe)
    built = rebuild.rebuild(other, log, config, other.save("champion", dumps(state), **about))
    assert not built.same and "ANOTHER state" in str(built)


def test_the_probe_tells_states_apart_and_changes_nothing(opened):
    registry, _, config = opened
    marks = [registry.get(f"champion@{number}").fingerprint for number in (1, 2, 3)]
    assert len(set(marks)) == 3 and all(len(mark) == 16 for mark in marks)
    found, names = lineage.models(registry, "champion@1"), config.flow().features.names
    before = dumps(found["return"].state)
    assert fingerprint(found, names) == marks[0] and dumps(found["return"].state) == before
    assert probe(names).shape == (16, len(names)) and np.isfinite(probe(names)).all()


def test_two_versions_are_compared_on_the_same_questions(opened):
    registry, log, config = opened
    questions = build(log, PART, config).of("return")[200:]
    found = lineage.compare(registry, "champion@1", "champion@5", questions, target="return")
    by_hand = []
    for number in (1, 5):
        model = lineage.models(registry, f"champion@{number}")["return"]
        by_hand.append((questions.y - np.array([model.predict(x) for x in questions.X])) ** 2)
    assert found == compare(*by_hand, names=("champion@1", "champion@5"))
    assert found.n == (~np.isnan(questions.y)).sum() and "champion@5" in found.verdict


def test_what_served_at_a_time_and_why_is_a_sentence(opened):
    registry, _, _ = opened
    second = registry.get("champion@2")
    assert registry.as_of("champion", second.at + 1) == second
    text = lineage.answers(registry, "champion", second.at + span("1m"))
    assert text.startswith("champion@2 served at 2025-01-06T00:21:00+00:00, since 2025-01-06T00:20:00+00:00: every 10m")


def test_the_graph_has_every_version_its_parent_and_when_it_served(opened):
    registry, _, _ = opened
    graph = lineage.graph(registry, "champion")
    nodes = graph["nodes"]
    assert [node["name"] for node in nodes] == [f"champion@{n}" for n in range(1, len(nodes) + 1)]
    assert next((edge["from"], edge["to"]) for edge in graph["edges"]) == ("champion@1", "champion@2")
    assert nodes[0]["served"] == [{"from": nodes[0]["at"], "until": nodes[1]["at"]}]
    assert nodes[-1]["served"][0]["until"] is None and nodes[1]["data"].startswith("log:events@")
    assert {node["iteration"] for node in nodes[1:]} == {"data"} and nodes[0]["iteration"] == "model"


def test_a_version_that_other_code_made_is_said_to_be(opened, monkeypatch):
    monkeypatch.setattr(rebuild.provenance, "code", lambda: "sha256:another")
    built = rebuild.rebuild(*opened, "champion@1")
    assert built.same_bytes and not built.same_code and str(built).endswith("saved by other code than this")
