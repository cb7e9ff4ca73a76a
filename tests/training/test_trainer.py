import itertools
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from runs import market_run
from workers import Workers, die_at_line

from rtml.core.clock import span
from rtml.core.state import dumps
from rtml.metrics.running import Score
from rtml.pipeline import train as command
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader, CheckpointStore
from rtml.store.database import prepared
from rtml.store.event_log import EventLog
from rtml.training.flow import Flow
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.trades import events

EVERY = span("3m")
PARTS = ("trainer", "outputs", "versioning", "scoreboard")  # where a step is put together; test_registry: a save
COMMITS = (*(f"training/{part}" for part in PARTS), "store/checkpoint_store")
MODELS = {"return": "rls", "sign": "logistic", "volatility": "sgd"}


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """A run folder with 40 minutes of a market in its log, and its recipe."""
    folder = tmp_path_factory.mktemp("market")
    source = open_source("synthetic", hours=2 / 3)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    market_run(source.symbols, source.name, models=MODELS).write(folder / "recipe.json")
    return folder


@pytest.fixture
def run(market, tmp_path):
    """A copy of the market's folder to train in."""
    return copy(market, tmp_path / "run")


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    """What an uninterrupted training leaves."""
    folder = copy(market, tmp_path_factory.mktemp("whole") / "run")
    train(folder)
    return result(folder)


@pytest.fixture(scope="module")
def workers():
    with Workers(__file__) as pool:
        yield pool


def copy(folder: Path, to: Path) -> Path:
    shutil.copytree(folder, to)
    return to


def flow(folder: Path) -> Flow:
    return RunConfig.read(folder / "recipe.json").flow()


def rows(folder: Path) -> np.ndarray:
    with EventLog(folder / "events.db") as log:
        return log.read(PART, 0, 10**6)[1]


def train(folder, line: int = 0, until: int | None = None, trained: Flow | None = None, **chosen):
    """Train a run folder, in a worker until it is killed."""
    folder = Path(folder)
    chosen = {"chunk": 300, "every": EVERY} | chosen
    with EventLog(folder / "events.db") as log:
        registry, store = Registry(folder / "registry"), folder / "training.db"
        trainer = Trainer(trained or flow(folder), log, PART, store, registry, "eth", chosen.pop("every"), **chosen)
        if line:
            die_at_line(line, *COMMITS)
        try:
            return trainer.run(until)
        finally:
            trainer.close()
            registry.close()


def result(folder: Path) -> dict:
    """Everything that a training leaves, as one comparable value."""
    registry, found = Registry(folder / "registry"), {}
    with sqlite3.connect(folder / "training.db") as db:
        found["state"], found["step"], found["offset"] = db.execute(
            "select state, step, offset from progress"
        ).fetchone()
        found["predictions"] = db.execute("select * from prediction").fetchall()
        found["questions"] = db.execute("select * from question").fetchall()
        found["history"] = db.execute("select at, place, who, kind, detail from event order by 1, 2").fetchall()
    db.close()
    for name, frame in (("versions", registry.versions("eth")), ("ledger", registry.ledger("eth"))):
        found[name] = frame.to_csv()
    found["blobs"] = sorted(path.name for path in (registry.path / "blobs").iterdir())
    registry.close()
    return found


def check_same(found: dict, whole: dict) -> None:
    for name, value in whole.items():
        assert found[name] == value, f"{name} differs"


def test_killed_at_lines_all_over_its_steps_and_started_again_ends_the_same(workers, run, market, tmp_path):
    until, line = 1500, 1
    while (code := workers.run("train", str(run), line, until)) != 0:
        assert code == -signal.SIGKILL
        line += 12 if os.environ.get("RTML_DEEP") == "1" else 37
    assert line > 50  # each life died a little further on, the first ones without a commit
    train(other := copy(market, tmp_path / "other"), until=until)
    check_same(result(run), result(other))


def test_killed_at_any_moment_and_started_again_ends_the_same(workers, run, whole):
    chance = random.Random(7)
    for _ in range(12):
        worker = workers.start("train", str(run))
        time.sleep(chance.uniform(0.02, 0.12))
        assert workers.kill(worker) in (0, -signal.SIGKILL)
    assert workers.run("train", str(run)) == 0
    check_same(result(run), whole)


