"""What the pages say is there: commands, files, modules, tests, capabilities and column names."""

import ast
import re
from pathlib import Path

import pytest

from rtml.usecases.crypto.recordings.recording import NAMES

ROOT = Path(__file__).parents[1]
PAGES = [p for p in (ROOT / "README.md", ROOT / "data/README.md", *sorted((ROOT / "docs").glob("*.md"))) if p.exists()]
README = ROOT / "README.md"
CAPABILITIES = ROOT / "docs/capabilities.md"
each_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))
needs_readme = pytest.mark.skipif(not README.exists(), reason="there is no README yet")
needs_capabilities = pytest.mark.skipif(not CAPABILITIES.exists(), reason="there is no docs/capabilities.md yet")


def targets():
    lines = re.findall(r"^([a-z0-9 -]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    return {name for line in lines for name in line.split()}


def every_test():
    """Names of all tests, by file and by file::name."""
    found = set()
    for path in (ROOT / "tests").rglob("test_*.py"):
        file = path.relative_to(ROOT / "tests").as_posix()
        names = [n.name for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.FunctionDef)]
        found |= {file} | {f"{file}::{name}" for name in names if name.startswith("test_")}
    return found


@each_page
def test_every_make_target_that_is_named_exists(page):
    named = set(
        re.findall(r"make ([a-z][a-z0-9-]*)", "\n".join(re.findall(r"`[^`]+`|```.*?```", page.read_text(), re.S)))
    )
    assert named <= targets(), f"no such target: {named - targets()}"


@each_page
def test_every_link_leads_somewhere(page):
    links = re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
    missing = [to for to in links if not to.startswith(("http", "mailto")) and not (page.parent / to).exists()]
    assert not missing, missing


@each_page
def test_every_path_of_the_package_that_is_named_exists(page):
    named = set(re.findall(r"`((?:rtml|tests|benchmarks|notebooks|examples)/[\w/.]+)`", page.read_text()))
    assert not [path for path in named if not (ROOT / path).exists()]


@pytest.mark.parametrize(
    "word",
    ["feature is declared", "model is trained", "prediction is served", "use case", "detector", "store", "source"]
    + ["metric", "gRPC", "Kafka", "a folder that grows", "Spark", "consumer group", "candidate", "segment", "chart"]
    + ["retention", "schedule", "export", "device", "explain", "webhook", "quarantine", "canary", "rollback", "token"],
)
def test_one_search_for_the_word_of_the_field_leads_to_the_place(word):
    rows = [line for line in (ROOT / "docs/architecture.md").read_text().splitlines() if word.lower() in line.lower()]
    assert any("rtml/" in row or "rtml " in row or row.startswith("**A ") for row in rows), rows


@each_page
def test_no_place_on_a_machine_and_no_index_address(page):
    found = re.search(r"/(root|home|Users|opt)/\w+|--(extra-)?index-url|/simple/", page.read_text())
    assert not found, found


@needs_readme
def test_the_readme_is_short_enough_to_be_read():
    assert 100 <= len(README.read_text().splitlines()) <= 140


@needs_readme
def test_the_two_commands_come_first():
    head = "\n".join(README.read_text().splitlines()[:30])
    assert "make run-all" in head and "make test" in head


@needs_readme
def test_the_module_table_says_what_the_modules_say():
    rows = re.findall(r"^\| `rtml/([\w/]+)\.py` \| (.+?) \|$", README.read_text(), re.MULTILINE)
    for module, words in rows:
        docstring = ast.get_docstring(ast.parse((ROOT / "rtml" / f"{module}.py").read_text()))
        assert words == docstring.splitlines()[0].rstrip("."), module


@needs_readme
def test_the_notebook_table_names_the_five():
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        assert path.name in README.read_text()


@needs_capabilities
def test_every_capability_is_one_of_the_checklist_and_names_tests_that_exist():
    rows = re.findall(r"^\| ([A-Q]\d{1,2}) \|(.+)\|$", CAPABILITIES.read_text(), re.MULTILINE)
    assert rows, "a row reads '| A1 | capability | where to see it | `test_x.py::test_name` |'"
    identifiers = [identifier for identifier, _ in rows]
    assert len(identifiers) == len(set(identifiers)), "a capability is claimed twice"
    known = every_test()
    for identifier, row in rows:
        named = re.findall(r"((?:\w+/)*test_\w+\.py(?:::test_\w+)?)", row)
        assert named, f"{identifier} names no test"
        assert set(named) <= known, f"{identifier}: no such test {set(named) - known}"


def test_the_columns_of_a_recording_are_those_that_are_found():
    rows = re.findall(r"^\| `(\w+)` \| ((?:`\w+`,? ?)+)\|", (ROOT / "data/README.md").read_text(), re.MULTILINE)
    assert {ours: tuple(re.findall(r"`(\w+)`", names)) for ours, names in rows} == NAMES
