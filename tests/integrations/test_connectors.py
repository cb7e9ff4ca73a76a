"""Topics, tables and folders as sources: every row once, whatever is cut off where, and what is wrong is said."""

import json
import shutil
import threading
import time
from contextlib import closing

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bucket import bucket
from servers import Server, missing

from rtml.core.use_case import UseCase
from rtml.sources.catalogue import open_source
from rtml.sources.growing import PLACES, open_growing, posted_schema
from rtml.sources.ingest import ingest
from rtml.sources.ingestor import Ingestor
from rtml.store.event_log import EventLog

CASE = UseCase(
    "bikes",
    "how many?",
    np.dtype([("time", "<i8"), ("key", "<i4"), ("n", "<i8"), ("level", "<f8")]),
    operator=lambda config: None,
    targets=(),
    models={},
    keys=("north", "south"),
)
EXACT = 0.1 + 0.2


def row(k):
    """A row as a foreign system holds it; its number is ``n``."""
    return {"time": f"2025-01-31T09:30:{k % 60:02}Z", "key": ("north", "south")[k % 2], "n": k, "level": EXACT * k}


class Topic:
    """A topic of four partitions on the mock broker; messages are dealt out in turn."""

    def __init__(self, server, name):
        from confluent_kafka import Producer

        broker = server.url.removeprefix("kafka://").partition("?")[0]
        self.url, self.name = f"kafka://{broker}/{name}?patience=5", name
        self.producer = Producer({"bootstrap.servers": broker, "log_level": 0, "linger.ms": 0})
        self.broken = b"?"
        self.producer.list_topics(name, timeout=5)  # the mock makes it

    def add(self, rows):
        for row in rows:
            self.send(json.dumps(row).encode(), row["n"])
        self.producer.flush(10)

    def send(self, text, k):
        self.producer.produce(self.name, text, partition=k % 4, timestamp=1_700_000_000_000 + k)

    def spoil(self):
        self.send(b"?", 10**6)
        self.producer.flush(10)


class Table:
    """A table whose ids are given by a sequence."""

    def __init__(self, server, name):
        import psycopg

        self.db, self.name = psycopg.connect(server.url, autocommit=True), name
        self.url = f"{server.url}?table={name}&patience=5"
        columns = 'id bigserial primary key, "time" timestamptz, key text, n bigint, level float8'
        self.db.execute(f"create table {name} ({columns})")

    def add(self, rows, db=None):
        insert = f'insert into {self.name} ("time", key, n, level) values (%(time)s, %(key)s, %(n)s, %(level)s)'
        (db or self.db).cursor().executemany(insert, rows)

    def spoil(self):
        self.db.execute(f"insert into {self.name} (key, n) values ('north', 5)")


