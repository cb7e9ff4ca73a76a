"""States as releases wrote them; ``python tests/support/kept_states.py`` keeps those of this one for the next."""

import tempfile
import tomllib
import zlib
from pathlib import Path

import numpy as np
from runs import trained

from rtml.core.state import dumps, loads
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.registry.promotion.guard import Guarded
from rtml.store.checkpoint_store import CheckpointReader

NAMES = ("a", "b", "c")
FOLDER = Path(__file__).parents[1] / "states"
MODELS = (
    *("zero", "mean", "last", "rls", "rls_all", "sgd", "logistic", "recursive_logistic", "calibrated_logistic"),
    *("blend", "blend_probability", "hoeffding", "forest", "half_space_trees"),
)


def rows(n=80):
    """Rows, numbers and labels that are the same for ever: no generator of a library makes them."""
    X = np.sin(np.outer(np.arange(1, n + 1), [12.9898, 78.233, 37.719]) * 43.75)
    y = X @ [1.0, -1.0, 0.5] + 0.3 * np.sin(np.arange(n) * 3.7)
    return X, y


def learned(name):
    """A model of the catalogue that has learned 60 rows; a guard around it where it is named so."""
    model = zoo.build(name.removeprefix("guarded "))
    model = model if hasattr(model, "replay") else compile(model, NAMES)
    model = Guarded(model, NAMES, 20) if name.startswith("guarded ") else model
    X, y = rows()
    for i in range(60):
        label = float(y[i] > 0) if model.classifier else y[i]
        if name.startswith("guarded "):
            model.learn_at(X[i], label, model.predict_at(X[i], i * 10), i * 10, i * 10 + 5)
        else:
            model.learn(X[i], label)
    return model


def kept() -> dict:
    """State and further predictions of every model that stands in arrays, and of a market's training."""
    X, _ = rows()
    models = {}
    for name in (*MODELS, "guarded rls", "guarded blend"):
        model = learned(name)
        models[name] = {"state": dumps(model.state), "predictions": [model.predict(x) for x in X[60:]]}
    with tempfile.TemporaryDirectory() as folder:
        config = trained(Path(folder) / "run", {"return": "guarded blend", "sign": "recursive_logistic"}, hours=0.2)
        reader = CheckpointReader(Path(folder) / "run" / "training.db")
        state = loads(reader.progress()[-1])["flow"]
        reader.close()
        recipe = (Path(folder) / "run" / "recipe.json").read_text()
    flow = config.flow()
    flow.load(state)
    X = rows(20 * len(flow.features.names))[0].reshape(-1)[: 20 * len(flow.features.names)].reshape(20, -1)
    said = {name: [learner.model.predict(x) for x in X] for name, learner in flow.learners.items()}
    return {"models": models, "training": {"recipe": recipe, "state": dumps(state), "predictions": said}}


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    release = tomllib.loads((FOLDER.parents[1] / "pyproject.toml").read_text())["project"]["version"]
    (FOLDER / f"{release}.z").write_bytes(zlib.compress(dumps(kept()), 9))
