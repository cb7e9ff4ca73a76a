"""The log: what was acknowledged is there, in order, whole, for every reader."""

import os
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.store.database import Damaged
from rtml.store.event_log import EventLog
from rtml.usecases.crypto.trades import EVENT, events


@pytest.fixture
def log(tmp_path):
    with EventLog(tmp_path / "log.db") as log:
        yield log


def numbered(first, n):
    return events(np.arange(first, first + n), price=1.5, size=2.0, id=np.arange(first, first + n))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(0, 7), max_size=8), st.integers(1, 9))
def test_what_is_appended_in_pieces_is_read_back_in_pieces_bit_by_bit(tmp_path_factory, pieces, step):
    with EventLog(tmp_path_factory.mktemp("log") / "log.db") as log:
        written, last = [], 0
        for n in pieces:
            written.append(numbered(100 + last, n))
            last = log.append("trades", written[-1])
        assert last == log.last("trades") == log.count("trades") == sum(pieces)
        read, after = [np.empty(0, EVENT)], 0
        while True:
            offsets, rows = log.read("trades", after, step)
            if not len(offsets):
                break
            assert offsets.tolist() == list(range(after + 1, after + 1 + len(rows)))
            read.append(rows)
            after = int(offsets[-1])
        assert np.concatenate(read).tobytes() == np.concatenate([np.empty(0, EVENT), *written]).tobytes()


def priced(first, n):
    rng = np.random.default_rng(first)
    return events(first + np.arange(n), id=np.arange(first, first + n), price=rng.random(n), size=2.0)


@settings(max_examples=12, deadline=None)
@given(
    st.lists(st.sampled_from([1, 1, 3, 511, 512, 700, 4000, 17_000]), min_size=1, max_size=8),
    st.sampled_from([1, 100, 5000, 10**6]),
    st.integers(0, 30_000),
    st.integers(0, 30_000),
)
def test_bulk_and_single_events_are_one_log_wherever_it_is_read_and_trimmed(tmp_path_factory, pieces, n, after, gone):
    path = tmp_path_factory.mktemp("log") / "log.db"
    with EventLog(path) as log, EventLog(path) as reader:
        written, total = [], 0
        for piece in pieces:
            written.append(priced(total, piece))
            total = log.append("trades", written[-1], durable=bool(piece % 2))
            log.append("other", written[-1][:1])
        rows = np.concatenate(written)
        whole = reader.read("trades", 0, total)
        assert whole[1].tobytes() == rows.tobytes() and whole[0].tolist() == list(range(1, total + 1))
        offsets, some = reader.read("trades", after, n)
        assert some.tobytes() == rows[after : after + n].tobytes()
        assert offsets.tolist() == list(range(after + 1, after + 1 + len(some)))
        left = max(total - gone, 1)
        assert log.trim("trades", int(rows["time"][-left]), total) == total - left
        assert (log.first("trades"), log.last("trades"), log.count("trades")) == (total - left + 1, total, left)
        assert reader.read("trades", total - left, total)[1].tobytes() == rows[-left:].tobytes()
        assert log.append("trades", priced(total, 600)) == total + 600


def test_events_that_came_one_by_one_are_put_together(log):
    for first in range(0, 9000, 3):
        log.append("trades", priced(first, 3), durable=False)
    written = log._db.execute("select count(*) from event").fetchone()[0]
    assert written < 1000, "8,192 of them are in two blocks"
    again = np.concatenate([priced(first, 3) for first in range(0, 9000, 3)])
    with EventLog(log.path) as reader:
        assert reader.read("trades", 0, 9000)[1].tobytes() == again.tobytes()
        assert reader.read("trades", 4095, 3)[1].tobytes() == again[4095:4098].tobytes()


