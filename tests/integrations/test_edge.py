"""An exported model predicts and learns the same numbers on a device, and what it learned comes back."""

import json
import shutil
import subprocess
from contextlib import closing
from types import SimpleNamespace

import numpy as np
import pytest

from rtml.core.state import dumps, loads
from rtml.integrations.edge import export_version, exported, import_state, imported
from rtml.models.catalogue import build
from rtml.models.compiled import restore
from rtml.registry.lineage import models
from rtml.registry.registry import Registry

NAMES = tuple(f"feature_{i}" for i in range(20))
FIRST = 300  # answers learned before the export
ROWS = 700
LINEAR = ("rls", "rls_all", "sgd", "logistic", "recursive_logistic")


@pytest.fixture(scope="module")
def stream():
    """Rows of all sizes, some values missing, one column constant; answers that depend on them."""
    rng = np.random.default_rng(11)
    X = rng.normal(size=(ROWS, len(NAMES))) * 10.0 ** rng.uniform(-2, 2, len(NAMES))
    X[:, 3] = 7.0
    y = (X / X.std(axis=0).clip(1e-9)) @ rng.normal(size=len(NAMES)) + rng.normal(size=ROWS)
    X[rng.random(X.shape) < 0.02] = np.nan
    return X, y - y.mean()


@pytest.fixture(scope="module")
def registry(stream, tmp_path_factory):
    """A version of each linear model, with a tree beside it; what the model says and is after the rest of the rows."""
    X, y = stream
    with closing(Registry(tmp_path_factory.mktemp("edge") / "registry")) as registry:
        registry.after = {}
        for name in LINEAR:
            model, other = build(name, NAMES), build("hoeffding", NAMES)
            answers = np.float64(y > 0) if model.classifier else y
            for row, answer in zip(X[:FIRST], answers, strict=False):
                model.learn(row, answer)
            state = {"names": list(NAMES), "models": {name: model.state, "tree": other.state}}
            data = {"part": "events", "first_offset": 1, "last_offset": FIRST}
            registry.save(name, dumps(state), at=10, features="f", data=data)
            said = []
            for row, answer in zip(X[FIRST:], answers[FIRST:], strict=True):
                said.append(model.predict(row))
                model.learn(row, answer)
            registry.after[name] = (said, answers, model)
        yield registry


def on_python(source, X, answers):
    """Predictions of the exported file before it learns each answer, and its state then."""
    device = SimpleNamespace(**_run(source))
    model, said = device.Model(device.STATE), []
    for x, y in zip(X.tolist(), answers.tolist(), strict=True):
        said.append(model.predict(x))
        model.learn(x, y)
    return said, json.loads(json.dumps(model.state()))


def _run(source):
    space = {}
    exec(compile(source, "device.py", "exec"), space)
    return space


def on_node(source, X, answers, folder):
    """The same under node."""
    (folder / "device.js").write_text(source)
    rows = [[None if value != value else value for value in x] for x in X.tolist()]
    (folder / "rows.json").write_text(json.dumps([rows, answers.tolist()]))
    (folder / "drive.js").write_text(
        """const { Model, STATE } = require("./device.js");
const [rows, answers] = JSON.parse(require("fs").readFileSync(__dirname + "/rows.json"));
const model = new Model(STATE), said = [];
rows.forEach((row, i) => {
  const x = row.map((value) => (value === null ? NaN : value));
  said.push(model.predict(x));
  model.learn(x, answers[i]);
});
console.log(JSON.stringify([said, model.state()]));"""
    )
    ran = subprocess.run(["node", folder / "drive.js"], capture_output=True, text=True, check=True, timeout=60)
    return json.loads(ran.stdout)


@pytest.mark.parametrize("name", LINEAR)
def test_the_file_predicts_and_learns_the_numbers_of_the_package(name, registry, stream):
    said, answers, model = registry.after[name]
    source = exported(registry, f"{name}@1")
    assert len(source.encode()) <= 20_000
    heads = [line for line in source.splitlines() if line.startswith(("import", "from"))]
    assert heads == ["from math import sqrt"]  # needs the standard library alone
    found, state = on_python(source, stream[0][FIRST:], answers[FIRST:])
    assert np.allclose(found, said, rtol=1e-12, atol=1e-12)
    assert np.allclose(state["weights"], list(model.weights.values()), rtol=1e-10, atol=1e-12)
    assert len(set(np.round(said, 6))) > 100  # they are not all the same


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed: JavaScript is not run here")
@pytest.mark.parametrize("name", LINEAR)
def test_python_and_javascript_give_the_same_bits(name, registry, stream, tmp_path):
    answers = registry.after[name][1]
    source = exported(registry, f"{name}@1", "javascript")
    assert len(source.encode()) <= 20_000
    python = on_python(exported(registry, f"{name}@1"), stream[0][FIRST:], answers[FIRST:])
    said, state = on_node(source, stream[0][FIRST:], answers[FIRST:], tmp_path)
    assert said == python[0] and state == python[1]


