"""Surgery keeps what a linear model knows: exact where it can be, the same prediction where it must."""

import numpy as np
import pytest
from river import tree

from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.models.surgery import FRESH, KEPT, operate

NAMES = ("a", "b", "c")


def stream(n=4000, seed=0):
    r = np.random.default_rng(seed)
    X = r.normal(size=(n, 3)) @ np.array([[1, 0.4, 0], [0, 1, 0.3], [0, 0, 1]]) + [5.0, 0.0, -2.0]
    y = X @ [1.0, -2.0, 0.5] + r.normal(size=n)
    at = np.arange(n, dtype=np.int64)
    return Questions(at, at, X, y, at + 1, NAMES)


def columns(questions, names):
    X = questions.X[:, [questions.names.index(name) for name in names]]
    return Questions(questions.id, questions.moment, X, questions.y, questions.known, tuple(names))


def learned(name, questions):
    return progressive(zoo.build(name), questions).learner.model


@pytest.mark.parametrize("gone", NAMES)
def test_a_feature_taken_from_the_exact_model_leaves_the_one_that_never_had_it(gone):
    asked, left = stream(), [name for name in NAMES if name != gone]
    smaller, how = operate(learned("rls_all", asked), left)
    never = learned("rls_all", columns(asked, left))
    assert how == KEPT
    for row in columns(asked, left).X[:20]:
        assert smaller.predict(row) == pytest.approx(never.predict(row), abs=1e-6)


@pytest.mark.parametrize("name", ["rls", "rls_all", "sgd", "logistic", "recursive_logistic"])
def test_a_feature_added_or_moved_changes_no_prediction_yet(name):
    asked = stream()
    if name in ("logistic", "recursive_logistic"):
        asked = Questions(asked.id, asked.moment, asked.X, (asked.y > 0).astype(float), asked.known, NAMES)
    narrow = learned(name, columns(asked, ("a", "b")))
    before = narrow.state
    wide, how = operate(narrow, ("b", "c", "a"), seen=asked[-500:])
    for row in asked.X[:20]:
        assert wide.predict(row[[1, 2, 0]]) == pytest.approx(narrow.predict(row[:2]), rel=1e-12)
    wide.learn(asked.X[0][[1, 2, 0]], asked.y[0])
    assert how == KEPT and all(np.array_equal(narrow.state[k], before[k]) for k in before), "the old model serves on"


def test_an_operated_model_learns_the_new_feature_faster_than_one_from_scratch():
    asked = stream(6000, seed=3)
    history, after = asked[:3000], asked[3000:3100]
    model, _ = operate(learned("rls", columns(history, ("a", "b"))), NAMES, seen=history[-500:])
    fresh = compile(zoo.build("rls"), NAMES)
    lost = {}
    for name, one in (("operated", model), ("scratch", fresh)):
        errors = []
        for x, y in zip(after.X, after.y, strict=True):
            errors.append((one.predict(x) - y) ** 2)
            one.learn(x, y)
        lost[name] = np.mean(errors)
    assert lost["operated"] < 0.8 * lost["scratch"]


def test_a_tree_starts_from_scratch_as_a_challenger():
    old = compile(tree.HoeffdingTreeRegressor(), NAMES)
    fresh, how = operate(old, (*NAMES, "d"), build=tree.HoeffdingTreeRegressor)
    assert how == FRESH and fresh.names == (*NAMES, "d")
    with pytest.raises(ValueError, match="cannot be operated on: give build"):
        operate(old, (*NAMES, "d"))


def test_a_new_feature_that_nobody_has_seen_is_refused_by_a_model_that_scales():
    with pytest.raises(ValueError, match="to add c to a model that scales, give questions that have seen them"):
        operate(learned("rls", columns(stream(500), ("a", "b"))), NAMES)
