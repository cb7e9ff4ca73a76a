"""A missing value has one meaning: trees learn where it goes, for linear models it is as nothing; never an error."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from models.test_hoeffding import concept, nodes_of
from river import linear_model, naive_bayes, optim, preprocessing, tree
from streams import COMPILED

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.models.catalogue import ZOO, build
from rtml.models.clip import Clip
from rtml.models.compiled import compile, restore
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

NAMES = ("flat", "flow", "return_1", "volume")  # in their order, which the faces of river take them in


def gappy(n, seed=0, share=0.3, classifier=False):
    """Rows of which a share is missing, with labels; the first row has everything."""
    rng = np.random.default_rng(seed)
    X = rng.normal(1.0, [1.0, 3.0, 2.0, 20.0], (n, len(NAMES)))
    y = X @ [1.0, -0.5, 0.3, 0.02] + rng.normal(0.0, 0.5, n)
    X[1:][rng.random((n - 1, len(NAMES))) < share] = np.nan
    return X, (y > 0.8).astype(float) if classifier else y


def as_dict(x, names=NAMES):
    return {name: value for name, value in zip(names, x.tolist(), strict=True) if value == value}


@pytest.mark.parametrize("name", COMPILED)
def test_a_linear_twin_takes_what_is_missing_as_river_takes_what_is_absent(name):
    model, twin = COMPILED[name](), compile(COMPILED[name](), NAMES)
    X, y = gappy(400, classifier=twin.classifier)
    for x, label in zip(X, y, strict=True):
        row = as_dict(x)
        expected = model.predict_proba_one(row)[True] if twin.classifier else model.predict_one(row)
        assert twin.predict(x) == pytest.approx(expected, rel=1e-9, abs=1e-9)
        twin.learn(x, label)
        model.learn_one(row, bool(label) if twin.classifier else label)
    taken = compile(model, NAMES)
    assert taken.kind == "compiled" and taken.predict(X[7]) == pytest.approx(twin.predict(X[7]), abs=1e-9)
    for each in (taken, twin):
        each.learn(X[9], y[9])
    assert taken.predict(X[7]) == pytest.approx(twin.predict(X[7]), abs=1e-9)


def test_what_is_missing_adds_nothing_and_does_not_move_the_scaler():
    model = compile(preprocessing.StandardScaler() | RecursiveLeastSquares(ridge=1.0), ["a", "b"])
    rng = np.random.default_rng(0)
    for a, b in rng.normal(5.0, 2.0, (200, 2)):
        model.learn([a, b], a - b)
    before = model.state
    model.learn([np.nan, 5.0], 0.0)
    after = model.state
    assert (before["means"][0], before["variances"][0]) == (after["means"][0], after["variances"][0])
    assert after["missed"].tolist() == [1.0, 0.0] and before["means"][1] != after["means"][1]
    mean = after["means"][0]
    assert model.predict([np.nan, 6.0]) == pytest.approx(model.predict([mean, 6.0]), abs=1e-12)
    assert model.predict([np.nan, np.nan]) == pytest.approx(after["intercept"])


@pytest.mark.parametrize("build_model", [RecursiveLeastSquares, lambda: Clip() | RecursiveLogistic()])
def test_for_the_face_nan_and_absent_are_the_same(build_model):
    one, other = build_model(), build_model()
    X, y = gappy(200, classifier=True)
    for x, label in zip(X, y, strict=True):
        one.learn_one(as_dict(x), bool(label))
        other.learn_one(dict(zip(NAMES, x.tolist(), strict=True)), bool(label))
    for x in X[:50]:
        assert one.predict_one(as_dict(x)) == other.predict_one(dict(zip(NAMES, x.tolist(), strict=True)))


@pytest.mark.parametrize("leaf", ["nb", "nba"])
def test_a_leaf_with_gaps_is_rivers(leaf):
    model = tree.HoeffdingTreeClassifier(leaf_prediction=leaf, grace_period=10**9)
    twin = compile(model, NAMES)
    X, y = gappy(600, classifier=True)
    for x, label in zip(X, y, strict=True):
        odds = model.predict_proba_one(as_dict(x))
        assert twin.predict(x) == pytest.approx(odds[True] if len(odds) == 2 else twin.predict(x), abs=1e-9)
        twin.learn(x, label)
        model.learn_one(as_dict(x), bool(label))


@pytest.mark.parametrize("classes", [(), (0, 1)])
def test_a_tree_sends_what_is_missing_where_river_sends_it(classes):
    questions = concept(4000)
    model = tree.HoeffdingTreeClassifier(grace_period=20, delta=0.01)
    twin = compile(model, questions.names, classes)
    for x, label in zip(questions.X, questions.y, strict=True):
        twin.learn(x, label)
        model.learn_one(dict(zip(questions.names, x.tolist(), strict=True)), bool(label))
    assert len(nodes_of(model)) >= 5
    rng = np.random.default_rng(1)
    for x in questions.X[:500]:
        x = np.where(rng.random(len(x)) < 0.5, np.nan, x)
        found = twin.predict(x)[1] if classes else twin.predict(x)
        assert found == pytest.approx(model.predict_proba_one(as_dict(x, questions.names))[True], abs=1e-9)


def test_a_tree_learns_where_what_is_missing_belongs():
    rng = np.random.default_rng(3)
    X, y = rng.random((6000, 2)), np.zeros(6000)
    y[:] = X[:, 0] > 0.3
    X[(y == 1) & (rng.random(6000) < 0.5), 0] = np.nan  # what is missing is of class 1
    model = compile(tree.HoeffdingTreeClassifier(grace_period=50), ["a", "b"])
    for x, label in zip(X, y, strict=True):
        model.learn(x, label)
    assert model.predict([np.nan, 0.5]) > 0.9 and model.predict([0.1, 0.5]) < 0.1 and model.nodes > 1


@pytest.mark.parametrize("name", ZOO)
def test_no_model_fails_in_mid_stream_and_any_cutting_gives_the_same_bits(name):
    classifier = compile(build(name), NAMES).classifier
    X, y = gappy(300, classifier=classifier, share=0.4)
    X[50:60] = np.nan  # all at once
    moment = 10 * np.arange(300)
    models = [compile(build(name), NAMES) for _ in range(2)]
    known, order = moment + 1, np.arange(300)
    whole, _ = models[0].replay(X, y, moment, known, order, NEVER)
    parts = []
    for start, stop in ((0, 55), (55, 56), (56, 300)):
        part = slice(start, stop)
        args = (X[part], y[part], moment[part], known[part], np.arange(stop - start), NEVER)
        parts.append(models[1].replay(*args)[0])
        models[1] = restore(checkpoint.loads(checkpoint.dumps(models[1].state)))
    assert np.isfinite(whole).all() and np.concatenate(parts).tobytes() == whole.tobytes()
    assert checkpoint.dumps(models[0].state) == checkpoint.dumps(models[1].state)


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([np.nan, 0.0, 1.0, -2.0, 1e6]), min_size=3, max_size=3), min_size=1, max_size=40)
)
def test_trees_stay_finite_whatever_is_missing(rows):
    for model in (
        build("forest", list("abc")),
        build("forest", list("abc"), "xyz"),
        build("hoeffding", list("abc"), "xyz"),
    ):
        for i, row in enumerate(rows):
            model.learn(np.array(row), float(i % 2))
            assert np.isfinite(model.predict(np.array(row))).all()


def test_a_river_model_sees_nothing_of_what_is_missing():
    model, alone = compile(naive_bayes.GaussianNB(), NAMES), naive_bayes.GaussianNB()
    X, y = gappy(50, classifier=True)
    for x, label in zip(X, y, strict=True):
        model.learn(x, label)
        alone.learn_one(as_dict(x), bool(label))
    assert model.predict(X[30]) == alone.predict_proba_one(as_dict(X[30]))[True]


def test_river_decays_only_weights_of_features_that_are_there():
    descent = lambda: linear_model.LinearRegression(optim.SGD(0.01), l2=0.5)  # noqa: E731
    model, twin = descent(), compile(descent(), ["a", "b"])
    for x in ([1.0, 2.0], [np.nan, 1.0], [np.nan, 3.0]):
        model.learn_one(as_dict(np.array(x), "ab"), 4.0)
        twin.learn(x, 4.0)
    assert twin.weights == pytest.approx(model.weights, rel=1e-12)
