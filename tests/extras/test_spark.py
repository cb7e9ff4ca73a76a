"""The same bits on a real Spark: a master and two workers on this machine alone, and kill -9 of every kind of process.

Run by ``make test-extras``, in an environment of its own that holds pyspark beside everything else; Java 17 is needed.
"""

import os
import shutil
import signal
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest
from deltalake import DeltaTable

if find_spec("pyspark") is None or shutil.which("java") is None:
    pytest.skip("pyspark is in build/extras-spark: make test-extras; it needs Java", allow_module_level=True)
SUPPORT = Path(__file__).parents[1] / "support"
os.environ["PYTHONPATH"] = os.pathsep.join([str(SUPPORT), str(Path(__file__).parents[2])])

import spark_jobs as jobs  # noqa: E402

from rtml.features.keys import partition  # noqa: E402
from rtml.integrations import spark  # noqa: E402
from rtml.store.event_log import EventLog  # noqa: E402
from rtml.usecases.crypto.bars import BAR, Bars  # noqa: E402
from rtml.usecases.crypto.trades import EVENT, events  # noqa: E402
from rtml.usecases.fraud.synthetic_cards import Cards  # noqa: E402

SYMBOLS = 12


@pytest.fixture(scope="module")
def master():
    with spark.cluster() as url:
        yield url


@pytest.fixture(scope="module")
def session(master):
    session = spark.session(master, "tests", spark__sql__shuffle__partitions="2")
    yield session
    session.stop()


@pytest.fixture(scope="module")
def trades():
    """Trades of twelve symbols, a little out of order."""
    r = np.random.default_rng(1)
    n = 24_000
    time = np.sort(r.integers(0, 1200 * 10**9, n)) - r.integers(0, 2 * 10**9, n)
    how = {"id": np.arange(n), "price": r.uniform(99, 101, n), "size": r.random(n), "side": r.choice([-1, 1], n)}
    return events(time, key=r.integers(0, SYMBOLS, n), **how)


@pytest.fixture(scope="module")
def log(trades, tmp_path_factory):
    path = tmp_path_factory.mktemp("log") / "log.db"
    with EventLog(path) as log:
        log.append(jobs.PART, trades)
    return path


@pytest.fixture(scope="module")
def wanted_bars(trades):
    """Bars of each symbol by one process, sorted."""
    found = []
    for symbol in range(SYMBOLS):
        own = trades[trades["key"] == symbol]
        own["key"] = 0
        out = Bars("10s", "1s").push(own).reshape(-1)
        found.append(pd.DataFrame({name: out[name] for name in BAR.names}).assign(symbol=symbol))
    return pd.concat(found, ignore_index=True)


def same(got, want, order):
    got, want = (table.sort_values(order, kind="stable", ignore_index=True) for table in (got, want))
    pd.testing.assert_frame_equal(got[want.columns], want, check_exact=True, check_dtype=False)


def fraud_rows():
    """Payments and labels of a town, each with its card and terminal, in order of arrival."""
    truth = Cards(seed=3, days=20, cards=60, terminals=40, delay="2d").truth()
    paid = truth.assign(when=truth["time"], only_asks=True, fraud=np.nan)
    told = truth[truth["known"] < 2**62].assign(when=lambda t: t["known"], only_asks=False)
    rows = pd.concat([paid, told]).sort_values(["when", "only_asks"], ignore_index=True)
    columns = {"id": np.arange(len(rows)), "time": rows["when"], "card": rows["card"], "terminal": rows["terminal"]}
    columns |= {"amount": rows["amount"].astype(float), "fraud": rows["fraud"].astype(float)}
    return pd.DataFrame(columns | {"only_asks": rows["only_asks"]})


