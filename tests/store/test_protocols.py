"""One contract a store, and every implementation of it passes: files, Redis, PostgreSQL, NATS, Kafka."""

import itertools
import math
import os
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from runs import market_run
from servers import Server, missing

from rtml.core.clock import span
from rtml.core.use_case import title
from rtml.registry.registry import Registry
from rtml.serving.follower import LOOK_S, Follower
from rtml.serving.schemas import PredictRequest
from rtml.serving.stream_schemas import PromoteRequest
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store import prediction_tables as tables
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.label_join import waiting
from rtml.store.prediction_tables import id_number
from rtml.store.protocols import open_checkpoints, open_log, open_online, open_predictions, run_log, run_stores
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.trades import EVENT, events

SERVERS = ("redis", "postgres", "nats", "kafka")
NUMBER = itertools.count()
BEYOND = {"kafka": "a second writer is not fenced there: one process writes a part"}


@pytest.fixture(scope="session")
def servers():
    """Each server once, started when the first test asks for it."""
    running = {}

    def server(system):
        if reason := missing(system):
            pytest.skip(reason)
        if system not in running:
            running[system] = Server(system)
        return running[system]

    yield cache(server)
    for one in running.values():
        one.close()


@pytest.fixture(params=["file", *SERVERS])
def url(request, tmp_path, servers):
    """Where a new, empty log of each kind is."""
    if request.param == "file":
        return tmp_path / "log.db"
    return with_option(servers(request.param).url, f"log=t{next(NUMBER)}&patience=5")


@pytest.fixture
def log(url):
    with open_log(url) as log:
        yield log


def numbered(first, n):
    return events(np.arange(first, first + n), price=1.5, size=2.0, id=np.arange(first, first + n))


@pytest.mark.parametrize("step", [1, 3, 100])
def test_what_is_appended_in_pieces_is_read_back_in_pieces_bit_by_bit(log, step):
    written, last = [np.empty(0, EVENT)], 0
    for n in (3, 0, 1, 7, 2):
        written.append(numbered(100 + last, n))
        last = log.append("trades", written[-1], durable=bool(n % 2))
    log.sync()
    assert last == log.last("trades") == log.count("trades") == 13
    read, after = [], 0
    while len((piece := log.read("trades", after, step))[0]):
        assert piece[0].tolist() == list(range(after + 1, after + 1 + len(piece[1]))) and len(piece[0]) <= step
        read.append(piece[1])
        after = int(piece[0][-1])
    assert np.concatenate(read).tobytes() == np.concatenate(written).tobytes()
    assert [log.read("trades", after, 2)[1]["id"].tolist() for after in (0, 4, 10, 12, 13, 99)] == [
        *([100, 101], [104, 105], [110, 111], [112], [], [])
    ]


