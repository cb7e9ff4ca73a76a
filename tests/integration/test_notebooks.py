"""The notebooks keep the house rules, and their stored outputs are those of a fresh run."""

import ast
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from browser import CHROMIUM, Browser
from lab import lab

from rtml.pipeline.notebooks import tidy
from rtml.pipeline.parameters import declared, tagged

ROOT = Path(__file__).parents[2]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
STEPS = ["01_ingest", "02_features", "03_backtest_progressive_eval", "04_online_train", "05_serve"]
DEFINITIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef, ast.Try, ast.TryStar)
KEPT_METADATA = {"kernelspec": {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"},
                 "language_info": {"name": "python"}}  # fmt: skip

pytestmark = pytest.mark.skipif(not NOTEBOOKS, reason="there are no notebooks yet")
FRAUD = sorted((ROOT / "notebooks/fraud").glob("*.ipynb"))
SESSIONS = sorted((ROOT / "notebooks/sessions").glob("*.ipynb"))
EVERY = [*NOTEBOOKS, *FRAUD, *SESSIONS]
each_notebook = pytest.mark.parametrize("path", EVERY, ids=lambda p: f"{p.parent.name}/{p.stem}")


def read(path):
    return json.loads(path.read_text(encoding="utf-8"))


def code_cells(path):
    return [cell for cell in read(path)["cells"] if cell["cell_type"] == "code"]


def source(cell):
    return "".join(cell["source"])


def test_there_are_the_five_in_sequence():
    assert [path.stem for path in NOTEBOOKS] == [path.stem for path in FRAUD] == STEPS
    assert [path.stem for path in SESSIONS] == STEPS


@each_notebook
def test_it_opens_with_its_question_its_imports_and_its_parameters(path):
    first, imports, parameters, opened = read(path)["cells"][:4]
    assert re.match(r"# \d · \w+", source(first)), "the first cell is '# 3 · Backtest' and the question it answers"
    assert all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(source(imports)).body)
    assert tagged(parameters)
    assert "open_run(RUN_DIR" in source(opened) and f'notebook="{path.stem}"' in source(opened)


@each_notebook
def test_parameters_are_typed_literals_with_a_meaning_and_all_of_them_are_recorded(path):
    parameters = declared(path)
    assert parameters["RUN_DIR"].default == {"fraud": "runs/fraud", "sessions": "runs/sessions"}.get(
        path.parent.name, "runs/dev"
    )
    used = " ".join(source(cell) for cell in code_cells(path) if not tagged(cell))
    assert not [name for name in parameters if not re.search(rf"\b{name}\b", used)], "declared, but never used"


def test_a_parameter_of_two_notebooks_has_one_type_and_one_default():
    met = {}
    for path in NOTEBOOKS:
        for name, parameter in declared(path).items():
            kind = (parameter.type, parameter.default)
            assert met.setdefault(name, kind) == kind, f"{name} of {path.stem} differs from an earlier one"


@each_notebook
def test_cells_are_short_and_define_nothing(path):
    for cell in code_cells(path):
        text = source(cell)
        only_imports = all(isinstance(node, ast.Import | ast.ImportFrom) for node in ast.parse(text).body)
        assert text.count("\n") < (25 if only_imports or tagged(cell) else 15), f"more than 15 lines: {text[:80]}"
        assert not re.search(r"^\s*[!%]", text, re.MULTILINE), f"a magic or a shell command: {text[:80]}"
        nodes = list(ast.walk(ast.parse(text)))
        assert not [n for n in nodes if isinstance(n, DEFINITIONS)], f"a definition or a try: {text[:80]}"
        assert not re.search(r"sys\.path|warnings\.(filter|simple)|asyncio\.run|uvicorn\.run|nest_asyncio", text), text[
            :80
        ]


@each_notebook
def test_it_checks_what_it_claims(path):
    assert any(isinstance(n, ast.Assert) for cell in code_cells(path) for n in ast.walk(ast.parse(source(cell))))


@each_notebook
def test_it_is_stored_with_the_outputs_of_a_whole_run(path):
    counts = [cell["execution_count"] for cell in code_cells(path)]
    assert counts == list(range(1, len(counts) + 1)), "make notebooks stores them; nbval skips a cell without a number"
    outputs = [output for cell in code_cells(path) for output in cell["outputs"]]
    assert not [o for o in outputs if o["output_type"] == "error"]
    assert not [o["text"] for o in outputs if o.get("name") == "stderr"], "a warning or a progress bar is stored"
    assert any("image/png" in o.get("data", {}) for o in outputs), "a notebook without a figure"


@each_notebook
def test_it_holds_nothing_of_the_machine_it_ran_on(path):
    book = read(path)
    assert book["metadata"] == KEPT_METADATA
    assert all(cell["metadata"].keys() <= {"tags"} for cell in book["cells"])
    texts = json.dumps([output for cell in code_cells(path) for output in cell["outputs"] if "data" not in output])
    texts += json.dumps([
        {kind: text for kind, text in output["data"].items() if not kind.startswith("image/")}
        for cell in code_cells(path) for output in cell["outputs"] if "data" in output
    ])  # fmt: skip
    found = re.search(r"/(home|root|tmp|Users|opt|usr|var)/[^\s\"]*|0x[0-9a-f]{8,}", texts)
    assert not found, f"{found[0]} is of one machine: print less, or relative to the run"


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """Where the runs of this file are."""
    return tmp_path_factory.mktemp("home")


