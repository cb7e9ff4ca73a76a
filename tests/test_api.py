"""What ``import rtml`` gives: light, and every name it lists is there."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import rtml

ROOT = Path(__file__).parents[1]


@pytest.mark.parametrize("name", dir(rtml))
def test_every_listed_name_resolves(name):
    found = getattr(rtml, name)
    assert name == "__version__" or found.__name__ == name


def test_the_names_an_editor_sees_are_those_that_are_found():
    tree = ast.parse((ROOT / "rtml" / "__init__.py").read_text())
    imported = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module.startswith("rtml.")]
    assert {alias.asname: node.module for node in imported for alias in node.names} == rtml.NAMES


def test_importing_the_package_is_light():
    program = (
        "import rtml, sys; dir(rtml); print([m for m in ('numpy', 'pandas', 'numba', 'river') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_what_serves_and_learns_is_imported_without_what_it_may_never_use():
    late = ("pandas", "pyarrow", "scipy.stats", "scipy.special", "matplotlib", "river.linear_model", "river.tree")
    late += ("river.preprocessing", "river.datasets", "papermill", "sklearn", "lightgbm")
    program = (
        "import sys; from rtml.pipeline import live, serve, train; from rtml.kernels.cache import KERNELS\n"
        f"print([name for name in {late} if name in sys.modules], len(KERNELS) > 50)"
    )
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[] True"


def test_a_room_is_reached_by_its_name_and_an_unknown_name_is_refused():
    assert rtml.features.__name__ == "rtml.features"
    with pytest.raises(AttributeError, match="rtml has no 'evalute'; there are: AsyncClient, Client, Clock, Dataset"):
        rtml.evalute  # noqa: B018


def test_the_package_says_that_it_is_typed():
    assert (ROOT / "rtml" / "py.typed").exists() and "py.typed" in (ROOT / "pyproject.toml").read_text()
