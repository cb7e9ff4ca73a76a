"""One prediction a key, stored with the version that made it, looked up with its age."""

from contextlib import closing

import pytest
from runs import market_run

from rtml.core.clock import Clock, span
from rtml.pipeline import batch
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.store.online import OnlineStore
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of two symbols, each asked at every bar; the newest predictions by key and target."""
    folder = tmp_path_factory.mktemp("runs") / "two"
    folder.mkdir()
    source, newest = open_source("synthetic", hours=0.3), {}
    config = RunConfig.of("crypto", tuple(source.symbols), source.name, models={"return": "rls", "sign": "logistic"})
    config.write(folder / "recipe.json")

    def asked(outcome):
        for row, key in enumerate(outcome.keys().tolist()):
            newest[config.keys[key]] = {name: float(said[row]) for name, said in outcome.predictions.items()}

    with EventLog(folder / "events.db") as log, closing(Registry(folder / "registry")) as registry:
        ingest(source, log, PART)
        places = (log, PART, folder / "training.db", registry, "crypto", span("5m"))
        with closing(Trainer(config.flow(), *places, chunk=500, publish="learner", on_outcome=asked)) as trainer:
            trainer.run()
    return folder, newest


def test_every_key_has_one_row_with_its_version_and_its_age(run, capsys):
    folder, newest = run
    assert len(newest) == 2 and batch.batch(folder, ttl="5m") == 0
    printed = capsys.readouterr().out.split("\n")
    with closing(OnlineStore(folder / "online.db")) as online:
        now = Clock().now()
        table = online.table(batch.GROUP, now)
        assert sorted(table["key"]) == sorted(newest) and set(table["definition"]) == {"crypto@learner"}
        for key, said in newest.items():
            found = online.get(batch.GROUP, key, now)
            assert dict(zip(found.names, found.values.tolist(), strict=True)) == said
            assert found.definition == "crypto@learner" and min(found.ages) > 0 and found.stale == found.names
    assert (
        "version" in printed[0]
        and "age_s" in printed[0]
        and all(any(key in line for line in printed) for key in newest)
    )


def test_done_again_it_keeps_one_row_a_key(run):
    folder, newest = run
    with closing(OnlineStore(":memory:")) as online:
        first = batch.store(folder, online)
        again = batch.store(folder, online)
    assert len(first) == len(again) == len(newest)
    assert first.drop(columns="age_s").equals(again.drop(columns="age_s"))


def test_a_run_that_has_not_been_trained_says_what_makes_it(tmp_path):
    config = market_run(("ETH-USD",))
    config.write(tmp_path / "recipe.json")
    with closing(OnlineStore(":memory:")) as online, pytest.raises(FileNotFoundError, match="04_online_train"):
        batch.store(tmp_path, online)
