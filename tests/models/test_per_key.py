"""One model per key: each goes through the stream as if the others were not there."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.core.state import dumps, loads
from rtml.models.compiled import restore
from rtml.models.per_key import PerKey, Pooled
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

NAMES = ("a", "b", "key_number")
KINDS = ["rls", "sgd", "calibrated_logistic", "rls: stateful every 20"]


def stream(seed=0, n=240, keys=3, classes=False):
    r = np.random.default_rng(seed)
    key = r.integers(0, keys, n)
    X = np.column_stack([r.normal(size=(n, 2)), key])
    y = (key + 1.0) * X[:, 0] + 0.1 * r.normal(size=n)
    moment = np.sort(r.integers(0, 10 * n, n))
    known = moment + r.integers(1, 60, n)
    never = r.random(n) < 0.1
    y[never], known[never] = np.nan, NEVER
    y = np.where(np.isnan(y), np.nan, (y > 0).astype(float)) if classes else y
    return Questions(np.arange(n), moment, X, y, known, NAMES)


def learner(kind):
    return Learner(build(kind, NAMES), NAMES)


@pytest.mark.parametrize("kind", KINDS)
def test_each_key_predicts_what_a_model_of_that_key_alone_predicts(kind):
    q = stream(classes="logistic" in kind)
    together = learner(kind).replay(q)
    for key in range(3):
        own = q.X[:, 2] == key
        alone = Questions(q.id[own], q.moment[own], q.X[own, :2].copy(), q.y[own], q.known[own], NAMES[:2])
        assert Learner(build(kind, NAMES[:2]), NAMES[:2]).replay(alone).tobytes() == together[own].tobytes(), key


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=10)
@given(cuts=st.lists(st.integers(0, 240), max_size=8))
def test_any_cutting_and_restart_gives_the_same_bits(kind, cuts):
    q = stream(classes="logistic" in kind)
    whole, parts = learner(kind), learner(kind)
    want, got = whole.replay(q, until=int(q.moment[-1])), []
    for a, b in pairwise([0, *sorted(cuts), 240]):
        got.append(parts.replay(q[a:b], until=-1))
        again = learner(kind)
        again.load(loads(dumps(parts.state)))
        parts = again
    parts.replay(q[240:], until=int(q.moment[-1]))
    assert np.concatenate(got).tobytes() == want.tobytes()
    assert dumps(parts.state) == dumps(whole.state)


def test_a_restored_model_answers_the_same_and_knows_new_keys():
    trained = learner("rls")
    q = stream()
    trained.replay(q)
    again = restore(loads(dumps(trained.model.state)))
    assert all(again.predict(x) == trained.model.predict(x) for x in q.X[:20])
    before = dumps(again.state)
    assert again.predict(np.array([1.0, 1.0, 77.0])) == again.predict(np.array([1.0, 1.0, np.nan])) == 0.0
    assert dumps(again.state) == before, "asking changes nothing"


@pytest.mark.parametrize("kind", ["rls", "rls: stateful every 20"])
def test_probing_for_a_key_that_never_came_leaves_no_trace(kind):
    trained = learner(kind)
    trained.replay(stream()[:100], until=-1)
    before = dumps(trained.model.state)
    assert trained.model.predict(np.array([1.0, 1.0, 77.0])) == 0.0
    assert dumps(trained.model.state) == before, "a version is fingerprinted on made-up rows, and rebuilt without them"


def test_a_pooled_model_does_not_see_the_key():
    q = stream()
    pooled = Learner(build("pooled rls", NAMES), NAMES)
    without = Questions(q.id, q.moment, q.X[:, :2].copy(), q.y, q.known, NAMES[:2])
    assert pooled.replay(q).tobytes() == Learner(build("rls", NAMES[:2]), NAMES[:2]).replay(without).tobytes()
    assert isinstance(restore(pooled.model.state), Pooled)


def test_rows_without_a_key_are_refused():
    with pytest.raises(ValueError, match="the last feature must be 'key_number', got a, b"):
        PerKey(lambda names: None, ["a", "b"])


@pytest.mark.parametrize("kind", [*KINDS, "blend", "blend_probability", "pooled blend"])
def test_many_rows_in_one_call_are_predicted_with_the_bits_of_one_by_one(kind):
    q, pooled = stream(classes="logistic" in kind or "probability" in kind), kind.startswith("pooled ")
    model = Pooled(build("blend", NAMES[:2])) if pooled else build(kind, NAMES)
    Learner(model, NAMES).replay(q, until=int(q.moment[-1]))
    X = np.vstack([q.X[:50], [[0.3, np.nan, 1.0], [0.3, 0.1, 7.0], [0.3, 0.1, np.nan]]])
    X = X[:50] if kind.startswith("rls:") else X
    before = dumps(model.state)
    many = model.predict_rows(X)
    assert many.tobytes() == np.array([model.predict(x) for x in X]).tobytes()
    assert many[:20].tobytes() == model.predict_rows(X[:20]).tobytes()
    assert dumps(model.state) == before, "asking changes nothing"
