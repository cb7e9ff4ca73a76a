"""States that earlier releases wrote are read by this one, and those of a later one are refused."""

import zlib

import numpy as np
import pytest
from kept_states import FOLDER, kept, learned, rows

from rtml.core.state import FORMAT, dumps, loads
from rtml.models.compiled import restore
from rtml.training.run_config import RunConfig

RELEASES = sorted(FOLDER.glob("*.z"))
each = pytest.mark.parametrize("path", RELEASES, ids=lambda path: path.stem)


def read(path):
    return loads(zlib.decompress(path.read_bytes()))


@each
def test_models_of_a_release_predict_as_they_did_and_go_on(path):
    X, _ = rows()
    models = read(path)["models"]
    assert len(models) > 15
    for name, was in models.items():
        model = restore(loads(was["state"]))
        np.testing.assert_allclose([model.predict(x) for x in X[60:]], was["predictions"], rtol=1e-12, err_msg=name)
        again = learned(name)
        again.load(loads(was["state"]))
        assert dumps(again.state) == was["state"], f"{name}: goes on from another state"


@each
def test_a_training_of_a_release_is_taken_up(path, tmp_path):
    was = read(path)["training"]
    (tmp_path / "recipe.json").write_text(was["recipe"])
    flow = RunConfig.read(tmp_path / "recipe.json").flow()
    flow.load(loads(was["state"]))
    width = len(flow.features.names)
    X = rows(20 * width)[0].reshape(-1)[: 20 * width].reshape(20, width)
    for name, said in was["predictions"].items():
        now = [flow.learners[name].model.predict(x) for x in X]
        np.testing.assert_allclose(now, said, rtol=1e-12, err_msg=name)
    assert dumps(flow.state) == was["state"]


def test_states_kept_are_those_that_this_release_would_write_or_of_an_earlier_one():
    """A change of a layout is seen here: keep the old file, bump the version, and write the new release's beside it."""
    newest, now = read(RELEASES[-1]), kept()
    for name, was in newest["models"].items():
        assert set(loads(was["state"])) == set(loads(now["models"][name]["state"])), f"{name}: another layout"


def test_a_state_of_a_later_release_is_refused_with_what_to_do():
    blob = dumps({"format": FORMAT + 1, "weights": np.ones(2)})
    with pytest.raises(ValueError, match=rf"format {FORMAT + 1}, this release reads up to {FORMAT}: .*rtml reproduce"):
        loads(blob)
    assert loads(dumps({"format": FORMAT}))["format"] == FORMAT