def test_an_append_larger_than_a_block_is_read_from_any_offset(log):
    n = 30_000
    assert log.append("trades", numbered(0, n)) == n
    assert log.append("trades", numbered(n, 5)) == n + 5
    for after in (0, 1, n // 2, n - 1, n + 2):
        offsets, rows = log.read("trades", after, 10)
        assert rows["id"].tolist() == (offsets - 1).tolist() == list(range(after, min(after + 10, n + 5)))
    assert np.array_equal(log.read("trades", 0, 10**6)[1]["id"], np.arange(n + 5))


def test_parts_are_numbered_on_their_own(log):
    assert [log.append(part, numbered(first, n)) for part, first, n in (("b", 0, 3), ("a", 0, 2), ("b", 3, 1))] == [
        3,
        2,
        4,
    ]
    assert log.parts() == ["b", "a"]
    assert log.read("b", after=3)[1]["id"].tolist() == [3]
    offsets, rows = log.read("nothing")
    assert (len(offsets), len(rows), rows.dtype) == (0, 0, np.dtype([("time", "<i8")]))
    assert (log.last("nothing"), log.count("nothing"), len(log.rejected("nothing"))) == (0, 0, 0)


def test_another_record_type_is_refused_with_a_sentence(log, url):
    words = np.array([(1, "ab"), (2, "c")], [("n", "<i4"), ("word", "<U2")])
    log.append("words", words)
    with open_log(url) as second:
        for other in (log, second):
            with pytest.raises(ValueError, match="write another record type to another part"):
                other.append("words", np.zeros(2, [("time", "<i8")]))
        assert second.read("words")[1].tolist() == words.tolist()
    with pytest.raises(ValueError, match="a line of fixed-size records"):
        log.append("objects", np.array([1.0, 2.0]))
    assert log.count("words") == 2 and log.parts() == ["words"]


def test_rejected_rows_keep_the_place_at_which_they_arrived(log):
    bad = pd.DataFrame({"reason": ["price"], "row": ['{"price": -1}']})
    log.append("trades", numbered(0, 3), rejected=bad)
    log.append("trades", numbered(0, 0), rejected=bad)
    log.quarantine("trades", bad, after_offset=9)
    kept = log.rejected("trades")
    assert kept["after"].tolist() == [3, 3, 9] and log.refused("trades") == 3
    assert kept["row"].tolist() == ['{"price": -1}'] * 3 and kept["reason"].tolist() == ["price"] * 3


def test_a_failed_append_leaves_nothing_behind(log):
    broken = pd.DataFrame({"reason": ["x"], "row": [object()]})
    with pytest.raises(Exception, match="type"):
        log.append("trades", numbered(0, 3), rejected=broken)
    assert log.parts() == [] and log.count("trades") == 0
    assert log.append("trades", numbered(0, 1)) == 1


def test_another_connection_sees_an_append_at_once_and_follows(log, url):
    with open_log(url) as reader:
        after = 0
        for n in range(1, 6):
            log.append("trades", numbered(n, 1))
            offsets, rows = reader.read("trades", after)
            assert rows["id"].tolist() == [n] and reader.count("trades") == n
            after = int(offsets[-1])


def test_writers_share_a_log_without_losing_a_row(url, request):
    system = str(url).partition("://")[0]
    if system in BEYOND:
        pytest.skip(BEYOND[system])

    def write(k):
        with open_log(url) as log:
            for _ in range(10):
                log.append("trades", numbered(5 * k, 5))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    [t.start() for t in threads], [t.join() for t in threads]
    with open_log(url) as log:
        offsets, rows = log.read("trades")
    assert offsets.tolist() == list(range(1, 151))
    assert np.bincount(rows["id"]).tolist() == [10] * 15
    assert all((rows["id"][k : k + 5] % 5 == range(5)).all() for k in range(0, 150, 5)), "an append was torn apart"


WRITER = """
import sys, numpy as np
from rtml.store.protocols import open_log
log, n = open_log(sys.argv[1]), 100
first = log.last("trades")
while True:
    rows = np.zeros(n, [("time", "<i8"), ("id", "<i8")])
    rows["id"] = np.arange(first, first + n)
    first = log.append("trades", rows)
    print(first, flush=True)
"""
KILLS = 6 if os.environ.get("RTML_DEEP") else 1


@pytest.mark.parametrize("system", ["redis", "postgres", "nats"])
def test_kill_9_of_server_and_writer_loses_nothing_acknowledged_and_doubles_nothing(system):
    """Kafka is not here: the broker that the tests have keeps nothing on a disk."""
    if reason := missing(system):
        pytest.skip(reason)
    rng, server = np.random.default_rng(7), Server(system)
    with closing(server):
        url = with_option(server.url, "log=torn&patience=30")
        for kill in range(2 * KILLS):
            writer = subprocess.Popen([sys.executable, "-c", WRITER, url], stdout=subprocess.PIPE)
            acknowledged = int(writer.stdout.readline())
            time.sleep(rng.uniform(0.01, 0.15))
            if kill % 2 == 0:  # the server dies, the writer goes on by itself
                server.kill()
                server.start()
                acknowledged = [int(writer.stdout.readline()) for _ in range(300 if system == "redis" else 60)][-1]
            writer.kill()
            acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split(b"\n")[:-1] if line)])
            writer.wait()
            writer.stdout.close()
            with open_log(url) as log:
                offsets, rows = log.read("trades", n=10**7)
            assert acknowledged <= len(rows) and len(rows) % 100 == 0
            assert np.array_equal(rows["id"], np.arange(len(rows))) and np.array_equal(offsets, rows["id"] + 1)


