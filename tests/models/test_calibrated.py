"""Online calibration makes probabilities honest under late answers, keeps their order, and is the same however cut."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from river import linear_model, tree
from scipy import optimize, special
from streams import NAMES, cut_and_by_hand, cuts, stream, streams

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER
from rtml.core.questions import Questions
from rtml.evaluation.progressive import progressive
from rtml.kernels import calibration as kernels
from rtml.metrics import metrics
from rtml.models.baselines import RunningMean
from rtml.models.calibrated import Calibrate, Calibrated
from rtml.models.compiled import compile, restore
from rtml.training.learner import Learner

HOUR = 3600 * 10**9


def bayes():
    """Naive Bayes, compiled: a tree that never splits."""
    return tree.HoeffdingTreeClassifier(leaf_prediction="nb", grace_period=10**9)


def too_sure(n=6000, delay=200, seed=1):
    """Six copies of one weak feature: naive Bayes counts its evidence six times. A question a minute, late answers."""
    rng = np.random.default_rng(seed)
    y = (rng.random(n) < 0.3).astype(float)
    weak = rng.normal(0.8 * y, 1.0)
    at = 60 * 10**9 * np.arange(n)
    X = np.column_stack([weak] * 6)
    return Questions(np.arange(n), at, X, y, at + delay * 60 * 10**9, tuple("abcdef"))


def test_it_makes_an_overconfident_model_honest_and_changes_its_order_little():
    questions = too_sure()
    plain = progressive(bayes(), questions).predictions
    honest = progressive(Calibrate(bayes(), after=200), questions)
    second = slice(3000, None)
    y, p, q = questions.y[second], plain[second], honest.predictions[second]
    assert metrics.log_loss(y, q) < 0.75 * metrics.log_loss(y, p) and metrics.brier(y, q) < metrics.brier(y, p)
    assert metrics.auc(y, q) == pytest.approx(metrics.auc(y, p), abs=0.005)
    assert q.mean() == pytest.approx(y.mean(), abs=0.02)
    table = metrics.calibration(y, q, bins=5)
    assert ((table["low"] - 0.02 <= table["predicted"]) & (table["predicted"] <= table["high"] + 0.02)).all()
    slope, _ = honest.learner.model.line
    assert 0.1 < slope < 0.35  # evidence counted six times


def test_what_was_honest_stays_as_it_was():
    questions = stream(5000, sign=True)
    plain = progressive(linear_model.LogisticRegression(), questions).predictions
    kept = progressive(Calibrate(linear_model.LogisticRegression()), questions).predictions
    assert metrics.log_loss(questions.y, kept) < metrics.log_loss(questions.y, plain) + 0.005


def test_the_line_is_the_maximum_of_the_likelihood_with_its_prior():
    rng = np.random.default_rng(0)
    odds = rng.normal(-2.0, 2.0, 8000)
    y = (rng.random(8000) < special.expit(0.5 * odds + 0.7)).astype(float)
    model = Calibrate(None, forgetting=1.0, after=0)._map
    for p, label in zip(special.expit(odds).tolist(), y.tolist(), strict=True):
        kernels.learn_now(p, label, 1.0, *model.arrays)

    def loss(w):
        at = w[0] * odds + w[1]
        prior = (w[0] - 1) ** 2 / kernels.PRIOR_SLOPE + w[1] ** 2 / kernels.PRIOR_INTERCEPT
        return np.logaddexp(0, at).sum() - y @ at + prior / 2

    best = optimize.minimize(loss, [1.0, 0.0], method="BFGS")
    assert model.line[:2] == pytest.approx(best.x, abs=0.02)
    Z, p = np.column_stack([odds, np.ones(8000)]), special.expit(best.x[0] * odds + best.x[1])
    precision = (Z * (p * (1 - p))[:, None]).T @ Z + np.diag([1 / kernels.PRIOR_SLOPE, 1 / kernels.PRIOR_INTERCEPT])
    assert model.line[kernels.VARIANCE] == pytest.approx(np.linalg.inv(precision)[0, 0], rel=0.1)


@settings(max_examples=40)
@given(data=st.data())
def test_any_cutting_gives_the_same_bits(data):
    questions = data.draw(streams(sign=True))
    every, after = data.draw(st.sampled_from(["1ns", "5ns", "1h"])), data.draw(st.integers(1, 6))

    def learner():
        return Learner(Calibrate(tree.HoeffdingTreeClassifier(grace_period=3, tau=0.9), every, 0.9, after), NAMES)

    whole, cut, live = cut_and_by_hand(learner, questions, data.draw(cuts(len(questions))))
    assert len({checkpoint.dumps(each.model.state) for each in (whole, cut, live)}) == 1


def test_it_learns_from_what_was_said_when_the_question_was_asked():
    model = compile(Calibrate(tree.HoeffdingTreeClassifier(), every="1h", forgetting=1.0, after=1), ["a"])
    for i in range(50):
        said = model.predict_at(np.ones(1), i * HOUR)
        own = special.logit(np.clip(model.model.predict(np.ones(1)), 1e-9, 1 - 1e-9))
        place = int(model._map.line[kernels.HELD]) - 1
        slope, shift = model._map.maps[place]
        assert said == pytest.approx(special.expit(slope * own + shift))
        assert kernels._said(said, model._map.maps[place]) == pytest.approx(own, abs=0.05)
        model.learn_at(np.ones(1), float(i % 3 == 0), said, i * HOUR, i * HOUR + 5)


def test_a_map_is_put_in_use_once_a_span_and_the_oldest_are_forgotten():
    model = compile(Calibrate(tree.HoeffdingTreeClassifier(), every="1h", forgetting=1.0, after=1), ["a"])
    for i in range(kernels.MOST + 500):
        at = i * HOUR
        said = model.predict_at(np.ones(1), at)
        assert model.predict_at(np.ones(1), at + HOUR // 2) == said
        model.learn_at(np.ones(1), float(i % 3 == 0), said, at, at + 1)
    held = int(model._map.line[kernels.HELD])
    assert kernels.MOST // 2 < held < kernels.MOST and (np.diff(model._map.since[:held]) == HOUR).all()
    assert model.predict(np.ones(1)) == pytest.approx(1 / 3, abs=0.03)


def test_what_an_untaught_model_said_teaches_nothing():
    questions = too_sure(3000, delay=1500)  # half of the questions are asked before the first answer, all with a half
    model = progressive(Calibrate(bayes(), after=200), questions).learner.model
    early = Questions(*(getattr(questions, c)[:1501] for c in ("id", "moment", "X", "y", "known")), questions.names)
    none = progressive(Calibrate(bayes(), after=200), early).learner.model
    assert none.line == (1.0, 0.0) and none.samples == 1501 and model.line != (1.0, 0.0)


def test_it_is_restored_from_its_state_alone_and_serves_what_it_said():
    questions = too_sure(1500)
    learner = progressive(Calibrate(bayes(), after=200), questions).learner
    again = restore(checkpoint.loads(checkpoint.dumps(learner.model.state)))
    assert isinstance(again, Calibrated) and again.describe() == learner.model.describe()
    assert again.predict(questions.X[0]) == learner.model.predict(questions.X[0])
    assert again.line == learner.model.line and again.samples == 1500
    with pytest.raises(
        ValueError, match=r"the state is of another model than this HoeffdingTree.* \| Calibrate\(every=2h\)"
    ):
        compile(Calibrate(bayes(), every="2h", after=200), questions.names).load(again.state)


def test_without_times_it_learns_from_what_the_model_says_now():
    questions = too_sure(3000)
    model, twin = Calibrate(bayes(), after=200), compile(Calibrate(bayes(), after=200), questions.names)
    for x, y in zip(questions.X, questions.y, strict=True):
        model.learn_one(dict(zip(questions.names, x.tolist(), strict=True)), bool(y))
        twin.learn(x, y)
    row = dict(zip(questions.names, questions.X[0].tolist(), strict=True))
    assert model.predict_proba_one(row)[True] == pytest.approx(twin.predict(questions.X[0]), rel=1e-12)
    assert twin.line[0] < 0.5 and compile(model, questions.names).kind == "river"


def test_what_cannot_be_calibrated_is_said():
    with pytest.raises(
        ValueError, match="only the probabilities of a plain classifier are calibrated, got RunningMean"
    ):
        compile(Calibrate(RunningMean()), NAMES)
    with pytest.raises(ValueError, match="forgetting must be in"):
        Calibrate(tree.HoeffdingTreeClassifier(), forgetting=0.0)
    twin, questions = compile(Calibrate(tree.HoeffdingTreeClassifier()), NAMES), stream(3, sign=True)
    with pytest.raises(ValueError, match="2 questions wait: calibration needs their predictions, use replay_at"):
        twin.replay(questions.X, questions.y, questions.moment[2:], questions.known, np.arange(3), NEVER)
