"""The runner checks everything first, runs in sequence, stops where a notebook fails and says where."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import nbformat
import pytest
import yaml
from command_line import command

from rtml.core.run_folder import MARK
from rtml.pipeline import interpreter
from rtml.pipeline import runner as pipeline
from rtml.pipeline.parameters import chosen, declared

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
FIRST = """
run = open_run(RUN_DIR, notebook="01_ingest", SEED=SEED)
run.path("events.txt").write_text(str(SEED))
run.record("metrics", seed=SEED)
""".strip()
SECOND = """
run = open_run(RUN_DIR, notebook="02_features", SEED=SEED, FAIL=FAIL)
run.record("metrics", seed_of_01=int(run.need("events.txt", made_by="01_ingest").read_text()))
assert not FAIL, "no feature was computed: run 01_ingest with a longer stream"
""".strip()


def write(folder, name, parameters, cell):
    v4 = nbformat.v4
    book = v4.new_notebook(
        metadata={"kernelspec": {"name": "no-such-kernel", "display_name": "x", "language": "python"}}
    )
    tagged = v4.new_code_cell("\n".join(parameters), metadata={"tags": ["parameters"]})
    head = [
        v4.new_markdown_cell(f"# {name[1]} · Small\n\nDoes it run?"),
        v4.new_code_cell("from rtml.core.run_folder import open_run"),
    ]
    book.cells = [*head, tagged, v4.new_code_cell(cell)]
    nbformat.write(book, folder / f"{name}.ipynb")


@pytest.fixture(scope="module")
def books(tmp_path_factory):
    folder = tmp_path_factory.mktemp("notebooks")
    common = ['RUN_DIR: str = "runs/dev"  # where this run reads and writes', "SEED: int = 7  # random seed"]
    write(folder, "01_ingest", [*common, 'SOURCE: str = ""  # where events come from'], FIRST)
    write(folder, "02_features", [*common, "FAIL: bool = False  # stop on purpose"], SECOND)
    return folder


@pytest.fixture
def at_home(tmp_path, monkeypatch):
    monkeypatch.setenv("RTML_HOME", str(tmp_path))
    monkeypatch.setattr(interpreter, "WARM", ("fractions",))  # these small notebooks need no pandas
    return tmp_path


def run(books, *arguments):
    return command("run", *arguments, "--notebooks", books)


def read(folder, name):
    return json.loads((folder / name).read_text())


def test_a_run_goes_through_fails_with_a_sentence_and_starts_clean(books, at_home, capsys):
    folder = at_home / "runs/mine"
    assert run(books, "mine", "-p", "SEED=3") == 0
    assert read(folder, "metrics.json") == {
        "01_ingest": {"metrics": {"seed": 3}},
        "02_features": {"metrics": {"seed_of_01": 3}},
    }
    status = read(folder, "status.json")
    assert (status["state"], status["given"]) == ("done", {"SEED": "3"})
    assert {step["state"] for step in status["notebooks"].values()} == {"done"}
    assert (at_home / "runs/latest").resolve() == folder
    for left in (folder / "left.bin", folder / "notebooks/06_older.ipynb"):
        left.write_bytes(b"over")

    assert run(books, "mine", "-p", "FAIL=true") == 1
    sentence = "AssertionError: no feature was computed: run 01_ingest with a longer stream"
    assert (
        f"02_features failed: {sentence}\nsee cell [4] of runs/mine/notebooks/02_features.ipynb"
        in capsys.readouterr().err
    )
    status = read(folder, "status.json")
    assert status["state"] == "failed"
    assert {k: status["notebooks"]["02_features"][k] for k in ("state", "cell", "error")} == {
        "state": "failed", "cell": 4, "error": sentence,
    }  # fmt: skip
    assert not (folder / "left.bin").exists() and not (folder / "notebooks/06_older.ipynb").exists()
    assert sentence in (folder / "report.html").read_text()
    assert not (at_home / "runs/latest").is_symlink(), "the run it pointed to is no longer one that finished"


def test_one_notebook_runs_by_its_number_and_says_what_it_lacks(books, at_home, capsys):
    assert run(books, "dev", "--only", "02") == 1
    assert "runs/dev/events.txt is missing: run 01_ingest first (make run-01)" in capsys.readouterr().err
    assert list(read(at_home / "runs/dev", "status.json")["notebooks"]) == ["02_features"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["-p", "SEEED=3"], "nothing was run: no notebook to be run has a parameter 'SEEED' (did you mean SEED?)"),
        (["-p", "SEED=x"], "nothing was run: SEED must be int, got 'x': random seed; its default is 7"),
        (["-p", "SEED"], "nothing was run: a parameter is given as KEY=VALUE, got 'SEED'"),
        (["-p", "RUN_DIR=x"], "nothing was run: RUN_DIR follows from the run, got 'x'"),
        (["-p", "SOURCE=no.csv"], "nothing was run: SOURCE names no.csv, which is not there: write the path from"),
        (["-p", "SOURCE=AB=no/a.csv.gz,BC=b.pq"], "nothing was run: SOURCE names no/a.csv.gz and b.pq, which are not"),
        (["--only", "07"], "nothing was run: no notebook '07' in"),
        (["--use-case", "bike"], "nothing was run: no use case 'bike'; there are: crypto, fraud"),
        (["--use-case", "my/bikes.py"], "nothing was run: there is no file 'bikes.py' in my/"),
        (["--profile", "huge"], "nothing was run: no profile 'huge' in profiles.yml; there are: demo"),
    ],
)
def test_what_is_wrong_is_said_before_anything_is_touched(books, at_home, capsys, arguments, sentence):
    assert run(books, *arguments) == 2
    assert sentence in capsys.readouterr().err
    assert not (at_home / "runs").exists()


@pytest.mark.parametrize("source", ["synthetic", "AB=here.csv,here.csv", "no/*.csv", "kafka://h/t.csv", "http", "no"])
def test_a_source_that_is_there_or_no_ordinary_path_is_left_to_the_notebook(at_home, source):
    (at_home / "here.csv").touch()
    assert pipeline.missing(source) == []


def test_a_run_outside_of_the_home_folder_is_refused(books, at_home, capsys):
    assert run(books, "../up") == 1
    assert "rtml run: a run is a name such as 'dev' or a folder" in capsys.readouterr().err


def test_a_second_pipeline_keeps_out_of_a_folder_at_work(books, at_home, capsys):
    (at_home / "runs/dev").mkdir(parents=True)
    (at_home / "runs/dev" / MARK).touch()
    with pipeline.alone(at_home / "runs/dev"):
        assert run(books, "dev") == 2
    assert "another pipeline is at work in runs/dev" in capsys.readouterr().err


def test_a_pipeline_that_ends_before_its_kernel_is_used_does_not_wait_for_it():
    program = "from rtml.pipeline import interpreter; interpreter.start(); raise KeyboardInterrupt"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, timeout=60)
    assert b"KeyboardInterrupt" in ended.stderr


def test_a_dead_kernel_and_a_polite_kill_leave_a_status(tmp_path):
    parameters = ['RUN_DIR: str = "runs/dev"  # where this run reads and writes']
    for name, cell, state in (
        ("01_dies", "import os; os._exit(9)", "failed"),
        ("01_waits", "import time; time.sleep(60)", "interrupted"),
    ):
        books = tmp_path / name
        books.mkdir()
        write(books, name, parameters, cell)
        command = [sys.executable, "-m", "rtml", "run", name, "--notebooks", str(books)]
        started = subprocess.Popen(
            command, env=os.environ | {"RTML_HOME": str(tmp_path)}, stderr=subprocess.PIPE, text=True
        )
        while state == "interrupted" and not at_work(tmp_path / "runs" / name / "notebooks" / f"{name}.ipynb"):
            time.sleep(0.1)
        if state == "interrupted":
            started.send_signal(signal.SIGTERM)
        error = started.communicate(timeout=60)[1]
        assert started.returncode == 1, error
        step = read(tmp_path / "runs" / name, "status.json")["notebooks"][name]
        assert step["state"] == state, (step, error)
        assert state != "failed" or "the kernel died" in step["error"], step


def at_work(copy):
    """Whether the last cell of an executed copy has been started."""
    return copy.exists() and '"status": "running"' in copy.read_text()[-3000:]


def test_storing_in_place_keeps_outputs_and_nothing_of_the_machine(books, at_home, tmp_path):
    folder = tmp_path / "books"
    folder.mkdir()
    write(folder, "01_ingest", ['RUN_DIR: str = "runs/dev"  # where', "SEED: int = 7  # random seed"], FIRST)
    assert command("notebooks", "--notebooks", folder) == 0
    first = (folder / "01_ingest.ipynb").read_text()
    assert [c["execution_count"] for c in json.loads(first)["cells"] if c["cell_type"] == "code"] == [1, 2, 3]
    assert "{'seed': 7}" in first
    assert not re.search(r"papermill|20\d\d-\d\d-\d\d|/tmp|duration", first)
    assert [path.name for path in folder.iterdir()] == ["01_ingest.ipynb"]


@pytest.mark.skipif(not list(NOTEBOOKS.glob("*.ipynb")), reason="there are no notebooks yet")
@pytest.mark.parametrize("name", yaml.safe_load((NOTEBOOKS.parent / "profiles.yml").read_text()))
def test_every_profile_fits_the_notebooks(name):
    values = dict(pipeline.profile(name))
    folder = pipeline.folder_of(NOTEBOOKS, "none", {}, values)
    chosen({path.stem: declared(path) for path in pipeline.steps(folder)}, values, {})


def test_a_use_case_has_notebooks_of_its_own_and_a_run_remembers_which(tmp_path):
    books, home = tmp_path / "notebooks", tmp_path / "runs" / "a"
    (books / "fraud").mkdir(parents=True)
    home.mkdir(parents=True)
    assert pipeline.folder_of(books, str(home), {}, {}) == books
    assert pipeline.folder_of(books, str(home), {}, {"USE_CASE": "fraud"}) == books / "fraud"
    given = {"USE_CASE": "fraud", "SEED": "1"}
    assert pipeline.folder_of(books, str(home), given, {}) == books / "fraud" and given == {"SEED": "1"}
    (home / "recipe.json").write_text('{"use_case": "fraud"}')
    assert pipeline.folder_of(books, str(home), {}, {}, only="03") == books / "fraud"
    assert pipeline.folder_of(books, str(home), {}, {}) == books
    assert pipeline.folder_of(books, str(home), given := {"USE_CASE": "crypto"}, {}, only="03") == books
    assert given == {"USE_CASE": "crypto"}, "the notebooks at the top ask for it themselves"


CASE = """
import numpy as np
from rtml.core.target import Target
from rtml.core.use_case import UseCase

