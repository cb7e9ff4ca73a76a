"""Every training of a model on a schedule is told with its cause, and one that a condition led to saves a version."""

import numpy as np
import pytest
from runs import market_run

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    source = open_source("synthetic", hours=1.0)
    with EventLog(tmp_path_factory.mktemp("market") / "events.db") as log:
        ingest(source, log, PART)
        yield source, log


def trained(market, folder, model, chunk):
    source, log = market
    registry = Registry(folder / "registry")
    flow = market_run(source.symbols, source.name, models={"return": model}).flow()
    trainer = Trainer(flow, log, PART, folder / "t.db", registry, "champion", span("1d"), chunk=chunk)
    trainer.run()
    told, versions = trainer.history(), registry.versions("champion")
    trainer.close()
    registry.close()
    return told, versions


def test_a_timer_is_told_with_its_cause_and_its_time(market, tmp_path):
    told, _ = trained(market, tmp_path, "rls: stateful every 10m", 5000)
    timed = told[told["kind"] == "trained"]
    assert (
        set(timed["why"]) == {"every 10m"} and set(timed["how"]) == {"stateful"} and set(timed["who"]) == {"schedule"}
    )
    assert np.diff(timed["at"]).min() >= np.timedelta64(10, "m") and 3 <= len(timed) <= 6
    assert timed["number"].tolist() == list(range(1, len(timed) + 1))


def test_a_condition_saves_a_version_at_once_whatever_the_chunks(market, tmp_path):
    model = "rls: stateful when loss > 0 over 20 cooldown 15m first 40"
    found = []
    for chunk in (5000, 137):
        told, versions = trained(market, tmp_path / str(chunk), model, chunk)
        fired = told[told["kind"] == "trigger"]
        assert len(fired) >= 2 and fired["why"].str.startswith("when loss > 0 over 20: loss ").all()
        assert len(versions) >= len(fired)
        found.append((fired[["at", "why", "samples", "number"]].to_csv(), versions["id"].tolist()))
    assert found[0] == found[1]
