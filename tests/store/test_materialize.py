"""Materialisation: every row once, whatever stops it; a backfilled day is what live stored; the tiers reconcile."""

import numpy as np
import pytest
from command_line import carry_out
from reconcile import reconcile
from runs import market_run

from rtml.core.clock import NEVER, span
from rtml.features.feature_set import Feature, FeatureSet, column
from rtml.sources.catalogue import open_source
from rtml.store.event_log import EventLog
from rtml.store.facts import Facts
from rtml.store.feature_pipeline import FeatureStream, QuestionStream
from rtml.store.materialize import Job
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.training.run_config import PART
from rtml.usecases.crypto.schema import TRADES
from rtml.usecases.crypto.trades import events

HOUR, DAY, START = span("1h"), span("1d"), 1_700_000_000 * 10**9
NAMES = ("spend", "count")


def rows(some):
    """Payments: everything but the ticks."""
    paid = some[some["kind"] == 0]
    return paid["time"], paid["key"].astype(np.int64), paid["price"][:, None]


def stream(window="1d"):
    spend = column("amount").over(window, "sum")
    declared = [
        Feature("spend", spend, "EUR", "spent within the window"),
        Feature("count", column("amount").over("1h", "count"), "", "payments within the hour"),
    ]
    return FeatureStream(FeatureSet(declared, ["amount"]), rows)


def payments(n, seed=7, days=4.0):
    """Payments of a few cards over some days, with ties in time and ticks in between."""
    rng = np.random.default_rng(seed)
    time = START + np.sort(rng.integers(0, int(days * 24 * 60), n)) * span("1m")
    kind = np.where(rng.random(n) < 0.1, 3, 0)
    return events(time, kind=kind, key=rng.integers(0, 20, n), price=rng.integers(1, 100, n).astype(float))


@pytest.fixture
def log(tmp_path):
    with EventLog(tmp_path / "log.db") as log:
        yield log


@pytest.fixture
def places(tmp_path):
    return stores(tmp_path)


def stores(folder):
    online = OnlineStore(folder / "online.db")
    online.declare("card", NAMES, ttl="1d", defaults=[0.0, 0.0], definition=stream().definition)
    return FeatureTable(folder / "cards", NAMES), online


def job(log, table, online=None, **options):
    return Job(stream(), log, "payments", table, online=online, group="card", **options)


def test_it_stores_every_row_says_so_and_does_nothing_twice(log, places):
    table, online = places
    log.append("payments", payments(500))
    paid = int((payments(500)["kind"] == 0).sum())
    done = job(log, table, online, chunk=100).run()
    watermark = int(payments(500)["time"][payments(500)["kind"] == 0].max()) - 1
    assert (done.rows, done.total, done.offset, done.watermark) == (paid, paid, 500, watermark)
    assert str(done).startswith(f"{paid:,} rows stored, {paid:,} in all, up to offset 500, watermark 2023-11-18")
    again = job(log, table, online).run()
    assert (again.rows, again.total) == (0, paid) and set(table.history()["definition"]) == {stream().definition}
    assert reconcile(stream(), log, "payments", table, online, "card").rows == paid


def test_what_live_stored_piece_by_piece_is_what_a_backfill_of_the_day_stores(log, places, tmp_path):
    live, some = job(log, *places, chunk=37), payments(600)
    for first in range(0, 600, 50):
        log.append("payments", some[first : first + 50])
        live.run()
    first = START + 2 * DAY
    backfilled = FeatureTable(tmp_path / "day", NAMES)
    job(log, backfilled, start=first, end=first + DAY).run()
    stored = places[0].as_of().facts(start=first, end=first + DAY)
    assert len(stored) > 100 and backfilled.as_of().facts().digest == stored.digest
    assert len(backfilled.history()) == len(stored)


def test_the_latest_values_are_the_newest_of_the_table(log, places):
    table, online = places
    log.append("payments", payments(500))
    job(log, table, online, chunk=90).run()
    newest = table.features().groupby("key").last()
    for key, row in newest.iterrows():
        found = online.get("card", key, now=int(row["happened"]) + HOUR)
        assert found.values.tolist() == [row["spend"], row["count"]] and found.ages == (HOUR, HOUR)


def test_an_online_store_that_comes_later_is_filled_without_storing_a_row_again(log, places):
    table, online = places
    log.append("payments", payments(300))
    job(log, table, chunk=70).run()
    version = table.version
    assert job(log, table, online, chunk=110).run().rows == 0
    assert table.version == version and reconcile(stream(), log, "payments", table, online, "card").agree