def with_option(url, text):
    return f"{url}{'&' if '?' in url else '?'}{text}"


@pytest.mark.parametrize("system", SERVERS)
def test_an_append_whose_answer_was_lost_is_not_sent_twice(system, servers, monkeypatch):
    with open_log(with_option(servers(system).url, f"log=lost{next(NUMBER)}&patience=5")) as log:
        log.append("trades", numbered(0, 3))
        add, lost = log._add, [True]

        def cut_off(what):
            last = add(what)
            if lost:
                lost.pop()
                raise log.LOST[0]()
            return last

        monkeypatch.setattr(log, "_add", cut_off)
        assert log.append("trades", numbered(3, 2)) == 5
        assert not lost and log.read("trades")[1]["id"].tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("system", SERVERS)
def test_a_server_that_is_away_is_tried_for_so_long_and_then_named(system):
    if reason := missing(system):
        pytest.skip(reason)
    user = "" if system == "kafka" else "me:secret@"
    with pytest.raises(
        ConnectionError, match=f"{system}://{user[:2]}.*not reached for 0.2 s.*start the server"
    ) as told:
        open_log(f"{system}://{user}127.0.0.1:1?patience=0.2")
    assert "secret" not in str(told.value)


@pytest.mark.parametrize("system", ["redis", "postgres"])
def test_a_run_whose_log_is_on_a_server_learns_the_same_bits(system, servers, tmp_path):
    source, states = open_source("synthetic", hours=0.1), []
    config = market_run(source.symbols, source.name)
    for name, url in (("file", ""), ("server", with_option(servers(system).url, f"log=run{next(NUMBER)}"))):
        run = tmp_path / name
        run.mkdir()
        if name == "server" and system == "postgres":
            run_stores(run, url)
        with run_log(run, url) as log:
            ingest(source, log, PART)
        with run_log(run) as log, closing(Registry(run / "registry")) as registry:  # the folder remembers where it is
            trainer = Trainer(config.flow(), log, PART, run / "training.db", registry, "m", span("1m"), chunk=300)
            trainer.run()
            trainer.close()
            with closing(CheckpointReader(run / "training.db")) as reader:
                states.append((reader.progress(), registry.get("m@2").id))
    assert states[0] == states[1]
    assert (run / "log.url").read_text().startswith(servers(system).url)
    with pytest.raises(ValueError, match="name another RUN"):
        run_log(run, "redis://127.0.0.1:1/0?log=other")


@pytest.fixture(params=["file", "redis"])
def online(request, tmp_path, servers):
    """Opens one online store of each kind, as often as asked."""
    where = tmp_path / "online.db"
    if request.param != "file":
        where = with_option(servers(request.param).url, f"log=o{next(NUMBER)}&patience=5")
    opened = []

    def opens():
        opened.append(open_online(where))
        return opened[-1]

    yield opens
    [store.close() for store in opened]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(*[st.integers(-3, 3)] * 4), min_size=1, max_size=12), st.integers(1, 5))
