"""The blend of classes: the same bits however cut, members as their oracles, the exact bound of its log loss."""

import math

import numpy as np
import pytest
from driver import Driver, bits, check_cutting
from hypothesis import given, settings
from hypothesis import strategies as st
from river import forest, linear_model, multiclass, neighbors, preprocessing
from streams import cuts

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.kernels import blend_classes as kernels
from rtml.models.blend import Blend, BlendClassifier
from rtml.models.blend_classes import ClassBlend, Neighbours
from rtml.models.clip import Clip
from rtml.models.compiled import compile
from rtml.models.recursive_logistic import RecursiveLogistic

NAMES, CLASSES = ("a", "b", "c"), ("low", "middle", "high")


def of_classes(n, seed=0, delay=25, stays=0.0):
    """Three classes by two features, a few labels missing; with ``stays`` labels repeat, whatever the row.

    Up to three questions are asked at one moment, and an answer comes up to ``delay`` later.
    """
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3)).round(2)
    y = np.digitize(X[:, 0] + X[:, 1], [-0.5, 0.7]).astype(float)
    for i in 1 + np.flatnonzero(rng.random(n - 1) < stays):
        y[i] = y[i - 1]
    moment = 10 * np.sort(rng.integers(0, max(n - n // 4, 1), n))
    known = np.where(rng.random(n) < 0.05, NEVER, moment + 1 + rng.integers(0, delay, n))
    y[(rng.random(n) < 0.05) | (known == NEVER)] = np.nan
    return Questions(np.arange(n), moment, X, y, known, NAMES)


@settings(max_examples=5, deadline=None)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits_as_one_by_one(data):
    q = of_classes(
        data.draw(st.integers(1, 60)), data.draw(st.integers(0, 99)), data.draw(st.sampled_from([1, 25, 200]))
    )
    check_cutting(lambda: ClassBlend(NAMES, CLASSES), q, data.draw(cuts(len(q))))


def test_members_say_what_they_would_say_alone():
    q, model = of_classes(300), ClassBlend(NAMES, CLASSES)
    q.X[np.random.default_rng(4).random(q.X.shape) < 0.05] = np.nan
    kept = Driver(model).replay(q, NEVER - 1)
    table = kept[:, :-1].reshape(len(q), -1, 3)
    said = dict(zip(model.members, table[:, 1:].transpose(1, 0, 2), strict=False))
    order = np.flatnonzero(q.known < NEVER)
    order = order[np.argsort(q.known[order], kind="stable")]
    alone = compile(preprocessing.StandardScaler() | Clip(12.0) | RecursiveLogistic(1.0, 1.0), NAMES, CLASSES)
    p = alone.replay(q.X, q.y, q.moment, q.known, order, NEVER - 1)[0]
    assert said["softmax, forgetting 1"] == pytest.approx((1 - kernels.LEAST) * p + kernels.LEAST / 3)
    last, due = np.full(len(q), np.nan), sorted((k, i) for i, k in enumerate(q.known) if k < NEVER and q.y[i] == q.y[i])
    for i, moment in enumerate(q.moment):
        before = [j for k, j in due if k < moment]
        last[i] = q.y[before[-1]] if before else np.nan
        counts = np.bincount(q.y[before].astype(int), minlength=3) + 1.0
        assert said["majority"][i] == pytest.approx((1 - kernels.LEAST) * counts / counts.sum() + kernels.LEAST / 3)
    assert np.array_equal(kept[:, -1], last, equal_nan=True)
    shown = ClassBlend(NAMES, CLASSES)._last_known(q.y, q.moment, q.known, order)
    assert np.array_equal(shown, last, equal_nan=True) and np.isin(q.known, q.moment).any()
    chain = np.zeros((4, 3))
    for _, i in due:
        chain[[3] if np.isnan(last[i]) else [int(last[i]), 3], int(q.y[i])] += 1.0
    assert np.array_equal(model.state["chain"], chain), "behind the label known when asked"
    assert table.sum(axis=2) == pytest.approx(np.ones(table.shape[:2])) and table.min() > 0.0


def test_neighbours_are_those_of_brute_force():
    rng = np.random.default_rng(2)
    X, y = rng.normal(size=(300, 3)) * [1.0, 100.0, 0.01], rng.integers(0, 3, 300)
    X[8::9, 1] = np.nan
    model = Neighbours(NAMES, np.array([3.0, 50.0]), CLASSES)
    filled = X.copy()
    for i, x in enumerate(X):
        if i > 3:
            spread, shown = np.nanvar(X[:i], axis=0), filled[max(0, i - 50) : i]
            far = np.where(np.isnan(x), 0.0, (shown - x) ** 2 / spread).sum(axis=1)
            near = y[max(0, i - 50) : i][np.argsort(far, kind="stable")[:3]]
            expected = (np.bincount(near, minlength=3) + 0.5 / 3) / (min(i, 3) + 0.5)
            assert model.predict(x) == pytest.approx(expected), i
        model.learn(x, float(y[i]))
        filled[i] = np.where(np.isnan(x), np.nanmean(X[: i + 1], axis=0), x)
    assert model.describe() == "Neighbours(3 of the last 50)" and model.weights["b"] == pytest.approx(0.01, rel=0.2)


@pytest.mark.parametrize("stays", [0.0, 0.8])
def test_the_log_loss_is_within_the_exact_bound_of_every_sequence_of_members(stays):
    """Mixture 4 has rate 1 and gives a share of .005 back; a change of member costs it the logarithm of that."""
    model = ClassBlend(NAMES, CLASSES)
    q = of_classes(500, seed=3, delay=1, stays=stays)
    at = 10 * np.arange(500)  # an answer is learned before the next question
    q = Questions(q.id, at, q.X, q.y, at + 1, NAMES)
    kept = Driver(model).replay(q, NEVER - 1)
    there = np.flatnonzero(~np.isnan(q.y))
    table = kept[there, :-1].reshape(len(there), -1, 3)
    loss = -np.log(table[np.arange(len(there)), :, q.y[there].astype(int)])
    members, half, share = len(model.members), len(there) // 2, 5e-3
    mixture, alone = loss[:, 1 + members + 4].sum(), loss[:, 1 : 1 + members]
    stay = -len(there) * math.log1p(-share)
    assert mixture <= alone.sum(axis=0).min() + math.log(members) + stay
    changed = alone[:half].sum(axis=0).min() + alone[half:].sum(axis=0).min()
    assert mixture <= changed + math.log(members) - math.log(share * 0.1 / members) + stay
    best = loss[:, 1 + members : 7 + members].sum(axis=0).min()
    assert loss[:, 0].sum() <= best + math.log(6) - len(there) * math.log1p(-5e-4)
    assert (alone.sum(axis=0).argmin() == model.members.index("softmax, forgetting 1")) == (stays == 0.0)


def test_labels_that_follow_each_other_are_seen():
    """Rows that say nothing: labels in a cycle, and labels that cling, are predicted from the last one known."""
    rng = np.random.default_rng(1)
    for y, least in ((np.arange(600) % 3, 0.99), (np.repeat(rng.integers(0, 3, 60), 10), 0.88)):
        at = 10 * np.arange(600)
        q = Questions(np.arange(600), at, rng.normal(size=(600, 3)), y.astype(float), at + 1, NAMES)
        model = ClassBlend(NAMES, CLASSES)
        p = Driver(model).replay(q, NEVER - 1)[:, :3]
        assert (p.argmax(axis=1) == y)[300:].mean() >= least
    assert sum(model.weights.values()) == pytest.approx(1.0)


def test_it_is_the_blend_of_a_target_of_classes_and_refuses_what_is_broken():
    model = compile(BlendClassifier(forgetting=(1.0, 0.9), ridge=(2.0,), seed=3), NAMES, CLASSES)
    assert isinstance(model, ClassBlend) and model.describe() == "Blend(8 members, 3 classes)"
    assert model.members[1] == "softmax, forgetting 0.9" and model.memory == 14 * 3 + 1
    model.learn(np.ones(3), 2.0)
    before = bits(model)
    with pytest.raises(ValueError, match="label of a classifier must be one of 0 to 2, got 3"):
        model.learn(np.ones(3), 3.0)
    with pytest.raises(ValueError, match="feature 'b' must be a finite number"):
        model.learn(np.array([1.0, np.inf, 1.0]), 1.0)
    with pytest.raises(ValueError, match="questions wait: a blend must know what was kept"):
        model.replay(np.ones((2, 3)), np.ones(2), np.array([3]), np.array([4, 5]), np.arange(2), NEVER)
    with pytest.raises(ValueError, match="the state is of another model than this Blend"):
        ClassBlend(NAMES, CLASSES).load(model.state)
    with pytest.raises(ValueError, match="it cannot tell 3 classes apart"):
        compile(Blend(), NAMES, CLASSES)
    assert bits(model) == before


def test_it_is_within_a_point_of_the_best_of_rivers_where_the_law_turns():
    rng = np.random.default_rng(8)
    n = 300
    X = rng.normal(size=(n, 3))
    y = np.digitize(X[:, 0] + np.where(np.arange(n) < n // 2, 1.0, -1.0) * X[:, 1], [-0.5, 0.7])
    at = 10 * np.arange(n)
    p = ClassBlend(NAMES, CLASSES).replay(X, y.astype(float), at, at + 1, np.arange(n), NEVER - 1)[0]
    rivers = {
        "logistic": multiclass.OneVsRestClassifier(linear_model.LogisticRegression()),
        "softmax": linear_model.SoftmaxRegression(),
        "kNN": neighbors.KNNClassifier(),
        "ARF": forest.ARFClassifier(seed=1),
    }
    found = dict.fromkeys(rivers, 0.0)
    for name, model in rivers.items():
        for x, label in zip(X.tolist(), y.tolist(), strict=True):
            row = dict(zip(NAMES, x, strict=True))
            found[name] += (model.predict_one(row) == label) / n
            model.learn_one(row, label)
    assert (p.argmax(axis=1) == y).mean() > max(found.values()) - 0.01 > 0.6, found