@pytest.mark.parametrize("chunk", [1, 2, 50])
def test_a_fact_that_arrives_late_is_known_late(log, places, chunk):
    table, _ = places
    log.append("payments", events([START + HOUR, START, START + 2 * HOUR], key=[1, 2, 1], price=[5.0, 7.0, 1.0]))
    job(log, table, chunk=chunk).run()
    late = table.as_of().facts(keys=[2])
    assert late.happened.tolist() == [START] and late.known.tolist() == [START + HOUR]
    assert len(table.features(as_of=START + HOUR - 1)) == 0


def test_a_refresh_lets_the_window_of_a_quiet_key_run_out(log, places):
    table, online = places
    log.append("payments", events([START, START + HOUR], key=[1, 2], price=[5.0, 7.0]))
    work = job(log, table, online)
    with pytest.raises(ValueError, match="a refresh needs an online store, a run before it"):
        work.refresh(START + DAY)
    work.run()
    assert online.get("card", 1, now=START + DAY).values.tolist() == [5.0, 1.0]
    assert work.refresh(START + DAY) == 2
    assert online.get("card", 1, now=START + DAY).values.tolist() == [0.0, 0.0]
    assert online.get("card", 2, now=START + DAY).values.tolist() == [7.0, 0.0]
    log.append("payments", events([START + DAY + HOUR], key=[1], price=[3.0]))
    work.run()
    found = online.get("card", 1, now=START + DAY + HOUR)
    assert found.values.tolist() == [3.0, 1.0] and found.ages == (0, 0) and table.rows == 3


def test_another_definition_takes_a_table_of_its_own(log, places):
    log.append("payments", payments(50))
    job(log, places[0]).run()
    with pytest.raises(ValueError, match="another definition"):
        Job(stream("2d"), log, "payments", places[0])


def test_tiers_that_do_not_agree_are_said_with_their_counts(log, places):
    table, online = places
    log.append("payments", payments(200))
    job(log, table, online).run()
    online.put("card", 99, NEVER - 1, [1.0, 1.0])
    with pytest.raises(ValueError, match="latest values: 21 keys"):
        reconcile(stream(), log, "payments", table, online, "card")
    online.put("card", 99, NEVER - 1, None)
    online.put("card", 3, NEVER - 1, [1.0, 1.0])
    with pytest.raises(ValueError, match="1 of another moment"):
        reconcile(stream(), log, "payments", table, online, "card")
    table.append(Facts([1], [NEVER - 9], [NEVER - 9], [[1.0, 1.0]], NAMES, "by hand"))
    with pytest.raises(ValueError, match="which make 181 rows; table: 182 rows"):
        reconcile(stream(), log, "payments", table, online, "card")


def test_the_command_stores_what_a_runs_questions_are_asked_with(tmp_path, capsys):
    config = market_run(("ETH-USD", "BTC-USD")).write(tmp_path / "recipe.json")
    with EventLog(tmp_path / "events.db") as log:
        for raw in open_source("synthetic", hours=0.2).chunks(5000):
            log.append(PART, TRADES.accept(raw, (*config.keys, *config.options["inputs"]))[0])
        carry_out("materialize", tmp_path)
        said = capsys.readouterr().out
        asked = config.operator().push(log.read(PART, 0, 10**6)[1])
    table = FeatureTable(tmp_path / "features" / QuestionStream(config.operator()).definition)
    assert f"{len(asked.id):,} rows stored" in said
    stored = table.as_of().facts()
    assert stored.values.tobytes() == asked.X.tobytes() and stored.happened.tolist() == asked.moment.tolist()
    assert QuestionStream(config.operator()).names == table.names


def test_a_state_that_is_broken_or_ahead_of_what_was_stored_is_not_gone_on_from(log, places):
    table, online = places
    log.append("payments", payments(300))
    job(log, table, online).run()
    state = job(log, table, online)._state
    kept = state.read_bytes()

    def begins(stored=300):
        again = job(log, table, online)
        again._stored = lambda: [stored]
        again._restore()
        return again._at

    assert (begins(), begins(301), begins(299)) == (300, 300, 0), "one event too far would be left out"
    for blob in (kept[:100] + bytes([kept[100] ^ 1]) + kept[101:], b"", kept[:-3]):
        state.write_bytes(blob)
        assert begins() == 0, "computed again from the first event"


def test_what_is_in_memory_is_not_gone_on_from_where_less_was_stored(log, places):
    table, online = places
    log.append("payments", payments(300))
    whole = job(log, table, online)
    whole.run()
    for stored, begins in ((300, 300), (299, 0)):
        whole._stored = lambda: [stored]  # noqa: B023
        whole._restore()
        assert whole._at == begins, "one event too far would be left out"