def test_newer_is_never_overwritten_by_older_whoever_writes(online, rows, step):
    group = f"g{next(NUMBER)}"
    writers = [online(), online()]
    writers[0].declare(group, ["a", "b"], ttl="1d", defaults=[0.0, -1.0])
    expected = {}
    for k, first in enumerate(range(0, len(rows), step)):
        piece = rows[first : first + step]
        keys, moments, behind, values = map(list, zip(*piece, strict=True))
        known = [m + abs(b) for m, b in zip(moments, behind, strict=True)]
        written = 0
        for key, moment, at, value in zip(keys, moments, known, values, strict=True):
            if key not in expected or (moment, at) >= expected[key][:2]:
                expected[key] = (moment, at, float(value))
                written += 1
        table = np.array([[v, 2.0 * v] for v in values], float)
        assert writers[k % 2].put_many(group, keys, moments, table, known, progress=(group, first)) == written
    reader = online()
    for key, (moment, _, value) in expected.items():
        latest = reader.get(group, key, now=span("1h"))
        assert latest.values.tolist() == [value, 2 * value] and latest.ages == (span("1h") - moment,) * 2
    assert reader.progress(group) == first and reader.progress("nothing") == 0
    assert dict(zip(*reader.table(group, 0)[["key", "a"]].to_numpy().T, strict=True)) == {
        key: value for key, (_, _, value) in expected.items()
    }


def test_what_is_served_has_its_age_and_says_what_is_stale_or_missing(online):
    store, other = online(), online()
    store.declare("card", ["spend"], ttl="1d", defaults=[7.0])
    assert store.put("card", "7", span("2h"), [12.5]) and not store.put("card", "7", span("1h"), [3.0])
    assert other.get("card", "7", span("3h")).response() == {
        "values": {"spend": 12.5},
        "age_s": {"spend": 3600.0},
        "stale": [],
        "missing": [],
        "definition": "",
    }
    assert other.get("card", "7", span("3d")).stale == ("spend",)
    assert other.get("card", 7, span("3h")).missing == ("spend",), "7 is another key than '7'"
    assert store.put("card", "7", span("5h"), None) and other.get("card", "7", span("5h")).values.tolist() == [7.0]
    assert other.join({"card": "7"}, span("5h")).missing == ("spend",)
    with pytest.raises(ValueError, match="store another definition under another name"):
        other.declare("card", ["other"], ttl="1d")
    with pytest.raises(LookupError, match="declare it first"):
        other.get("nothing", 1, 0)
    strict = online()
    strict.declare("must", ["x"], ttl="1d", missing="refuse")
    with pytest.raises(LookupError, match="nothing was stored for it"):
        strict.get("must", 1, 0)


@pytest.fixture(params=["file", "postgres"])
def registry_at(request, tmp_path, servers):
    """Where a new registry of each kind is."""
    if request.param == "file":
        return tmp_path / "registry"
    url, name = servers("postgres").url, f"registry{next(NUMBER)}"
    psycopg = pytest.importorskip("psycopg")
    with psycopg.connect(url, autocommit=True) as database:
        database.execute(f"create database {name}")
    return url.removesuffix("postgres") + name


def test_a_registry_saves_promotes_rolls_back_and_finds_its_way_back(registry_at):
    with closing(Registry(registry_at)) as registry, closing(Registry(registry_at)) as other:
        first = registry.save("eth", b"weights", at=10, features="f1", metrics={"mse": float("nan")})
        assert registry.save("eth", b"weights", at=10, features="f1") == first
        data = {"part": "events", "first_offset": 1, "last_offset": 9, "first_time": 1, "last_time": 2}
        second = other.save("eth", b"better", parent=first, at=20, features="f1", data=data)
        assert [v.name for v in registry.lineage(second)] == ["eth@2", "eth@1"] and second.learned == "log:events@1-9"
        for version in (first, second):
            registry.promote("eth", version, "gate passed", at=version.at, evidence={"by": "gate"})
        assert other.champion("eth").name == "eth@2" and other.load("eth@champion") == b"better"
        assert other.rollback("eth", "errors doubled", at=30).name == "eth@1" == registry.champion("eth").name
        assert registry.served_at("eth", 25).name == "eth@2" and len(registry.ledger("eth")) == 3
        third = registry.save("eth", b"third", parent=second, at=40, features="f1")
        assert registry.collect("eth", keep=0) == [third] and not other.kept(third)
        with pytest.raises(FileNotFoundError, match="missing"):
            other.load(third)
        other.put_back(third, b"third")
        assert registry.load(third) == b"third"
        with pytest.raises(LookupError, match="no version"):
            registry.get("eth@9")


