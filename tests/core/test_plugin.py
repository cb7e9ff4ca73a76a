"""Your own models, metrics, use cases are found by module, by file and by entry point, and what is not is said."""

import pickle
import sys
from importlib import metadata

import pytest

from rtml.core import plugin

BUILTIN = {"zero": int, "one": lambda: 1}


@pytest.fixture
def file(tmp_path, monkeypatch):
    """A file of one's own, relative to the working directory, forgotten again after the test."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "my").mkdir()
    (tmp_path / "my/bikes.py").write_text(
        "COUNT = []\nCOUNT.append(1)\nclass Model:\n    name = 'bikes'\n    class Inner:\n        pass\n"
    )
    yield "my/bikes.py"
    for name in [name for name in sys.modules if name.startswith(plugin.PREFIX)]:
        del sys.modules[name]


def test_a_builtin_name_comes_first():
    assert plugin.load("zero", BUILTIN, "models") is int


def test_an_attribute_of_a_module_is_found():
    from collections import OrderedDict

    assert plugin.load("collections:OrderedDict", BUILTIN, "models") is OrderedDict
    assert plugin.load("collections:OrderedDict.fromkeys", {}, "models") == OrderedDict.fromkeys


def test_an_attribute_of_a_file_is_found_and_the_file_is_run_once(file):
    model = plugin.load(f"{file}:Model", BUILTIN, "models")
    assert model.name == "bikes" and plugin.load(f"./{file}:Model", BUILTIN, "models") is model
    assert plugin.load(f"{file}:COUNT", {}, "models") == [1]
    assert pickle.loads(pickle.dumps(model())).name == "bikes"
    assert plugin.load(f"{file}:Model.Inner", {}, "models") is model.Inner


def test_an_entry_point_of_an_installed_package_is_found(monkeypatch):
    point = metadata.EntryPoint("theirs", "collections:OrderedDict", "rtml.models")
    asked = []
    monkeypatch.setattr(plugin.metadata, "entry_points", lambda group: asked.append(group) or [point])
    assert plugin.load("theirs", BUILTIN, "models").__name__ == "OrderedDict"
    with pytest.raises(LookupError, match=r"no model 'mine'; there are: zero, one, theirs; or name your own: mod"):
        plugin.load("mine", BUILTIN, "models")
    assert asked == ["rtml.models", "rtml.models"]


def test_what_is_not_there_is_said_with_what_is(file, tmp_path):
    with pytest.raises(LookupError, match=r"no model 'my/bikes.py:Modell': my/bikes.py has no 'Modell'; it has: COUNT"):
        plugin.load(f"{file}:Modell", BUILTIN, "models")
    with pytest.raises(LookupError, match=r"there is no file 'cars.py' in my/: name it from the current folder"):
        plugin.load("my/cars.py:Model", BUILTIN, "models")
    with pytest.raises(LookupError, match=r"no module 'no_such_module' for 'no_such_module:x': install it, or give"):
        plugin.load("no_such_module:x", BUILTIN, "models")
    (tmp_path / "bikes.py").write_text("Model = 1\n")
    plugin.load(f"{file}:Model", BUILTIN, "models")
    assert plugin.load("bikes.py:Model", BUILTIN, "models") == 1, "another file of the same name is another module"


def test_what_a_file_lacks_is_its_own_error_and_it_can_be_loaded_when_that_is_mended(file, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("import no_such_library\n")
    for _ in range(2):
        with pytest.raises(ModuleNotFoundError, match="no_such_library"):
            plugin.load("broken.py:Model", BUILTIN, "models")
    broken.write_text("Model = 7\n")
    assert plugin.load("broken.py:Model", BUILTIN, "models") == 7


@pytest.mark.parametrize("name", ["rls: stateful every 1h", "rls", ":x", "x:", "a:b c", "x:1"])
def test_a_name_with_a_schedule_is_no_reference(name):
    assert not plugin.is_reference(name)