@pytest.mark.parametrize("meanwhile", [3, 600])
def test_putting_together_leaves_what_another_writer_appended_meanwhile(log, meanwhile):
    for first in range(0, 4000, 500):
        log.append("trades", priced(first, 500))
    with EventLog(log.path) as other:
        other.append("trades", priced(4000, meanwhile))
    log._put_together("trades", 3999, 4096)  # as it is called by one whose event was the 4,096th
    rows = np.concatenate([*(priced(first, 500) for first in range(0, 4000, 500)), priced(4000, meanwhile)])
    assert log.read("trades", 0, 10_000)[1].tobytes() == rows.tobytes() and log.count("trades") == 4000 + meanwhile


def test_a_bit_that_is_flipped_in_a_block_is_seen(tmp_path):
    with EventLog(tmp_path / "log.db") as log:
        log.append("trades", priced(0, 2000))
        price = log.read("trades", 999, 1)[1]["price"]
    blob = (tmp_path / "log.db").read_bytes()
    place = blob.index(price.tobytes())
    (tmp_path / "log.db").write_bytes(blob[:place] + bytes([blob[place] ^ 4]) + blob[place + 1 :])
    with EventLog(tmp_path / "log.db") as log, pytest.raises(Damaged, match="a row is not what was written"):
        log.read("trades", 999, 1)


def test_an_append_waits_for_the_disk_unless_told_not_to(log, monkeypatch):
    synced, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda file: (synced.append(os.readlink(f"/proc/self/fd/{file}")), fsync(file)))
    log.append("trades", numbered(0, 3))
    assert synced == [f"{log.path}-wal"]
    log.append("trades", numbered(3, 3), durable=False)
    assert len(synced) == 1 and log.last("trades") == 6
    assert [log.read("trades", after)[1]["id"].tolist() for after in (2, 3, 4)] == [[2, 3, 4, 5], [3, 4, 5], [4, 5]]
    assert log.read("trades", 3, 1)[0].tolist() == [4]
    log.sync()
    assert synced == [f"{log.path}-wal"] * 2


