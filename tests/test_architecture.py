"""The package is layered, third parties come in by one door each, and every module stays small enough to read."""

import ast
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGE = ROOT / "rtml"
MODULES = sorted(path for path in PACKAGE.rglob("*.py") if path.name not in ("__init__.py", "__main__.py"))

ROOMS = (  # lowest first: a module imports only lower rooms and its own
    "core",
    "kernels",
    "metrics",
    "features",
    "models",
    "store",
    "monitoring",
    "registry",
    "training",
    "sources",
    "evaluation",
    "serving",
    "plots",
    "pipeline",
    "integrations",
    "usecases",
)
OPEN = {  # imports upwards that the targets of a use case end; shrinks to nothing
    ("evaluation.advisor", "plots"),
    ("monitoring.alert_trigger", "training"),
    ("registry.promotion.gate", "training"),
    ("serving.live.session", "pipeline"),
    ("sources.ingest", "pipeline"),
    ("store.materialize", "training"),
}
RANK = {name: rank for rank, name in enumerate(ROOMS)}

DOORS = {  # third party: the modules that may import it
    "ccxt": {"usecases.crypto.exchange.exchange"},
    "deltalake": {"store.offline"},
    "lightgbm": {"models.boosted"},
    "matplotlib": {"plots.style"},
    "uvicorn": {"serving.endpoint", "serving.connections"},
    "fastapi": {"serving.app", "usecases.fraud.endpoint"},
    "papermill": {"pipeline.notebooks"},
    "jupyter_client": {"pipeline.interpreter"},
    "jinja2": {"pipeline.report", "serving.pages"},
    "yaml": {"pipeline.runner"},
    "tqdm": {"core.run_folder"},
    "duckdb": set(),  # the oracle of the tests, never of the package
    "polars": set(),
}
DOOR_PACKAGES = {"numba": {"kernels", "usecases"}, "river": {"models"}, "sqlalchemy": {"store", "registry"}}
CLOCKS = {"time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns", "now", "utcnow", "today"}
LONGEST = {
    "kernels": 50,
    "usecases": 50,
}  # a compiled loop over state stays in one piece: a call inside it costs more than its lines
VAGUE = {"utils", "util", "helpers", "helper", "common", "misc", "manager", "handler", "processor"}


def name_of(path):
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def tree_of(path):
    return ast.parse(path.read_text(encoding="utf-8"))


def imports(path):
    """Every module that a module imports, at its head or inside a function."""
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def rank(module):
    """Rank of ``store.log`` by itself or by its package; None where it has none."""
    return RANK.get(module, RANK.get(module.split(".")[0]))


each_module = pytest.mark.parametrize("path", MODULES, ids=name_of)


@each_module
def test_a_module_has_a_rank_and_imports_only_lower_ones(path):
    module = name_of(path)
    assert rank(module) is not None, f"{module} has no rank: give it one in {Path(__file__).name}"
    for imported in imports(path):
        inner = imported.removeprefix("rtml.")
        if inner == imported or rank(inner) is None or inner.split(".")[0] == module.split(".")[0]:
            continue
        if (module, inner.split(".")[0]) in OPEN:
            continue
        assert rank(inner) < rank(module), f"{module} (rank {rank(module)}) imports {inner} (rank {rank(inner)})"


def for_types_alone(path):
    """Modules that are imported below ``if TYPE_CHECKING``: never while the program runs."""
    blocks = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.unparse(n.test)]
    found = [n for block in blocks for n in ast.walk(block) if isinstance(n, ast.ImportFrom)]
    return {n.module for n in found} | {f"{n.module}.{alias.name}" for n in found for alias in n.names}


def test_no_module_imports_itself_in_a_circle():
    names = {name_of(path) for path in MODULES}
    ran = {p: set(imports(p)) - for_types_alone(p) for p in MODULES}
    edges = {name_of(p): {i.removeprefix("rtml.") for i in ran[p]} & names for p in MODULES}
    while leaves := [name for name, below in edges.items() if not below & edges.keys()]:
        for name in leaves:
            del edges[name]
    assert not edges, f"these import each other: {sorted(edges)}"


@each_module
def test_third_parties_come_in_by_their_door(path):
    module = name_of(path)
    for imported in {name.split(".")[0] for name in imports(path)}:
        assert module in DOORS.get(imported, {module}), f"{imported} belongs to {DOORS[imported]}"
        rooms = DOOR_PACKAGES.get(imported, {module.split(".")[0]})
        assert module.split(".")[0] in rooms, f"{imported} belongs to {rooms}"


@each_module
def test_relative_imports_are_not_used(path):
    assert not [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.ImportFrom) and n.level]


