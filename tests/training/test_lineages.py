"""Challengers that learn in shadow: the same bits for any cut, alone when they fail, promoted, taken back, rebuilt."""

import json
import random
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from runs import market_run
from workers import Workers

from rtml.core.clock import span
from rtml.core.state import dumps, loads
from rtml.registry.learners import FORMER, LEARNER
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.training.rebuild import rebuild
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

EARLY, LATE, FAILING = (f"shadowed:{name}" for name in ("Early", "Late", "Failing"))


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """50 minutes of a market; a champion that is off to begin with, a challenger that is later, and one that fails."""
    folder, source = tmp_path_factory.mktemp("market"), open_source("synthetic", hours=5 / 6)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    config = market_run(source.symbols, source.name, models={"return": EARLY, "volatility": "zero"})
    config.with_challengers([FAILING, LATE]).write(folder / "recipe.json")
    return folder


@pytest.fixture(scope="module")
def rows(market):
    with EventLog(market / "events.db") as log:
        return log.read(PART, 0, 10**6)[1]


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(market, folder)
    return folder


def flow(market):
    return RunConfig.read(market / "recipe.json").flow()


def train(market, folder, chunk=5000, until=None, **how):
    """Train in a folder of its own; runs in a worker too."""
    folder = Path(folder)
    with EventLog(Path(market) / "events.db") as log:
        registry = Registry(folder / "registry")
        places = (log, PART, folder / "training.db", registry, "eth", span("20m"))
        trainer = Trainer(flow(Path(market)), *places, **{"publish": "learner", "chunk": chunk} | how)
        trainer.run(until)
        found = trainer.predictions()
        trainer.close()
        registry.close()
    return found


def result(folder):
    registry, reading = Registry(folder / "registry"), CheckpointReader(folder / "training.db")
    _, offset, blob = reading.progress()
    said = sorted(row[1:] for row in reading.history())
    tables = [registry.ledger("eth").to_csv(), registry.versions("eth").to_csv()]
    reading.close()
    registry.close()
    return {"offset": offset, "state": blob, "said": said, "tables": tables}


def check_same(found, whole):
    for name, value in result(whole).items():
        assert result(found)[name] == value, name


def swaps(folder):
    """Moment behind which a lineage serves, and its name."""
    return [
        (at, json.loads(detail)["lineage"]) for at, _, _, kind, detail in result(folder)["said"] if kind == "serves"
    ]


def test_a_better_challenger_serves_from_the_next_question_on_and_is_taken_back(market, whole, rows):
    registry = Registry(whole / "registry")
    ledger = registry.ledger("eth")
    assert ledger.action.tolist() == ["promote", "promote", "rollback"] and set(ledger.by) == {"gate"}
    assert ledger.lineage.fillna("").tolist() == ["", LATE, ""] and not ledger.number.any()
    assert ledger.why[1].startswith(f"mean squared error of eth@learner:{LATE} is ")
    assert registry.champion("eth").name == "eth@learner" and registry.get(f"eth@learner:{LATE}").number == 0
    (there, late), (back, first) = swaps(whole)
    assert (late, first) == (LATE, LEARNER) and [at.value for at in ledger["at"][1:]] == [there, back]
    alone = flow(market).push(rows)
    own = {LEARNER: alone.predictions["return"], LATE: alone.challengers[LATE]["return"]}
    served = np.where((alone.moment > there) & (alone.moment <= back), own[LATE], own[LEARNER])
    stored = train(market, whole).prediction
    assert stored.tolist() == served.tolist() and not np.array_equal(own[LATE], own[LEARNER])


def test_a_version_is_saved_at_each_swap_and_every_version_is_built_again(market, whole):
    registry, config = Registry(whole / "registry"), RunConfig.read(market / "recipe.json")
    versions = registry.all("eth")
    told = [version.data["lineage"] for version in versions]
    assert [v.describe["cause"] for v in versions].count("serves") == 2 and LATE in told and told[-1] == LEARNER
    with EventLog(market / "events.db") as log:
        for version in versions:
            assert rebuild(registry, log, config, version).same_bytes, version.name
        with pytest.raises(ValueError, match="was made of other models than this recipe"):
            rebuild(registry, log, config.with_challengers(["mean"]), versions[told.index(LATE)])


@pytest.mark.parametrize("chunk", [29, 777])
def test_any_chunk_gives_the_same_swaps(market, whole, tmp_path, chunk):
    train(market, tmp_path, chunk)
    check_same(tmp_path, whole)


def test_killed_at_any_moment_it_swaps_the_same(market, whole, tmp_path):
    chance = random.Random(7)
    with Workers(__file__) as workers:
        for _ in range(5):
            worker = workers.start("train", str(market), str(tmp_path), 400)
            time.sleep(chance.uniform(0.05, 0.5))
            assert workers.kill(worker) in (0, -signal.SIGKILL)
        assert workers.run("train", str(market), str(tmp_path), 400) == 0
    check_same(tmp_path, whole)


def test_what_is_told_is_told_by_the_lineage_that_serves(market, whole, tmp_path):
    told = {}
    train(market, tmp_path, on_outcome=lambda one: [told.setdefault(id, one.lineage) for id in one.id.tolist()])
    (there, _), (back, _) = swaps(whole)
    assert {id for id, lineage in told.items() if lineage == LATE} == {id for id in told if there < id <= back}