def test_writers_of_a_registry_number_their_versions_in_turn(registry_at):
    def write(k):
        with closing(Registry(registry_at)) as registry:
            for i in range(5):
                registry.save("eth", bytes([k, i]), at=10 * k + i, features="f")

    Registry(registry_at).close()
    threads = [threading.Thread(target=write, args=(k,)) for k in range(3)]
    [t.start() for t in threads], [t.join() for t in threads]
    with closing(Registry(registry_at)) as registry:
        assert [v.number for v in registry.all("eth")] == list(range(1, 16))


def test_a_promotion_in_one_database_is_seen_by_two_serving_runs_at_once(tmp_path, registry_at):
    if isinstance(registry_at, Path):
        pytest.skip("a file is of one host")
    runs = [tmp_path / name for name in ("one", "two")]
    for run in runs:
        run.mkdir()
        (run / "registry.url").write_text(registry_at)
    with closing(Registry(runs[0] / "registry")) as one, closing(Registry(runs[1] / "registry")) as two:
        version = one.save("eth", b"weights", at=10, features="f1")
        one.promote("eth", version, "better", at=10)
        assert two.champion("eth") == version and two.load(version) == b"weights"
        assert not (runs[1] / "registry").exists()


def in_database(kind, tmp_path, servers, file):
    """Where a new store is: a file, or a schema of its own on a server."""
    return tmp_path / file if kind == "file" else with_option(servers(kind).url, f"log=c{next(NUMBER)}&patience=30")


@pytest.fixture(params=["file", "postgres"])
def training(request, tmp_path, servers):
    """Where a new checkpoint store of each kind is."""
    return in_database(request.param, tmp_path, servers, "training.db")


@pytest.fixture(params=["file", "postgres"])
def served(request, tmp_path, servers):
    """Where a new prediction log of each kind is."""
    return in_database(request.param, tmp_path, servers, "predictions.db")


def test_progress_and_outputs_are_kept_as_one_and_read_back_as_they_were(training):
    many, x = np.array([0.25, np.inf]).tobytes(), np.array([1.0, np.nan]).tobytes()
    with closing(open_checkpoints(training, {"part": "events"})) as store:
        store.begin(0, b"fresh")
        with closing(CheckpointReader(training)) as reader, reader.at_one_commit():
            assert reader.progress() == (0, 0, b"fresh") and reader.questions(0) == []
            asked = [("mean", 7, 1 / 3), ("several", 7, many), ("mean", 8, -0.0)]
            questions, said = [(7, 2, 10, x), (8, 0, 11, b"")], [(10, 5, "m", "a", "{}")]
            store.commit(5, b"\0wiser", asked, [], questions, [(60, many)], said)
            assert reader.questions(0) == [], "what is read as one commit is not of two"
        store.commit(9, b"wisest", [], [(0.5, 20, "mean", 7), (math.nan, 21, "mean", 8), (1.0, 22, "mean", 99)])
        with pytest.raises(Exception, match=r"(?i)null"):
            store.commit(10, b"torn", [("mean", 12, math.nan)], [], [(12, 0, 12, b"")])
        assert (store.offset, store.state) == (9, b"wisest")
        frame = store.predictions("mean").set_index("id")
        assert frame["prediction"].tolist() == [1 / 3, 0.0] and frame["known"].tolist() == [20, 21]
        assert np.array_equal(frame["y"], [0.5, math.nan], equal_nan=True)
        assert store.predictions("several")["prediction"][0].tobytes() == many and len(store.history()) == 1
    with closing(CheckpointReader(training)) as reader:
        first, second = reader.questions(0)
        assert first == (1, 7, 2, 10, x, {"mean": 1 / 3, "several": many}) and reader.questions(1) == [second]
        assert [(one.known, one.id, one.y) for one in reader.answers(0)] == [(20, 7, 0.5), (21, 8, None)]
        assert reader.answers(20) == reader.answers_of(8) and reader.closed(0) == [(60, many)] != reader.closed(60)
        assert reader.history() == [(1, 10, 5, "m", "a", "{}")] and reader.history(1) == []
        assert (reader.done(), reader.step(), reader.last_question()) == ((2, 9), 2, 2)


