"""Several processes on one port: replaced while clients ask, they fail no request and count together."""

import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import closing

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families
from published import ask, snapshot
from runs import market_run

from rtml.core.run_folder import MARK
from rtml.pipeline.train import train
from rtml.serving.app import make_app
from rtml.serving.endpoint import Endpoint
from rtml.serving.prometheus import Counters
from rtml.serving.service import Service
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.usecases.crypto.synthetic.market import Synthetic

DEEP = bool(os.environ.get("RTML_DEEP"))


def counted(text, name):
    """Value of each sample of a metric, by its labels."""
    families = text_string_to_metric_families(text)
    return {tuple(sorted(s.labels.values())): s.value for f in families for s in f.samples if s.name == name}


def test_processes_that_share_a_folder_count_together(tmp_path, monkeypatch):
    with closing(Service()) as service:
        one, two = Counters(service), Counters(service)
        for counters, pid in ((one, 1), (two, 2)):
            monkeypatch.setattr(os, "getpid", lambda pid=pid: pid)
            with counters.shared(tmp_path):
                for k in range(3 * pid):
                    counters.request("/predict", 200 if k else 503, 0.001)
                counters.answer("joined")
                counters.observe_event(0.002)
        text = two.text().decode()
        assert counted(text, "rtml_requests_total") == {
            ("/predict", "200"): 7.0,
            ("/predict", "503"): 2.0,
        }
        assert counted(text, "rtml_request_seconds_count") == {("/predict",): 9.0}
        assert counted(text, "rtml_answers_total") == {("joined",): 2.0}
        assert counted(text, "rtml_event_to_prediction_seconds_count") == {(): 2.0}
        assert two._requests["/predict", 200] == 5, "its own counts stay its own"


def test_a_process_that_drains_closes_each_connection_with_its_next_answer():
    with closing(Service()) as service:
        service.publish(snapshot())
        ask(service, 10**18, [3.0, 0.5])
        app = make_app(service)
        with Endpoint(app) as endpoint, httpx.Client(base_url=endpoint.url) as client:
            assert "connection" not in client.get("/predict?key=ETH-USD").headers
            app.draining = True
            for path in ("/predict?key=ETH-USD", "/health"):
                answer = client.get(path)
                assert (answer.status_code, answer.headers["connection"]) == (200, "close")


@pytest.mark.skipif(not DEEP, reason="make test-deep: it starts nine processes")
def test_replaced_one_by_one_under_load_no_request_fails(tmp_path):
    folder, source = tmp_path / "run", Synthetic(hours=1.0)
    folder.mkdir()
    (folder / MARK).touch()
    with EventLog(folder / "events.db") as log:
        ingest(source, log, PART)
    market_run(source.symbols, source.name).write(folder / "recipe.json")
    train(folder)
    command = [sys.executable, "-m", "rtml", "serve", str(folder), "--workers", "3", "--port", "0"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    ids, failed, stop = [], [], threading.Event()
    try:
        url = re.search(r"http://\S+", server.stdout.readline())[0]

        def load():
            with httpx.Client(base_url=url, timeout=20) as client:
                while not stop.is_set():
                    answer = client.get("/predict?symbol=ETH-USD")
                    (ids if answer.status_code == 200 else failed).append(
                        answer.json().get("prediction_id", answer.text)
                    )
                    time.sleep(0.005)

        clients = [threading.Thread(target=load) for _ in range(8)]
        [client.start() for client in clients]
        server.send_signal(signal.SIGHUP)
        assert server.stdout.readline() == "all processes were replaced\n"
        stop.set()
        [client.join() for client in clients]
        assert not failed and len(set(ids)) == len(ids) > 100
        assert len({id.partition("-")[0] for id in ids}) > 3, "new processes answered, each with a session of its own"
        time.sleep(1.0)
        with httpx.Client(base_url=url, timeout=20) as client:
            text = client.get("/metrics").text
            assert counted(text, "rtml_predictions_total") == {(): float(len(ids))}
            found = [client.get(f"/predictions/{id}").status_code for id in ids[:: max(1, len(ids) // 20)]]
            assert set(found) == {200}, "one log, whoever answered"
    finally:
        server.terminate()
        server.communicate()
