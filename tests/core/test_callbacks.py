import random
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from runs import market_run
from workers import Workers

from rtml.core.callbacks import Callbacks, TrainingEvent, frame
from rtml.core.clock import span
from rtml.core.state import loads
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.checkpoint_store import CheckpointReader, CheckpointStore
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

EVERY = span("3m")


class Jumps:
    """Says "trigger" at every tenth answer whose return is larger than any before, and counts."""

    name = "jumps"

    def __init__(self):
        self.seen, self.largest = 0, 0.0

    def push(self, outcome):
        found = []
        for y, known in zip(outcome.y.tolist(), outcome.known.tolist(), strict=True):
            self.seen += 1
            if self.seen % 10 == 0 and abs(y) > self.largest:
                self.largest = abs(y)
                found.append(TrainingEvent(known, "trigger", {"seen": self.seen, "largest": self.largest}))
        return found

    @property
    def state(self):
        return {"seen": self.seen, "largest": self.largest}

    def load(self, state):
        self.seen, self.largest = state["seen"], state["largest"]


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("market")
    source = open_source("synthetic", hours=0.25)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    market_run(source.symbols, source.name, models={"return": "rls"}).write(folder / "recipe.json")
    return folder


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(market, folder, 300)
    return result(folder)


def train(market, folder, chunk, settle=True, **chosen):
    """Train a market in a folder of its own; runs in a worker too."""
    config, folder = RunConfig.read(Path(market) / "recipe.json"), Path(folder)
    with EventLog(Path(market) / "events.db") as log:
        registry = Registry(folder / "registry")
        places = (log, PART, folder / "training.db", registry, "eth", EVERY)
        trainer = Trainer(config.flow(), *places, callbacks=[Jumps()], chunk=chunk, **chosen)
        trainer.run(settle=settle)
        trainer.run()
        trainer.close()
        registry.close()


def result(folder):
    reading, registry = CheckpointReader(folder / "training.db"), Registry(folder / "registry")
    said, versions, ledger = reading.history(), registry.versions("eth"), registry.ledger("eth")
    reading.close()
    registry.close()
    return frame(row[1:] for row in said).to_csv(), versions.to_csv(), ledger.to_csv()


@pytest.mark.parametrize(("chunk", "settle"), [(1, True), (7, False), (5000, True)])
def test_any_chunk_gives_the_same_happenings_and_the_same_versions_at_triggers(market, tmp_path, whole, chunk, settle):
    train(market, tmp_path, chunk, settle)
    assert result(tmp_path) == whole


def test_a_version_is_saved_of_the_state_behind_the_very_event_that_triggered_it(market, tmp_path):
    train(market, tmp_path, 5000)
    registry, config = Registry(tmp_path / "registry"), RunConfig.read(market / "recipe.json")
    every = [registry.get(f"eth@{number}") for number in registry.versions("eth")["number"]]
    saved = [version for version in every if version.describe["cause"] == "trigger"]
    with EventLog(market / "events.db") as log:
        rows = log.read(PART, 0, 10**6)[1]
    assert len(saved) >= 2
    for version in saved:
        flow, jumps, end = config.flow(), Jumps(), version.data["last_offset"]
        jumps.push(flow.push(rows[: end - 1]))
        before = jumps.largest
        assert jumps.push(flow.push(rows[end - 1 : end])) and jumps.largest > before
        assert registry.load(version) == flow.snapshot() and version.at == rows["time"][:end].max() + 1


def test_killed_at_any_moment_a_training_with_watchers_ends_the_same(market, tmp_path, whole):
    chance = random.Random(7)
    with Workers(__file__) as workers:
        for _ in range(5):
            worker = workers.start("train", str(market), str(tmp_path), 300)
            time.sleep(chance.uniform(0.1, 0.4))
            assert workers.kill(worker) in (0, -signal.SIGKILL)
        assert workers.run("train", str(market), str(tmp_path), 300) == 0
    assert result(tmp_path) == whole


class Killed(Exception):
    """Stands for a kill -9 at a chosen moment."""


def test_killed_between_a_promotion_and_its_commit_a_training_says_it_once_all_the_same(
    market, tmp_path, whole, monkeypatch
):
    promote, left = Registry.promote, 4

    def promote_and_die(registry, *entry, **more):
        nonlocal left
        promote(registry, *entry, **more)
        if (left := left - 1) >= 0:
            raise Killed

    monkeypatch.setattr(Registry, "promote", promote_and_die)
    for _ in range(4):
        with pytest.raises(Killed):
            train(market, tmp_path, 300)
    train(market, tmp_path, 300)
    assert left < 0 and result(tmp_path) == whole


def test_happenings_are_a_table_in_order_of_event_time(market, tmp_path):
    train(market, tmp_path, 5000)
    with EventLog(market / "events.db") as log:
        places = (log, PART, tmp_path / "training.db", Registry(tmp_path / "registry"), "eth", EVERY)
        trainer = Trainer(RunConfig.read(market / "recipe.json").flow(), *places, callbacks=[Jumps()])
        table = trainer.history()
        trainer.close()
    assert list(table.columns[:3]) == ["at", "who", "kind"] and table["at"].is_monotonic_increasing
    assert set(table["who"]) == {"jumps", "trainer", "gate"} and {"trigger", "version", "promoted"} <= set(
        table["kind"]
    )
    triggered = table[table["kind"] == "trigger"]
    assert triggered["seen"].notna().all() and np.all(np.diff(triggered["largest"]) > 0)
    assert len(triggered) == (table["cause"] == "trigger").sum()


def test_a_watcher_that_is_new_begins_and_one_that_is_gone_is_let_be():
    first, second = Jumps(), Jumps()
    first.seen = 5
    Callbacks([second]).load(Callbacks([first]).state)
    assert second.seen == 5
    Callbacks([second]).load({"other": {}})
    assert second.seen == 5


def test_another_process_reads_what_callbacks_said(tmp_path):
    journal = CheckpointStore(tmp_path / "training.db", {})
    journal.begin(0, b"")
    journal.commit(1, b"", [], [], new_events=[(5, 1, "jumps", "trigger", '{"seen": 1}')])
    reading = CheckpointReader(journal.path)
    assert reading.history() == [(1, 5, 1, "jumps", "trigger", '{"seen": 1}')] and not reading.history(after=1)
    reading.close()
    journal.close()


def test_what_a_watcher_remembers_is_in_the_committed_state(market, tmp_path):
    train(market, tmp_path, 5000)
    with EventLog(market / "events.db") as log:
        assert log.last(PART) > 0
    journal = CheckpointStore(tmp_path / "training.db", {})
    assert loads(journal.state)["watchers"]["jumps"]["seen"] > 50
    journal.close()
