"""One contract a store, and every implementation of it passes: files, Redis, PostgreSQL, NATS, Kafka."""

import itertools
import threading
from functools import cache

import numpy as np
import pandas as pd
import pytest
from servers import Server, missing

from rtml.sources.trades import EVENT, events
from rtml.store.protocols import open_log

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
    server = servers(request.param).url
    return f"{server}{'&' if '?' in server else '?'}log=t{next(NUMBER)}&patience=5"


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
