"""Challengers that learn in shadow: the same bits for any cut, alone when they fail, promoted, built again."""

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

EVERY = "15m"


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    """Two hours of a market in which `zero` serves and `rls` learns in shadow."""
    folder = tmp_path_factory.mktemp("market")
    source = open_source("synthetic", hours=2.0)
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    config = market_run(source.symbols, source.name, models={"return": "zero", "sign": "logistic"})
    config.with_challengers(["mean", "rls"]).write(folder / "recipe.json")
    return folder


@pytest.fixture(scope="module")
def rows(market):
    with EventLog(market / "events.db") as log:
        return log.read(PART, 0, 10**6)[1]


def flow(market):
    return RunConfig.read(market / "recipe.json").flow()


def train(market, folder, chunk=5000, until=None, **how):
    """Train in a folder of its own; runs in a worker too."""
    folder, config = Path(folder), RunConfig.read(Path(market) / "recipe.json")
    with EventLog(Path(market) / "events.db") as log:
        registry = Registry(folder / "registry")
        places = (log, PART, folder / "training.db", registry, "eth", span(EVERY))
        trainer = Trainer(config.flow(), *places, publish="learner", chunk=chunk, **how)
        trainer.run(until)
        found = trainer.predictions()
        trainer.close()
        registry.close()
    return found


def result(folder):
    registry, reading = Registry(folder / "registry"), CheckpointReader(folder / "training.db")
    _, offset, blob = reading.progress()
    said = [row[1:] for row in reading.history()]
    reading.close()
    tables = [registry.ledger("eth").to_csv(), registry.versions("eth").to_csv()]
    registry.close()
    return offset, blob, sorted(said), tables


@pytest.fixture(scope="module")
def whole(market, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole")
    train(market, folder)
    return folder


def test_a_challenger_that_is_better_serves_from_the_next_question_on(market, whole, rows):
    registry = Registry(whole / "registry")
    ledger = registry.ledger("eth")
    print(ledger.T, [(r[2:]) for r in result(whole)[2]][:40])
    assert 0
