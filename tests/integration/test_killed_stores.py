"""Stores and learners killed by SIGKILL where they write: what is there is whole, and the next goes on from it."""

import time
from pathlib import Path

import numpy as np
import pytest
from reconcile import reconcile
from store.test_label_join import odd, put
from store.test_materialize import job, payments, stores, stream
from store.test_offline import facts
from streams import NAMES, REGRESSORS
from workers import Workers, die_at_line

from rtml.core.clock import span
from rtml.core.state import dumps
from rtml.evaluation.progressive import progressive
from rtml.store.event_log import EventLog
from rtml.store.label_join import questions
from rtml.store.offline import FeatureTable
from rtml.store.online import OnlineStore
from rtml.store.prediction_log import PredictionLog
from rtml.store.prediction_tables import id_number
from rtml.training.log_trainer import LogTrainer, kept

S = span("1s")


@pytest.fixture(scope="module")
def workers():
    with Workers(__file__) as workers:
        yield workers


def killed_after(workers, function, path, progress, rng):
    """Start a worker that writes for ever, kill it soon after its first progress; what the progress was before."""
    before, worker, limit = progress(), workers.start(function, str(path)), time.monotonic() + 30
    while progress() == before and time.monotonic() < limit:
        time.sleep(0.002)
    time.sleep(rng.uniform(0, 0.02))
    workers.kill(worker)
    assert progress() > before


def append_forever(path):
    table = FeatureTable(path)
    while True:
        n = table.offset("log")
        table.append(facts([(1, n + i, n + i, float(n + i)) for i in range(100)]), "log", offset=n + 100, sealed=n + 99)


def test_a_table_killed_in_mid_append_is_whole_and_the_next_writer_goes_on(workers, tmp_path):
    table, rng = FeatureTable(tmp_path / "cards", ("spend", "count")), np.random.default_rng(7)
    for _ in range(5):
        killed_after(workers, "append_forever", table.path, lambda: table.offset("log"), rng)
        found = FeatureTable(table.path).history()
        assert len(found) == table.rows == table.offset("log")
        assert found["spend"].tolist() == list(range(len(found)))


def write_forever(path):
    store = OnlineStore(path)
    n = store.progress("log")
    while True:
        n += 1
        store.put_many("card", np.arange(50), np.full(50, n), np.full((50, 2), float(n)), progress=("log", n))


def test_latest_values_killed_in_mid_commit_are_those_of_one_offset(workers, tmp_path):
    store, rng = stores(tmp_path)[1], np.random.default_rng(7)
    for _ in range(5):
        killed_after(workers, "write_forever", store.path, lambda: store.progress("log"), rng)
        table = store.table("card", now=10**9)
        assert set(table["spend"]) == {store.progress("log")} and len(table) == 50


def materialise_until_killed(folder, line):
    log, (table, online) = EventLog(f"{folder}/log.db"), stores(Path(folder))
    work = job(log, table, online, chunk=60)
    die_at_line(line, "store/materialize.py", "store/offline.py", "store/online.py", "store/facts.py")
    work.run()


def test_a_materialisation_killed_at_lines_everywhere_stores_every_row_once(workers, tmp_path):
    log, (table, online) = EventLog(tmp_path / "log.db"), stores(tmp_path)
    log.append("payments", payments(400))
    lines = np.random.default_rng(7).integers(20, 500, 8)
    assert [workers.run("materialise_until_killed", str(tmp_path), int(line)) for line in lines].count(-9) >= 6
    job(log, table, online, chunk=60).run()
    alone = FeatureTable(tmp_path / "alone", table.names)
    job(log, alone).run()
    assert table.as_of().facts().digest == alone.as_of().facts().digest
    assert reconcile(stream(), log, "payments", table, online, "card").rows == alone.rows
    log.close()


def learn_until_killed(path, line):
    learner = LogTrainer(REGRESSORS["scaled descent"](), NAMES, path, retention=0)
    die_at_line(line, "training/log_trainer.py", "store/label_join.py", "store/prediction_tables.py")
    learner.learn(n=40)


def test_a_log_learner_killed_at_lines_everywhere_learns_every_answer_once_and_leaves_nothing(workers, tmp_path):
    path, x = tmp_path / "predictions.db", odd(200)
    log = PredictionLog(path)
    log.define("v1", NAMES)
    ids = put(log, [(k * S, row) for k, row in enumerate(x)])
    for k, id in enumerate(ids):
        log.answer(id_number(id), float(x[k, 1]), (k + 500) * S)
    log.flush()
    whole = progressive(REGRESSORS["scaled descent"](), questions(log)).learner.model.state
    lines = np.random.default_rng(7).integers(5, 500, 8)
    assert [workers.run("learn_until_killed", str(path), int(line)) for line in lines].count(-9) >= 6
    learner = LogTrainer(REGRESSORS["scaled descent"](), NAMES, path, retention=0)
    learner.learn()
    assert dumps(learner.model.state) == dumps(whole) and kept(path, x.ravel().tolist()).nothing
    learner.close()
    log.close()