def test_a_second_consumer_is_fenced_and_another_training_refused(training):
    with closing(open_checkpoints(training, {"part": "events"})) as one:
        with closing(open_checkpoints(training, {"part": "events"})) as other:
            one.begin(0, b"")
            other.begin(3, b"never")
            one.commit(1, b"one", [], [])
            with pytest.raises(RuntimeError, match="another process made progress"):
                other.commit(1, b"other", [], [])
            assert (other.offset, other.state) == (1, b"one")
        with pytest.raises(ValueError, match="part was 'events', now 'trades'"):
            open_checkpoints(training, {"part": "trades"})


def test_answers_join_their_predictions_once_over_all_sessions_and_processes(served):
    x = np.array([1.0, 2.0]).tobytes()
    with closing(open_predictions(served)) as one, closing(open_predictions(served)) as other:
        for log in (one, other):
            log.define("v1", ("a", "b"), "f1", [("mean", 1)])
        ids = []
        for k in range(4):
            ids += [log.append(k, 5, f"key {k}\0", "v1", 3, None, x, 0.5 * k, None, 900) for log in (one, other)]
        assert len(set(ids)) == 8
        one.flush(), other.flush()
        numbers = [id_number(id) for id in ids]
        said = [log.answer(id, 1.5, at=10).result() for id in numbers for log in (one, other)]
        assert said == ["joined", "repeated"] * 8 and one.answer(numbers[0], 2.0, 11).result() == 1.5
        assert one.answer(7, 2.0, 11).result() == "unknown"
        found = other.find(numbers[2])
        assert (found["x"], found["prediction"], found["y"], found["features"]) == (x, 0.5, 1.5, "f1")
        told = one.answers()
        assert [answer.id for answer in told] == ids and [a.place for a in other.answers(told[2].place, 2)] == [4, 5]
        assert len(other.drain(5)) == 5 and [answer.id for answer in one.drain()] == ids[5:]
        one.keep_served([(1, "v1", x), (2, "v1", b"")]), other.keep_served([(1, "v2", b"")])
        assert {question: tuple(about) for question, about in other.served().items()} == {1: ("v1", x), 2: ("v1", b"")}
        told = waiting(other, 100, "1h")
        assert (told.asked, told.answered, told.unknown, told.repeated, told.contradicting) == (8, 8, 1, 8, 1)


def test_requests_of_a_test_are_found_by_its_whole_name(served):
    with closing(open_predictions(served)) as log:
        log.define("v1", ())
        for test in ("a_b", "axb", "a_b%", "a_b:c"):
            log.append(0, 0, "k", "v1", 0, None, b"", 0.5, None, 1, routed=(f"{test}:1", "v1", test))
            log.fail(f"{test}:1", "v1", test, 0.5, "slow", 3)
        with log.reading() as database:
            assert [row[3] for row in tables.requests(database, "a_b", 0, 9)] == ["a_b", "a_b:c"]
            assert len(tables.of_arms(database, "a_b")) == 2
            assert [row[0] for row in tables.failures(database, 2, 9)] == [3, 4]


CONSUMER = """
import sys
from rtml.store.protocols import open_checkpoints, open_predictions
url = sys.argv[1]
store, log = open_checkpoints(url, {}), open_predictions(url + "p")
log.define("v1", ())
store.begin(0, b"")
while True:
    at = store.offset + 1
    store.commit(at, b"state %d" % at, [("y", at, at / 8)], [(1.0, at, "y", at - 1)], [(at, 0, at, b"x")])
    id = log.append(at, at, "k", "v1", at, None, b"", at / 8, None, 1)
    session, number = map(int, id.split("-"))
    assert log.answer(session * 2**32 + number, 1.0, at).result() == "joined"
    print(at, flush=True)
"""


