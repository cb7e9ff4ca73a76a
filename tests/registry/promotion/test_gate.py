"""The gate as the trainer drives it: on a market whose law turns around, killed, cut, overruled."""

import random
import signal
import time
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from runs import market_run
from workers import Workers

from rtml.core.callbacks import frame
from rtml.core.clock import Clock, span
from rtml.core.segments import Segment
from rtml.core.state import dumps, loads
from rtml.models.compiled import restore
from rtml.registry.promotion.gate import gate
from rtml.registry.promotion.rules import Rules
from rtml.registry.registry import Registry
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.synthetic.market import Synthetic

MODELS = {"return": "rls", "sign": "logistic"}
QUICK = Rules(timeouts=300, watch=200)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Five hours of a market whose law turns around half way, and its recipe."""
    folder, source = tmp_path_factory.mktemp("market"), Synthetic(hours=5.0, drift="sudden")
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    market_run(source.symbols, source.name, models=MODELS).write(folder / "recipe.json")
    return folder


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(market, folder)
    return folder


def train(market, folder, chunk=5000, until=None, rules=QUICK, every="15m"):
    """Train a market in a folder of its own; runs in a worker too."""
    folder, config = Path(folder), RunConfig.read(Path(market) / "recipe.json")
    with EventLog(Path(market) / "events.db") as log:
        registry = Registry(folder / "registry")
        places = (log, PART, folder / "training.db", registry, "eth", span(every))
        trainer = Trainer(config.flow(), *places, publish=rules, chunk=chunk)
        trainer.run(until)
        trainer.close()
        registry.close()


def result(folder):
    reading, registry = CheckpointReader(folder / "training.db"), Registry(folder / "registry")
    said = frame(row[1:] for row in reading.history())
    reading.close()
    registry.close()
    return said, registry.ledger("eth")


def texts(folder):
    return [table.to_csv() for table in result(folder)]


def test_a_champion_that_went_stale_is_replaced_and_every_decision_is_explained(whole):
    said, ledger = result(whole)
    turned = said["at"].iloc[0].floor("h") + pd.Timedelta("2h30m")
    after = ledger[(ledger["at"] > turned) & (ledger["action"] == "promote")]
    assert len(after) and after["at"].iloc[0] < turned + pd.Timedelta("2h")
    assert ledger["why"].iloc[0] == "first version: nothing served before" and set(ledger["by"]) == {"gate"}
    won = ledger[ledger["contest"].notna() & (ledger["action"] == "promote")]
    assert (won["evidence"] >= won["needed"]).all() and (won["gain"] > 0).all()
    assert (
        won["why"]
        .str.fullmatch(
            r"mean squared error of eth@\d+ is [\d.]+% lower than of eth@\d+ on the same [\d,]+ questions "
            r"\(evidence .* : 1, .* : 1 needed\); "
            r"all guards hold"
        )
        .all()
    )
    assert said.loc[said["kind"].isin(["given up", "refused"]), "why"].str.contains("on the same").all()


@pytest.mark.parametrize("chunk", [777, 20_000])
def test_any_chunk_gives_the_same_decisions(market, tmp_path, whole, chunk):
    train(market, tmp_path, chunk)
    assert texts(tmp_path) == texts(whole)


def test_killed_at_any_moment_it_decides_the_same(market, tmp_path, whole):
    chance = random.Random(7)
    with Workers(__file__) as workers:
        for _ in range(4):
            worker = workers.start("train", str(market), str(tmp_path))
            time.sleep(chance.uniform(0.15, 0.6))
            assert workers.kill(worker) in (0, -signal.SIGKILL)
        assert workers.run("train", str(market), str(tmp_path)) == 0
    assert texts(tmp_path) == texts(whole)


def test_what_was_entered_before_a_crash_is_not_entered_again(market, tmp_path, whole):
    """As if killed between an entry in the ledger and the commit: the training starts over, the ledger is there."""
    train(market, tmp_path)
    for name in ("training.db", "training.db-wal", "training.db-shm"):
        (tmp_path / name).unlink(missing_ok=True)
    registry = Registry(tmp_path / "registry")
    fresh = RunConfig.read(market / "recipe.json").flow()
    with EventLog(market / "events.db") as log:
        places = (log, PART, tmp_path / "training.db", registry, "eth", span("15m"))
        callback = gate(QUICK, registry, "eth", fresh, span("15m"))
        callback.load(callback.state | {"seen": 0, "champion": ""})
        trainer = Trainer(fresh, *places, publish="never", callbacks=[_Renamed(callback)])
        trainer.run()
        trainer.close()
    assert registry.ledger("eth").to_csv() == texts(whole)[1]


class _Renamed:
    """The gate beside another one that promotes nothing."""

    name = "shadowed"

    def __init__(self, inner):
        self.push, self.saved, self.load, self._inner = inner.push, inner.saved, inner.load, inner

    @property
    def state(self):
        return self._inner.state


def test_recommend_promotes_nothing_and_says_what_it_would(market, tmp_path):
    train(market, tmp_path, rules=Rules(timeouts=300, watch=200, automatic=False), until=20_000)
    registry = Registry(tmp_path / "registry")
    assert registry.ledger("eth").empty
    registry.promote("eth", "eth@1", "to begin with", registry.get("eth@1").at)
    train(market, tmp_path, rules=Rules(timeouts=300, watch=200, automatic=False))
    said, ledger = result(tmp_path)
    assert ledger["by"].tolist() == ["a person"]
    told = said[said["kind"] == "recommended"]["why"]
    assert told.str.contains("promotion is left to a person").any()


def test_a_persons_rollback_is_not_overridden_until_a_person_promotes(market, tmp_path):
    train(market, tmp_path, until=25_000)
    registry = Registry(tmp_path / "registry")
    assert len(registry.ledger("eth")) > 1
    back = registry.rollback("eth", "I do not trust it", registry.get("eth@champion").at, {"who": "ada"})
    train(market, tmp_path)
    said, ledger = result(tmp_path)
    assert registry.champion("eth") == back and ledger["by"].iloc[-1] == "ada"
    held = said[said["kind"] == "recommended"]["why"]
    assert held.str.contains(r"ada rolled back \(I do not trust it\): until a person promotes").any()
    assert (said["kind"] == "rollback by a person").sum() == 1
    assert registry.held("eth")
    registry.promote("eth", "eth@9", "trusted again", back.at, {"who": "ada"})
    assert not registry.held("eth")


def test_always_is_not_stronger_than_a_persons_rollback_either(market, tmp_path):
    train(market, tmp_path, until=12_000, rules="always")
    registry = Registry(tmp_path / "registry")
    back = registry.rollback("eth", "no", registry.get("eth@champion").at)
    train(market, tmp_path, until=20_000, rules="always")
    assert registry.champion("eth") == back and "held" in set(result(tmp_path)[0]["kind"])


def test_what_a_person_promotes_is_watched_and_taken_back_when_it_is_worse(market, tmp_path):
    train(market, tmp_path, until=12_000, every="1h")
    registry = Registry(tmp_path / "registry")
    good, bad = registry.champion("eth"), planted(registry)
    registry.promote("eth", bad, "looked fine to me", bad.at, {"who": "bob"})
    train(market, tmp_path, every="1h")
    said, ledger = result(tmp_path)
    act = ledger[(ledger["action"] == "rollback")].iloc[0]
    assert act["by"] == "gate" and act["number"] == good.number
    assert act["why"].startswith(f"the version before is better: mean squared error of {good.name} is ")
    assert "rolled back" in set(said["kind"]) and "promote by a person" in set(said["kind"])


def planted(registry):
    """A version that predicts the wrong way round."""
    good = registry.champion("eth")
    state = loads(registry.load(good))
    model = state["models"]["return"]
    model["weights"], model["intercept"] = -3 * np.asarray(model["weights"]), -3 * model["intercept"]
    about = dict(at=good.at + 1, features=good.features, parent=good, describe=good.describe, data=good.data)
    return registry.save("eth", dumps(state), **about)


class Broken:
    """A model that fails after some questions."""

    def __init__(self, inner, after, with_):
        self._inner, self._left, self._with = inner, after, with_

    def predict(self, x):
        self._left -= 1
        if self._left < 0:
            if self._with is None:
                raise RuntimeError("no such feature")
            return self._with
        return self._inner.predict(x)


@pytest.mark.parametrize(("with_", "text"), [(None, "RuntimeError: no such feature"), (np.nan, "it predicts nan")])
def test_a_candidate_that_fails_in_shadow_is_refused_and_nobody_notices(market, whole, with_, text):
    registry = Registry(whole / "registry")
    callback, _, outcomes = stood(market, registry)
    said = list(callback.saved(registry.get("eth@3"), "every 15m"))
    comparison = callback._comparison
    first, (second, sign) = comparison.models
    comparison.models = first, [Broken(second, 5, with_), sign]
    for outcome in outcomes[:2]:
        said += callback.push(outcome)
    refused = [event for event in said if event.kind == "refused"]
    assert refused and refused[0].detail["why"] == f"eth@3 fails in shadow: {text}"


def stood(market, registry):
    """A gate of its own copy of a ledger that holds eth@1, a flow, and what a market led to."""
    flow = RunConfig.read(market / "recipe.json").flow()
    with EventLog(market / "events.db") as log:
        rows = log.read(PART, 0, 10**6)[1]
    callback = gate(QUICK, registry, "eth", flow, span("15m"))
    callback.load(callback.state | {"champion": registry.get("eth@1").id})
    return callback, flow, [flow.push(part) for part in np.array_split(rows, 20)]


class Slow(Clock):
    """Every look at the clock takes 30 ms."""

    passed = 0

    def elapsed(self):
        self.passed += 30_000_000
        return self.passed


def test_a_candidate_that_is_too_slow_is_not_promoted(market, whole, tmp_path):
    registry = Registry(tmp_path / "registry")
    source = Registry(whole / "registry")
    for number in (1, 3):
        made = source.get(f"eth@{number}")
        registry.save("eth", source.load(made), at=made.at, features=made.features, describe=made.describe)
    registry.promote("eth", "eth@1", "first", 0)
    callback, _, outcomes = stood(market, registry)
    callback._shadow._clock = Slow()
    said = list(callback.saved(registry.get("eth@2"), "every 15m"))
    for outcome in outcomes:
        said += callback.push(outcome)
    refused = [event.detail["why"] for event in said if event.kind == "refused"]
    assert refused and refused[0].endswith(" a prediction takes 30.0 ms, 10 are allowed")
    assert len(registry.ledger("eth")) == 1


def test_what_is_predicted_in_shadow_is_what_the_version_would_serve(market, whole):
    registry = Registry(whole / "registry")
    callback, _, outcomes = stood(market, registry)
    callback.saved(registry.get("eth@3"), "every 15m")
    comparison, outcome = callback._comparison, outcomes[10]
    models = [restore(loads(registry.load(f"eth@{n}"))["models"]["return"]) for n in (1, 3)]
    for row, (id, moment) in enumerate(zip(outcome.id.tolist(), outcome.moment.tolist(), strict=True)):
        comparison.ask(id, moment, outcome.X, row)
    for asked, x in zip(comparison.sequential_test._open.values(), outcome.X, strict=True):
        assert asked.p[:, 0].tolist() == [model.predict(x) for model in models]


def test_words_and_rules_are_checked():
    flow = market_run(("A", "B")).flow()
    with pytest.raises(
        ValueError, match="publish must be gate, recommend, always, never, learner, rules or a callable, got 'now'"
    ):
        gate("now", None, "eth", flow, 1)
    with pytest.raises(ValueError, match="alpha is a chance between 0 and 1, got 5"):
        Rules(alpha=5)
    with pytest.raises(ValueError, match="timeouts and watch must be more than 40 answers, got 30 and 1000"):
        Rules(timeouts=30)


class Lineages:
    """Outcomes of a flow in which learners of two lineages were asked: the champion is off, the challenger is not."""

    def __init__(self, registry, seed=7, segments=()):
        flow = RunConfig("crypto", ("A", "B"), source="synthetic", models={"return": "rls"}).flow()
        flow.segments = segments
        self.gate = gate(Rules(), registry, "eth", flow, span("15m"))
        self.rng, self.next = np.random.default_rng(seed), 0

    def push(self, n, served, challengers, x=0.0):
        """Ask and answer questions whose answers are noise; predictions are what is added to it."""
        ids = np.arange(self.next, self.next + n)
        self.next += n
        moment = (ids + 1) * 10**10
        answers = self.rng.normal(size=n)
        outcome = SimpleNamespace(
            id=ids, moment=moment, X=np.full((n, 1), x), answered=ids, y=answers, known=moment + 1
        )
        outcome.predictions = {"return": np.full(n, served)}
        outcome.challengers = {name: {"return": np.full(n, p)} for name, p in challengers.items()}
        return self.gate.push(outcome)


def versions(registry, n):
    saved = [registry.save("eth", bytes([i]), at=i, features="f", describe={}) for i in range(n)]
    registry.promote("eth", saved[0], "to begin with", 0, {"who": "ada"})
    return saved


def test_a_lineage_is_compared_by_its_predictions_promoted_and_taken_back(tmp_path):
    registry = Registry(tmp_path)
    saved, lineages = versions(registry, 3), Lineages(registry)
    said = lineages.gate.enter("forest", saved[1], "another model")
    said += lineages.gate.enter("forest", saved[2], "its newest version")
    for _ in range(20):
        said += lineages.push(20, 0.5, {"forest": 0.0})
    assert [event.kind for event in said] == ["shadow", "promoted"]
    assert registry.champion("eth") == saved[2] and registry.ledger("eth")["by"].tolist() == ["ada", "gate"]
    assert said[-1].detail["why"].endswith("all guards hold") and said[-1].detail["answers"] <= 200
    for _ in range(20):  # the former champion, asked on in shadow, is now the better one
        said += lineages.push(20, 0.5, {"former": 0.0})
    assert registry.champion("eth") == saved[0] and said[-1].kind == "rolled back"


@pytest.mark.parametrize("declared", [True, False])
def test_one_that_is_better_overall_and_worse_for_a_declared_segment_is_refused_in_these_words(tmp_path, declared):
    registry, new = Registry(tmp_path), Segment("new cards", "return_1", high=0.0)
    saved, lineages = versions(registry, 2), Lineages(registry, segments=(new,) if declared else ())
    said = lineages.gate.enter("forest", saved[1], "another model")
    halved = Lineages(registry, segments=lineages.gate._segments)
    for n in range(40):
        said += lineages.push(7, 1.0, {"forest": 0.0}, x=1.0)
        said += lineages.push(3, 1.0, {"forest": 1.2}, x=-1.0)
        if n == 3:
            halved.gate.load(loads(dumps(lineages.gate.state)))
            assert dumps(halved.gate.state) == dumps(lineages.gate.state)
    last = next(event for event in said if event.kind in ("refused", "promoted"))
    assert last.kind == ("refused" if declared else "promoted")
    assert ("better overall, worse for new cards" in last.detail["why"]) == declared
    assert ("but it loses more for new cards" in last.detail["why"]) == declared


def test_a_lineage_that_is_no_better_is_not_promoted_and_one_that_predicts_nothing_is_not_asked(tmp_path):
    registry = Registry(tmp_path)
    saved, lineages = versions(registry, 2), Lineages(registry, seed=11)
    lineages.gate.enter("forest", saved[1], "another model")
    said = lineages.push(50, 0.1, {})
    assert lineages.gate.state["comparison"]["test"]["counts"]["asked"] == 0
    for _ in range(30):
        said += lineages.push(50, 0.1, {"forest": -0.1})
    assert registry.champion("eth") == saved[0] and "promoted" not in {event.kind for event in said}


def test_a_lineage_goes_on_being_compared_from_a_state(tmp_path):
    registry = Registry(tmp_path)
    saved = versions(registry, 2)
    whole, halves = Lineages(registry), Lineages(registry)
    for lineages in (whole, halves):
        lineages.gate.enter("forest", saved[1], "another model")
        lineages.push(30, 0.2, {"forest": 0.0})
    again = Lineages(registry)
    again.gate.load(loads(dumps(halves.gate.state)))
    again.rng, again.next = halves.rng, halves.next
    for lineages in (whole, again):
        lineages.push(30, 0.2, {"forest": 0.0})
    assert dumps(whole.gate.state) == dumps(again.gate.state)


def test_a_lineage_whose_prediction_is_no_number_is_refused(tmp_path):
    registry = Registry(tmp_path)
    saved, lineages = versions(registry, 2), Lineages(registry)
    lineages.gate.enter("forest", saved[1], "another model")
    said = lineages.push(5, 0.1, {"forest": np.nan})
    assert said[-1].kind == "refused" and said[-1].detail["why"] == "eth@2 fails in shadow: it predicts nan"


@pytest.mark.parametrize("name", ["gate", "Guard", " always"])
def test_no_person_decides_in_the_name_of_the_program(tmp_path, name):
    registry = Registry(tmp_path)
    saved = versions(registry, 2)
    with pytest.raises(ValueError, match=r"who decided must be a person, got '.*': this name stands for a decision by"):
        registry.promote("eth", saved[1], "mine", 1, {"who": name})
    assert registry.champion("eth") == saved[0]


def test_the_ledger_says_who_really_decided(market, tmp_path):
    train(market, tmp_path, until=6000, rules="always")
    assert set(result(tmp_path)[1]["by"]) == {"always"}
