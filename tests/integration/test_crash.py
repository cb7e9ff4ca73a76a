"""A training that dies leaves the endpoint in its own process alone: no request fails, none gets slower."""

import os
import signal
import socket
import subprocess
import sys
import time
from statistics import median

import httpx
import pytest
from runs import market_run

from rtml.core.run_folder import MARK
from rtml.registry.registry import Registry
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.usecases.crypto.synthetic.market import Synthetic

REQUESTS = 150


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder, source = tmp_path_factory.mktemp("runs") / "run", Synthetic(hours=8.0)
    folder.mkdir()
    (folder / MARK).touch()
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    market_run(source.symbols, source.name).write(folder / "recipe.json")
    return folder


def started(*command):
    return subprocess.Popen(
        [sys.executable, "-m", "rtml", *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )


def waited(what, seconds=90.0):
    for _ in range(int(seconds / 0.1)):
        try:
            if what():
                return
        except httpx.TransportError:
            pass
        time.sleep(0.1)
    raise AssertionError("it did not come up")


def asked(client):
    """Wall times of requests, each of which must be answered."""
    took = []
    for _ in range(REQUESTS):
        start = time.perf_counter()
        answer = client.get("/predict?symbol=ETH-USD")
        took.append(time.perf_counter() - start)
        assert answer.status_code == 200, answer.text
    return took


def test_a_training_that_is_killed_fails_no_request_and_slows_none(folder):
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    serving = started("serve", str(folder), "--follow", "--port", str(port))
    training = started("train", str(folder), "--follow", "--every", "1m")
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=20) as client:
            waited(lambda: client.get("/health").json()["ready"])
            before = asked(client)
            training.send_signal(signal.SIGKILL)
            assert training.wait(10) == -signal.SIGKILL
            after = asked(client)
            assert client.get("/predict?symbol=ETH-USD").json()["version"] == "crypto@learner"
        assert median(after) < 5 * median(before)
        assert len(Registry(folder / "registry").versions("crypto")) >= 1
    finally:
        for process in (serving, training):
            if process.poll() is None:
                process.terminate()
        assert serving.wait(20) in (0, -signal.SIGTERM) and os.path.exists(folder / "training.db")
