"""Drifting streams drift as their name says, when they say so, and recorded ones come as questions."""

import handed
import numpy as np
import pandas as pd
import pytest
from drifting import KINDS, NAMES, drifting, recorded

from rtml.core.clock import span

DATA = handed.DATA / "drift"
REAL = ("sudden", "gradual", "incremental", "recurring")
each_kind = pytest.mark.parametrize("kind", KINDS)
needs_recordings = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recordings in {DATA}: set RTML_SHARED_DATA")


def fitted(X, y):
    """Least squares weights with an intercept: the oracle that sees a law in answers alone."""
    return np.linalg.lstsq(np.column_stack([X, np.ones(len(X))]), y, rcond=None)[0]


@each_kind
def test_the_same_seed_gives_the_same_stream_and_another_another(kind):
    one, two, other = drifting(kind, n=500), drifting(kind, n=500), drifting(kind, n=500, seed=8)
    assert np.array_equal(one.questions.X, two.questions.X) and np.array_equal(one.questions.y, two.questions.y)
    pd.testing.assert_frame_equal(one.truth, two.truth)
    assert not np.array_equal(one.questions.X, other.questions.X)


@each_kind
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_nothing_differs_from_a_stream_without_drift_before_the_first_change(kind, task):
    drifted, still = drifting(kind, n=2000, task=task), drifting("none", n=2000, task=task)
    first = np.searchsorted(drifted.questions.moment, drifted.changes[0]) if drifted.changes else 2000
    assert np.array_equal(drifted.questions.X[:first], still.questions.X[:first])
    assert np.array_equal(drifted.questions.y[:first], still.questions.y[:first])
    if drifted.changes:
        assert np.array_equal(drifted.questions.y, still.questions.y) == (kind == "virtual")
        assert np.array_equal(drifted.questions.X, still.questions.X) == (kind == "flip")


@each_kind
def test_answers_follow_what_the_truth_says_is_best(kind):
    stream = drifting(kind, n=20_000)
    best, y = stream.truth["best"].to_numpy(), stream.questions.y
    for low in np.arange(0.1, 0.9, 0.2):
        inside = (best >= low) & (best < low + 0.2)
        assert abs(y[inside].mean() - best[inside].mean()) < 0.04
    expected = drifting(kind, task="regression", n=20_000)
    rest = expected.questions.y - expected.truth["best"]
    assert abs(rest.mean()) < 0.02 and abs(rest.std() - 0.5) < 0.02


@pytest.mark.parametrize("kind", REAL)
def test_a_real_drift_turns_the_law_and_moves_features(kind):
    stream = drifting(kind, n=20_000, task="regression")
    X, y, half = stream.questions.X, stream.questions.y, slice(4000)
    late = slice(5000, 10_000) if kind == "recurring" else slice(16_000, None)
    assert np.abs(fitted(X[half], y[half]) - fitted(X[late], y[late])).max() > 0.5
    assert np.abs(X[half].mean(0) - X[late].mean(0)).max() > 1.0


def test_a_virtual_drift_moves_idle_features_and_leaves_the_law():
    stream = drifting("virtual", n=20_000, task="regression")
    X, y = stream.questions.X, stream.questions.y
    assert np.abs(fitted(X[:10_000], y[:10_000]) - fitted(X[10_000:], y[10_000:])).max() < 0.05
    moved = np.abs(X[:10_000].mean(0) - X[10_000:].mean(0))
    assert moved[:4].max() < 0.1 and moved[4:].min() > 1.0


def test_a_flip_turns_the_law_round_and_moves_no_feature_nor_the_answers_share():
    stream = drifting("flip", n=20_000)
    X, y = stream.questions.X, stream.questions.y
    assert np.abs(fitted(X[:10_000], y[:10_000])[:6] + fitted(X[10_000:], y[10_000:])[:6]).max() < 0.05
    assert np.abs(X[:10_000].mean(0) - X[10_000:].mean(0)).max() < 0.1
    assert abs(y[:10_000].mean() - y[10_000:].mean()) < 0.02


