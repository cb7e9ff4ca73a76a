"""The feed: versions and features reach the service while the stream arrives; make serve."""

import signal
import subprocess
import sys
import urllib.request

import httpx
import numpy as np
import pytest

from rtml.core.clock import span
from rtml.evaluation.dataset import build
from rtml.registry.registry import Registry
from rtml.serving.publisher import MODEL, Publisher, snapshot_of
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.sources.catalogue import open_source
from rtml.sources.ingest import ingest
from rtml.store.event_log import EventLog
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer
from runs import market_run


@pytest.fixture
def world(tmp_path):
    source = open_source("synthetic", hours=0.5)
    log, registry = EventLog(tmp_path / "events.db"), Registry(tmp_path / "registry")
    ingest(source, log, PART)
    config = market_run(source.symbols, source.name).write(tmp_path / "recipe.json")
    data = build(log, PART, config)
    data.write(tmp_path)
    trainer = Trainer(config.flow(), log, PART, tmp_path / "training.db", registry, MODEL, span("5m"), chunk=300)
    yield config, log, registry, data, trainer
    trainer.close()
    log.close()


def test_versions_and_features_reach_the_service_while_the_stream_arrives(world):
    config, log, registry, data, trainer = world
    trainer.run(log.last(PART) // 2)
    service = Service(clock=StreamClock())
    feed = Publisher(service, registry, config, trainer)
    feed.refresh()
    first = service.predict(config.keys[0])
    with feed.arriving(seconds=0.5):
        pass
    last = service.predict(config.keys[0])
    assert trainer.status().offset == log.last(PART)
    assert first.version != last.version == registry.champion(MODEL).name
    assert last.features_at > first.features_at
    assert 0 <= last.age_ms < 60_000, "the age is that of the market's time"
    expected = snapshot_of(registry, registry.champion(MODEL), config).model.predict(data.questions.X[-1])
    assert last.return_bp == expected
    service.close()


def test_features_shown_are_those_of_the_offset(world):
    config, _, registry, data, trainer = world
    trainer.run()
    service = Service(clock=StreamClock())
    feed = Publisher(service, registry, config)
    feed.refresh()
    offset, asked = data.split(0.5)
    feed.show(data, offset)
    x = dict(zip(data.questions.names, data.questions.X[asked - 1].tolist(), strict=True))
    assert service.predict(config.keys[0]).return_bp == service.predict_features(x).return_bp
    assert service.predict(config.keys[0]).close == data.bars["close"].iloc[asked - 1]
    service.close()


def test_training_that_fails_is_said_and_the_last_snapshot_serves_on(world):
    config, log, registry, data, trainer = world
    trainer.run(log.last(PART) // 2)
    service = Service(clock=StreamClock())
    feed = Publisher(service, registry, config, trainer)
    with pytest.raises(RuntimeError, match="the last snapshot went on serving"), feed.arriving(seconds=0.2):
        trainer.close()
    feed.show(data)
    assert np.isfinite(service.predict(config.keys[0]).return_bp)
    service.close()


def test_the_lineage_leads_from_the_champion_to_its_root(world):
    config, _, registry, _, trainer = world
    trainer.run()
    told = Publisher(Service(), registry, config).lineage(f"{MODEL}@3")
    assert [row["version"] for row in told] == [f"{MODEL}@3", f"{MODEL}@2", f"{MODEL}@1"]


def served(folder):
    """Start ``make serve``'s command on a free port; the process and its url."""
    command = [sys.executable, "-m", "rtml", "serve", str(folder), "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    said = []
    for line in process.stdout:
        said.append(line)
        if "http://" in line:
            return process, "http://" + line.split("http://")[1].split()[0].rstrip("/,;"), said
    raise AssertionError("".join(said))


def ended(process):
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode in (0, 130, -signal.SIGINT)


def test_make_serve_answers_from_the_champion_of_a_run(world, tmp_path):
    config, _, registry, _, trainer = world
    trainer.run()
    (tmp_path / ".rtml-run").touch()
    process, url, _ = served(tmp_path)
    try:
        answer = httpx.post(f"{url}/predict", json={"symbol": config.keys[0]}, timeout=20).json()
        assert answer["version"] == registry.champion(MODEL).name
        assert urllib.request.urlopen(f"{url}/docs", timeout=20).status == 200
    finally:
        ended(process)


def test_make_serve_without_a_champion_says_which_command_makes_one(tmp_path):
    process, url, said = served(tmp_path / "nothing")
    try:
        refused = httpx.post(f"{url}/predict", json={"symbol": "ETH-USD"}, timeout=20)
        assert refused.status_code == 503 and "make run-04" in refused.json()["error"]
        assert any("run 01_ingest first" in line for line in said)
    finally:
        ended(process)
