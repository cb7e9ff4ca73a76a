"""Promoted versions in a real MLflow server, started on this machine: `make test-extras`."""

import json
import os
import socket
import subprocess
import time
from contextlib import closing
from pathlib import Path
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import numpy as np
import pytest

from rtml.core import state as checkpoint
from rtml.integrations import mlflow as mirror
from rtml.registry.registry import Registry

if not os.environ.get("RTML_EXTRAS"):
    pytest.skip("MLflow is in build/extras-mlflow: make test-extras", allow_module_level=True)
MLFLOW = Path(__file__).parents[2] / "build" / "extras-mlflow" / "bin" / "mlflow"


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """The address of a server with a folder of its own."""
    folder = tmp_path_factory.mktemp("mlflow")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [str(MLFLOW), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder}/mlflow.db", "--artifacts-destination", str(folder / "kept")]
    quiet = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
    with (folder / "said").open("w") as said:
        process = subprocess.Popen(command, cwd=folder, stdout=said, stderr=said, env=os.environ | quiet)
        url = f"http://127.0.0.1:{port}"
        try:
            awaited(url, process, folder / "said")
            yield url
        finally:
            process.terminate()
            process.wait(20)


def awaited(url, process, said):
    for _ in range(1500):
        try:
            return urlopen(f"{url}/health", timeout=2).read()
        except (URLError, OSError):
            assert process.poll() is None, said.read_text()[-2000:]
            time.sleep(0.2)
    raise AssertionError(said.read_text()[-2000:])


@pytest.fixture
def registry(tmp_path):
    with closing(Registry(tmp_path / "run" / "registry")) as registry:
        parent = None
        for step in (1, 2, 3):
            data = dict(part="events", first_offset=10 * step - 9, last_offset=10 * step)
            about = dict(data=data, features="f1", metrics={"mse": 1 / step}, describe={"fingerprint": f"mark{step}"})
            state = checkpoint.dumps({"weights": np.full(5, float(step))})
            parent = registry.save("champion", state, at=step * 10**18, parent=parent, **about)
        for number in (1, 3):
            registry.promote("champion", f"champion@{number}", "gate passed", at=number * 10**18)
        yield registry


def asked(url, path):
    return json.loads(urlopen(f"{url}/api/2.0/mlflow/{path}", timeout=20).read())


def test_promoted_versions_are_there_once_with_lineage_metrics_and_the_very_bytes(server, registry):
    shown = mirror.Mirror(server)
    assert shown.show(registry, "champion") == ["champion@1", "champion@3"]
    assert shown.show(registry, "champion") == []
    named = quote("name='champion'")
    found = asked(server, f"model-versions/search?filter={named}")["model_versions"]
    assert len(found) == 2
    champion = asked(server, "registered-models/alias?name=champion&alias=champion")["model_version"]
    tags = {tag["key"]: tag["value"] for tag in champion["tags"]}
    version = registry.get("champion@3")
    assert tags["rtml.id"] == version.id and tags["rtml.fingerprint"] == "mark3"
    run = asked(server, f"runs/get?run_id={champion['run_id']}")["run"]
    params = {param["key"]: param["value"] for param in run["data"]["params"]}
    assert params["parent"] == version.parent and params["data"] == "log:events@21-30"
    assert {m["key"]: m["value"] for m in run["data"]["metrics"]} == {"mse": pytest.approx(1 / 3)}
    place = run["info"]["artifact_uri"].partition("mlflow-artifacts:/")[2]
    kept = urlopen(f"{server}/api/2.0/mlflow-artifacts/artifacts/{quote(place)}/state.bin", timeout=20).read()
    assert kept == registry.load(version)


def test_the_alias_follows_a_rollback(server, registry, capsys):
    registry.rollback("champion", "errors doubled", at=4 * 10**18)
    mirror.mirror(registry.path.parent, server)
    champion = asked(server, "registered-models/alias?name=champion&alias=champion")["model_version"]
    assert {tag["key"]: tag["value"] for tag in champion["tags"]}["rtml.id"] == registry.get("champion@1").id
    assert "versions are new there" in capsys.readouterr().out


def test_a_server_that_is_not_there_is_said(registry):
    with pytest.raises(RuntimeError, match=r"no MLflow server answers at http://127\.0\.0\.1:9: start mlflow server"):
        mirror.Mirror("http://127.0.0.1:9").show(registry, "champion")
    with pytest.raises(ValueError, match="begins with http:// or https://, got 'localhost'"):
        mirror.Mirror("localhost")