@pytest.mark.parametrize("make", [jobs.card_payments, jobs.terminal_payments, jobs.card_labels])
def test_features_of_payments_and_labels_are_those_of_one_process(session, make, tmp_path):
    rows = fraud_rows()
    key = "terminal" if make is jobs.terminal_payments else "card"
    rows = rows if make is jobs.card_labels else rows[rows["only_asks"]]
    assert len(rows) > 1500 and len(np.unique(partition(rows[key].to_numpy(), jobs.PARTITIONS))) == jobs.PARTITIONS
    rows.sample(frac=1, random_state=1).to_parquet(tmp_path / "rows.parquet")
    table = session.read.parquet(str(tmp_path / "rows.parquet"))
    got = spark.computed(table, make, key, "id", jobs.PARTITIONS).toPandas()
    same(got, pd.DataFrame(make().push({name: rows[name].to_numpy() for name in rows})), "id")


def test_bars_and_backtests_of_every_symbol_are_those_of_one_process(session, trades, wanted_bars, tmp_path):
    table = pd.DataFrame({name: trades[name] for name in EVENT.names}).assign(seq=np.arange(len(trades)))
    table.to_parquet(tmp_path / "trades.parquet")
    frame = jobs.of_symbols(session.read.parquet(str(tmp_path / "trades.parquet")))
    same(spark.computed(frame, jobs.bars, "symbol", "seq").toPandas(), wanted_bars, ["symbol", "end"])
    got = spark.grouped(frame, jobs.scored, "questions long, total double", "symbol", "seq").toPandas()
    for symbol, questions, total in got.itertuples(index=False):
        own = table[table["key"] == symbol].assign(key=0)
        want = jobs.scored({name: own[name].to_numpy() for name in own})
        assert (questions, total) == (want["questions"][0], want["total"][0]) and questions > 50
    assert len(got) == SYMBOLS


def processes(driver, what):
    """Processes of the executors or of the Python workers that the cluster runs; ``driver`` started it."""
    found = [p for p in psutil.Process(driver).children(recursive=True) if p.status() != psutil.STATUS_ZOMBIE]
    return [p for p in found if what in " ".join(p.cmdline())]


def killed(query, what):
    """Kill one process of a kind after the first micro-batch, once."""
    while query.isActive and query.lastProgress is None:
        time.sleep(0.05)
    while query.isActive:
        if chosen := processes(os.getpid(), what):
            chosen[-1].send_signal(signal.SIGKILL)
            return True
    return False


@pytest.mark.parametrize("what", ["pyspark.daemon pyspark.worker", "CoarseGrainedExecutorBackend"])
def test_a_stream_is_exact_after_kill_9_of_a_worker(session, log, wanted_bars, what, tmp_path):
    query = jobs.begin(session, str(log), str(tmp_path / "checkpoint"), str(tmp_path / "table"))
    assert killed(query, what), "it was over before"
    query.awaitTermination()
    assert query.lastProgress["batchId"] >= 4, "several micro-batches"
    same(DeltaTable(tmp_path / "table").to_pandas(), wanted_bars, ["symbol", "end"])


def test_a_stream_is_exact_after_kill_9_of_its_driver_and_a_restart(session, log, wanted_bars, tmp_path):
    places = [str(log), str(tmp_path / "checkpoint"), str(tmp_path / "table")]
    driver = subprocess.Popen([sys.executable, jobs.__file__, "local[1,4]", *places])
    done = tmp_path / "checkpoint" / "commits"
    while not (done / "1").exists():
        assert driver.poll() is None
        time.sleep(0.05)
    below = psutil.Process(driver.pid).children(recursive=True)
    for process in [driver, *below]:
        process.kill()
    driver.wait()
    assert not (done / "5").exists(), "it was over before"
    jobs.begin(session, *places).awaitTermination()
    same(DeltaTable(tmp_path / "table").to_pandas(), wanted_bars, ["symbol", "end"])
    shutil.rmtree(tmp_path / "checkpoint")
    with pytest.raises(FileNotFoundError, match="but that is gone: put it back, or begin with a new table"):
        jobs.begin(session, *places)
