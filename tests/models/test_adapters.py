"""Every kind of model that somebody may bring keeps the contract of all models, and says what it cannot be."""

import sys
from pathlib import Path

import foreign
import numpy as np
import pytest
from models.test_classes import classes_of, replayed
from river import naive_bayes
from streams import by_hand

from rtml.core import plugin
from rtml.core import state as checkpoint
from rtml.core.questions import Questions
from rtml.models.baselines import Ridge
from rtml.models.catalogue import build
from rtml.models.compiled import compile, restore
from rtml.models.refit import Refit

CLASSES = ("low", "middle", "high")
NUMBERS = {
    "partial_fit": lambda: foreign.Descent(rate=0.01),
    "fit": foreign.LeastSquares,
    "refit": lambda: Refit(tuple("abcdefghij"), Ridge(1.0, 8.0), every=50, first=10, window=100),
    "plain": foreign.LastAnswer,
    "plain, as a class": lambda: foreign.LastAnswer,
    "by name": lambda: "foreign:LastAnswer",
    "by file": lambda: f"{Path(foreign.__file__)}:Descent",
}
OF_CLASSES = {
    "partial_fit": foreign.Descent,
    "partial_fit with predict_proba": foreign.DescentProba,
    "refit": lambda: Refit(tuple("abcdefghij"), foreign.NearestMean(), CLASSES, every=50, first=10, window=100),
    "plain": foreign.Counts,
    "river": naive_bayes.GaussianNB,
}
WITHOUT_LABELS = {"plain": foreign.Distance, "river": lambda: build("half_space_trees")}
ALL = (
    [pytest.param(m, (), id=f"number: {name}") for name, m in NUMBERS.items()]
    + [pytest.param(m, CLASSES, id=f"classes: {name}") for name, m in OF_CLASSES.items()]
    + [pytest.param(m, (), id=f"anomaly: {name}") for name, m in WITHOUT_LABELS.items()]
)


def asked(classes, n=220):
    """Questions with gaps, answers that overlap and some that never come."""
    q = classes_of(n)
    X = np.where(np.random.default_rng(1).random(q.X.shape) < 0.1, np.nan, q.X)
    y = np.where(np.arange(n) % 13 == 5, np.nan, np.minimum(q.y, 2.0) if classes else q.X[:, 0] - 2.0 * q.X[:, 3])
    made = object.__new__(Questions)
    for name, value in {"id": q.id, "moment": q.moment, "X": X, "y": y, "known": q.known, "names": q.names}.items():
        object.__setattr__(made, name, value)
    return made


@pytest.mark.parametrize(("make", "classes"), ALL)
def test_any_model_keeps_the_contract(make, classes):
    q = asked(classes)
    model = build(make(), q.names, classes)
    assert model.names == q.names and model.classes == classes and model.outputs == (len(classes) or 1)
    whole, after = replayed(model, q)
    assert whole.shape == ((220, 3) if classes else (220,)) and np.isfinite(whole).all()
    if classes:
        assert (whole >= 0.0).all() and whole.sum(axis=1) == pytest.approx(1.0)
        assert (whole[150:].argmax(axis=1) == np.minimum(q.y[150:], 2)).mean() > 0.3
    live, found = build(make(), q.names, classes), []

    def ask(i):
        found.append(live.predict(q.X[i]))
        if live.unsupervised:
            live.learn(q.X[i], np.nan)
        return 0.0

    def tell(i):
        if q.y[i] == q.y[i] and not live.unsupervised:
            live.learn(q.X[i], q.y[i])

    by_hand(q, ask, tell)
    assert np.array(found).tobytes() == whole.tobytes()
    cut, again = replayed(build(make(), q.names, classes), q, [0, 1, 100, 101, 220])
    assert cut.tobytes() == whole.tobytes()
    one = q.X[3]
    assert np.array_equal(again.predict(one), after.predict(one)) and np.array_equal(
        live.predict(one), after.predict(one)
    )
    assert type(model.weights) is dict and model.describe()


def test_partial_fit_fills_what_is_missing_with_the_mean_and_starts_with_equal_odds():
    model = build(foreign.DescentProba(), ["a", "b"], CLASSES)
    assert model.predict([np.nan, 1.0]) == pytest.approx([1 / 3] * 3)
    for i in range(30):
        model.learn([float(i % 3), 5.0], float(i % 3))
    assert model.predict([2.0, np.nan]).tolist() == model.predict([2.0, 5.0]).tolist()
    two = build(foreign.DescentProba(), ["a"])
    assert two.classifier and two.outputs == 1 and two.predict([1.0]) == 0.5
    two.learn([1.0], 1.0)
    assert two.predict([1.0]) > 0.5


