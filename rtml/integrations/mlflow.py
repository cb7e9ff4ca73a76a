"""The mirror: promoted versions of a registry shown in an MLflow server, for those who look for models there.

A copy to look at; our own ledger stays the truth. It speaks MLflow's REST interface, so that nothing of MLflow is
needed here: ``rtml mirror RUN http://127.0.0.1:5000``.
"""

from __future__ import annotations

import json
from contextlib import closing
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

from rtml.registry.registry import Registry
from rtml.registry.versions import Version

_TIMEOUT_S = 30.0
_LIMIT = 5000  # characters of a tag
_THERE = "RESOURCE_ALREADY_EXISTS"


class Mirror:
    """An MLflow server to which promoted versions are copied.

    Each becomes a run with its lineage as parameters, its metrics and its state as an artifact, and a model version of
    that run; the alias ``champion`` follows the ledger. Done again it changes nothing: a version is known by its id.

    Parameters
    ----------
    url : of the server, such as ``http://127.0.0.1:5000``.

    Examples
    --------
    >>> Mirror("127.0.0.1:5000")
    Traceback (most recent call last):
        ...
    ValueError: the address of an MLflow server begins with http:// or https://, got '127.0.0.1:5000'
    """

    def __init__(self, url: str) -> None:
        if not url.startswith(("http://", "https://")):
            raise ValueError(f"the address of an MLflow server begins with http:// or https://, got {url!r}")
        self._url = url.rstrip("/")

    def show(self, registry: Registry, model: str) -> list[str]:
        """Mirror what was promoted and is not there yet; names of the versions that are new there."""
        experiment = self._experiment(f"rtml {model}")
        self._post("registered-models/create", {"name": model}, there=_THERE)
        new, acts = [], registry.acts.entries(model)
        for id in dict.fromkeys(act.version for act in acts):
            version = registry.get(id)
            if self._number(version) is None:
                self._add(registry, version, experiment)
                new.append(version.name)
        if acts:
            number = self._number(registry.champion(model))
            self._post("registered-models/alias", {"name": model, "alias": "champion", "version": number})
        return new

    def _add(self, registry: Registry, version: Version, experiment: str) -> None:
        tags = {"rtml.id": version.id, "mlflow.runName": version.name, "rtml.fingerprint": version.fingerprint}
        run = {"experiment_id": experiment, "start_time": version.at // 10**6, "tags": _pairs(tags)}
        info = self._post("runs/create", run)["run"]["info"]
        params = {"parent": version.parent or "", "data": version.learned, "features": version.features}
        params |= {"code": version.code, **{f"library {name}": text for name, text in version.libraries.items()}}
        numbers = {name: value for name, value in version.metrics.items() if value is not None}
        metrics = [{"key": k, "value": v, "timestamp": version.at // 10**6, "step": 0} for k, v in numbers.items()]
        self._post("runs/log-batch", {"run_id": info["run_id"], "params": _pairs(params), "metrics": metrics})
        place = info["artifact_uri"].partition("mlflow-artifacts:/")[2]
        self._send("PUT", f"/api/2.0/mlflow-artifacts/artifacts/{quote(place)}/state.bin", registry.load(version))
        made = {"name": version.model, "source": info["artifact_uri"], "run_id": info["run_id"], "tags": _pairs(tags)}
        self._post("model-versions/create", made)
        self._post("runs/update", {"run_id": info["run_id"], "status": "FINISHED", "end_time": version.at // 10**6})

    def _number(self, version: Version) -> str | None:
        """What the server calls a version, by its id."""
        wanted = quote(f"name='{version.model}' and tags.`rtml.id`='{version.id}'")
        found = self._send("GET", f"/api/2.0/mlflow/model-versions/search?filter={wanted}").get("model_versions", [])
        return found[0]["version"] if found else None

    def _experiment(self, name: str) -> str:
        made = self._post("experiments/create", {"name": name}, there=_THERE)
        if "experiment_id" in made:
            return made["experiment_id"]
        found = self._send("GET", f"/api/2.0/mlflow/experiments/get-by-name?experiment_name={quote(name)}")
        return found["experiment"]["experiment_id"]

    def _post(self, what: str, body: dict, there: str = "") -> dict:
        return self._send("POST", f"/api/2.0/mlflow/{what}", json.dumps(body).encode(), there)

    def _send(self, method: str, path: str, body: bytes | None = None, there: str = "") -> dict:
        """One request; an error code that means that it is there already is no error."""
        kind = "application/json" if path.startswith("/api/2.0/mlflow/") else "application/octet-stream"
        request = Request(self._url + path, data=body, method=method, headers={"content-type": kind})
        try:
            with urlopen(request, timeout=_TIMEOUT_S) as answer:
                return json.loads(answer.read() or b"{}")
        except HTTPError as ex:
            reply = ex.read().decode("utf-8", "replace")
            if there and there in reply:
                return {}
            raise RuntimeError(f"MLflow refused {method} {path.partition('?')[0]}: {ex.code} {reply[:300]}") from ex
        except (URLError, TimeoutError) as ex:
            raise RuntimeError(f"no MLflow server answers at {self._url}: start mlflow server, or correct it") from ex


def mirror(run: Path, url: str, model: str = "champion") -> None:
    """Copy the promoted versions of a run to an MLflow server.

    Parameters
    ----------
    run
        Folder of the run.
    url
        Address of the server, such as http://127.0.0.1:5000.
    model
        Name of the model in the registry.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     mirror(Path(folder), "127.0.0.1:5000")
    Traceback (most recent call last):
        ...
    ValueError: the address of an MLflow server begins with http:// or https://, got '127.0.0.1:5000'
    """
    with closing(Registry(run / "registry")) as registry:
        new = Mirror(url).show(registry, model)
        print(f"{len(new)} versions are new there: {', '.join(new) or 'all were there'}")


def _pairs(values: dict[str, str]) -> list[dict]:
    return [{"key": key, "value": str(value)[:_LIMIT]} for key, value in values.items()]
