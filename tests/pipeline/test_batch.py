"""One prediction a key, stored with the version that made it, looked up with its age."""

from contextlib import closing

import pytest
from runs import market_run, trained

from rtml.core.clock import Clock
from rtml.pipeline import batch
from rtml.store.online import OnlineStore

KEYS = ("ETH-USD", "BTC-USD")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A short run of two symbols, each asked at every bar; the newest predictions by key and target."""
    folder, newest = tmp_path_factory.mktemp("runs") / "two", {}

    def asked(outcome):
        for row, key in enumerate(outcome.keys().tolist()):
            newest[KEYS[key]] = {name: float(said[row]) for name, said in outcome.predictions.items()}

    assert trained(folder, {"return": "rls", "sign": "logistic"}, on_outcome=asked).keys == KEYS
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