@pytest.mark.parametrize("name", ["rls", "logistic"])
def test_the_file_for_micropython_is_the_same_program_without_what_takes_memory(name, registry, stream):
    answers = registry.after[name][1]
    bare, whole = exported(registry, f"{name}@1", "micropython"), exported(registry, f"{name}@1")
    assert len(bare) < len(whole) and "->" not in bare and '"""' not in bare
    tail = stream[0][FIRST:], answers[FIRST:]
    assert on_python(bare, *tail) == on_python(whole, *tail)


@pytest.mark.parametrize("name", LINEAR)
def test_what_a_device_learned_comes_back_as_a_child_that_does_not_serve(name, registry, stream):
    _, answers, model = registry.after[name]
    registry.promote(name, f"{name}@1", "first", at=10)
    _, state = on_python(exported(registry, f"{name}@1"), stream[0][FIRST:], answers[FIRST:])
    child = imported(registry, f"{name}@1", state, at=20)
    assert [version.name for version in registry.lineage(child)] == [f"{name}@2", f"{name}@1"]
    assert child.data == {"part": "device", "first_offset": FIRST + 1, "last_offset": ROWS} and child.at == 20
    assert registry.champion(name).name == f"{name}@1" and not registry.promoted(child)
    back, probe = models(registry, child)[name], stream[0][:50]
    assert np.allclose([back.predict(x) for x in probe], [model.predict(x) for x in probe], rtol=1e-9, atol=1e-12)
    assert loads(registry.load(child))["models"]["tree"]["kind"] == "compiled"  # the other target's stays
    back.learn(probe[0], answers[0])  # and it goes on
    assert np.isfinite(back.predict(probe[1]))


def test_what_is_no_state_of_this_version_is_refused_and_says_why(registry):
    state = _run(exported(registry, "rls@1"))["STATE"]
    for change, says in (
        ({"version": "other"}, "expected a device's state"),
        ({"format": 9}, "got format 9"),
        ({"count": 3}, "export it again"),
        ({"names": ["a"]}, "the device's features are"),
        ({"weights": [1.0]}, "weights of a device's state must be"),
        ({"means": [float("nan")] * 20}, "must be .* finite numbers: it is damaged"),
    ):
        with pytest.raises(ValueError, match=says):
            imported(registry, "rls@1", state | change)
    with pytest.raises(ValueError, match="--to must be one of python, javascript, micropython, got 'cobol'"):
        exported(registry, "rls@1", "cobol")
    with pytest.raises(ValueError, match="only linear models fit on a device"):
        exported(registry, "rls@1", target="tree")
    with pytest.raises(LookupError, match="no model of 'up'; there are: rls, tree"):
        exported(registry, "rls@1", target="up")


def test_a_device_refuses_a_broken_row_and_stays_as_it_was(registry):
    device = SimpleNamespace(**_run(exported(registry, "rls@1")))
    model = device.Model(device.STATE)
    before = json.dumps(model.state())
    for x, y in (([1.0], 1.0), ([float("inf")] * 20, 1.0), ([1.0] * 20, float("nan"))):
        with pytest.raises(ValueError, match="finite number"):
            model.learn(x, y)
    assert json.dumps(model.state()) == before


def test_the_commands_write_the_file_and_read_the_state(registry, tmp_path, capsys):
    run = registry.path.parent
    export_version(run, "sgd@1", to="javascript", out=str(tmp_path / "m.js"))
    assert "bytes of javascript" in capsys.readouterr().out and "rtml" in (tmp_path / "m.js").read_text()
    export_version(run, "sgd@1", out="-")
    device = _run(capsys.readouterr().out)
    model = device["Model"](device["STATE"])
    model.learn([0.5] * 20, 1.0)
    (tmp_path / "state.json").write_text(json.dumps(model.state()))
    import_state(run, "sgd@1", str(tmp_path / "state.json"), at="2026-01-02T03:04:05+00:00")
    assert "learned 1 answers on a device, as a child of sgd@1" in capsys.readouterr().out
    newest = registry.all("sgd")[-1]
    assert restore(loads(registry.load(newest))["models"]["sgd"]).weights == dict(zip(NAMES, model.w, strict=False))
