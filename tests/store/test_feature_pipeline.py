"""A feature pipeline has a version: of what is declared, and of the code that computes it."""

import numpy as np
import pytest

from rtml.core import plugin
from rtml.features.feature_set import FeatureSet
from rtml.store.feature_pipeline import QuestionStream, versioned
from rtml.store.offline import FeatureTable

CASE = """
import numpy as np
from rtml.core.operator import Asked
from rtml.features.declarations import Feature
from rtml.features.feature_set import FeatureSet
from rtml.features.formulas import column


class Doubling:
    def __init__(self):
        self.features = FeatureSet([Feature("twice", column("x") * {factor}, "1", "of x")], ["x"])

    def push(self, events):
        moment, x = events["time"], {scale} * events["x"]
        X = self.features.push(moment, x[:, None])
        empty = np.empty(0)
        return Asked([], moment // 10, moment, X, empty.astype(int), empty, empty)
"""


def stream(folder, **how):
    folder.mkdir(exist_ok=True)
    (folder / "case.py").write_text(CASE.format(**how))
    return QuestionStream(plugin.load(f"{folder / 'case.py'}:Doubling", {}, "operators")())


def test_changed_code_is_a_new_version_and_so_is_a_changed_formula(tmp_path):
    first = stream(tmp_path / "a", factor=2.0, scale=1.0)
    same = stream(tmp_path / "b", factor=2.0, scale=1.0)
    code = stream(tmp_path / "c", factor=2.0, scale=3.0)
    formula = stream(tmp_path / "d", factor=4.0, scale=1.0)
    assert first.definition == same.definition
    assert first.operator.features.definition == code.operator.features.definition, "the formulas are the same"
    assert len({first.definition, code.definition, formula.definition}) == 3
    assert first.definition.startswith(first.operator.features.definition + "-")


def test_every_stored_value_carries_the_version_of_its_pipeline(tmp_path):
    events = np.array([(10, 1.0), (20, 2.0)], dtype=[("time", "i8"), ("x", "f8")])
    versions = []
    table = FeatureTable(tmp_path / "table", ("twice",))
    for at, scale in enumerate((1.0, 3.0)):
        one = stream(tmp_path / str(at), factor=2.0, scale=scale)
        events["time"] += 100
        facts = one.push(events)
        table.append(facts, f"log@{one.definition}", len(events))
        versions.append(one.definition)
        assert set(facts.definition.tolist()) == {one.definition}
    kept = table.history()
    assert kept.groupby("definition")["twice"].sum().to_dict() == pytest.approx({versions[0]: 6.0, versions[1]: 18.0})


def test_the_code_of_the_feature_set_is_part_of_every_version(monkeypatch):
    before = versioned("x", FeatureSet)
    monkeypatch.setattr("rtml.store.feature_pipeline.stamp", lambda file: f"changed {file.name}")
    assert versioned("x") != before and versioned("x").startswith("x-")
