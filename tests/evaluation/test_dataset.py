"""Dataset, ingest, recipe: from raw rows to questions on disk, and back the same."""

import numpy as np
import pandas as pd
import pytest
from runs import market_run

from rtml.core.clock import NEVER
from rtml.evaluation.dataset import Dataset, build
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.usecases.crypto.schema import TRADES


@pytest.fixture(scope="module")
def stream(tmp_path_factory):
    source = open_source("synthetic", hours=1.0, seed=3)
    log = EventLog(tmp_path_factory.mktemp("stream") / "events.db")
    return source, log, ingest(source, log, PART, n=7000)


@pytest.fixture(scope="module")
def config(stream):
    return market_run(stream[0].symbols, stream[0].name, market={"hours": 1.0, "seed": 3})


@pytest.fixture(scope="module")
def data(stream, config):
    return build(stream[1], PART, config)


def test_every_row_is_logged_or_in_quarantine(stream):
    source, log, ingested = stream
    assert ingested.received == source.rows == ingested.logged + ingested.quarantined
    assert ingested.logged == log.count(PART) and ingested.quarantined == len(log.rejected(PART)) > 0
    assert ingested.by_reason["rows"].sum() == ingested.quarantined
    assert ingested.by_kind.to_numpy().sum() == ingested.logged
    assert str(ingested).startswith("synthetic:sudden:seed=3:hours=1: ")


def test_a_source_without_a_usable_row_is_said(tmp_path):
    class Broken:
        name, symbols, rows, schema = "file:broken", ("ETH-USD",), 1, TRADES

        def chunks(self, n):
            yield pd.DataFrame({"symbol": ["ETH-USD"], "time": [10], "price": [-1.0], "size": [1.0]})

    with EventLog(tmp_path / "log.db") as log, pytest.raises(ValueError, match="nothing of file:broken could be used"):
        ingest(Broken(), log, PART)
    assert len(EventLog(tmp_path / "log.db").rejected(PART)) == 1, "the rejected row must be kept all the same"


def test_a_dataset_on_disk_is_the_same(data, config, tmp_path):
    data.write(tmp_path)
    config.write(tmp_path / "recipe.json")
    again = Dataset.read(tmp_path)
    for name in ("id", "moment", "X", "y", "known"):
        assert getattr(again.questions, name).tobytes() == getattr(data.questions, name).tobytes(), name
    assert again.questions.names == data.questions.names
    assert np.array_equal(again.offset, data.offset)
    assert again.closed.equals(data.closed)


def test_the_last_question_is_still_open(data):
    assert data.questions.known[-1] == NEVER and np.isnan(data.questions.y[-1])
    assert (data.questions.known[:-1] < NEVER).all()


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
def test_a_flow_that_reads_up_to_the_split_has_asked_just_those_questions(stream, config, data, share):
    offset, asked = data.split(share)
    flow = config.flow(learning=False)
    outcome = flow.push(stream[1].read(PART, 0, offset)[1])
    assert outcome.moment.tobytes() == data.questions.moment[:asked].tobytes()
    assert outcome.X.tobytes() == data.questions.X[:asked].tobytes()
    assert abs(asked / len(data) - share) < 0.05


def test_targets_of_a_dataset(data):
    y = data.questions.y
    assert np.array_equal(data.of("volatility").y, np.abs(y), equal_nan=True)
    assert np.isnan(data.of("sign").y[y == 0]).all()


def test_a_stream_that_asks_nothing_is_said(tmp_path, config):
    with EventLog(tmp_path / "log.db") as log:
        log.append(PART, EventLog.read(log, PART)[1])
        with pytest.raises(ValueError, match=r"no question was asked in 0 events of log\.db"):
            build(log, PART, config)


def test_a_recipe_on_disk_builds_the_same_flow(config, tmp_path):
    config.with_champion("sgd").write(tmp_path / "recipe.json")
    again = RunConfig.read(tmp_path / "recipe.json")
    assert again == config.with_champion("sgd")
    assert again.flow().snapshot() == config.with_champion("sgd").flow().snapshot() != config.flow().snapshot()


def test_an_unknown_use_case_is_said():
    with pytest.raises(LookupError, match="no use case 'weather'; there are: crypto"):
        RunConfig.of("weather", ("A",), "synthetic")


def test_a_share_outside_is_said(data):
    with pytest.raises(ValueError, match=r"must lie between 0 and 1, got 1\.5"):
        data.split(1.5)