def operator(config):
    raise NotImplementedError

targets = (Target("bikes", "number"),)
use_case = UseCase("bikes", "How many?", np.dtype([("time", "i8")]), operator, targets, {"bikes": "rls"})
"""


def test_a_use_case_in_a_file_runs_the_notebooks_at_the_top_in_a_folder_of_its_name(tmp_path, at_home, monkeypatch):
    (tmp_path / "my").mkdir()
    (tmp_path / "my/bikes.py").write_text(CASE)
    books = tmp_path / "notebooks"
    books.mkdir()
    parameters = ['RUN_DIR: str = "runs/dev"  # where', 'USE_CASE: str = "crypto"  # the problem']
    write(books, "01_ingest", parameters, "open_run(RUN_DIR, notebook='01_ingest').record('case', use_case=USE_CASE)")
    monkeypatch.chdir(tmp_path)
    assert run(books, "--use-case", "my/bikes.py") == 0
    found = read(at_home / "runs/bikes", "metrics.json")["01_ingest"]["case"]["use_case"]
    assert found == str(tmp_path / "my/bikes.py"), "a process in another folder finds it too"
    assert run(books, "other", "--params", "USE_CASE=my/bikes.py:use_case") == 0
    assert (at_home / "runs/other/report.html").exists() and not (at_home / "runs/dev").exists()