@pytest.fixture(scope="module")
def whole_run(home):
    """The main job with its defaults, once, cut off from the network: what it took."""
    figures = home / "figures.json"
    command = [sys.executable, ROOT / "tests/support/measured.py", figures, sys.executable, "-m", "rtml", "run"]
    environment = os.environ | {"RTML_HOME": str(home), "RTML_QUIET": "1"}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return json.loads(figures.read_text())


def test_the_whole_thing_takes_less_than_five_minutes_without_a_network(whole_run, home, record_property):
    cpu, wall = whole_run["cpu"], whole_run["wall"]
    where = "without a network" if whole_run["offline"] else "(the network could not be cut here)"
    record_property("figure", f"the whole main job, five notebooks, {where}: {cpu:.0f} s CPU, {wall:.0f} s")
    assert json.loads((home / "runs/dev/status.json").read_text())["state"] == "done"
    assert 10 < cpu < 300, "the whole thing in five minutes, also where one core does it all"


def code_of(path):
    """Cells of code of an executed notebook, without that of the parameters given."""
    cells = nbformat.read(path, as_version=4).cells
    cells = [cell for cell in cells if "injected-parameters" not in cell.metadata.get("tags", [])]
    return [cell for cell in tidy(nbformat.v4.new_notebook(cells=cells)).cells if cell.cell_type == "code"]


def said(cell):
    """What a cell printed and showed, text by kind, without figures and what pandas folds as a window is wide."""
    found = {}
    for output in cell.outputs:
        shown = output.get("data", {output.get("name", "error"): output.get("text", "")})
        for kind, text in shown.items():
            if not kind.startswith("image/") and not (kind == "text/plain" and "text/html" in shown):
                found[kind] = found.get(kind, "") + text
    return found


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_stored_outputs_are_those_of_a_fresh_run(whole_run, home, path):
    stored, fresh = (code_of(book) for book in (path, home / "runs/dev/notebooks" / path.name))
    assert [cell.source for cell in stored] == [cell.source for cell in fresh]
    pairs = [(a, b) for a, b in zip(stored, fresh, strict=True) if not a.source.startswith("# NBVAL_IGNORE_OUTPUT")]
    wrong = [(a.source, said(a), said(b)) for a, b in pairs if said(a) != said(b)]
    assert not wrong, wrong[0]


NBVAL = ["-m", "pytest", "--nbval", "--nbval-current-env", "--nbval-cell-timeout=120", "-x", "-q"]
NBVAL += ["-p", "no:xdist", "-p", "no:cacheprovider"]


def test_nbval_finds_the_stored_outputs_too(tmp_path):
    """Of the first notebook here, of all five by make test-notebooks."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JPY_"))}
    environment |= {"RTML_HOME": str(tmp_path), "RTML_QUIET": "1"}
    command = [sys.executable, *NBVAL, "-o", "addopts=", "-o", "filterwarnings=default", NOTEBOOKS[0]]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert f"{len(code_cells(NOTEBOOKS[0]))} passed" in done.stdout, done.stdout.splitlines()[-1]


CONNECTED = """
document.querySelector('.jp-Dialog .jp-mod-accept')?.click(),
document.querySelector('.jp-Toolbar-kernelName').textContent.includes('Python 3')
&& !document.querySelector('.jp-Dialog')
&& document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')
"""  # JupyterLab may ask which kernel to take


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium here: apt-get install chromium")
def test_notebook_05_runs_in_jupyterlab_and_shows_the_live_page(whole_run, home, tmp_path):
    shutil.copy(NOTEBOOKS[4], tmp_path)
    with lab(tmp_path, home) as url, Browser(tmp_path / "chromium") as browser:
        browser.open(f"{url}/lab/tree/{NOTEBOOKS[4].name}?reset", height=1000)
        browser.wait(CONNECTED)
        browser.value("window.jupyterapp.commands.execute('notebook:run-all-cells').then(() => 1)")
        browser.wait("document.querySelector('.jp-OutputArea iframe')")
        page = browser.frame("document.getElementById('panel')")
        page("document.getElementById('panel').dataset.bars > 20")
        browser.wait("document.querySelector('.jp-Notebook-ExecutionIndicator[data-status=idle]')")
        browser.wait("![...document.querySelectorAll('.jp-InputPrompt')].some(p => p.textContent.includes('*'))")
        assert browser.value("document.querySelectorAll('.jp-OutputArea [data-mime-type*=error]').length") == 0
        page("document.getElementById('notice').textContent.includes('over')")
        browser.value("document.querySelector('iframe').scrollIntoView()")
        (tmp_path / "page.png").write_bytes(browser.screenshot())
        here = ("http://127.0.0.1", "ws://127.0.0.1", "data:", "blob:")
        assert not [address for address in browser.asked() if not address.startswith(here)]
