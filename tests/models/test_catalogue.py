"""Every model of the zoo keeps one contract; the baselines are what their names say."""

import pickle

import numpy as np
import pytest
from streams import stream

from rtml.core import state as checkpoint
from rtml.evaluation.progressive import progressive
from rtml.models.baselines import AR1, LastAnswer, Majority, RidgeRefit, RunningMean, Zero
from rtml.models.catalogue import ZOO, build, catalogue
from rtml.models.clip import Clip
from rtml.models.compiled import compile, restore
from rtml.training.learner import Learner


def questions_for(name, n=800):
    return stream(n, seed=4, unlabelled=0.1, sign=compile(build(name), ["a"]).classifier)


@pytest.mark.parametrize("name", ZOO)
def test_a_model_of_the_zoo_keeps_the_contract(name):
    questions = questions_for(name)
    progress = progressive(build(name), questions)
    assert np.isfinite(progress.predictions).all()
    assert progress.learned == np.isfinite(questions.y).sum()
    learner = Learner(build(name), questions.names)
    learner.replay(questions[:500], until=int(questions.moment[499]))
    resumed = Learner(build(name), questions.names)
    resumed.load(checkpoint.loads(checkpoint.dumps(learner.state)))
    assert resumed.replay(questions[500:]).tobytes() == progress.predictions[500:].tobytes()
    assert checkpoint.dumps(resumed.state) == checkpoint.dumps(progress.learner.state)
    assert build(name).clone() is not None and pickle.dumps(build(name))


def test_the_linear_models_of_the_zoo_are_compiled():
    kinds = {name: Learner(build(name), ["return_1"]).model.kind for name in ZOO}
    assert {name for name, kind in kinds.items() if kind == "compiled"} >= {
        "rls",
        "sgd",
        "logistic",
        "recursive_logistic",
        "hoeffding",
        "forest",
    }
    assert kinds["tree"] == "river" and kinds["ridge_hourly"] == "compiled"


def test_an_unknown_name_lists_the_known():
    with pytest.raises(LookupError, match="no model 'woods'; there are: zero, mean, ar1"):
        build("woods")


def test_the_catalogue_names_every_model_once():
    table = catalogue()
    assert list(table.columns) == ["name", "kind", "meaning"] and list(table["name"]) == list(ZOO)
    assert table["meaning"].is_unique and set(table["kind"]) == {
        "baseline",
        "linear",
        "tree",
        "refit",
        "anomaly",
        "blend",
        "memory",
    }


def test_ar1_is_the_least_squares_line():
    rng = np.random.default_rng(0)
    x, noise = rng.normal(2, 3, 500), rng.normal(0, 1, 500)
    model = AR1("last")
    for last, y in zip(x, 0.7 - 0.3 * x + noise, strict=True):
        model.learn_one({"last": last}, y)
    slope, intercept = np.polyfit(x, 0.7 - 0.3 * x + noise, 1)
    assert model.predict_one({"last": 5.0}) == pytest.approx(intercept + 5.0 * slope, abs=1e-10)
    before = model.mean_y
    model.learn_one({"other": 1.0}, 1e6)
    model.learn_one({"last": float("nan")}, 1e6)
    assert model.predict_one({"other": 1.0}) == model.predict_one({"last": None}) == before  # missing: the mean


@pytest.mark.parametrize("build", [Zero, RunningMean, lambda: AR1("return_1"), LastAnswer])
def test_a_baseline_is_its_compiled_twin(build):
    """Bit by bit, from the start and from what the river model has learned, missing values included."""
    q = stream(200)
    q.X[::7, 0] = np.nan
    model, twin = build(), compile(build(), q.names)
    assert twin.kind == "compiled" and twin.twin == "baseline"
    for i, (x, y) in enumerate(zip(q.X, q.y, strict=True)):
        row = dict(zip(q.names, x.tolist(), strict=True))
        assert twin.predict(x) == model.predict_one(row)
        model.learn_one(row, y)
        twin.learn(x, y)
        if i % 50 == 0:
            twin = compile(model, q.names)
    assert restore(twin.state).predict(q.X[1]) == twin.predict(q.X[1])
    assert twin.describe() in ("Zero", "RunningMean", "AR1(return_1)", "LastAnswer")


def test_the_plain_baselines():
    mean, majority = RunningMean(), Majority()
    assert (Zero().predict_one({}), mean.predict_one({}), majority.predict_proba_one({})[True]) == (0.0, 0.0, 0.5)
    for y in (True, False, True, True):
        mean.learn_one({}, float(y))
        majority.learn_one({}, y)
    assert mean.predict_one({}) == 0.75
    assert majority.predict_proba_one({}) == {False: pytest.approx(2 / 6), True: pytest.approx(4 / 6)}
    assert majority.predict_one({}) is True


def test_a_refit_is_the_ridge_of_everything_so_far_and_waits_in_between():
    rng = np.random.default_rng(1)
    X = rng.normal(3.0, 2.0, (250, 2))
    y = X @ [1.0, -2.0] + 5.0 + rng.normal(0, 0.1, 250)
    model = RidgeRefit(every=100, ridge=3.0, clip=8.0)
    guesses = []
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        guesses.append(model.predict_one({"a": 1.0, "b": 1.0}))
        model.learn_one(dict(zip("ab", row, strict=True)), label)
    assert [len(set(part)) for part in (guesses[:100], guesses[100:200], guesses[200:])] == [1, 1, 1]
    assert guesses[0] == 0.0 and len(set(guesses)) == 3 and model.samples == 100 + 200
    Z = np.column_stack([(X[:200] - X[:200].mean(0)) / X[:200].std(0), np.ones(200)])
    weights = np.linalg.solve(Z.T @ Z + np.diag([3.0, 3.0, 0.0]), Z.T @ y[:200])
    z = np.r_[(np.ones(2) - X[:200].mean(0)) / X[:200].std(0), 1.0]
    assert guesses[-1] == pytest.approx(z @ weights, abs=1e-10)


def test_clip_keeps_what_is_within_the_limit():
    assert Clip(2.0).transform_one({"a": 2.0, "b": -3.0, "c": 0.1}) == {"a": 2.0, "b": -2.0, "c": 0.1}
    with pytest.raises(ValueError, match="limit must be positive, got 0"):
        Clip(0)