def test_only_one_door_calls_a_river_model():
    called = re.compile(r"\.(learn_one|predict_one|predict_proba_one)\(")
    callers = {name_of(p) for p in MODULES if called.search(p.read_text()) and not name_of(p).startswith("usecases")}
    own_models = {name for name in callers if name.startswith("models.")}
    assert callers == own_models, f"a river model is called outside rtml/models/: {callers - own_models}"


@each_module
def test_the_clock_is_read_in_clock_alone(path):
    if name_of(path) == "core.clock":
        return
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in CLOCKS:
            owner = ast.unparse(node.func.value)
            assert owner not in {"time", "datetime", "dt", "date", "pd.Timestamp", "datetime.datetime"}, (
                f"line {node.lineno}: {owner}.{node.func.attr}() reads the wall clock: take a rtml.core.clock.Clock"
            )


@each_module
def test_randomness_comes_from_a_generator(path):
    assert "random" not in set(imports(path)), "import random: take a numpy Generator"
    found = re.findall(r"np\.random\.(?!default_rng|Generator|SeedSequence|PCG64)(\w+)", path.read_text())
    assert not found, f"np.random.{found}: take a numpy Generator"


@each_module
def test_a_module_says_in_one_sentence_what_it_is(path):
    words = (ast.get_docstring(tree_of(path)) or "").split("\n")
    assert words[0].endswith((".", "?")), f"first line of {name_of(path)}: {words[0]!r}"
    assert len(words) == 1 or words[1] == "", "one sentence on the first line, then an empty one"


@each_module
def test_a_module_is_at_most_400_lines(path):
    assert len(path.read_text().splitlines()) <= 400


def code_lines(function):
    """Lines of a function without its docstring."""
    lines = function.end_lineno - function.lineno + 1
    first = function.body[0]
    if isinstance(first, ast.Expr) and isinstance(first.value, ast.Constant) and isinstance(first.value.value, str):
        lines -= first.end_lineno - first.lineno + 1
    return lines


@each_module
def test_a_function_is_at_most_25_lines(path):
    functions = [n for n in ast.walk(tree_of(path)) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef)]
    longest = LONGEST.get(name_of(path).split(".")[0], 25)
    long = {f.name: code_lines(f) for f in functions if code_lines(f) > longest}
    assert not long, f"cut into parts with names of their own: {long}"


@each_module
def test_public_names_say_what_they_are(path):
    kinds = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef
    public = [n for n in tree_of(path).body if isinstance(n, kinds) and not n.name.startswith("_")]
    assert not [n.name for n in public if not ast.get_docstring(n)]


@each_module
def test_a_module_is_named_for_what_it_is(path):
    assert not VAGUE & {part for name in name_of(path).split(".") for part in name.split("_")}


ROOM_FILES = sorted(PACKAGE.rglob("*/__init__.py"))  # rtml/__init__.py lists what a user types: tests/test_api.py


@pytest.mark.parametrize("path", ROOM_FILES, ids=lambda p: p.parent.name)
def test_a_package_is_a_docstring_and_nothing_else(path):
    tree = tree_of(path)
    assert len(tree.body) == 1 and ast.get_docstring(tree), f"{path.relative_to(ROOT)} holds code"


@each_module
def test_only_a_use_case_knows_what_is_predicted(path):
    """Targets are declared; nothing outside the use cases names one, or its unit."""
    if name_of(path).split(".")[0] == "usecases":
        return
    named = re.findall(r'"(?:return|sign|volatility|fraud)"|return_bp|p_up', path.read_text())
    own = {"core.use_case": {'"fraud"'}}
    assert set(named) <= own.get(name_of(path), set()), named


@each_module
def test_only_a_use_case_knows_a_market(path):
    """Readers of files, ingest, stores and figures are of any stream: a price is a column like another."""
    if name_of(path).split(".")[0] in ("usecases", "integrations"):
        return
    texts = {node.value for node in ast.walk(tree_of(path)) if isinstance(node, ast.Constant)}
    own = {"sources.csv_tables": {"price"}}  # the first of the three header rows that yfinance writes
    assert not {"price", "bid", "ask", "buy", "sell", "trade", "quote"} & texts - own.get(name_of(path), set())


def test_code_is_formatted_and_follows_the_rules():
    ruff = shutil.which("ruff", path=str(Path(sys.executable).parent)) or shutil.which("ruff")
    for command in (["check", "--quiet"], ["format", "--check", "--quiet"]):
        done = subprocess.run([ruff, *command, "--no-cache", "."], cwd=ROOT, capture_output=True, text=True)
        assert done.returncode == 0, f"make lint: {done.stdout}{done.stderr}"
