"""No pickle is loaded unless somebody asked for it: an attack of a registry runs no code."""

import os
import pickle
import subprocess
import sys

import pytest

from rtml.core.state import dumps
from rtml.registry.registry import Registry

LOAD = """
import sys
from rtml.registry.lineage import models
from rtml.registry.registry import Registry
registry = Registry(sys.argv[1])
for version in registry.all("m"):
    try:
        print("loaded", sorted(models(registry, version)))
    except Exception as error:
        print(type(error).__name__, error)
"""


class Attack:
    """Leaves a folder behind when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def attacks(mark):
    """States that hold a pickle, of every kind and in a wrapper."""
    evil, head = pickle.dumps(Attack(mark)), {"names": ["a"], "classes": []}
    plain = {"kind": "plain", **head, "pickle": evil}
    how = {"every": 1, "first": 1, "window": 0, "fits": 0}
    refit = {"kind": "compiled", "twin": "refit", **head, "how": how, "estimator": evil}
    return [{"kind": "river", **head, "pickle": evil}, plain, {"served": plain}, refit]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A registry that an attacker wrote: every attack, declared flat and declared a pickle."""
    folder = tmp_path_factory.mktemp("attacked")
    registry = Registry(folder / "registry")
    for at, format in enumerate(("flat", "pickle")):
        for place, state in enumerate(attacks(folder / f"ran {format}")):
            registry.save("m", dumps({"models": {"y": state}}), at=10 * at + place, features="f", format=format)
    registry.close()
    return folder


def load(folder, **environment):
    """What a fresh process says of every version, and which attacks ran."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTML_PICKLES")}
    command = [sys.executable, "-c", LOAD, str(folder / "registry")]
    said = subprocess.check_output(command, env=clean | environment, text=True).splitlines()
    return said, [path.name for path in folder.glob("ran *")]


def test_a_written_registry_runs_no_code(folder):
    said, ran = load(folder)
    assert ran == [] and len(said) == 8
    assert all("set RTML_PICKLES=1 where you trust who wrote the registry" in line for line in said)


def test_a_version_declared_flat_is_never_unpickled_and_another_where_it_is_asked_for(folder):
    said, ran = load(folder, RTML_PICKLES="1")
    assert ran == ["ran pickle"], "the attack is one: it works where everything is trusted"
    assert all("RTML_PICKLES" in line for line in said[:4])