def test_each_kind_changes_in_its_own_time():
    share = {kind: drifting(kind, n=1000).truth["share"].to_numpy() for kind in KINDS}
    assert not share["none"].any()
    assert not share["sudden"][:500].any() and share["sudden"][500:].all()
    assert (np.diff(share["incremental"]) >= 0).all() and len(np.unique(share["incremental"])) > 150
    gradual = share["gradual"]
    assert set(gradual) == {0.0, 1.0} and not gradual[:400].any() and gradual[600:].all()
    assert 0.1 < gradual[400:500].mean() < 0.4 < 0.6 < gradual[500:600].mean() < 0.9
    assert drifting("recurring", n=1000).truth["concept"].iloc[[0, 250, 500, 750]].tolist() == [0, 1, 2, 3]


def test_recurring_concepts_come_back_and_others_do_not():
    def laws(kind):
        stream = drifting(kind, n=8000, task="regression", changes=(0.25, 0.5, 0.75)).questions
        return [fitted(stream.X[at : at + 2000], stream.y[at : at + 2000]) for at in range(0, 8000, 2000)]

    recurring, fresh = laws("recurring"), laws("sudden")
    assert np.abs(recurring[0] - recurring[2]).max() < 0.1 and np.abs(recurring[1] - recurring[3]).max() < 0.1
    assert np.abs(fresh[0] - fresh[2]).max() > 0.3 and np.abs(fresh[1] - fresh[3]).max() > 0.3


def test_answers_take_their_delay_and_changes_are_moments():
    stream = drifting("sudden", n=100, delay="1h", every="10s", changes=[0.3])
    asked = stream.questions
    assert (asked.known - asked.moment == span("1h")).all() and (np.diff(asked.moment) == span("10s")).all()
    assert stream.changes == (int(asked.moment[30]),)
    assert (drifting(n=10).questions.known[:-1] < drifting(n=10).questions.moment[1:]).all()
    assert asked.names == NAMES


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ({"kind": "odd"}, "no drift 'odd'; known: none, sudden"),
        ({"task": "odd"}, "no task 'odd'; known: classification"),
        ({"kind": "none", "changes": [0.5]}, "a stream without drift has no changes"),
        ({"changes": [0.5, 0.2]}, "changes must rise between 0 and 1"),
        ({"changes": [1.5]}, "changes must rise between 0 and 1"),
        ({"noise": 1.5}, "noise is a share of answers"),
    ],
)
def test_what_cannot_be_is_said(how, said):
    with pytest.raises((ValueError, LookupError), match=said):
        drifting(n=100, **how)


def test_a_file_is_read_as_it_is_or_refused_with_a_sentence(tmp_path):
    path = tmp_path / "stream.parquet"
    pd.DataFrame({"a": [1, 2, 3], "target": ["no", "yes", None]}).to_parquet(path)
    asked = recorded(path, delay="1d", every="5m")
    assert asked.names == ("a",) and asked.y[:2].tolist() == [0.0, 1.0] and np.isnan(asked.y[2])
    assert (np.diff(asked.moment) == span("5m")).all() and (asked.known - asked.moment == span("1d")).all()
    assert recorded(path, positive="no").y[:2].tolist() == [1.0, 0.0]
    with pytest.raises(LookupError, match="no class 'maybe'; there are: no, yes"):
        recorded(path, positive="maybe")
    with pytest.raises(LookupError, match="no column 'label'; there are: a, target"):
        recorded(path, target="label")
    with pytest.raises(FileNotFoundError, match="missing: name a Parquet file"):
        recorded(tmp_path / "none.parquet")
    pd.DataFrame({"a": ["x", "y"], "target": [0, 1]}).to_parquet(path)
    with pytest.raises(ValueError, match="features must be numbers, but a of"):
        recorded(path)


@needs_recordings
def test_elec2_comes_in_half_hours_with_up_as_one():
    asked = recorded(DATA / "elec2.parquet", delay="1d")
    assert len(asked) == 45_312 and (np.diff(asked.moment) == span("30m")).all()
    assert asked.y.sum() == 19_237 and "date" not in asked.names and "nswprice" in asked.names


@needs_recordings
def test_recordings_of_more_classes_need_one_named():
    with pytest.raises(ValueError, match=r"a stream of 5 classes \(aedes, flies, .*: name one by positive"):
        recorded(DATA / "insects_2016_incremental.parquet")
    assert recorded(DATA / "insects_2016_incremental.parquet", positive="aedes").y.sum() == 904
    assert recorded(DATA / "noaa_weather.parquet").y.sum() == 5698
