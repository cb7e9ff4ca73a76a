"""Models of many classes: river's own numbers where a twin exists, honest probabilities, the same however cut."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import forest, linear_model, naive_bayes, preprocessing, tree
from streams import by_hand

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.models.catalogue import build
from rtml.models.compiled import compile, restore
from rtml.models.forest import AdaptiveRandomForest
from rtml.models.recursive_logistic import RecursiveLogistic

NAMES, CLASSES = tuple("abcdefghij"), ("low", "middle", "high", "top")
MODELS = {
    "forest": lambda: AdaptiveRandomForest(3, grace_period=10, delta=0.5, tau=0.9, warning_delta=0.9, drift_delta=0.8),
    "tree": lambda: tree.HoeffdingTreeClassifier(grace_period=10, delta=0.5, tau=0.5),
    "softmax": lambda: preprocessing.StandardScaler() | RecursiveLogistic(forgetting=0.99),
    "boosted": lambda: __import__("rtml.models.boosted", fromlist=["x"]).BoostedRefit(every=60, first=30, rounds=3),
    "majority": lambda: build("majority"),
    "no_change": lambda: build("no_change"),
    "naive Bayes of river": naive_bayes.GaussianNB,
    "two-class model of river": lambda: preprocessing.StandardScaler() | linear_model.LogisticRegression(),
    "calibrated": lambda: build("calibrated_logistic"),
}


def classes_of(n, seed=5, delay=15):
    """Four classes in boxes of ten features, a tenth of the labels wrong, answers that overlap."""
    rng = np.random.default_rng(seed)
    X = rng.random((n, 10)).round(3)
    y = np.where(X[:, 0] > 0.5, np.where(X[:, 1] > 0.6, 3, 1), np.where(X[:, 2] > 0.3, 2, 0))
    y = np.where(rng.random(n) < 0.1, rng.integers(0, 4, n), y)
    moment = 10 * np.arange(n)
    return Questions(np.arange(n), moment, X, y.astype(float), moment + delay, NAMES)


def replayed(model, q, edges=None):
    """Predictions of a chunk, or of several with the state saved and restored between them, and the model."""
    edges, predictions, waiting = edges or [0, len(q)], [], np.empty(0, int)
    for start, stop in pairwise(edges):
        rows = np.r_[waiting, np.arange(start, stop)]
        until = NEVER if stop == len(q) else int(q.moment[stop - 1]) - 1 if stop else 0
        moment, known = q.moment[start:stop], q.known[rows]
        p, told = model.replay(q.X[rows], q.y[rows], moment, known, np.arange(len(rows)), until)
        predictions.append(p)
        waiting = rows[told:]
        model = restore(checkpoint.loads(checkpoint.dumps(model.state)))
    return np.concatenate(predictions), model


def rivers(model, q, labels=range(4)):
    """Probabilities of river itself, asked and told in order."""
    rows = [dict(zip(q.names, x, strict=True)) for x in q.X.tolist()]
    found = []

    def ask(i):
        odds = model.predict_proba_one(rows[i])
        found.append([odds.get(label, 0.0) for label in labels])
        return 0.0

    by_hand(q, ask, lambda i: model.learn_one(rows[i], int(q.y[i])))
    return np.array(found)


@pytest.mark.parametrize("name", MODELS)
def test_a_model_of_classes_keeps_the_contract(name):
    questions = classes_of(250)
    model = compile(MODELS[name](), NAMES, CLASSES)
    assert (model.outputs, model.classes, model.classifier) == (4, CLASSES, True)
    one_by_one = compile(MODELS[name](), NAMES, list(CLASSES))
    first = model.predict(questions.X[0])
    assert first.dtype == np.float64 and first == pytest.approx([0.25] * 4)
    whole, after = replayed(model, questions)
    assert whole.shape == (250, 4) and (whole >= 0.0).all() and whole.sum(axis=1) == pytest.approx(1.0)
    asked = []
    by_hand(
        questions,
        lambda i: asked.append(one_by_one.predict(questions.X[i])) or 0.0,
        lambda i: one_by_one.learn(questions.X[i], questions.y[i]),
    )
    assert np.array(asked).tobytes() == whole.tobytes()
    cut, again = replayed(compile(MODELS[name](), NAMES, CLASSES), questions, [0, 1, 100, 101, 250])
    assert cut.tobytes() == whole.tobytes()
    if model.kind == "compiled":  # river's pickles note which equal parts are one object
        assert checkpoint.dumps(again.state) == checkpoint.dumps(after.state) == checkpoint.dumps(one_by_one.state)
    assert again.predict(questions.X[3]).tobytes() == one_by_one.predict(questions.X[3]).tobytes()
    for label in (4.0, -1.0, 0.5, np.nan):
        with pytest.raises(ValueError, match="label"):
            model.learn(questions.X[0], label)
    with pytest.raises(ValueError, match="the state is of the classes low, middle, high, top, this model of low, m"):
        compile(MODELS[name](), NAMES, CLASSES[:3]).load(model.state)
    assert type(model.weights) is dict and model.describe()


@pytest.mark.parametrize(
    "options",
    [
        {"grace_period": 20, "delta": 0.01},
        {"leaf_prediction": "mc", "grace_period": 20, "delta": 0.05},
        {"leaf_prediction": "nb", "grace_period": 25, "nb_threshold": 5, "max_depth": 3},
    ],
    ids=str,
)
def test_the_tree_of_many_classes_is_rivers(options):
    questions = classes_of(3000)
    peer = tree.HoeffdingTreeClassifier(**options)
    got, model = replayed(compile(tree.HoeffdingTreeClassifier(**options), NAMES, CLASSES), questions)
    expected = rivers(peer, questions)
    told = expected.sum(axis=1) > 0.0  # before the first answer river gives nothing
    assert told.sum() > 2990 and np.abs(got - expected)[told].max() < 1e-9
    assert model.nodes == peer.n_nodes > 5


@settings(max_examples=40, deadline=None)
@given(
    rows=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.integers(0, 3)), min_size=1, max_size=60),
    leaf=st.sampled_from(["mc", "nba", "nb"]),
)
def test_the_tree_is_rivers_on_any_rows_of_few_values(rows, leaf):
    how = {"grace_period": 5, "delta": 0.5, "tau": 0.6, "leaf_prediction": leaf, "nb_threshold": 2}
    peer, twin = tree.HoeffdingTreeClassifier(**how), compile(tree.HoeffdingTreeClassifier(**how), ["a", "b"], CLASSES)
    for a, b, label in rows:
        odds = peer.predict_proba_one({"a": a, "b": b})
        if sum(odds.values()):
            expected = [odds.get(c, 0.0) for c in range(4)]
            assert twin.predict(np.array([a, b], float)) == pytest.approx(expected, abs=1e-9)
        twin.learn(np.array([a, b], float), float(label))
        peer.learn_one({"a": a, "b": b}, label)


def test_two_declared_classes_are_the_probability_and_its_rest():
    questions = classes_of(1500)
    y = (questions.y > 1).astype(float)
    q = Questions(questions.id, questions.moment, questions.X, y, questions.known, NAMES)
    for name in ("forest", "hoeffding"):
        one, _ = replayed(compile(build(name), NAMES), q)
        two, _ = replayed(compile(build(name), NAMES, ("no", "yes")), q)
        assert one.shape == (1500,) and two[:, 1].tobytes() == one.tobytes() and two[:, 0] == pytest.approx(1.0 - one)


def test_the_forest_of_many_classes_is_as_right_as_rivers():
    questions = classes_of(2500)
    turned = (questions.y + (np.arange(2500) > 1200)) % 4
    q = Questions(questions.id, questions.moment, questions.X, turned, questions.known, NAMES)
    theirs = (rivers(forest.ARFClassifier(n_models=5, seed=1), q).argmax(axis=1) == turned).mean()
    models = [AdaptiveRandomForest(5, max_features=0.3, seed=seed) for seed in range(4)]
    found = [replayed(compile(model, NAMES, CLASSES), q) for model in models]
    ours = np.mean([(p.argmax(axis=1) == turned).mean() for p, _ in found])
    assert ours > theirs - 0.02 and ours > 0.6 and all(model.drifts > 0 for _, model in found)


def brute_force(q, ridge, forgetting):
    """The second-order step in plain numpy, with explicit inverses of the precisions of every class."""
    d, C = q.X.shape[1], 4
    W, P = np.zeros((C, d + 1)), np.array([np.diag(np.r_[np.full(d, ridge), 1e-4])] * C)
    prior, found = np.r_[np.full(d, ridge), 1e-4], []
    for i in range(len(q)):
        z = np.r_[q.X[i], 1.0]
        odds = np.exp(W @ z - (W @ z).max())
        p = odds / odds.sum()
        found.append(p)
        j = (i + 1) % (d + 1)
        for c in range(C):
            P[c] = forgetting * P[c] + p[c] * (1.0 - p[c]) * np.outer(z, z)
            W[c] += np.linalg.solve(P[c], z) * ((q.y[i] == c) - p[c])
            renewed = (1.0 - forgetting ** (d + 1)) * prior[j]
            P[c][j, j] += renewed
            W[c] -= np.linalg.solve(P[c], np.eye(d + 1)[j]) * renewed * W[c, j]
    return np.array(found)


@pytest.mark.parametrize("forgetting", [1.0, 0.98])
def test_softmax_takes_newtons_step_of_every_class(forgetting):
    questions = classes_of(300, delay=1)
    model = compile(RecursiveLogistic(ridge=2.0, forgetting=forgetting), NAMES, CLASSES)
    got, _ = replayed(model, questions)
    assert got == pytest.approx(brute_force(questions, 2.0, forgetting), abs=1e-8)


def test_softmax_learns_faster_than_first_order():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (3000, 5)) * [1.0, 10.0, 0.1, 5.0, 1.0]
    W = rng.normal(0, 1, (5, 4)) / np.array([1.0, 10.0, 0.1, 5.0, 1.0])[:, None]
    odds = np.exp(2.0 * X @ W)
    truth = odds / odds.sum(axis=1, keepdims=True)
    y = np.array([rng.choice(4, p=p) for p in truth]).astype(float)
    at = 10 * np.arange(3000)
    q = Questions(at, at, X, y, at + 5, tuple("abcde"))
    got, _ = replayed(compile(preprocessing.StandardScaler() | RecursiveLogistic(), q.names, CLASSES), q)
    first = rivers(preprocessing.StandardScaler() | linear_model.SoftmaxRegression(), q)
    rows = np.arange(500, 3000)
    losses = [-np.log(np.clip(p[rows, y[rows].astype(int)], 1e-15, 1)).mean() for p in (got, first, truth)]
    assert losses[0] < losses[1] - 0.02 and losses[0] < losses[2] + 0.03


def test_the_baselines_are_honest():
    rng = np.random.default_rng(2)
    stays = rng.random(3000) < 0.7
    y = np.zeros(3000)
    for i in range(1, 3000):
        y[i] = y[i - 1] if stays[i] else rng.choice([c for c in range(4) if c != y[i - 1]], p=[0.6, 0.3, 0.1])
    at = 10 * np.arange(3000)
    q = Questions(at, at, np.ones((3000, 1)), y, at + 5, ("a",))
    kept, _ = replayed(compile(build("no_change"), ["a"], CLASSES), q)
    assert (kept.argmax(axis=1)[1:] == y[:-1]).all() and kept.max(axis=1)[-1] == pytest.approx(0.7, abs=0.03)
    shares, _ = replayed(compile(build("majority"), ["a"], CLASSES), q)
    counts = np.bincount(y[:-1].astype(int), minlength=4)
    assert shares[-1] == pytest.approx((counts + 1) / (2999 + 4))


def test_classes_are_checked():
    for classes in (("a",), ("a", "a")):
        with pytest.raises(ValueError, match="classes must list two or more different names"):
            build("forest", ["a"], classes)
    with pytest.raises(ValueError, match="is no classifier: it cannot tell 4 classes apart"):
        build("rls", ["a"], CLASSES)
    with pytest.raises(ValueError, match=r"must be one of 0 to 3, got 4\.0: the number of the class"):
        build("forest", ["a"], CLASSES).learn(np.ones(1), 4.0)