def test_what_is_appended_without_the_disk_outlives_the_process(tmp_path):
    code = (
        "import os, signal, numpy as np; from rtml.store.event_log import EventLog;"
        "from rtml.usecases.crypto.trades import events;"
        f"EventLog({str(tmp_path / 'log.db')!r}).append('trades', events(np.arange(9)), durable=False);"
        "os.kill(os.getpid(), signal.SIGKILL)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == -signal.SIGKILL
    with EventLog(tmp_path / "log.db") as log:
        assert log.read("trades")[1]["time"].tolist() == list(range(9))


def test_parts_are_numbered_on_their_own(log):
    assert log.append("a", numbered(0, 3)) == 3
    assert log.append("b", numbered(0, 2)) == 2
    assert log.append("a", numbered(3, 1)) == 4
    assert log.parts() == ["a", "b"]
    assert log.read("a", after=3)[1]["id"].tolist() == [3]


def test_a_part_that_was_never_written_is_empty(log):
    offsets, rows = log.read("nothing")
    assert (len(offsets), len(rows), rows.dtype) == (0, 0, np.dtype([("time", "<i8")]))
    assert (log.last("nothing"), log.count("nothing"), len(log.rejected("nothing"))) == (0, 0, 0)


def test_another_record_type_is_refused_with_a_sentence(log):
    log.append("trades", numbered(0, 1))
    with pytest.raises(ValueError, match="write another record type to another part"):
        log.append("trades", np.zeros(2, [("time", "<i8")]))
    with pytest.raises(ValueError, match="a line of fixed-size records"):
        log.append("objects", np.array([1.0, 2.0]))
    assert log.count("trades") == 1


def test_any_record_type_comes_back_as_it_was(log):
    rows = np.array([(1, "ab"), (2, "c")], [("n", "<i4"), ("word", "<U2")])
    log.append("words", rows)
    assert log.read("words")[1].tolist() == rows.tolist()


def test_rejected_rows_keep_the_place_at_which_they_arrived(log):
    bad = pd.DataFrame({"reason": ["price"], "row": ['{"price": -1}']})
    log.append("trades", numbered(0, 3), rejected=bad)
    log.quarantine("trades", bad, after_offset=9)
    kept = log.rejected("trades")
    assert kept["after"].tolist() == [3, 9]
    assert kept["row"].tolist() == ['{"price": -1}'] * 2


def test_a_failed_append_leaves_nothing_behind(log):
    broken = pd.DataFrame({"reason": ["x"], "row": [object()]})
    with pytest.raises(Exception, match="type"):
        log.append("trades", numbered(0, 3), rejected=broken)
    assert log.parts() == [] and log.count("trades") == 0
    assert log.append("trades", numbered(0, 1)) == 1


def test_another_connection_sees_an_append_at_once(log):
    with EventLog(log.path) as reader:
        for n in range(1, 4):
            log.append("trades", numbered(n, 1))
            assert reader.count("trades") == n


def test_threads_share_a_log_without_losing_a_row(log):
    def write(k):
        for _ in range(20):
            log.append("trades", numbered(k, 5))

    threads = [threading.Thread(target=write, args=(k,)) for k in range(4)]
    [t.start() for t in threads], [t.join() for t in threads]
    offsets, rows = log.read("trades")
    assert offsets.tolist() == list(range(1, 401))
    assert np.bincount(rows["id"] // 5).sum() == 400


WRITER = """
import sys, numpy as np
from rtml.usecases.crypto.trades import events
from rtml.store.event_log import EventLog
log, n = EventLog(sys.argv[1]), int(sys.argv[2])
first = log.last("trades")
while True:
    last = log.append("trades", events(np.arange(first, first + n), id=np.arange(first, first + n), price=1.0))
    print(last, flush=True)
    first = last
"""


@pytest.mark.parametrize(("n", "kills"), [(100, 5), (50_000, 2)], ids=["single events", "blocks"])
def test_kill_9_loses_nothing_acknowledged_and_leaves_no_half_batch(tmp_path, n, kills):
    rng = np.random.default_rng(7)
    for _ in range(kills):
        command = [sys.executable, "-c", WRITER, str(tmp_path / "log.db"), str(n)]
        writer = subprocess.Popen(command, stdout=subprocess.PIPE)
        acknowledged = int(writer.stdout.readline())
        until = time.monotonic() + rng.uniform(0.01, 0.15)
        while time.monotonic() < until:
            acknowledged = int(writer.stdout.readline())
        writer.kill()
        acknowledged = max([acknowledged, *(int(line) for line in writer.stdout.read().split(b"\n")[:-1] if line)])
        writer.wait()
        writer.stdout.close()
        with EventLog(tmp_path / "log.db") as log:
            offsets, rows = log.read("trades", n=10**7)
            assert acknowledged <= len(rows) and len(rows) % n == 0
            assert np.array_equal(rows["id"], np.arange(len(rows))) and np.array_equal(offsets, rows["id"] + 1)


def test_two_processes_write_while_a_third_reads(tmp_path):
    path = tmp_path / "log.db"
    command = [sys.executable, "-c", WRITER, str(path), "100"]
    writers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(2)]
    [writer.stdout.readline() for writer in writers]
    with EventLog(path) as log:
        after, seen = 0, []
        while after < 2000:
            offsets, _ = log.read("trades", after, 500)
            seen.extend(offsets.tolist())
            after = seen[-1] if seen else 0
    assert [writer.poll() for writer in writers] == [None, None], "a writer waits for the other, it does not fail"
    for writer in writers:
        writer.kill()
        writer.communicate()
    assert seen == list(range(1, len(seen) + 1))


def test_150_thousand_rows_a_second_are_appended_in_thousands(log):
    rows, began = numbered(0, 1000), time.process_time()
    for _ in range(100):
        log.append("trades", rows)
    spent = time.process_time() - began
    assert 100_000 / spent > 100_000, f"{100_000 / spent:,.0f} rows per CPU second"
