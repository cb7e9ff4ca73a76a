"""Compiled models compute what river computes; what has no twin runs as it is, behind the same face."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import compose, dummy, linear_model, naive_bayes, optim, preprocessing, stats, tree
from streams import CLASSIFIERS, COMPILED, NAMES, OTHER, REGRESSORS, by_hand, stream, streams

import rtml.models
from rtml.core import state as checkpoint
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.models.clip import Clip
from rtml.models.compiled import compile, restore
from rtml.models.river_model import RiverModel
from rtml.models.rls import RecursiveLeastSquares

BIT_EQUAL = {"plain descent", "least squares", "weighted logistic"}  # the others scale: river's x**0.5 is not sqrt(x)


def by_name(questions):
    """The same with its columns in the order of their names."""
    order = np.argsort(questions.names)
    columns = (questions.id, questions.moment, questions.X[:, order], questions.y, questions.known)
    return Questions(*columns, tuple(np.array(questions.names)[order]))


def river_loop(model, questions, classifier):
    """Predictions of river itself, driven by hand with dicts."""
    rows = [dict(zip(questions.names, row, strict=True)) for row in questions.X.tolist()]

    def tell(i):
        if np.isfinite(questions.y[i]):
            model.learn_one(rows[i], bool(questions.y[i]) if classifier else float(questions.y[i]))

    def ask(i):
        return model.predict_proba_one(rows[i])[True] if classifier else model.predict_one(rows[i])

    return by_hand(questions, ask, tell)


@pytest.mark.parametrize("name", COMPILED)
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_a_twin_predicts_what_river_predicts(name, data):
    classifier = name in CLASSIFIERS
    questions = by_name(data.draw(streams(sign=classifier)))  # dicts have no order: river's face takes that of names
    progress = progressive(COMPILED[name](), questions)
    assert progress.learner.model.kind == "compiled"
    expected = river_loop(COMPILED[name](), questions, classifier)
    if name in BIT_EQUAL:
        assert progress.predictions.tobytes() == expected.tobytes()
    assert progress.predictions == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.parametrize("name", COMPILED)
def test_a_twin_stays_with_river_over_thousands_of_answers(name):
    delays = np.random.default_rng(3).integers(1, 200, 4000)
    questions = by_name(stream(4000, delays=delays, sign=name in CLASSIFIERS))
    expected = river_loop(COMPILED[name](), questions, name in CLASSIFIERS)
    assert np.abs(progressive(COMPILED[name](), questions).predictions - expected).max() < 1e-9


@pytest.mark.parametrize("name", COMPILED)
def test_a_model_that_has_learned_takes_that_along(name):
    questions = by_name(stream(60, sign=name in CLASSIFIERS))
    names = questions.names
    model, twin = COMPILED[name](), compile(COMPILED[name](), names)
    river_loop(model, questions, name in CLASSIFIERS)
    for x, y in zip(questions.X, questions.y, strict=True):
        twin.learn(x, y)
    taken = compile(model, names)
    assert taken.kind == "compiled" and taken.describe() == twin.describe()
    assert taken.predict(questions.X[7]) == pytest.approx(twin.predict(questions.X[7]), abs=1e-9)
    other = compile(model, names[::-1])  # the same model for columns in another order
    assert other.predict(questions.X[7][::-1]) == pytest.approx(taken.predict(questions.X[7]), abs=1e-9)
    for each in (taken, twin):
        each.learn(questions.X[3], questions.y[3])
    assert taken.predict(questions.X[7]) == pytest.approx(twin.predict(questions.X[7]), abs=1e-9)
    assert compile(model, ["other", "columns"]).kind == "river"  # it knows columns that the rows do not have


@pytest.mark.parametrize(
    "model",
    [
        linear_model.LinearRegression(optim.Adam()),
        linear_model.LinearRegression(optim.SGD(optim.schedulers.InverseScaling(0.1))),
        linear_model.LinearRegression(intercept_lr=optim.schedulers.InverseScaling(0.1)),
        linear_model.LinearRegression(loss=optim.losses.Huber()),
        linear_model.LinearRegression(l1=0.1),
        linear_model.LinearRegression(initializer=optim.initializers.Constant(0.5)),
        preprocessing.StandardScaler(with_std=False) | linear_model.LinearRegression(),
        preprocessing.StandardScaler(window_size=5) | linear_model.LinearRegression(),
        preprocessing.MinMaxScaler() | linear_model.LinearRegression(),
        Clip() | preprocessing.StandardScaler() | linear_model.LinearRegression(),
        compose.Select("flow") | preprocessing.StandardScaler() | linear_model.LinearRegression(),
        tree.HoeffdingTreeRegressor(),
        dummy.StatisticRegressor(stats.Mean()),
        naive_bayes.GaussianNB(),
    ],
    ids=repr,
)
def test_what_the_kernels_do_not_compute_runs_in_river(model):
    compiled = compile(model, NAMES)
    assert compiled.kind == "river"
    questions = stream(50, sign=compiled.classifier)
    rows = [dict(zip(NAMES, row, strict=True)) for row in questions.X.tolist()]
    alone = model.clone()
    for i, (x, y) in enumerate(zip(questions.X, questions.y, strict=True)):
        compiled.learn(x, y)
        alone.learn_one(rows[i], bool(y) if compiled.classifier else y)
    expected = alone.predict_proba_one(rows[0])[True] if compiled.classifier else alone.predict_one(rows[0])
    assert compiled.predict(questions.X[0]) == expected


def test_the_model_given_is_left_alone():
    for build in (REGRESSORS["least squares"], REGRESSORS["scaled descent"], OTHER["tree"]):
        model, before = build(), repr(vars(build()))
        compile(model, NAMES).learn(np.ones(4), 5.0)
        assert repr(vars(model)) == before and model.predict_one(dict.fromkeys(NAMES, 1.0)) == 0.0


@pytest.mark.parametrize("name", [*COMPILED, *OTHER])
def test_a_model_is_restored_from_its_state_alone(name):
    model = compile((COMPILED | OTHER)[name](), NAMES)
    questions = stream(40, sign=name in CLASSIFIERS)
    for x, y in zip(questions.X, questions.y, strict=True):
        model.learn(x, y)
    again = restore(checkpoint.loads(checkpoint.dumps(model.state)))
    assert checkpoint.dumps(again.state) == checkpoint.dumps(model.state)
    assert (again.kind, again.names, again.describe()) == (model.kind, model.names, model.describe())
    for each in (model, again):
        each.learn(questions.X[0], questions.y[0])
    assert again.predict(questions.X[5]) == model.predict(questions.X[5])
    assert checkpoint.dumps(again.state) == checkpoint.dumps(model.state)


@pytest.mark.parametrize("name", [*COMPILED, *OTHER])
def test_a_row_that_is_not_a_row_is_refused_and_changes_nothing(name):
    model = compile((COMPILED | OTHER)[name](), NAMES)
    model.learn(np.ones(4), 1.0)
    was = checkpoint.dumps(model.state)
    with pytest.raises(ValueError, match="feature 'flat' must be a finite number, got -inf"):
        model.learn([1.0, 2.0, -np.inf, 0.0], 1.0)
    with pytest.raises(ValueError, match="feature 'return_1' must be a finite number, got inf"):
        model.predict([np.inf, 2.0, 0.0, 0.0])
    with pytest.raises(ValueError, match=r"a row must have 4 numbers .*, got shape \(1, 4\)"):
        model.predict(np.ones((1, 4)))
    with pytest.raises(ValueError, match="label must be a finite number, got nan"):
        model.learn(np.ones(4), np.nan)
    assert checkpoint.dumps(model.state) == was


class Fussy(tree.HoeffdingTreeRegressor):
    """A regressor that fails after a scaler before it has learned."""

    def learn_one(self, x, y):
        if y == 13.0:
            raise ZeroDivisionError("thirteen")
        super().learn_one(x, y)


def test_a_failed_learn_leaves_a_river_model_as_it_was():
    model = RiverModel(preprocessing.StandardScaler() | Fussy(grace_period=5), NAMES)
    questions = stream(50)
    for x, y in zip(questions.X, questions.y, strict=True):
        model.learn(x, y)
    was, expected = checkpoint.dumps(model.state), model.predict(questions.X[0])
    with pytest.raises(RuntimeError, match=r"Fussy failed, and is as it was before: ZeroDivisionError: thirteen"):
        model.learn(np.ones(4), 13.0)
    assert checkpoint.dumps(model.state) == was and model.predict(questions.X[0]) == expected


def test_a_model_that_cannot_be_saved_is_said():
    with pytest.raises(TypeError, match=r"cannot be saved: .*use named functions of a module"):
        compile(compose.FuncTransformer(lambda x: x) | linear_model.LinearRegression(), NAMES)


def test_names_are_checked():
    for names in ("flow", [], [1, 2], ["a", "a"]):
        with pytest.raises(ValueError, match="names must"):
            compile(RecursiveLeastSquares(), names)


def test_one_module_calls_river_models():
    called = re.compile(r"\.(learn_one|predict_one|predict_proba_one)\(")
    package = Path(rtml.models.__file__).parents[1]
    code = {path.stem: re.sub(r"(?m)^\s*(>>>|\.\.\.).*$", "", path.read_text()) for path in package.rglob("*.py")}
    callers = {stem for stem, text in code.items() if called.search(text)}
    assert callers == {"river_model", "calibrated", "echo_state"}  # and what is wrapped around another river model
