"""Half-space trees score as river's do, learn without labels, and find what was planted."""

import handed
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import anomaly, base, preprocessing

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.metrics import metrics
from rtml.models.catalogue import build
from rtml.models.compiled import compile, restore
from rtml.models.half_space_trees import HalfSpace
from rtml.usecases.fraud.alert_metrics import precision_at_alerts

ULB = handed.DATA / "fraud"
NAMES = ("x", "a", "m")


class Distance(base.AnomalyDetector):
    """Distance to the mean."""

    def __init__(self):
        self.n, self.mean = 0, 0.0

    def learn_one(self, x):
        self.n += 1
        self.mean += (x["x"] - self.mean) / self.n

    def score_one(self, x):
        return 1.0 - 1.0 / (1.0 + abs(x["x"] - self.mean))


def planted(n=3000, seed=0):
    """Rows of two clusters with one in fifty far from both."""
    rng = np.random.default_rng(seed)
    X = rng.normal(0.0, 1.0, (n, 3)) + 6.0 * (rng.random((n, 1)) < 0.5)
    y = rng.random(n) < 0.02
    X[y] = rng.uniform(-12, 18, (int(y.sum()), 3))
    return X, y.astype(float)


def small(scaled=True, **how):
    trees = anomaly.HalfSpaceTrees(**{"n_trees": 5, "height": 4, "window_size": 30, "seed": 3, **how})
    return preprocessing.MinMaxScaler() | trees if scaled else trees


def of_river(model, X, names=NAMES):
    scores = []
    for x in X.tolist():
        row = {name: value for name, value in zip(names, x, strict=True) if value == value}
        scores.append(model.score_one(row))
        model.learn_one(row)
    return np.array(scores)


def replay(model, X, start=0):
    at = 10 * np.arange(start, start + len(X))
    return model.replay(X, np.full(len(X), np.nan), at, np.full(len(X), NEVER), np.empty(0, int), NEVER)[0]


@pytest.mark.parametrize("scaled", [True, False])
@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 50), gaps=st.sampled_from([0.0, 0.3]), height=st.integers(1, 6))
def test_scores_are_rivers_bit_by_bit(scaled, seed, gaps, height):
    rng = np.random.default_rng(seed)
    X = rng.random((150, 3))
    X[1:][rng.random((149, 3)) < gaps] = np.nan  # river plants its trees on the features of the first row
    twin = compile(small(scaled, height=height, seed=seed), NAMES)
    assert type(twin) is HalfSpace
    assert replay(twin, X).tolist() == of_river(small(scaled, height=height, seed=seed), X).tolist()


def test_what_river_has_learned_goes_with_it():
    X, _ = planted(200)
    model = small()
    of_river(model, X[:100])
    twin = compile(model, NAMES)
    assert type(twin) is HalfSpace and replay(twin, X[100:]).tolist() == of_river(model, X[100:]).tolist()
    assert compile(model, ("x", "other", "m")).kind == "river"
    other = compile(model, NAMES[::-1])
    assert replay(other, X[:50, ::-1].copy()).tolist() == of_river(model, X[:50]).tolist()


def test_it_learns_without_labels_and_any_cutting_gives_the_same_bits():
    X, y = planted(400)
    whole, cut, live = (compile(small(), NAMES) for _ in range(3))
    expected = replay(whole, X)
    parts = []
    for start, stop in ((0, 7), (7, 7), (7, 333), (333, 400)):
        parts.append(replay(cut, X[start:stop], start))
        cut = restore(checkpoint.loads(checkpoint.dumps(cut.state)))
    one_by_one = []
    for x, label in zip(X, y, strict=True):
        one_by_one.append(live.predict(x))
        live.learn(x, np.nan if label else label)
    assert np.concatenate(parts).tobytes() == expected.tobytes() == np.array(one_by_one).tobytes()
    assert checkpoint.dumps(whole.state) == checkpoint.dumps(cut.state) == checkpoint.dumps(live.state)
    assert whole.unsupervised and not whole.classifier and whole.outputs == 1
    assert ((expected >= 0.0) & (expected <= 1.0)).all() and expected[:30].max() == 0.0 < expected[30:].min()


@pytest.mark.parametrize("model", [small, lambda: small(limits={"x": (0, 2)}), lambda: small(window_size=31)])
def test_labels_change_nothing_and_are_counted(model):
    X, y = planted(100)
    at, known = 10 * np.arange(100), 10 * np.arange(100) + 25
    with_labels, told = compile(model(), NAMES).replay(X, y, at, known, np.arange(100), 500)
    assert told == np.sum(known <= 989) and with_labels.tolist() == of_river(model(), X).tolist()


def test_any_other_detector_of_river_runs_as_it_is():
    model = compile(preprocessing.StandardScaler() | Distance(), NAMES)
    assert model.kind == "river" and model.unsupervised
    X, y = planted(500)
    scores = replay(model, X)
    live = compile(preprocessing.StandardScaler() | Distance(), NAMES)
    for x, score in zip(X, scores, strict=True):
        assert live.predict(x) == score
        live.learn(x, np.nan)
    assert metrics.auc(y[50:], scores[50:]) > 0.7
    assert checkpoint.dumps(live.state) == checkpoint.dumps(model.state)


def test_it_finds_what_was_planted_as_well_as_river():
    X, y = planted()
    ours, theirs = replay(build("half_space_trees", NAMES), X), of_river(build("half_space_trees"), X)
    assert ours.tolist() == theirs.tolist() and metrics.auc(y[250:], ours[250:]) > 0.85


def test_of_ten_alerts_a_day_as_many_are_right_as_of_rivers_and_five_times_as_many_as_by_chance():
    X, y = planted()
    moment = np.arange(len(y)) * (86_400 * 10**9 // 500)  # five hundred rows a day
    ours, theirs = replay(build("half_space_trees", NAMES), X), of_river(build("half_space_trees"), X)
    right = [precision_at_alerts(y[250:], p[250:], moment[250:], alerts=10) for p in (ours, theirs)]
    assert right[0] == right[1] > 5 * y[250:].mean()
    by_hand = []
    for day in np.unique(moment[250:] // (86_400 * 10**9)):
        rows = np.flatnonzero(moment[250:] // (86_400 * 10**9) == day)
        by_hand.append(y[250:][rows[np.argsort(-ours[250:][rows], kind="stable")[:10]]].mean())
    assert right[0] == pytest.approx(np.mean(by_hand))


@pytest.mark.skipif(not ULB.exists(), reason="the recorded transactions are not beside this repository")
def test_it_finds_frauds_among_recorded_card_payments_as_well_as_river():
    frame = pd.read_parquet(ULB / "creditcard_ulb_sample.parquet").sort_values("Time")
    names = tuple(c for c in frame.columns if c.startswith("V") or c == "Amount")
    X, y = np.ascontiguousarray(frame[list(names)].to_numpy(float)), frame.Class.to_numpy(float)
    ours, theirs = replay(build("half_space_trees", names), X), of_river(build("half_space_trees"), X, names)
    assert ours.tolist() == theirs.tolist() and metrics.auc(y[250:], ours[250:]) > 0.85


def test_a_state_of_other_trees_is_refused():
    model = compile(small(), NAMES)
    with pytest.raises(ValueError, match=r"the state is of another model than this MinMaxScaler \| HalfSpaceTrees"):
        model.load(compile(small(seed=4), NAMES).state)
    with pytest.raises(ValueError, match="feature 'a' must be a finite number, got inf"):
        model.predict([1.0, np.inf, 1.0])
    assert sum(model.weights.values()) == 5 * 15
