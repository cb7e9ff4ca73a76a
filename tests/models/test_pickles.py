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
{before}
try:
    print(sorted(models(Registry(sys.argv[1]), sys.argv[2])))
except Exception as error:
    print(type(error).__name__, error)
"""
RIVER = (
    "from river import tree; from rtml.models.compiled import compile; compile(tree.HoeffdingTreeRegressor(), ['a'])"
)


class Attack:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark):
        self.mark = str(mark)

    def __reduce__(self):
        return os.mkdir, (self.mark,)


def states(mark):
    evil, head = pickle.dumps(Attack(mark)), {"names": ["a"], "classes": []}
    plain = {"kind": "plain", **head, "pickle": evil}
    how = {"every": 1, "first": 1, "window": 0, "fits": 0}
    refit = {"kind": "compiled", "twin": "refit", **head, "how": how, "estimator": evil}
    yield from ({"kind": "river", **head, "pickle": evil}, plain, {"served": plain}, refit)


@pytest.mark.parametrize("format", ["flat", "pickle"])
@pytest.mark.parametrize("place", range(4))
def test_a_written_registry_runs_no_code(tmp_path, format, place):
    mark, registry = tmp_path / "ran", Registry(tmp_path / "registry")
    registry.save("m", dumps({"models": {"y": list(states(mark))[place]}}), at=1, features="f", format=format)
    arguments = [str(tmp_path / "registry"), "m@1"]
    clean = {name: value for name, value in os.environ.items() if not name.startswith("RTML_PICKLES")}

    def load(before="", **environment):
        command = [sys.executable, "-c", LOAD.format(before=before), *arguments]
        return subprocess.check_output(command, env=clean | environment, text=True)

    said = load()
    assert "set RTML_PICKLES=1 where you trust who wrote the registry" in said and not mark.exists()
    if format == "flat":
        load(before=RIVER, RTML_PICKLES="1")
        assert not mark.exists(), "declared flat: whatever was asked for"
    elif place == 0:
        load(RTML_PICKLES="1")
        assert mark.exists(), "the attack is one: it works where everything is trusted"