def test_a_challenger_that_fails_fails_alone_for_any_cut(market, rows):
    config = RunConfig.read(market / "recipe.json")
    alone, together, cut = config.with_challengers([]).flow(), config.flow(), config.flow()
    expected, outcome = alone.push(rows), together.push(rows)
    parts = [cut.push(part) for part in np.array_split(rows, [1, 50, 1000, 1001])]
    for target, predictions in expected.predictions.items():
        assert outcome.predictions[target].tobytes() == predictions.tobytes()
    failed = np.isnan(outcome.challengers[FAILING]["return"])
    assert 20 < np.flatnonzero(failed)[0] < 30 and failed[30:].all() and "volatility" in outcome.challengers[FAILING]
    assert together.lineages.failure(FAILING).endswith("RuntimeError: the disk of the feature is full")
    for name, said in outcome.challengers.items():
        whole = np.concatenate([part.challengers[name]["return"] for part in parts])
        assert whole.tobytes() == said["return"].tobytes()
    assert dumps(cut.state) == dumps(together.state) and alone.snapshot() == together.snapshot()
    assert "lineages" not in alone.state and expected.challengers == {}


def test_a_fresh_flow_takes_up_which_serves(market, rows):
    one, again = flow(market), flow(market)
    one.push(rows[:800])
    one.lineages.serve(LATE, LEARNER)
    again.load(loads(dumps(one.state)))
    first, second = one.push(rows[800:]), again.push(rows[800:])
    assert first.lineage == second.lineage == LATE and dumps(one.state) == dumps(again.state)
    assert set(second.challengers) == {LEARNER, FAILING, FORMER}
    assert second.challengers[FORMER]["return"].tobytes() == second.challengers[LEARNER]["return"].tobytes()
    again.load({name: part for name, part in flow(market).state.items() if name != "lineages"})
    assert again.lineages.serves == LEARNER


def test_a_challenger_that_begins_later_passes_over_answers_to_older_questions(market, rows):
    warm, late = RunConfig.read(market / "recipe.json").with_challengers([]).flow(), flow(market)
    warm.push(rows[:800])
    late.load(warm.state)
    outcome = late.push(rows[800:1600])
    assert len(outcome.answered) > len(outcome.id) - 2 and not np.isnan(outcome.challengers[LATE]["return"]).any()


def persons(market, folder, acts, until):
    """Train, let persons enter acts in the ledger, and train on."""
    train(market, folder, until=until)
    registry = Registry(folder / "registry")
    for act in acts:
        act(registry, registry.acts.entries("eth")[-1].at + 1)
    train(market, folder)
    return registry.ledger("eth"), [(kind, json.loads(d)) for *_, kind, d in result(folder)["said"]]


def test_what_a_person_promotes_serves_and_what_a_person_takes_back_stays_back(market, tmp_path):
    def promote(registry, at):
        registry.promote("eth", f"eth@learner:{LATE}", "looks good to me", at, {"who": "ada"})

    ledger, said = persons(market, tmp_path / "promoted", [promote], until=600)
    assert ledger.by.tolist() == ["gate", "ada", "gate"] and ledger.action.iloc[-1] == "rollback"
    assert [d["lineage"] for kind, d in said if kind == "serves"] == [LATE, LEARNER]

    def rollback(registry, at):
        registry.rollback("eth", "not before I have seen it", at, {"who": "bob"})

    ledger, said = persons(market, tmp_path / "back", [promote, rollback], until=300)
    assert ledger.by.tolist() == ["gate", "ada", "bob"]
    assert any("bob rolled back" in d.get("why", "") for kind, d in said if kind == "recommended")


def test_while_a_frozen_version_serves_nothing_is_compared_and_what_cannot_serve_is_taken_back(market, tmp_path):
    ledger, said = persons(
        market,
        tmp_path / "frozen",
        [lambda registry, at: registry.promote("eth", "eth@1", "frozen", at, {"who": "ada"})],
        until=2500,
    )
    assert ledger.by.iloc[-1] == "ada" and ledger.number.iloc[-1] == 1
    assert "serves" not in [kind for kind, d in said if d.get("lineage") == LEARNER]
    ledger, said = persons(
        market,
        tmp_path / "typo",
        [lambda registry, at: registry.promote("eth", "eth@learner:laet", "a typo", at, {"who": "ada"})],
        until=600,
    )
    assert ledger.action.tolist()[:3] == ["promote", "promote", "rollback"] and ledger.by[2] == "gate"
    assert ledger.why[2].startswith("eth@learner:laet cannot serve: no lineage 'laet'; there are: learner, shadowed:")


def test_challengers_are_checked(market, tmp_path):
    config = RunConfig.read(market / "recipe.json")
    with pytest.raises(ValueError, match="'mean' is compared with itself: name challengers once, and not the champion"):
        config.with_challengers(["mean", "mean"])
    with pytest.raises(ValueError, match="a challenger cannot be called 'former': name it after its model"):
        type(flow(market))(config.operator(), {}, config.targets, {FORMER: {}})
    with pytest.raises(ValueError, match="so publish is 'learner', got 'gate'"):
        train(market, tmp_path, publish="gate")
    train(market, tmp_path, until=200)
    shutil.copytree(tmp_path, other := tmp_path / "other", ignore=lambda *_: ["other"])
    shutil.copy(market / "events.db", other)
    config.with_challengers(["mean"]).write(other / "recipe.json")
    with pytest.raises(ValueError, match="belongs to another training"):
        train(other, other)


def test_a_recipe_without_challengers_is_written_as_before(market, tmp_path):
    config = RunConfig.read(market / "recipe.json")
    assert RunConfig.read(config.write(tmp_path / "a.json") and tmp_path / "a.json").challengers == (FAILING, LATE)
    config.with_challengers([]).write(tmp_path / "b.json")
    assert "challengers" not in json.loads((tmp_path / "b.json").read_text())
    assert RunConfig.read(tmp_path / "b.json").challengers == ()