def test_an_estimator_that_only_names_a_class_is_as_sure_as_it_was_right():
    rng = np.random.default_rng(0)
    model = build(foreign.Descent(), ["a"], CLASSES)
    right = []
    for _ in range(600):
        label = float(rng.integers(0, 3))
        x = [3.0 * label if rng.random() < 0.7 else 3.0 * rng.integers(0, 3)]
        right.append(model.predict(x).argmax() == label)
        model.learn(x, label)
    p = model.predict([0.0])
    assert p.max() == pytest.approx(np.mean(right), abs=0.01) and 0.4 < p.max() < 0.85
    assert p.argmax() == 0 and p[1] == p[2]


def test_a_fit_reads_a_window_on_a_schedule_and_waits_in_between():
    X, rng = np.random.default_rng(3).random((500, 2)), np.random.default_rng(4)
    y = X @ [1.0, -2.0] + rng.normal(0, 0.1, 500)
    model = Refit(["a", "b"], foreign.LeastSquares(), every=100, first=25, window=60)
    for i in range(500):
        model.learn(X[i], y[i])
        fits = [n for n in (25, 50, 100, 200, 300, 400, 500) if n <= i + 1]
        expected = 0.0
        if fits:
            part = slice(max(0, fits[-1] - 60), fits[-1])
            once = foreign.LeastSquares()
            once.fit(X[part], y[part])
            expected = once.predict(X[:1])[0]
        assert model.predict(X[0]) == pytest.approx(expected, abs=1e-12)
    assert model.samples == 25 + 50 + 60 * 5 and model.weights["b"] == pytest.approx(-2.0, abs=0.3)


def test_classes_that_a_window_lacks_have_no_probability_and_one_class_alone_is_no_fit():
    model = Refit(["a"], foreign.NearestMean(), CLASSES, every=10)
    for i in range(10):
        model.learn([float(i % 2)], 2.0 * (i % 2))
    p = model.predict([1.0])
    assert p[1] == 0.0 and p.argmax() == 2 and p.sum() == pytest.approx(1.0)
    alone = Refit(["a"], foreign.NearestMean(), CLASSES, every=10)
    for _ in range(10):
        alone.learn([1.0], 1.0)
    assert alone.predict([1.0]) == pytest.approx([1 / 13, 11 / 13, 1 / 13])


def test_a_failed_learn_leaves_a_model_as_it_was():
    model = build(foreign.Descent(fails_at=13.0), ["a"])
    for i in range(10):
        model.learn([float(i % 3)], 1.0)
    was, expected = checkpoint.dumps(model.state), model.predict([1.0])
    with pytest.raises(RuntimeError, match="failed, and is as it was before: ZeroDivisionError: as it was told"):
        model.learn([1.0], 13.0)
    assert checkpoint.dumps(model.state) == was and model.predict([1.0]) == expected


def test_a_model_from_a_file_is_saved_and_restored(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "twice.py").write_text(
        "class Twice:\n    def predict(self, x):\n        return 2.0 * x[0]\n    def learn(self, x, y):\n        pass\n"
    )
    model = build("twice.py:Twice", ["a"])
    assert restore(checkpoint.loads(checkpoint.dumps(model.state))).predict([4.0]) == 8.0
    del sys.modules[plugin.PREFIX + "twice"]


def test_what_is_no_model_is_said():
    with pytest.raises(TypeError, match=r"a model needs learn_one .river., partial_fit, fit and predict, or learn and"):
        build(lambda: object(), ["a"])
    with pytest.raises(TypeError, match="'math:pi' is no model and makes none, got float"):
        build("math:pi", ["a"])
    with pytest.raises(ValueError, match=r"LastAnswer\.predict must give 3 probabilities"):
        build(foreign.LastAnswer(), ["a"], CLASSES).predict([1.0])
    with pytest.raises(ValueError, match="the model takes the columns"):
        compile(build("rls", ["a"]), ["b"])
    with pytest.raises(TypeError, match=r"cannot be saved: .* define its class in a module or file"):
        Refit(["a"], lambda: None)
    with pytest.raises(LookupError, match="no model of the kind 'strange'; there are: compiled, river, plain"):
        restore({"kind": "strange"})
    with pytest.raises(ValueError, match="every counts answers between two fits"):
        Refit(["a"], foreign.LeastSquares(), every=0)
