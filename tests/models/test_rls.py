"""Recursive least squares equals the ridge solution, whatever is learned, and stays sound."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.models.flat import INTERCEPT_PRECISION
from rtml.models.rls import RecursiveLeastSquares


def closed_form(X, y, ridge, forgetting=1.0):
    """Weights and intercept of the ridge whose answers fade and whose penalty is renewed one coefficient an answer."""
    n, d = X.shape
    Z = np.column_stack([X, np.ones(n)])
    prior = np.r_[np.full(d, ridge), INTERCEPT_PRECISION]
    penalty = prior.copy()
    for answer in range(1, n + 1):
        if forgetting < 1.0:
            penalty *= forgetting
            penalty[answer % (d + 1)] += (1.0 - forgetting ** (d + 1)) * prior[answer % (d + 1)]
    fade = forgetting ** np.arange(n - 1, -1, -1)
    return np.linalg.solve((Z * fade[:, None]).T @ Z + np.diag(penalty), (Z * fade[:, None]).T @ y)


def learned(X, y, **how):
    model = RecursiveLeastSquares(**how)
    names = [f"f{j}" for j in range(X.shape[1])]
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        model.learn_one(dict(zip(names, row, strict=True)), label)
    return model, np.r_[[model.weights[name] for name in names], model.intercept]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 80),
    d=st.integers(1, 6),
    seed=st.integers(0, 99),
    ridge=st.sampled_from([1e-3, 1.0, 100.0]),
    forgetting=st.sampled_from([1.0, 0.999, 0.9]),
    twins=st.booleans(),
)
def test_it_equals_the_closed_form(n, d, seed, ridge, forgetting, twins):
    rng = np.random.default_rng(seed)
    X = rng.normal(0.5, 2.0, (n, d))
    if twins:
        X[:, -1] = X[:, 0]  # two equal columns: only the penalty tells them apart
    y = X @ rng.normal(0, 1, d) + rng.normal(0, 1, n) + 3.0
    _, weights = learned(X, y, ridge=ridge, forgetting=forgetting)
    assert weights == pytest.approx(closed_form(X, y, ridge, forgetting), rel=1e-8, abs=1e-8)


@pytest.mark.parametrize("forgetting", [1.0, 0.999])
def test_it_is_still_exact_after_a_long_stream(forgetting):
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (20_000, 35)) * np.geomspace(0.01, 100, 35)
    y = X @ rng.normal(0, 1, 35) + rng.normal(0, 5, 20_000)
    model, weights = learned(X, y, ridge=100.0, forgetting=forgetting)
    order = np.argsort([f"f{j}" for j in range(35)])  # the ridge is renewed in the order of the names
    assert np.abs(weights[np.r_[order, 35]] - closed_form(X[:, order], y, 100.0, forgetting)).max() < 1e-8
    covariance = model.covariance([f"f{j}" for j in range(35)])
    assert (covariance == covariance.T).all()
    assert np.linalg.eigvalsh(covariance).min() > 0.0


@pytest.mark.parametrize("row", [[0.0, 0.0], [1.0, 1.0], [5.0, -3.0]])
def test_nothing_happening_does_not_blow_it_up(row):
    """A month of a quiet market, forgetting fast: the covariance stays below what was known at the start."""
    X, y = np.tile(row, (50_000, 1)), np.full(50_000, 2.0)
    model, weights = learned(X, y, ridge=1.0, forgetting=0.98)
    covariance = model.covariance(["f0", "f1"])
    assert np.isfinite(weights).all() and np.diag(covariance)[:2].max() <= 1.0 / 0.98**3 + 1e-9
    assert model.predict_one({"f0": row[0], "f1": row[1]}) == pytest.approx(2.0, abs=1e-3)
    model.learn_one({"f0": 10.0, "f1": -10.0}, -50.0)
    assert abs(model.predict_one({"f0": row[0], "f1": row[1]}) - 2.0) < 60.0


def test_forgetting_follows_a_break():
    rng = np.random.default_rng(2)
    X = rng.normal(0, 1, (4000, 1))
    y = np.where(np.arange(4000) < 2000, 1.0, -1.0) * X[:, 0]
    assert learned(X, y, ridge=1.0)[1][0] == pytest.approx(0.0, abs=0.05)
    assert learned(X, y, ridge=1.0, forgetting=0.99)[1][0] == pytest.approx(-1.0, abs=0.05)


def test_a_new_feature_leaves_the_other_weights_alone_and_is_learned():
    rng = np.random.default_rng(3)
    X = rng.normal(0, 1, (300, 3))
    X[:150, 2] = 0.0  # what a feature was before it existed
    y = X @ [1.0, 2.0, 3.0] + rng.normal(0, 0.1, 300)
    model, before = learned(X[:150, :2], y[:150], ridge=1.0)
    assert model.predict_one({"f0": 1.0, "f2": 5.0}) == model.predict_one({"f0": 1.0})  # not learned yet: no weight
    for row, label in zip(X[150:].tolist(), y[150:].tolist(), strict=True):
        model.learn_one({"f2": row[2], "f1": row[1], "f0": row[0]}, label)
    weights = [model.weights[name] for name in ("f0", "f1", "f2")]
    assert weights == pytest.approx(closed_form(X, y, 1.0)[:3], abs=1e-8)
    assert weights[:2] == pytest.approx(before[:2], abs=0.05) and weights[2] == pytest.approx(3.0, abs=0.1)


def test_an_absent_feature_counts_as_zero():
    model = RecursiveLeastSquares(ridge=1.0)
    for x in ({"a": 1.0, "b": 2.0}, {"b": 1.0}, {"a": 3.0}, {}):
        model.learn_one(x, 1.0)
    other = RecursiveLeastSquares(ridge=1.0)
    for a, b in ((1.0, 2.0), (0.0, 1.0), (3.0, 0.0), (0.0, 0.0)):
        other.learn_one({"a": a, "b": b}, 1.0)
    assert model.weights == other.weights and model.answers == 4.0


@pytest.mark.parametrize(
    "x, y", [({"a": float("-inf")}, 1.0), ({"a": 1.0}, float("inf")), ({"a": 1.0, "new": -1e999}, 0)]
)
def test_what_is_not_finite_is_refused_and_changes_nothing(x, y):
    model = RecursiveLeastSquares()
    model.learn_one({"a": 1.0}, 2.0)
    before = pickle.dumps(model)
    with pytest.raises(ValueError, match="must be finite or NaN and the label finite, got"):
        model.learn_one(x, y)
    assert pickle.dumps(model) == before


def test_it_clones_and_pickles_as_river_models_do():
    model, weights = learned(np.eye(3), np.arange(3.0), ridge=2.0, forgetting=0.99)
    clone = model.clone()
    assert (clone.ridge, clone.forgetting, clone.weights) == (2.0, 0.99, {})
    again = pickle.loads(pickle.dumps(model))
    assert again.weights == model.weights and again.predict_one({"f0": 1.0}) == model.predict_one({"f0": 1.0})
    assert repr(model) and len(weights) == 4


@pytest.mark.parametrize(
    "how, sentence", [({"ridge": 0.0}, "ridge must be"), ({"forgetting": 1.1}, "forgetting must be")]
)
def test_senseless_parameters_are_said(how, sentence):
    with pytest.raises(ValueError, match=sentence):
        RecursiveLeastSquares(**how)
