"""Every study runs on a small seeded stream and by parameter on a recorded one, and keeps the rules of notebooks."""

import ast
import json
import os
import re
from pathlib import Path

import pytest

from rtml.pipeline.parameters import declared, tagged

ROOT = Path(__file__).parents[2]
STUDIES = sorted((ROOT / "notebooks" / "studies").glob("[a-z]*.ipynb"))
DATA = Path(os.environ.get("RTML_SHARED_DATA", ROOT.parent / "shared" / "data"))
ELEC2 = DATA / "drift" / "elec2.parquet"
SMALL = {  # parameters that make a study quick: those of them that it declares are given
    "EVENTS": 3000, "STREAMS": 2, "CONCEPT": 600, "KINDS": ["none", "sudden"], "WINDOW": 400, "FIRST": 400,
    "SEEDS": 2, "PER_KIND": 2, "DAYS": 20,
}  # fmt: skip
OWN = {
    "ab_test_or_bandit": {"RUNS": 20, "REQUESTS": 4000},
    "cost_of_stateful_training": {"WINDOW": "10d", "EVENTS": 2000},
    "which_trigger": {"EVENTS": 6000},
    "what_a_detector_sees": {"EVENTS": 8000, "STREAMS": 1},
    "stages_of_online_prediction": {"DAYS": 45.0},
    "explore_or_exploit": {"ROUNDS": 3000, "LOGGED": 2500},
}
RECORDED = {"SOURCE": str(ELEC2), "DELAY": "1d"}
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.TryStar)

each_study = pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)


def cells(path, kind="code"):
    return [c for c in json.loads(path.read_text(encoding="utf-8"))["cells"] if c["cell_type"] == kind]


def source(cell):
    return "".join(cell["source"])


def run(path, tmp_path, given):
    """Run the cells of a study, with those of the parameters that it has and whose type fits; a warning is an error."""
    parameters = declared(path)
    types = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}
    fitting = {k: v for k, v in given.items() if k in parameters and type(v) is types[parameters[k].type]}
    if "RUN_DIR" in parameters:
        fitting["RUN_DIR"] = str(tmp_path / "run")
    names = {}
    for cell in cells(path):
        exec(compile(source(cell), path.name, "exec"), names)
        if tagged(cell):
            names |= fitting
    return fitting


def test_the_studies_of_training_are_there():
    training = {"cost_of_stateful_training", "how_often_to_publish", "how_often_to_train", "which_trigger"}
    assert training | {"which_feature_helps"} <= {path.stem for path in STUDIES}


@each_study
def test_it_runs_on_a_small_seeded_stream(path, tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_QUIET", "1")
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    run(path, tmp_path, SMALL | OWN.get(path.stem, {}))


@pytest.mark.skipif(not ELEC2.exists(), reason="the recordings are not in a user's clone")
@pytest.mark.parametrize("path", [p for p in STUDIES if "SOURCE" in declared(p)], ids=lambda p: p.stem)
def test_it_runs_on_a_recorded_stream_too(path, tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_QUIET", "1")
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    given = run(path, tmp_path, SMALL | OWN.get(path.stem, {}) | RECORDED)
    assert given["SOURCE"] == str(ELEC2)


@each_study
def test_it_opens_with_its_question_its_imports_and_typed_parameters(path):
    first, imports, parameters = json.loads(path.read_text(encoding="utf-8"))["cells"][:3]
    assert re.match(r"# Study · [A-Z]", source(first)) and "?" in source(first) and "| takes |" in source(first)
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(source(imports)).body)
    assert tagged(parameters)
    used = " ".join(source(cell) for cell in cells(path) if not tagged(cell))
    assert not [name for name in declared(path) if not re.search(rf"\b{name}\b", used)], "declared, but never used"


@each_study
def test_its_cells_are_short_define_nothing_and_check_what_is_claimed(path):
    asserted = False
    for cell in cells(path):
        text = source(cell)
        nodes = list(ast.walk(ast.parse(text)))
        only_imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(text).body)
        assert text.count("\n") < (25 if only_imports else 15), f"more than 15 lines: {text[:80]}"
        assert not re.search(r"^\s*[!%]|sys\.path|warnings\.(filter|simple)", text, re.MULTILINE), text[:80]
        assert not [n for n in nodes if isinstance(n, DEFINITIONS)], f"a definition or a try: {text[:80]}"
        asserted |= any(isinstance(n, ast.Assert) for n in nodes)
    assert asserted, "a study without a check"
    told = [source(cell) for cell in cells(path, "markdown")]
    assert "false" in " ".join(told), "say what would prove it false"
    assert told[-1].startswith("**In short.**"), "the last words say what to do"


@each_study
def test_it_is_stored_with_the_outputs_of_a_whole_run(path):
    counts = [cell["execution_count"] for cell in cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "make notebooks stores them"
    outputs = [output for cell in cells(path) for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error" or o.get("name") == "stderr"]
    assert any("image/png" in o.get("data", {}) for o in outputs), "a study without a figure"
    texts = json.dumps([o.get("text") or {k: v for k, v in o["data"].items() if "image" not in k} for o in outputs])
    assert not re.search(r"/(home|root|tmp|Users|opt|usr|var|work)/[^\s\"]*|0x[0-9a-f]{8,}", texts)
