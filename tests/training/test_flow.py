"""Flow: one path for every cutting, and the classic leaks, each caught."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from river import linear_model, preprocessing, tree

from rtml.core.operator import Leak
from rtml.core.state import dumps, loads
from rtml.evaluation.leakage import audit
from rtml.features.feature_set import FeatureSet
from rtml.models.rls import RecursiveLeastSquares
from rtml.training.flow import Flow
from rtml.training.learner import Learner
from rtml.usecases.crypto import use_case as crypto
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.labels import Labels, targets
from rtml.usecases.crypto.operator import Market
from rtml.usecases.crypto.trades import GAP, events

S = 10**9
TARGETS = targets({"horizon": "10s"})
SYMBOLS = ("ETH-USD", "BTC-USD")


def tape(seed=0, n=1500):
    r = np.random.default_rng(seed)
    time = 1_700_000_003 * S + np.cumsum(r.integers(0, S, n))
    rows = events(
        time, key=r.integers(0, 2, n), id=np.arange(n), price=100 * np.exp(np.cumsum(r.normal(0, 2e-4, n))), size=1.0
    )
    gap = n // 2
    rows["time"][gap:] += 30 * S
    rows["kind"][gap], rows["key"][gap], rows["id"][gap] = GAP, 0, rows["time"][gap] - 30 * S
    return rows


def models():
    scaled = preprocessing.StandardScaler() | linear_model.LogisticRegression()
    forest = preprocessing.StandardScaler() | tree.HoeffdingTreeRegressor(grace_period=20)
    return {"return": RecursiveLeastSquares(), "sign": scaled, "volatility": forest}


def flow(kind=Flow, labels=Labels, features=None, horizon="10s"):
    declared = crypto.features(SYMBOLS)
    declared = features(declared) if features else declared
    learners = {target: Learner(model, declared.names) for target, model in models().items()}
    market = Market(Bars("10s", "1s", len(SYMBOLS)), declared, [[labels("10s", horizon)]], crypto.rows)
    return kind(market, learners, TARGETS)


@settings(max_examples=15, deadline=None, phases=(Phase.explicit, Phase.reuse, Phase.generate))
@given(
    seed=st.integers(0, 99), cuts=st.lists(st.integers(0, 1500), max_size=40), horizon=st.sampled_from(["10s", "30s"])
)
def test_any_cutting_gives_the_same_outcome_and_state(seed, cuts, horizon):
    rows, one, many = tape(seed), flow(horizon=horizon), flow(horizon=horizon)
    whole = one.push(rows)
    edges = [0, *sorted(cuts), len(rows)]
    parts = [many.push(rows[a:b]) for a, b in pairwise(edges)]
    for name in ("closed", "moment", "X", "answered", "y", "known"):
        assert np.concatenate([getattr(p, name) for p in parts]).tobytes() == getattr(whole, name).tobytes(), name
    for target, predictions in whole.predictions.items():
        assert np.concatenate([p.predictions[target] for p in parts]).tobytes() == predictions.tobytes(), target
    assert dumps(many.state) == dumps(one.state)
    assert many.snapshot() == one.snapshot()


def test_event_by_event_equals_the_whole():
    rows, one, many = tape(), flow(), flow()
    whole = one.push(rows)
    singles = [many.push(rows[i : i + 1]) for i in range(len(rows))]
    assert np.concatenate([p.predictions["return"] for p in singles]).tobytes() == whole.predictions["return"].tobytes()
    assert dumps(many.state) == dumps(one.state)


def test_a_state_round_trip_in_mid_stream_changes_nothing():
    rows, one, two = tape(), flow(), flow()
    one.push(rows[:777])
    two.load(loads(dumps(one.state)))
    assert (
        two.push(rows[777:]).predictions["volatility"].tobytes()
        == one.push(rows[777:]).predictions["volatility"].tobytes()
    )
    assert two.snapshot() == one.snapshot()


def test_an_outcome_is_told_before_its_last_answer_is_learned():
    run, rows, told = flow(), tape(), []
    for row in range(len(rows)):
        outcome = run.push(rows[row : row + 1], lambda outcome: told.append((outcome, run.learners["return"].answered)))
        assert told[-1][0] is outcome
        if np.isfinite(outcome.y).any():
            assert len(outcome.moment) and told[-1][1] == run.learners["return"].answered - 1
    assert run.learners["return"].answered > 50


def test_a_question_over_a_gap_stays_unanswered_and_is_counted():
    outcome = (run := flow()).push(tape())
    assert np.isnan(outcome.y).sum() >= 3
    assert run.learners["return"].unanswered == np.isnan(outcome.y).sum()
    assert run.learners["return"].answered == np.isfinite(outcome.y).sum()


def test_an_honest_flow_passes_the_audit():
    assert len(audit(flow, tape(), cuts=5)) == 3


class ShiftedLabels(Labels):
    """The classic: the label is the return up to the question, not from it."""

    def push(self, end, close, whole):
        asked, y = super().push(end, close, whole)
        return asked, np.roll(y, 1)


class PeekingFeatures(FeatureSet):
    """The classic: a feature sees the next row."""

    def push(self, time, rows, key=None):
        return super().push(time, np.roll(rows, -1, axis=0), key)


class OwnMoment(Labels):
    """The classic: the answer is revealed at its question's own moment."""

    def push(self, end, close, whole):
        asked, y = super().push(end, close, whole)
        self.horizon = 0
        return asked, y


class TiesSwapped(Flow):
    """The classic: an answer that becomes known now is learned before the question of now."""

    def _learned(self, target, outcome):
        return [(id, y, known - 1) for id, y, known in super()._learned(target, outcome)]


@pytest.mark.parametrize(
    ("mutant", "said"),
    [
        (lambda: flow(labels=ShiftedLabels), "but the price moved"),
        (lambda: flow(features=lambda f: PeekingFeatures(f.features, f.columns)), "it sees the future"),
        (lambda: flow(labels=OwnMoment), "a label looks ahead"),
        (lambda: flow(kind=TiesSwapped), "learned too early or too late"),
    ],
    ids=["label shifted a step", "feature sees the next row", "answer at its question's moment", "ties swapped"],
)
def test_every_classic_leak_is_caught(mutant, said):
    with pytest.raises(ValueError, match=said) as caught:
        audit(mutant, tape(), cuts=5)
    assert isinstance(caught.value, Leak) or said == "a label looks ahead"


def test_an_unknown_target_is_said():
    with pytest.raises(LookupError, match="no target 'price'; known: return, sign, volatility"):
        Flow(flow().operator, {"price": None}, TARGETS)
