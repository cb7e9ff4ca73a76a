"""Two consumers share the parts of a log; one is killed with -9, the other takes over, and each event counts once."""

import itertools
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from servers import Server, missing

from rtml.integrations.groups import Consumer
from rtml.store.checkpoint_store import CheckpointStore
from rtml.store.protocols import open_group, open_log

PARTS = ("p0", "p1", "p2", "p3")
ROW = np.dtype([("time", "<i8"), ("id", "<i8")])
NUMBER = itertools.count()
MEMBER = """
import sys
import numpy as np
import test_groups
test_groups.work(sys.argv[1], sys.argv[2])
"""


def step(part, state, rows):
    """Count, sum and order of everything seen, as a learner's state would hold it."""
    count, total, last = np.frombuffer(state, np.int64) if state else (0, 0, -1)
    assert rows["id"][0] > last and (np.diff(rows["id"]) > 0).all()
    return np.array([count + len(rows), total + rows["id"].sum(), rows["id"][-1]]).tobytes()


def store(folder, part):
    return CheckpointStore(f"{folder}/{part}.db", {"part": part})


def consumer(url, folder, **how):
    group = open_group(url, "learners", ttl_s=how.get("ttl_s", 1.0))
    return Consumer(open_log(url), group, PARTS, lambda part: store(folder, part), step)


def work(url, folder):
    """A member of its own process, until it is killed: a few rows a time, and says what it holds."""
    member = consumer(url, folder)
    while True:
        member.consume(7)
        print(",".join(sorted(member._stores)), flush=True)
        time.sleep(0.005)


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


DEEP = pytest.mark.skipif(os.environ.get("RTML_DEEP") != "1", reason="twenty seconds: make test-deep")


@pytest.fixture(params=["file", "redis", "postgres", "nats", pytest.param("kafka", marks=DEEP)])
def url(request, servers, tmp_path):
    if request.param == "file":
        return str(tmp_path / "log.db")
    there = servers(request.param).url
    return f"{there}{'&' if '?' in there else '?'}log=g{next(NUMBER)}&patience=5"


def done(folder):
    """Offset and state of each part."""
    found = []
    for part in PARTS:
        one = store(folder, part)
        one.begin(0, b"")
        found.append((one.offset, one.state))
        one.close()
    return found


def test_one_of_two_is_killed_and_every_event_counts_once(url, tmp_path):
    n = 400
    with open_log(url) as log:
        for k, part in enumerate(PARTS):
            rows = np.zeros(n, ROW)
            rows["id"] = np.arange(n) + 1000 * k
            for start in range(0, n, 50):
                log.append(part, rows[start : start + 50])
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path, str(Path(__file__).parent)])}
    command = [sys.executable, "-c", MEMBER, url, str(tmp_path)]
    other = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
    member, held = consumer(url, tmp_path), set()
    try:
        deadline = time.monotonic() + 60
        while len(held) != 2 or len(member._stores) != 2:  # both have their half
            assert time.monotonic() < deadline and other.poll() is None, (held, set(member._stores))
            member.consume(2)
            held = set(other.stdout.readline().strip().split(",")) - {""}
        assert held | set(member._stores) == set(PARTS)
        other.kill()  # -9, with its parts half done or not
        other.wait()
        while sum(offset for offset, _ in done(tmp_path)) < n * len(PARTS):
            assert time.monotonic() < deadline, done(tmp_path)
            member.consume(50)
        assert set(member._stores) == set(PARTS), "the one that is left has taken over"
    finally:
        other.kill()
        other.wait()
        other.stdout.close()
        member.close()
        member._log.close()
    for k, (offset, state) in enumerate(done(tmp_path)):
        count, total, last = np.frombuffer(state, np.int64)
        assert (offset, count, total, last) == (n, n, (np.arange(n) + 1000 * k).sum(), n - 1 + 1000 * k)


def test_a_member_that_was_taken_for_dead_is_refused(tmp_path):
    url = str(tmp_path / "log.db")
    with open_log(url) as log:
        rows = np.zeros(10, ROW)
        rows["id"] = np.arange(10)
        log.append("p0", rows)
        late = consumer(url, tmp_path)
        assert late.consume(4) == 4
        stalled = late._stores["p0"]
        other = store(tmp_path, "p0")  # another member goes on, as if the first one's lease had ended
        other.begin(0, b"")
        other.commit(6, step("p0", other.state, rows[4:6]), (), ())
        assert late.consume(4) == 0 and late._stores.get("p0") is not stalled, "its work is refused"
        assert late.consume(4) == 4 and np.frombuffer(other.state, np.int64)[0] == 10
        other.close()
        late.close()
        late._log.close()
