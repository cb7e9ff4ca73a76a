"""Recursive logistic regression: a Newton step an answer, the penalised maximum in the end, and it stays sound."""

import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import optimize, special

from rtml.models.flat import INTERCEPT_PRECISION
from rtml.models.recursive_logistic import RecursiveLogistic


def by_precision(X, y, ridge, forgetting=1.0):
    """Weights and intercept, by precision matrices: what was known plus ``p (1 - p) z z'``, and one Newton step.

    Around the weights of before, so no covariance is ever updated: another arithmetic for the same model.
    """
    n, d = X.shape
    prior = np.r_[np.full(d, ridge), INTERCEPT_PRECISION]
    precision, w = np.diag(prior), np.zeros(d + 1)
    for i in range(n):
        z = np.r_[X[i], 1.0]
        p = special.expit(w @ z)
        known = precision + p * (1 - p) / forgetting * np.outer(z, z)
        w = w + np.linalg.solve(known, z) * (y[i] - p) / forgetting
        precision = known * forgetting
        if forgetting < 1.0:
            renewed = (i + 1) % (d + 1)
            extra = (1 - forgetting ** (d + 1)) * prior[renewed]
            precision[renewed, renewed] += extra
            w = w - np.linalg.inv(precision)[:, renewed] * extra * w[renewed]
    return w


def learned(X, y, **how):
    model = RecursiveLogistic(**how)
    names = [f"f{j}" for j in range(X.shape[1])]
    for row, label in zip(X.tolist(), y.tolist(), strict=True):
        model.learn_one(dict(zip(names, row, strict=True)), bool(label))
    return model, np.r_[[model.weights[name] for name in names], model.intercept]


def drawn(n, d, seed, base=0.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(0.0, 1.0, (n, d))
    return X, (rng.random(n) < special.expit(X @ rng.normal(0, 1, d) + base)).astype(float)


@settings(max_examples=40)
@given(
    n=st.integers(1, 60),
    d=st.integers(1, 5),
    seed=st.integers(0, 99),
    ridge=st.sampled_from([0.1, 1.0, 30.0]),
    forgetting=st.sampled_from([1.0, 0.99, 0.9]),
)
def test_it_equals_newton_steps_on_precisions(n, d, seed, ridge, forgetting):
    X, y = drawn(n, d, seed)
    _, weights = learned(X, y, ridge=ridge, forgetting=forgetting)
    assert weights == pytest.approx(by_precision(X, y, ridge, forgetting), rel=1e-6, abs=1e-6)


def test_it_ends_at_the_penalised_maximum_of_the_likelihood():
    X, y = drawn(5000, 4, 3, base=-3.0)
    _, weights = learned(X, y, ridge=1.0)
    Z = np.column_stack([X, np.ones(len(X))])
    penalty = np.r_[np.ones(4), INTERCEPT_PRECISION]

    def loss(w):
        return np.logaddexp(0, Z @ w).sum() - y @ (Z @ w) + 0.5 * penalty @ w**2

    best = optimize.minimize(loss, np.zeros(5), method="BFGS").x
    assert weights == pytest.approx(best, abs=0.1)


def test_a_rare_answer_is_learned_from_few():
    X, y = drawn(4000, 3, 5, base=-5.0)
    model, _ = learned(X, y)
    p = np.array([model.predict_proba_one({f"f{j}": v for j, v in enumerate(row)})[True] for row in X[:1000].tolist()])
    assert y.mean() < 0.03 and p.mean() == pytest.approx(y.mean(), rel=0.4)


def test_what_was_thought_certain_neither_overflows_nor_is_forgotten_at_once():
    model = RecursiveLogistic(ridge=1e-3)
    for _ in range(3000):
        model.learn_one({"a": 50.0}, True)
    model.learn_one({"a": 50.0}, False)
    assert np.isfinite([*model.weights.values(), model.intercept]).all() and np.isfinite(model.covariance(["a"])).all()
    assert model.predict_one({"a": 50.0}) in (True, False)


def test_forgetting_follows_a_change():
    rng = np.random.default_rng(0)
    X = rng.normal(0, 1, (4000, 1))
    turned = np.where(np.arange(4000) < 2000, 2.0, -2.0)
    y = (rng.random(4000) < special.expit(X[:, 0] * turned)).astype(float)
    steady, fading = learned(X, y)[1][0], learned(X, y, forgetting=0.995)[1][0]
    assert fading < -1.5 and abs(steady) < 1.0


def test_it_is_a_river_classifier():
    model, weights = learned(*drawn(30, 3, 1), ridge=2.0, forgetting=0.99)
    clone, again = model.clone(), pickle.loads(pickle.dumps(model))
    assert (clone.ridge, clone.forgetting, clone.weights) == (2.0, 0.99, {})
    assert again.predict_proba_one({"f0": 1.0}) == model.predict_proba_one({"f0": 1.0})
    assert repr(model) and len(weights) == 4
    with pytest.raises(ValueError, match="ridge must be a positive number, got 0"):
        RecursiveLogistic(ridge=0.0)
