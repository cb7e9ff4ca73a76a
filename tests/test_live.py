"""The live loop: goes on where it was however it ended, says what fails, stops when told, in one process or three."""

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
import pytest
from following import SYMBOLS, market, wait_for
from workers import Workers, die_at_line

from rtml.live.__main__ import main
from rtml.live.session import Live
from rtml.opening import Wanted
from rtml.recipe import PART
from rtml.registry import Registry
from rtml.store.journal import Reading
from rtml.store.log import EventLog

DEEP = os.environ.get("RTML_DEEP") == "1"
KILLS = 50 if DEEP else 8
HOURS = 1.0
REPLAY = ("--source", "synthetic", "--hours", str(HOURS), "--speed", "0", "--port", "-1", "--every", "3m", "--once")
WANTED = Wanted("synthetic", speed=0.0, hours=HOURS)


def live(folder: str, line: int = 0, *parts: str) -> None:
    """Run the command on a folder, in a worker, to its end or to its death at some line."""
    if line:
        die_at_line(line, *parts)
    main(["--run", folder, *REPLAY])


def result(folder: Path) -> dict:
    """All that a live run leaves: trades, bars and predictions, the state of the model, every version."""
    with EventLog(folder / "events.db") as log:
        events = log.read(PART, 0, 10**6)[1].tobytes()
        refused = log.rejected(PART)["row"].tolist()
    reading = Reading(folder / "training.db")
    bars = reading.since(0, 10**10, 10**6)
    state = reading._db.execute("select offset, state from progress").fetchone()
    reading.close()
    registry = Registry(folder / "registry")
    versions = registry.versions("champion")["id"].tolist()
    final = registry.load("champion@champion")
    registry.close()
    return {"events": events, "refused": refused, "bars": bars, "state": state, "versions": versions, "final": final}


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """What an uninterrupted run leaves."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    with Live(folder, WANTED, every="3m", port=None, out=lambda line: None) as session:
        session.run(threading.Event(), once=True)
    return result(folder)


@pytest.fixture(scope="module")
def workers():
    with Workers("test_live") as pool:
        yield pool


def check_same(folder: Path, whole: dict) -> None:
    """A run left what the uninterrupted one left, byte for byte."""
    got = result(folder)
    for name, want in whole.items():
        assert got[name] == want, f"{name} differ"
    assert len(whole["bars"]) > 100 and len(whole["versions"]) > 10 and whole["refused"]


def test_killed_at_random_moments_and_started_again_it_leaves_the_same(workers, whole, tmp_path):
    rng, folder, killed = random.Random(7), tmp_path / "run", 0
    while killed < KILLS:
        part = rng.choice([(), ("training", "store"), ("live", "intake", "store/log"), ("registry", "store")])
        line = int(10 ** rng.uniform(2.0, 4.6))
        code = workers.run("live", str(folder), line, *part)
        assert code in (0, -signal.SIGKILL), "it failed instead of being killed"
        if code == 0:  # it came to its end: once more from nothing
            check_same(folder, whole)
            folder = tmp_path / f"run{killed}"
        killed += 1
    assert workers.run("live", str(folder)) == 0
    check_same(folder, whole)


def test_killed_by_the_clock_and_started_again_it_leaves_the_same(workers, whole, tmp_path):
    rng, folder = random.Random(11), tmp_path / "run"
    for _ in range(3):
        worker = workers.start("live", str(folder))
        time.sleep(rng.uniform(0.1, 0.9))
        assert workers.kill(worker) in (0, -signal.SIGKILL)
    assert workers.run("live", str(folder)) == 0
    check_same(folder, whole)