def test_one_command_leads_from_events_to_the_registry(run, capsys):
    assert sorted(path.name for path in run.iterdir()) == ["events.db", "recipe.json"]
    command.train(run, every="4m", model="eth")
    whole = flow(run).push(rows(run))
    with closing(Registry(run / "registry")) as registry:
        versions = registry.all("eth")
    assert [version.number for version in versions] == list(range(1, len(versions) + 1)) and len(versions) > 5
    assert versions[-1].data["last_offset"] <= len(rows(run)) and versions[-1].parent == versions[-2].id
    with closing(CheckpointReader(run / "training.db")) as reader:
        asked, told = reader.questions(0, 10**6), reader.answers(0, 10**6)
    assert [one.id for one in asked] == whole.id.tolist(), "the questions"
    assert [one.x for one in asked] == [x.tobytes() for x in whole.X], "the features"
    labels = zip(whole.label.tolist(), whole.answered.tolist(), whole.y.tolist(), strict=True)
    first = {id: y for place, id, y in labels if place == 0 and id in set(whole.id.tolist())}
    assert {one.id: one.y for one in told if one.target == "return"} == first and len(first) > 100, "the labels"
    assert versions[-1].name in capsys.readouterr().out.splitlines()[-1]


def test_the_command_goes_on_where_it_was_killed(run, market, tmp_path, capsys):
    other = copy(market, tmp_path / "other")
    command.train(other, every="4m", model="eth")
    with subprocess.Popen(
        [sys.executable, "-m", "rtml", "train", str(run), "--every", "4m", "--model", "eth"],
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        said = [process.stdout.readline() for _ in range(4)]
        process.kill()
    assert process.returncode == -signal.SIGKILL and "events, newest version" in said[-1]
    assert "eth@9" not in said[-1]
    command.train(run, every="4m", model="eth")
    assert "newest version eth@9, return mse" in capsys.readouterr().out.splitlines()[-1]
    check_same(result(run), result(other))


@pytest.mark.parametrize("chunk", [1, 7, 5000])
def test_any_chunk_gives_the_same(market, tmp_path, chunk):
    results = [
        (train(folder := copy(market, tmp_path / str(size)), until=350, chunk=size, every=span("1m")), result(folder))[
            1
        ]
        for size in (300, chunk)
    ]
    for found in results:
        del found["step"]
    check_same(*results)


def test_a_river_model_killed_and_started_again_ends_the_same(workers, market, tmp_path):
    interrupted, uninterrupted = (copy(market, tmp_path / name) for name in ("interrupted", "uninterrupted"))
    for folder in (interrupted, uninterrupted):
        replace(RunConfig.read(folder / "recipe.json"), models={"return": "tree"}).write(folder / "recipe.json")
    until = 1500
    train(uninterrupted, until=until)
    chance = random.Random(7)
    for _ in range(6):
        worker = workers.start("train", str(interrupted), 0, until)
        time.sleep(chance.uniform(0.05, 0.3))
        assert workers.kill(worker) in (0, -signal.SIGKILL)
    assert workers.run("train", str(interrupted), 0, until) == 0
    check_same(result(interrupted), result(uninterrupted))
    assert Registry(uninterrupted / "registry").get("eth@1").format == "pickle"


def test_versions_are_a_chain_over_the_whole_log(run):
    status = train(run)
    registry = Registry(run / "registry")
    chain = registry.lineage("eth@champion")[::-1]
    assert status.version == chain[-1].name and len(chain) == len(registry.versions("eth")) == 13
    assert chain[0].data["first_offset"] == 1 and chain[0].parent is None
    for before, version in pairwise(chain):
        assert version.parent == before.id and version.at == before.at + EVERY
        assert version.data["first_offset"] == before.data["last_offset"] + 1
        assert version.data["last_time"] < version.at
    assert {version.features for version in chain} == {flow(run).features.definition}
    models = {target: learner.model.describe() for target, learner in flow(run).learners.items()}
    assert chain[0].describe["models"] == models and "RecursiveLeastSquares" in models["return"]
    assert {version.describe["cause"] for version in chain} == {"every 3m"}
    assert chain[0].format == "flat"


def test_a_version_is_the_flow_as_it_was_at_its_moment(run):
    train(run)
    registry, again, recorded = Registry(run / "registry"), flow(run), rows(run)
    done = 0
    for number in (1, 5, 13):
        version = registry.get(f"eth@{number}")
        again.push(recorded[done : version.data["last_offset"]])
        done = version.data["last_offset"]
        assert recorded["time"][:done].max() < version.at <= recorded["time"][done]
        assert registry.load(version) == again.snapshot()


def test_predictions_and_scores_are_those_of_the_flow(run):
    status = train(run)
    outcome = flow(run).push(rows(run))
    with EventLog(run / "events.db") as log:
        places = (log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY)
        trainer = Trainer(flow(run), *places)
        found = {target: trainer.predictions(target) for target in MODELS}
        trainer.close()
    for target, frame in found.items():
        assert frame.moment.tolist() == outcome.moment.tolist()
        assert frame.prediction.tolist() == outcome.predictions[target].tolist()
    y = pd.Series(outcome.y, index=outcome.answered)
    np.testing.assert_array_equal(found["return"].y, y.reindex(outcome.moment))
    np.testing.assert_array_equal(found["volatility"].y, y.abs().reindex(outcome.moment))
    assert set(found["sign"].y.dropna()) == {0.0, 1.0}
    assert found["return"].known.dropna().tolist() == outcome.known.tolist()
    answered = found["return"][found["return"].known.notna()]
    assert status.scores["return"] == Score().update(answered.y, answered.prediction).get()


def test_recent_scores_are_those_since_the_version_before(run):
    train(run)
    versions = Registry(run / "registry").versions("eth")
    assert versions.return_answered_recent.cumsum().tolist() == versions.return_answered.tolist()
    squared = (versions.return_mse_recent * versions.return_answered_recent).cumsum() / versions.return_answered
    np.testing.assert_allclose(squared, versions.return_mse, rtol=1e-12)


def test_training_goes_on_behind_the_backtest(run):
    warm, cut, registry = flow(run), 1500, Registry(run / "registry")
    warm.push(rows(run)[:cut])
    root = registry.save("eth", warm.snapshot(), at=int(rows(run)["time"][cut - 1]), features=warm.features.definition)
    train(run, until=2000, trained=warm, after=cut, parent=root.id)
    train(run, after=cut)  # a fresh flow: the store knows better
    one = flow(run)
    one.push(rows(run))
    with EventLog(run / "events.db") as log:
        goes_on = flow(run)
        trainer = Trainer(goes_on, log, PART, run / "training.db", registry, "eth", EVERY, after=cut)
        assert dumps(goes_on.state) == dumps(one.state)
        assert trainer.predictions().moment.iloc[0] > rows(run)["time"][cut] - span("20s")
        trainer.close()
    assert registry.get("eth@2").data["first_offset"] == cut + 1 and registry.lineage("eth@champion")[-1] == root


def test_the_newest_outcome_is_that_of_the_last_closed_bar(run):
    with EventLog(run / "events.db") as log:
        registry = Registry(run / "registry")
        trainer = Trainer(flow(run), log, PART, run / "training.db", registry, "eth", EVERY, chunk=10)
        assert trainer.newest is None
        trainer.run(600)
        asked, bars = trainer.newest.moment, trainer.newest.closed
        assert asked[-1] == trainer.predictions().moment.iloc[-1] == bars["end"][-1, 0]
        trainer.close()


def test_a_stop_in_between_changes_nothing(run, whole):
    train(run, until=1234)
    train(run, until=1234)
    seen = []

    def interrupt(status):
        seen.append(status.offset)
        if len(seen) == 3:
            raise KeyboardInterrupt

    with EventLog(run / "events.db") as log:
        places = (log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY)
        trainer = Trainer(flow(run), *places, chunk=300)
        with pytest.raises(KeyboardInterrupt):
            trainer.run(on_commit=interrupt)
        status = trainer.run()
        trainer.close()
    assert status.offset == status.last == len(rows(run)) and seen[0] > 1234
    found, wanted = result(run), dict(whole)
    del found["step"], wanted["step"]  # the stop was a cut of its own
    check_same(found, wanted)


def test_what_comes_behind_a_version_is_told_before_the_version_is_saved(run, whole, monkeypatch):
    done, save = [], Registry.save
    monkeypatch.setattr(Registry, "save", lambda *a, at, **how: (done.append(("saved", at)), save(*a, at=at, **how))[1])
    with EventLog(run / "events.db") as log:
        places = (log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY)
        said = lambda outcome: done.extend(("told", end) for end in outcome.closed["end"][:, 0].tolist())  # noqa: E731
        trainer = Trainer(flow(run), *places, on_outcome=said, chunk=300)
        for offset in range(1, log.last(PART) + 1):  # one event at a time, as they come live
            trainer.run(offset, settle=False)
        trainer.run()
        trainer.close()
    check_same(result(run) | {"step": 0}, whole | {"step": 0})  # more commits, and nothing else
    foretold = [
        at
        for (what, end), (then, at) in itertools.pairwise(done)
        if (what, then) == ("told", "saved") and end >= at  # a bar that closes behind the version, told ahead of it
    ]
    assert foretold, "no version was saved behind the bar that its first event closed"


def test_a_flow_that_fails_can_be_run_again(run, whole):
    class Failing(Exception):
        pass

    trained = flow(run)
    push, calls = trained.push, []

    def fail_once(part, told):
        outcome = push(part, told)
        calls.append(len(part))
        if len(calls) == 4:
            raise Failing
        return outcome

    trained.push = fail_once
    with EventLog(run / "events.db") as log:
        trainer = Trainer(trained, log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY, chunk=300)
        with pytest.raises(Failing):
            trainer.run()
        trainer.run()
        trainer.close()
    check_same(result(run), whole)


def test_events_that_arrive_later_are_trained_later(market, tmp_path, whole):
    late = tmp_path / "run"
    late.mkdir()
    shutil.copy(market / "recipe.json", late)
    for part in np.array_split(rows(market), [800, 801, 2000]):
        with EventLog(late / "events.db") as log:
            log.append(PART, part)
        train(late)
    found, wanted = result(late), dict(whole)
    del found["step"], wanted["step"]
    check_same(found, wanted)


def test_the_gate_decides_what_serves(run):
    def every_fifth(version):
        return f"fifth: {version.metrics['return_answered']} answers" if version.number % 5 == 0 else ""

    train(run, publish=every_fifth)
    ledger = Registry(run / "registry").ledger("eth")
    assert ledger.number.tolist() == [5, 10] and ledger.why.str.startswith("fifth: ").all()


def test_what_the_guard_does_stands_in_the_ledger_of_what_it_guards_alone(run, tmp_path):
    recipe, other = RunConfig.read(run / "recipe.json"), copy(run, tmp_path / "other")
    for folder, publish in ((run, "learner"), (other, "always")):
        replace(recipe, models={"return": "guarded spoilt:Spoilt"}).write(folder / "recipe.json")
        train(folder, publish=publish, until=600)
        if publish == "learner":
            registry = Registry(folder / "registry")
            registry.promote("eth", "eth@learner", "the learner serves", at=registry.all("eth")[0].at)
        train(folder, publish=publish)
    ledger = Registry(run / "registry").ledger("eth")
    told = [kind for _, _, who, kind, _ in result(run)["history"] if who == "guard"]
    falls = ledger[ledger.by.eq("guard")]
    assert falls.action.tolist() == told and falls.action.iloc[0] == "fallback"
    assert (falls.number == 0).all() and falls.serves.iloc[0] in ("checkpoint", "baseline"), falls
    assert not Registry(other / "registry").ledger("eth").by.eq("guard").any(), (
        "frozen versions served, not what is guarded"
    )


def test_never_publishes_nothing_and_another_word_is_refused(run):
    assert train(run, publish="never").version == "eth@13"
    with pytest.raises(LookupError, match=r"no champion of 'eth': run 04_online_train first \(make run-04\)"):
        Registry(run / "registry").champion("eth")
    with pytest.raises(ValueError, match=r"publish must be gate, recommend, always, .* or a callable, got 'sometimes'"):
        train(run, publish="sometimes")


def test_a_rollback_between_crash_and_restart_stays(run):
    train(run, until=500)
    before = Registry(run / "registry")
    number = len(before.versions("eth"))
    shutil.copy(run / "training.db", run / "saved.db")
    last = train(run, until=before.get(f"eth@{number}").data["last_offset"] + 600).version
    after = Registry(run / "registry")
    assert after.champion("eth").name == last
    back = after.rollback("eth", "errors doubled", at=after.get(last).at)
    for name in ("training.db-wal", "training.db-shm"):
        (run / name).unlink(missing_ok=True)
    shutil.copy(run / "saved.db", run / "training.db")  # as if killed before those commits
    train(run, until=after.get(last).data["last_offset"] + 1)
    assert after.champion("eth") == back and after.ledger("eth").action.tolist().count("rollback") == 1


def test_a_quiet_market_saves_one_version_for_the_periods_it_slept(tmp_path, run):
    s, start = 10**9, 1_700_000_000 * 10**9 // EVERY * EVERY
    moments = np.concatenate([np.arange(0, 400), np.arange(5000, 5400)]) * s + start
    quiet = tmp_path / "quiet"
    quiet.mkdir()
    shutil.copy(run / "recipe.json", quiet)
    with EventLog(quiet / "events.db") as log:
        log.append(PART, events(moments, price=100.0 + np.arange(800) % 7, size=1.0, id=np.arange(800)))
    train(quiet)
    registry = Registry(quiet / "registry")
    assert [(registry.get(f"eth@{n}").at - start) // EVERY for n in (1, 2, 3, 4, 5)] == [1, 2, 27, 28, 29]
    assert len(registry.versions("eth")) == 5


def test_a_store_of_another_training_is_refused(run):
    train(run, until=500)
    with pytest.raises(ValueError, match=r"belongs to another training \(every was '3m', now '1m'\): start a new run"):
        train(run, every=span("1m"))
    replace(RunConfig.read(run / "recipe.json"), models=MODELS | {"return": "sgd"}).write(run / "recipe.json")
    with pytest.raises(ValueError, match="belongs to another training"):
        train(run)


def test_a_log_that_was_cut_off_is_refused(run):
    train(run)
    last, kept = len(rows(run)), rows(run)[:3000]
    for path in run.glob("events.db*"):
        path.unlink()
    with EventLog(run / "events.db") as log:
        log.append(PART, kept)
    with pytest.raises(ValueError, match=f"up to offset 3000, but .* was trained up to {last}: it is another log"):
        train(run)


def test_what_came_of_nothing_yet_is_committed_with_what_comes_of_it_later(run, whole):
    with EventLog(run / "events.db") as log:
        places = (log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY)
        trainer, told = Trainer(flow(run), *places, chunk=300), []
        for until in range(1, 891):
            status = trainer.run(until, on_commit=lambda status: told.append(status.offset), settle=False)
            assert status.offset == until
        assert 300 in told and 40 < len(told) < 100  # bars, versions, multiples of the chunk
        last = told[-1]
        assert last < 890 and committed(run)[0] == last
        trainer.close()
        trainer = Trainer(flow(run), *places, chunk=300)
        assert trainer.status().offset == last  # the rest is taken again
        trainer.run(890, settle=False)
        trainer.run(890)
        assert committed(run)[0] == 890
        trainer.close()
    train(run)
    found, wanted = result(run), dict(whole)
    del found["step"], wanted["step"]
    check_same(found, wanted)


def test_a_state_is_committed_only_when_its_events_are_on_the_disk(run, monkeypatch):
    events = []
    commit = CheckpointStore.commit
    monkeypatch.setattr(EventLog, "sync", lambda log: events.append("disk"))
    monkeypatch.setattr(CheckpointStore, "commit", lambda *given: (events.append("commit"), commit(*given)))
    train(run, until=600)
    assert events == ["disk", "commit"] * (len(events) // 2) and len(events) >= 4


def committed(folder: Path) -> tuple:
    with prepared(sqlite3.connect(folder / "training.db")) as db:
        found = db.execute("select offset, state from progress").fetchone()
    db.close()
    return found


def test_two_trainings_of_one_store_are_refused(run):
    with EventLog(run / "events.db") as log:
        places = (log, PART, run / "training.db", Registry(run / "registry"), "eth", EVERY)
        first, second = Trainer(flow(run), *places), Trainer(flow(run), *places)
        first.run(100)
        with pytest.raises(RuntimeError, match=r"another process made progress in .*: let one process train"):
            second._learn(rows(run)[:50])
        first.close()
        second.close()


def test_status_says_where_the_training_stands(run):
    status = train(run, until=2000)
    last = len(rows(run))
    assert str(status).startswith(f"2,000 of {last:,} events, newest version eth@")
    assert ", return mse " in str(status)
