"""Merging what clients learned is learning from all their rows, though no row leaves a client."""

import numpy as np
import pytest
from clients import Information, merge
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.models.flat import INTERCEPT_PRECISION
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

D = 6
NAMES = [f"x{j}" for j in range(D)]


def clients(seed, k=4, n=150, spread=3.0):
    """Rows of clients whose features are distributed differently, and one law."""
    r = np.random.default_rng(seed)
    beta = r.standard_normal(D)
    X = [r.standard_normal((n, D)) * r.uniform(0.3, 3.0, D) + r.standard_normal(D) * spread for _ in range(k)]
    return X, [x @ beta + 2.0 + 0.5 * r.standard_normal(n) for x in X]


def trained(model, X, Y):
    for row, y in zip(X.tolist(), Y.tolist(), strict=True):
        model.learn_one(dict(zip(NAMES, row, strict=True)), y)
    return model


def numbers(model):
    return np.array([*(model.weights[name] for name in NAMES), model.intercept])


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_merged_least_squares_is_the_central_one_whatever_the_clients_see(seed, k):
    X, Y = clients(seed, k)
    merged = merge([trained(RecursiveLeastSquares(10.0), x, y) for x, y in zip(X, Y, strict=True)], NAMES)
    central = trained(RecursiveLeastSquares(10.0), np.concatenate(X), np.concatenate(Y))
    assert numbers(merged) == pytest.approx(numbers(central), rel=1e-10, abs=1e-10)
    assert merged.covariance(NAMES) == pytest.approx(central.covariance(NAMES), rel=1e-7, abs=1e-12)
    assert merged.answers == central.answers
    more = np.random.default_rng(seed).standard_normal((20, D))
    for model in (merged, central):
        trained(model, more, more.sum(1))
    assert numbers(merged) == pytest.approx(numbers(central), rel=1e-9, abs=1e-9), "both go on alike"


def test_it_is_the_ridge_solution_of_all_rows():
    X, Y = clients(1)
    merged = merge([trained(RecursiveLeastSquares(10.0), x, y) for x, y in zip(X, Y, strict=True)], NAMES)
    rows, answers = np.concatenate(X), np.concatenate(Y)
    penalty = np.sqrt(np.diag([10.0] * D + [INTERCEPT_PRECISION]))  # rows of their own, with the answer 0
    design = np.vstack([np.c_[rows, np.ones(len(rows))], penalty])
    ridge = np.linalg.lstsq(design, np.append(answers, np.zeros(D + 1)), rcond=None)[0]
    assert numbers(merged) == pytest.approx(ridge, rel=1e-9, abs=1e-9)


def test_rounds_go_on_from_the_merged_model_and_count_nothing_twice():
    X, Y = clients(2)
    merged, total = RecursiveLeastSquares(10.0), None
    for part in (slice(0, 70), slice(70, 150)):
        sent = []
        for x, y in zip(X, Y, strict=True):
            mine = RecursiveLeastSquares(10.0) if total is None else total.put_into(merged)
            sent.append(Information.of(trained(mine, x[part], y[part]), NAMES, since=total))
        total = sum(sent[1:], sent[0]) if total is None else sum(sent, total)
        merged = total.put_into(merged)
    central = trained(RecursiveLeastSquares(10.0), np.concatenate(X), np.concatenate(Y))
    assert numbers(merged) == pytest.approx(numbers(central), rel=1e-9, abs=1e-9) and merged.answers == 600


def test_masks_hide_each_client_and_cancel_in_the_sum():
    X, Y = clients(3)
    own = [Information.of(trained(RecursiveLeastSquares(10.0), x, y), NAMES) for x, y in zip(X, Y, strict=True)]
    secret = {frozenset((i, j)): 100 * i + j for i in range(4) for j in range(i)}
    sent = [one.masked(i, {j: secret[frozenset((i, j))] for j in range(4) if j != i}) for i, one in enumerate(own)]
    total, plain = Information.unmasked(NAMES, sent), sum(own[1:], own[0])
    assert total.matrix == pytest.approx(plain.matrix, abs=1e-8) and total.answers == plain.answers
    assert numbers(total.put_into(RecursiveLeastSquares(10.0))) == pytest.approx(
        numbers(plain.put_into(RecursiveLeastSquares(10.0))), abs=1e-8
    )
    alone = Information.unmasked(NAMES, sent[:1])
    assert np.corrcoef(alone.matrix.ravel(), own[0].matrix.ravel())[0, 1] < 0.5, "one alone says nothing"
    assert sent[0].nbytes < X[0].nbytes / 20, "less than the rows leaves a client"
    with pytest.raises(ValueError, match="bring features to units below"):
        (own[0] - own[0] + Information(own[0].names, own[0].matrix * 1e9, own[0].vector, 1.0)).masked(0, {})


def test_merged_logistic_is_near_the_central_one_and_is_not_it():
    X, Y = clients(4, n=600, spread=0.3)
    Y = [y > 2.0 for y in Y]
    merged = merge([trained(RecursiveLogistic(), x, y) for x, y in zip(X, Y, strict=True)], NAMES)
    central = trained(RecursiveLogistic(), np.concatenate(X), np.concatenate(Y))
    off = np.abs(numbers(merged) - numbers(central)).max() / np.abs(numbers(central)).max()
    assert 1e-6 < off < 0.3, off
    rows = np.concatenate(X)
    p, q = (
        np.array([m.predict_proba_one(dict(zip(NAMES, row, strict=True)))[True] for row in rows[::10].tolist()])
        for m in (merged, central)
    )
    assert np.abs(p - q).mean() < 0.03


def test_clients_that_speak_of_other_features_are_refused():
    one, two = (Information.of(RecursiveLeastSquares(), names) for names in (["a", "b"], ["b", "a"]))
    with pytest.raises(ValueError, match="the same features in the same order"):
        one + two
