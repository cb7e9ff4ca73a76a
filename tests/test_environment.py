"""The lock, the project file, the conda file and what is installed name the same versions, and no index address."""

import re
import sys
import tomllib
from importlib.metadata import version
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ASKED = [Requirement(line) for line in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]]


def locked(file):
    """Requirement and its hashes, entry by entry."""
    text = (ROOT / file).read_text()
    entries = re.split(r"\n(?=[A-Za-z0-9])", text)
    return [(Requirement(entry.split("\\")[0].strip()), re.findall(r"--hash=(\S+)", entry)) for entry in entries]


LOCK = locked("requirements.lock")
CONDA = yaml.safe_load((ROOT / "environment.yml").read_text())
PIP = next(part["pip"] for part in CONDA["dependencies"] if isinstance(part, dict))


LOCKS = ["requirements.lock", *(f".ci/{name}.lock" for name in ("uv", "schemathesis", "extras-ray", "extras-spark"))]


@pytest.mark.parametrize("file", LOCKS)
def test_every_locked_version_is_exact_and_hashed(file):
    for requirement, hashes in locked(file):
        assert [s.operator for s in requirement.specifier] == ["=="], requirement
        assert hashes and all(re.fullmatch(r"sha256:[0-9a-f]{64}", h) for h in hashes), requirement


@pytest.mark.parametrize("requirement", ASKED, ids=lambda r: r.name)
def test_the_lock_holds_what_the_project_asks_for(requirement):
    found = [r for r, _ in LOCK if canonicalize_name(r.name) == canonicalize_name(requirement.name)]
    assert found, f"{requirement.name} is in pyproject.toml but not in requirements.lock"
    for entry in found:
        assert next(iter(entry.specifier)).version in requirement.specifier, entry


def test_conda_users_get_the_lock_and_the_same_names():
    assert PIP[0] == "-r requirements.lock"
    assert PIP[1:] == sorted(r.name for r in ASKED)


def test_one_lowest_python_everywhere():
    lowest = PROJECT["requires-python"]
    assert f"python{lowest}" in CONDA["dependencies"]
    assert f"({lowest.removeprefix('>=').replace('.', ', ')})" in (ROOT / "Makefile").read_text()
    assert f"{sys.version_info.major}.{sys.version_info.minor}" in SpecifierSet(lowest)


def test_what_is_installed_is_what_is_locked():
    wrong = {}
    for requirement, _ in LOCK:
        if requirement.marker is None or requirement.marker.evaluate():
            want = next(iter(requirement.specifier)).version
            wrong |= {requirement.name: f"locked {want}"} if version(requirement.name) != want else {}
    assert not wrong, f"{wrong}: make env brings them in step"


@pytest.mark.parametrize(
    "file",
    [*LOCKS, ".ci/run", "environment.yml", "pyproject.toml", "Makefile"],
)
def test_no_address_of_an_index_and_no_place_on_a_machine(file):
    text = (ROOT / file).read_text()
    found = re.search(r"https?://|file://|--(extra-)?index-url|--find-links|/root/|/home/|/opt/|/Users/", text)
    assert not found, found
