"""A full disk, a failing one, no file handles left, all in the middle of a live run: it serves on and resumes."""

import errno
import os
import re
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from functools import partial
from pathlib import Path

import httpx
import numpy as np
import pytest

from rtml.core.clock import span
from rtml.registry.registry import Registry
from rtml.sources.catalogue import open_source
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

SHIM = Path(__file__).parents[1] / "deep" / "full_disk.c"
HOURS, WALL = 1.0, 60.0  # of the stream, and seconds in which it comes; it is stopped much earlier
ADDRESS = re.compile(r"http://127\.0\.0\.1:\d+")
TABLES = (
    "select id, key, moment, x from question order by seq",
    "select target, id, prediction, y, known from prediction order by target, id",
)

pytestmark = [
    pytest.mark.skipif(sys.platform != "linux", reason="the shim is preloaded as Linux does it"),
    pytest.mark.skipif(shutil.which("cc") is None, reason="no C compiler (cc) for the shim that fails writes"),
]


@pytest.fixture(scope="module")
def shim(tmp_path_factory):
    made = tmp_path_factory.mktemp("shim") / "full_disk.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", made, SHIM, "-ldl"], check=True, capture_output=True)
    return made


class Live:
    """A live run in a process of its own, whose writes fail while a fault is on."""

    def __init__(self, folder: Path, shim: Path) -> None:
        self.folder, self.mark, self.out = folder, folder.with_suffix(".fault"), folder.with_suffix(".out")
        command = f"live {folder} --source synthetic --hours {HOURS} --speed {HOURS * 3600 / WALL} --every 1m"
        about = {"LD_PRELOAD": str(shim), "RTML_FAULT": str(self.mark), "RTML_FAULT_BELOW": str(folder)}
        with self.out.open("wb") as out:
            command = [sys.executable, "-m", "rtml", *command.split(), "--port", "0"]
            environment = os.environ | about | {"RTML_HOME": str(folder.parent)}
            self.client = None
            self.process = subprocess.Popen(command, stdout=out, stderr=out, env=environment)

    def start(self) -> None:
        self.until(lambda: ADDRESS.search(self.out.read_text()))
        self.client = httpx.Client(base_url=ADDRESS.search(self.out.read_text())[0])

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        if self.client is not None:
            self.client.close()

    def until(self, what, limit: float = 120.0) -> None:
        end = time.monotonic() + limit
        while not what():
            assert time.monotonic() < end and self.process.poll() is None, self.out.read_text()[-2000:]
            time.sleep(0.05)

    def says(self) -> list[str]:
        """What the page says is wrong."""
        return (self.client.get("/questions?n=1").json()["status"] or {}).get("alarms") or []

    def served(self) -> dict:
        answer = self.client.get("/predict?key=ETH-USD")
        assert answer.status_code == 200, answer.text
        return answer.json()

    def disturbed(self, begin, end) -> list[str]:
        """What is said while a fault is on; each request of then is answered, and it goes on behind it."""
        begin()
        self.until(lambda: self.served() and self.says())
        said, before = self.says(), self.served()["offset"]
        end()
        self.until(lambda: self.served()["offset"] > before and not self.says())
        return said


@pytest.fixture
def live(tmp_path, shim):
    with closing(Live(tmp_path / "run", shim)) as live:
        live.start()
        yield live


def rebuilt(folder, to):
    """Tables of a training that nobody disturbed, over the events of a run."""
    with EventLog(folder / "events.db") as log, closing(Registry(to / "registry")) as registry:
        flow = RunConfig.read(folder / "recipe.json").flow()
        with closing(Trainer(flow, log, PART, to / "training.db", registry, "crypto", span("1m"))) as trainer:
            trainer.run()
    return tables(to)


def tables(folder):
    with closing(sqlite3.connect(f"file:{folder / 'training.db'}?mode=ro", uri=True)) as db:
        return [db.execute(query).fetchall() for query in TABLES]


def test_full_failing_and_handleless_it_serves_on_says_so_and_comes_to_the_same(live, tmp_path):
    live.until(lambda: live.client.get("/predict?key=ETH-USD").status_code == 200)
    for code, words in ((errno.ENOSPC, "full"), (errno.EIO, "I/O error")):
        said = live.disturbed(partial(live.mark.write_text, str(code)), live.mark.unlink)
        assert words in " ".join(said), said
    pid = live.process.pid
    usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    fewer = partial(resource.prlimit, pid, resource.RLIMIT_NOFILE, (8, usual[1]))
    said = live.disturbed(fewer, partial(resource.prlimit, pid, resource.RLIMIT_NOFILE, usual))
    assert "open" in " ".join(said), said
    live.process.send_signal(signal.SIGTERM)
    assert live.process.wait(60) == 0, live.out.read_text()[-2000:]
    source = open_source("synthetic", hours=HOURS)
    sent = np.concatenate([source.schema.accept(chunk, source.symbols)[0] for chunk in source.chunks()])
    with EventLog(live.folder / "events.db") as log:
        logged = log.read(PART, log.first(PART) - 1, 10**9)[1]
    assert len(logged) > 500 and logged.tobytes() == sent[: len(logged)].tobytes()
    (tmp_path / "quiet").mkdir()
    assert tables(live.folder) == rebuilt(live.folder, tmp_path / "quiet")