def test_kill_9_of_server_and_consumer_loses_no_commit_and_doubles_none():
    if reason := missing("postgres"):
        pytest.skip(reason)
    server, acknowledged = Server("postgres"), 0
    with closing(server):
        url = with_option(server.url, "patience=30&log=killed")
        for kill in range(2 * KILLS):
            consumer = subprocess.Popen([sys.executable, "-c", CONSUMER, url], stdout=subprocess.PIPE)
            first = int(consumer.stdout.readline())
            if kill % 2 == 0:  # the server dies in the middle of it: the consumer goes on, or is started again
                server.kill()
                server.start()
                [consumer.stdout.readline() for _ in range(5)]
            consumer.kill()
            lines = consumer.communicate()[0].split(b"\n")[:-1]
            acknowledged = max([acknowledged, first, *(int(line) for line in lines)])
            with closing(CheckpointReader(url)) as reader, closing(open_predictions(url + "p")) as log:
                step, offset, state = reader.progress()
                assert step == offset >= acknowledged and state == b"state %d" % offset
                assert [one.id for one in reader.questions(0, 10**6)] == list(range(1, offset + 1))
                assert [one.id for one in reader.answers(0, 10**6)] == list(range(1, offset))
                asked = [answer.moment for answer in log.answers(0, 10**6)]
                assert asked == sorted(set(asked)) and len(asked) >= acknowledged - kill - 1


def test_hosts_that_share_a_database_alone_serve_one_training_and_see_a_promotion_at_their_next_look(
    servers, tmp_path, monkeypatch
):
    """Each host has a folder of its own with nothing but the recipe and where the database is."""
    url, source = with_option(servers("postgres").url, f"log=hosts{next(NUMBER)}"), open_source("synthetic", hours=0.1)
    config = market_run(source.symbols, source.name)
    model, hosts = title(config.use_case), [tmp_path / name for name in ("training", "one", "two")]
    for host in hosts:
        run_stores(host, url)
        config.write(host / "recipe.json")
    with run_log(hosts[0]) as log, closing(Registry(hosts[0] / "registry")) as registry:
        ingest(source, log, PART)
        with closing(
            Trainer(config.flow(), log, PART, hosts[0] / "training.db", registry, model, span("1m"), publish="learner")
        ) as trainer:
            trainer.run()
        looks = Counter()
        look = Follower._look

        def counted(follower, trouble):
            look(follower, trouble)
            looks[follower.folder.name] += 1

        monkeypatch.setattr(Follower, "_look", counted)
        with Follower(hosts[1]) as one, Follower(hosts[2]) as two:
            with closing(CheckpointReader(hosts[0] / "training.db")) as reader:
                last = reader.last_question()
            while not all(host.publisher and host.publisher.questions == last for host in (one, two)):
                time.sleep(0.01)
            key = config.keys[0]
            first = [host.service.ask(PredictRequest(key=key)) for host in (one, two)]
            assert first[0].answers() == first[1].answers() and first[0].version == f"{model}@learner"
            one.promote(PromoteRequest(f"{model}@1", who="ada", why="better"))
            before = looks["two"]
            while two.service.snapshot.version != f"{model}@1":
                assert looks["two"] <= before + 2, "one look may have been on its way"
                time.sleep(0.01)
            assert LOOK_S <= 0.5, "two looks are a second"
            told = two.service.ask(
                PredictRequest(key=key, features=dict.fromkeys(two.publisher.flow.features.names, 0.0))
            )
            assert told.version == f"{model}@1"
            ids = [asked.prediction_id for asked in (*first, told)]
            one.service.log.flush(), two.service.log.flush()
            assert len(set(ids)) == 3 and all(one.service.log.find(id_number(id)) for id in ids)
        for host in hosts[1:]:
            assert not any((host / name).exists() for name in ("training.db", "predictions.db", "registry"))
        with pytest.raises(ValueError, match="name another RUN"):
            run_stores(hosts[1], f"{url}x")
