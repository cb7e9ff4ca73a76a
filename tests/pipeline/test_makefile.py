"""The Makefile: what a user writes in a variable arrives at the command as it was written."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from rtml.core.use_case import load_use_case
from rtml.pipeline.commands import rtml
from rtml.pipeline.runner import split

ROOT = Path(__file__).parents[2]
PYTHON = """#!/bin/sh
exec {python} -c 'import json, sys; print(json.dumps(sys.argv[1:]))' "$@"
"""
pytestmark = pytest.mark.skipif(not shutil.which("make"), reason="make is not installed")


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """A folder with the Makefile and an environment whose Python prints its arguments."""
    folder = tmp_path_factory.mktemp("check out")
    for name in ("Makefile", "requirements.lock", "pyproject.toml", ".ci/uv.lock"):
        (folder / name).parent.mkdir(exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    (folder / ".venv/bin").mkdir(parents=True)
    python = folder / ".venv/bin/python"
    python.write_text(PYTHON.format(python=shutil.which("python3")))
    python.chmod(0o755)
    (folder / ".venv/.ready").touch()
    return folder


def made(checkout, *words):
    """Output of make; the variables of a make around this test are not its own."""
    clean = {k: v for k, v in os.environ.items() if k not in ("MAKEFLAGS", "MAKELEVEL", "PARAMS", "RUN", "SOURCE")}
    done = subprocess.run(["make", *words], cwd=checkout, env=clean, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


def command(checkout, *words):
    """Verb and parameters of the one command that a target runs."""
    (line,) = made(checkout, *words)
    minus_m, package, verb, *rest = json.loads(line)
    assert (minus_m, package) == ("-m", "rtml")
    return verb, rtml.commands[verb].make_context(verb, rest).params


@pytest.mark.parametrize(
    ("params", "values"),
    [
        ('CHAMPION="rls: stateful every 1h"', {"CHAMPION": "rls: stateful every 1h"}),
        ("CHAMPION='rls: stateful every 1h' SEED=3", {"CHAMPION": "rls: stateful every 1h", "SEED": "3"}),
        ('COLUMNS={"time":"T","price":"p"}', {"COLUMNS": '{"time":"T","price":"p"}'}),
        ('SEED=3 COLUMNS={"time": "Open time", "price": "it\'s"}',
         {"SEED": "3", "COLUMNS": '{"time": "Open time", "price": "it\'s"}'}),
        ("HOURS=48 SEED=3", {"HOURS": "48", "SEED": "3"}),
        ("CHAMPION=rls: stateful every 1h HOURS=2", {"CHAMPION": "rls: stateful every 1h", "HOURS": "2"}),
        ("MODELS=a, b; echo `id` \\ \"", {"MODELS": "a, b; echo `id` \\ \""}),
    ],
)  # fmt: skip
def test_blanks_and_quotes_in_a_parameter_survive(checkout, params, values):
    verb, found = command(checkout, "run-all", f"PARAMS={params}")
    assert verb == "run" and found["params"] == params
    assert dict(split(found["params"])) == values


def test_every_variable_survives_and_one_that_is_not_given_is_the_default(checkout):
    given = {
        "USE_CASE": "my cases/bikes.py:hourly",
        "SOURCE": "A=it's.csv,B=b b.csv",
        "RUN": "a run",
        "PROFILE": "small",
    }
    _, found = command(checkout, "run-all", *(f"{name}={value}" for name, value in given.items()))
    assert [found[name] for name in ("use_case", "source", "run", "profile")] == list(given.values())
    _, found = command(checkout, "run-03")
    assert [found[name] for name in ("use_case", "run", "profile", "only")] == ["", "", "demo", "03"]
    assert command(checkout, "report")[1]["run"] == "latest" and command(checkout, "live")[1]["run"] == "live"
    verb, found = command(checkout, "live", "SYMBOLS=ETH/USD,BTC/USD", "RUN=eth", "LIVE_ARGS=--record 'k k.log'")
    assert (verb, found["run"], found["symbols"], found["record"]) == ("live", "eth", "ETH/USD,BTC/USD", "k k.log")
    assert found["source"] == "" and load_use_case("crypto").usual == "kraken"


def test_the_readme_s_own_parameters_are_taken():
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if "PARAMS='" in line]
    texts = [line.split("PARAMS='")[1].split("'")[0] for line in lines]
    assert texts and all(split(text) for text in texts)


def test_clean_keeps_the_runs_unless_it_is_told_otherwise(checkout):
    (checkout / "runs/dev").mkdir(parents=True)
    shutil.copytree(checkout / ".venv", checkout / "other")
    assert made(checkout, "clean", "VENV=other") == [
        "rtml: runs/ and lab/ are kept: make clean RUNS=1 removes them too"
    ]
    assert (checkout / "runs/dev").exists() and not (checkout / "other").exists()
    assert made(checkout, "clean", "VENV=other", "RUNS=1") == [] and not (checkout / "runs").exists()
