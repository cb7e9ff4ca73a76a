"""The boosted baseline fits on its schedule and nothing in between, however it is cut, and says what it lacks."""

import builtins
import pickle
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from streams import NAMES, cut_and_by_hand, cuts, stream, streams

from rtml.core import state as checkpoint
from rtml.models import boosted
from rtml.models import catalogue as zoo
from rtml.models.boosted import BoostedRefit
from rtml.models.compiled import compile, restore
from rtml.models.refit import Refit
from rtml.training.learner import Learner


def small(**how):
    return BoostedRefit(**{"every": 40, "first": 10, "rounds": 3, "leaves": 4, **how})


def test_it_is_lightgbm_fitted_on_everything_known_at_its_schedule_and_waits_in_between():
    import lightgbm

    questions = stream(700, sign=True, delays=[25] * 700)
    model = small(every=200, first=100, rounds=10)
    got = Learner(model, NAMES).replay(questions)
    options = {"objective": "binary", "verbose": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
    options |= {"num_leaves": 4, "learning_rate": 0.05, "seed": 7, "lambda_l2": 1.0, "min_data_in_leaf": 50}
    for rows, upto in pairwise([100, 200, 400, 600, 697]):
        data = lightgbm.Dataset(questions.X[:rows], questions.y[:rows])
        fresh = lightgbm.train(options, data, 10)
        asked = slice(rows + 3, upto + 2)  # answers come 25 after the question, questions every 10
        assert got[asked] == pytest.approx(fresh.predict(questions.X[asked]), rel=1e-12)
    assert got[:3].tolist() == [0.5, 0.5, 0.5] and len(np.unique(got[:80])) > 10  # the share of ones so far
    assert compile(model, NAMES).describe() == "Boosted(10 trees) from all answers, every 200"


@settings(max_examples=25)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits(data):
    questions = data.draw(streams(sign=True))
    window = data.draw(st.sampled_from([0, 6]))

    def learner():
        return Learner(small(every=8, first=3, window=window), NAMES)

    whole, cut, live = cut_and_by_hand(learner, questions, data.draw(cuts(len(questions))))
    states = {checkpoint.dumps(each.model.state) for each in (whole, cut, live)}
    assert len(states) == 1 and whole.model.samples >= 0


def test_a_window_keeps_what_a_fit_reads_and_counts_the_rows():
    questions = stream(500, sign=True)
    twin = compile(small(every=100, first=50, window=150), NAMES)
    for x, y in zip(questions.X, questions.y, strict=True):
        twin.learn(x, y)
    assert twin.samples == 50 + 100 + 4 * 150 and len(twin.state["y"]) == 150  # at 50, 100, 200, 300, 400, 500
    again = restore(checkpoint.loads(checkpoint.dumps(twin.state)))
    assert isinstance(again, Refit) and again.predict(questions.X[3]) == twin.predict(questions.X[3])
    assert sum(twin.weights.values()) > 0
    with pytest.raises(ValueError, match="the state is of another model than this Boosted"):
        compile(small(), NAMES).load(twin.state)


def test_one_class_alone_is_no_fit():
    twin = compile(small(every=20, first=10), NAMES)
    for x in stream(20).X:
        twin.learn(x, 0.0)
    assert twin.predict(np.ones(4)) == pytest.approx(1 / 22) and twin.samples == 10 + 20


def test_it_is_a_river_classifier():
    model, questions = small(), stream(60, sign=True)
    assert model.predict_proba_one({"a": 1.0})[True] == 0.5 and model.samples == 0
    for x, y in zip(questions.X.tolist(), questions.y, strict=True):
        model.learn_one(dict(zip(NAMES, x, strict=True)), bool(y))
    row, columns = dict(zip(NAMES, questions.X[0].tolist(), strict=True)), sorted(NAMES)
    taken = compile(model, columns)
    assert taken.predict([row[name] for name in columns]) == model.predict_proba_one(row)[True]
    assert compile(model, columns[::-1]).kind == "river" and model.clone().every == 40 and zoo.build("boosted_weekly")
    with pytest.raises(ValueError, match="every counts answers between two fits"):
        BoostedRefit(every=0)


@pytest.mark.parametrize(
    ("error", "sentence"),
    [
        (OSError("libgomp.so.1: cannot open shared object file"), r"not the OpenMP library .*apt-get install libgomp1"),
        (ModuleNotFoundError("No module named 'lightgbm'"), "needs LightGBM: pip install lightgbm"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(monkeypatch, error, sentence):
    real = builtins.__import__

    def missing(name, *rest):
        if name == "lightgbm":
            raise error
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", missing)
    with pytest.raises(ImportError, match=sentence):
        boosted._lightgbm()


def test_a_pickled_one_goes_on():
    model, questions = small(), stream(30, sign=True)
    for x, y in zip(questions.X.tolist(), questions.y, strict=True):
        model.learn_one(dict(zip(NAMES, x, strict=True)), bool(y))
    again, row = pickle.loads(pickle.dumps(model)), dict.fromkeys(NAMES, 1.0)
    assert again.predict_proba_one(row) == model.predict_proba_one(row)