class Folder:
    """Files of each kind; every ``add`` makes a new one or goes on with the last."""

    def __init__(self, path):
        self.path, self.files = path, 0
        self.url = path.as_uri()

    def add(self, rows):
        kind, name = self.files % 3, f"day={self.files:03}"
        self.files += 1
        (self.path / name).mkdir()
        if kind == 0:
            pd.DataFrame(rows).to_csv(self.path / name / "rows.csv", index=False)
        elif kind == 1:
            pq.write_table(pa.Table.from_pylist(rows), self.path / name / "rows.parquet")
        else:
            (self.path / name / "rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))

    def spoil(self):
        (self.path / "zz.csv").write_text("time,key,n,level\n1,2\n")


@pytest.fixture(scope="module")
def servers():
    running = {}

    def server(system):
        if reason := missing(system):
            pytest.skip(reason)
        if system not in running:
            running[system] = Server(system)
        return running[system]

    yield server
    for one in running.values():
        one.close()


@pytest.fixture(params=["kafka", "postgres", "files"])
def system(request, servers, tmp_path):
    """Something of each kind that rows are added to."""
    if request.param == "files":
        folder = tmp_path / "landing"
        folder.mkdir()
        yield Folder(folder)
        return
    name = f"t{time.monotonic_ns()}"
    made = {"kafka": Topic, "postgres": Table}[request.param](servers(request.param), name)
    yield made
    if request.param == "postgres":
        made.db.close()


def numbers(log):
    return log.read("events", 0, 10**6)[1]["n"].tolist() if log.last("events") else []


class Torn:
    """A log that fails before or after an append, as a process does that is killed there."""

    def __init__(self, log, rng):
        self._log, self._rng = log, rng

    def __getattr__(self, name):
        return getattr(self._log, name)

    def append(self, *row, **how):
        if self._rng.random() < 0.3:
            raise InterruptedError("before")
        last = self._log.append(*row, **how)
        if self._rng.random() < 0.3:
            raise InterruptedError("after")
        return last


@pytest.mark.parametrize("seed", [1, 2])
def test_every_row_is_taken_once_wherever_the_process_dies(system, seed, tmp_path):
    rng, added = np.random.default_rng(seed), 0
    with EventLog(tmp_path / "events.db") as log:
        while added < 90 or len(numbers(log)) < added:
            if added < 90:
                system.add([row(k) for k in range(added, added + 15)])
                added += 15
            try:
                ingest(open_source(system.url, CASE), Torn(log, rng), "events", n=7)
            except InterruptedError:
                continue
        assert sorted(numbers(log)) == list(range(added))
        rows = log.read("events", 0, added)[1]
        assert (rows["level"] == EXACT * rows["n"]).all() and (rows["key"] == rows["n"] % 2).all()
        ingest(open_source(system.url, CASE), log, "events")
        assert len(numbers(log)) == added, "there was nothing new"


def test_a_broken_row_goes_to_the_quarantine_and_the_order_is_kept(system, tmp_path):
    system.add([row(k) for k in range(40)])
    system.spoil()
    with EventLog(tmp_path / "events.db") as log:
        ingest(open_source(system.url, CASE), log, "events", n=11)
        assert numbers(log) == list(range(40)), "partitions are merged by the times of messages"
        assert log.refused("events") == 1
        ingest(open_source(system.url, CASE), log, "events")
        assert (log.refused("events"), len(numbers(log))) == (1, 40), "what is rejected was taken, too"


def test_it_is_followed_while_rows_come_and_goes_on_after_a_restart(system, tmp_path):
    with EventLog(tmp_path / "events.db") as log:
        added = 0
        for _ in range(2):
            source = open_source(system.url, CASE)
            ingestor = Ingestor(lambda held, source=source: source, log, "events", source.symbols)
            ingestor.start()
            for _ in range(2):
                system.add([row(k) for k in range(added, added + 5)])
                added += 5
                wait_for(lambda: len(numbers(log)) >= added)  # noqa: B023
            assert ingestor.state == "live"
            ingestor.stop()
            assert ingestor.failure is None and sorted(numbers(log)) == list(range(added))


def wait_for(what):
    deadline = time.monotonic() + 20
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_dies_is_waited_for_and_nothing_is_lost(tmp_path):
    if reason := missing("postgres"):
        pytest.skip(reason)
    with closing(Server("postgres")) as server, EventLog(tmp_path / "events.db") as log:
        table = Table(server, "payments")
        table.add([row(k) for k in range(5)])
        source = open_source(table.url.replace("patience=5", "patience=0.3"), CASE)
        ingestor = Ingestor(lambda held: source, log, "events", source.symbols)
        ingestor.start()
        wait_for(lambda: len(numbers(log)) == 5)
        server.kill()
        wait_for(lambda: "was not reached for 0.3 s" in ingestor.problem)
        assert ingestor.state == "reconnecting" and "start the server" in ingestor.problem
        server.start()
        import psycopg

        with psycopg.connect(server.url, autocommit=True) as db:
            table.add([row(k) for k in range(5, 8)], db)
        wait_for(lambda: len(numbers(log)) == 8)
        ingestor.stop()
        assert numbers(log) == list(range(8))
        table.db.close()
        source._db.close()


def test_rows_whose_transaction_ends_late_are_not_missed(servers, tmp_path):
    import psycopg

    server = servers("postgres")
    table = Table(server, "late")
    with (
        EventLog(tmp_path / "events.db") as log,
        psycopg.connect(server.url) as slow,
        psycopg.connect(server.url) as fast,
    ):
        source = open_source(table.url, CASE)
        table.add([row(0)], slow)  # takes number 1, and is not committed
        table.add([row(1)], fast)
        fast.commit()
        with pytest.raises(ValueError, match="it sent no row"):
            ingest(source, log, "events")
        table.add([row(2)])
        slow.commit()
        ingest(source, log, "events")
        assert numbers(log) == [0, 1, 2]
        table.add([row(3)], slow)
        with pytest.raises(psycopg.errors.LockNotAvailable):  # what this rests on: an insert locks the table first
            fast.execute("set local lock_timeout = '50ms'")
            fast.execute("lock table late in share mode")
    table.db.close()


def test_writers_at_once_lose_nothing(servers, tmp_path):
    import psycopg

    server = servers("postgres")
    table, rng = Table(server, "many"), np.random.default_rng(5)
    pauses = rng.uniform(0, 0.01, (4, 25))

    def write(w):
        with psycopg.connect(server.url) as db:
            for k in range(25):
                table.add([row(25 * w + k)], db)
                time.sleep(pauses[w, k])  # other numbers are taken and committed meanwhile
                db.commit() if k % 5 else db.rollback()

    with EventLog(tmp_path / "events.db") as log:
        source = open_source(table.url, CASE)
        ingestor = Ingestor(lambda held: source, log, "events", source.symbols)
        ingestor.start()
        threads = [threading.Thread(target=write, args=(w,)) for w in range(4)]
        [thread.start() for thread in threads], [thread.join() for thread in threads]
        wait_for(lambda: len(numbers(log)) >= 80)
        ingestor.stop()
        assert sorted(numbers(log)) == [k for k in range(100) if k % 25 % 5]
    table.db.close()


def test_files_that_are_half_written_are_not_read(tmp_path):
    folder, sent = tmp_path / "landing", []
    folder.mkdir()
    source = open_source(folder.as_uri(), CASE)

    def come():
        sent.extend(int(n) for frame in source.chunks(3) for n in frame["n"])
        return sent

    pq.write_table(pa.Table.from_pylist([row(k) for k in range(10)]), tmp_path / "whole.parquet")
    content = (tmp_path / "whole.parquet").read_bytes()
    (folder / "a.parquet").write_bytes(content[:-30])
    (folder / "b.csv").write_text("time,key,n,lev")
    (folder / "_temporary.csv").write_text("time,key,n,level\n1,north,5,1\n")
    assert come() == []
    with (folder / "b.csv").open("a") as file:
        file.write("el\n1700000000,north,10,0.5\n1700000001,south,1")
        file.flush()
        assert come() == [10]
        file.write("1,1.5\r\n1700000002,north,12,\n")
    (folder / "a.parquet").write_bytes(content)
    assert come() == [10, *range(10), 11, 12] and come()[13:] == []
    with (folder / "b.csv").open("a") as file:
        file.write("1700000003,north,13,1")  # without its end
    assert come()[13:] == []
    source._clock = type("Later", (), {"now": lambda self: time.time_ns() + 11 * 10**9})()
    assert come()[13:] == [13], "after ten quiet seconds it is a line"
    (folder / "b.csv").write_text("time\n")
    with pytest.raises(ValueError, match=r"b\.csv became shorter .*only append"):
        come()


WRONG = [
    ("files", "file:///nowhere/at/all", FileNotFoundError, "there is no such folder: make it"),
    ("kafka", "kafka://127.0.0.1:1/t?patience=0.2", ConnectionError, "127.0.0.1:1/t was not reached for 0.2 s"),
    ("kafka", "kafka://127.0.0.1:1", ValueError, "a topic is missing: kafka://HOST:9092/TOPIC"),
    ("postgres", "postgres://a:b@127.0.0.1:1/d?table=t&patience=0.2", ConnectionError, "a@127.0.0.1:1/d.* not reached"),
    ("postgres", "{url}", ValueError, "a table is missing: postgres://HOST/DATABASE.table=NAME"),
    ("postgres", "{url}?table=nothing", LookupError, "there is no table 'nothing'"),
    ("postgres", "{url}?table=plain", ValueError, "by=id must be a unique column that a sequence .*would be missed"),
    ("postgres", "{url}?table=cached", ValueError, "by=id must be a unique column that a sequence without a cache"),
    ("postgres", "{other}?table=plain", PermissionError, "refuses: .*see RTML_PASSWORD and the URL"),
]


@pytest.mark.parametrize(("system", "url", "kind", "sentence"), WRONG, ids=lambda x: str(x)[:40])
def test_what_is_wrong_is_said(system, url, kind, sentence, servers):
    if system != "files" and (reason := missing(system)):
        pytest.skip(reason)
    if "{" in url:
        import psycopg

        there = servers("postgres").url
        with psycopg.connect(there, autocommit=True) as db:
            db.execute("create table if not exists plain (id bigint primary key)")
            db.execute(
                "create table if not exists cached (id bigint generated always as identity (cache 20) primary key)"
            )
        url = url.format(url=there, other=there.replace("/postgres", "/nothing").replace("nothing://", "postgres://"))
    with pytest.raises(kind, match=sentence) as told:
        open_source(url, CASE)
    assert ":b@" not in str(told.value)


def test_any_use_case_takes_them_and_a_log_of_other_rows_is_refused(tmp_path):
    (tmp_path / "in").mkdir()
    shutil.copy(__file__, tmp_path / "in" / "notes.txt")
    trade = "symbol,time,price,size\nETH-USD,2025-01-31T09:30:00Z,1.5,2\n"
    (tmp_path / "in" / "a.csv").write_text(trade)
    url = (tmp_path / "in").as_uri()
    with EventLog(tmp_path / "events.db") as log:
        source = open_source(url, symbols=["ETH-USD"])
        ingest(source, log, "events")
        assert log.last("events") == log.last("events" + PLACES) == 1
        log.append("events", log.read("events")[1])
        with pytest.raises(ValueError, match=r"the log holds 2 rows that did not come from file:.*name another RUN"):
            ingest(open_source(url, symbols=["ETH-USD"]), log, "events")
        assert log.trim("events" + PLACES, 2**62, 10**9) == 0, "positions do not get old"
    with pytest.raises(ValueError, match="name them, SYMBOLS"):
        open_growing(url, posted_schema(CASE), ())


def test_a_bucket_is_read_as_a_folder_is(tmp_path, monkeypatch):
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("RTML_PASSWORD", "of-a-database")
    whole = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist([row(k) for k in range(10)]), whole)
    with bucket() as (objects, server), EventLog(tmp_path / "events.db") as log:
        how = f"scheme=http&region=here&endpoint_override={server}"
        url = f"s3://right:secret@landing/in/shop?{how}"
        objects["in/shop/a/1.parquet"] = whole.getvalue().to_pybytes()
        objects["in/shop/b.jsonl"] = "".join(json.dumps(row(k)) + "\n" for k in range(10, 15)).encode()
        objects["elsewhere/c.jsonl"] = b'{"n": 99}\n'
        ingest(open_source(url, CASE), log, "events", n=4)
        objects["in/shop/c.csv"] = f"time,key,n,level\n1700000000,north,15,{EXACT * 15}\n".encode()
        ingest(open_source(url, CASE), log, "events", n=4)
        rows = log.read("events")[1]
        assert rows["n"].tolist() == list(range(16)) and (rows["level"] == EXACT * rows["n"]).all()
        with pytest.raises(PermissionError, match=r"wrong@landing.*cannot be listed") as told:
            open_source(url.replace("right:secret", "wrong:hidden"), CASE)
        assert "hidden" not in str(told.value)
    with pytest.raises(ConnectionError, match=r"landing.*cannot be listed"):
        open_source(url, CASE)
