"""Challengers that learn in shadow, on streams of a known gain: a better one serves soon, an equal one does not."""

from types import SimpleNamespace

import numpy as np
import pytest
from first_win import first_win as first_win_of
from runs import market_run

from rtml.core.state import dumps, loads
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile
from rtml.registry.learners import FORMER, LEARNER, learner_version
from rtml.registry.promotion.lineage_gate import LineageGate
from rtml.registry.promotion.rules import Rules
from rtml.registry.registry import Registry

NAMES = ("a", "b", "c")


def said(model, X, y):
    """What a model predicts of a stream, from scratch, each answer learned before the next question."""
    learner, found = compile(zoo.build(model), NAMES[: X.shape[1]]), np.empty(len(y))
    for i, x in enumerate(X):
        found[i] = learner.predict(x)
        learner.learn(x, y[i])
    return found


def stream(gain, n, seed):
    """A law of two features, and of a third that explains a share of the noise's variance."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, 3))
    return X, 0.3 * X[:, 0] - 0.3 * X[:, 1] + np.sqrt(gain) * X[:, 2] + rng.normal(size=n)


def promoted(champion, challenger, gain, n, seed):
    """Answer at which a challenger from scratch is promoted against a champion that has learned for as long; or -1."""
    X, y = stream(gain, 2 * n, seed)
    columns = (said(champion, X[:, :2], y)[n:], said(challenger, X[n:], y[n:]), y[n:])
    shares = np.array([Rules.share(number) for number in range(1, n)])
    return first_win_of(*columns, False, 1, Rules().alpha, shares, float(Rules().timeouts))


def test_a_challenger_with_a_gain_serves_soon_and_an_equal_one_in_no_more_than_a_twentieth_of_streams():
    won = np.array([promoted("sgd", "rls", 0.2, 1500, seed) for seed in range(11)])
    assert (won >= 0).all() and np.median(won) < 600
    equal = [promoted(model, model, 0.0, 600, seed) >= 0 for model in ("sgd", "rls") for seed in range(20)]
    assert np.mean(equal) <= 0.05


class Contest:
    """A gate of a flow whose lineages predict constants; answers are noise."""

    def __init__(self, folder, seed=7):
        config = market_run(("A", "B"), models={"return": "zero"}).with_challengers(["mean", "ar1"])
        self.registry, self.flow = Registry(folder), config.flow()
        self.gate = LineageGate(self.registry, "eth", self.flow)
        self.rng, self.next, self.said = np.random.default_rng(seed), 0, []

    def push(self, n, served, cut=0, **challengers):
        """Ask and answer questions, in pieces of ``cut``; what is decided serves behind the piece that settled it."""
        names = {"mean": "mean", "ar1": "ar1", "learner": LEARNER, "former": FORMER}
        for _ in range(n // (cut or n)):
            ids = np.arange(self.next, self.next + (cut or n))
            self.next += len(ids)
            outcome = SimpleNamespace(id=ids, moment=(ids + 1) * 10**11, X=np.zeros((len(ids), 1)), answered=ids)
            outcome.y, outcome.known = self.rng.normal(size=len(ids)), outcome.moment + 1
            outcome.predictions = {"return": np.full(len(ids), served)}
            outcome.challengers = {names[k]: {"return": np.full(len(ids), p)} for k, p in challengers.items()}
            self.said += self.gate.push(outcome)
            if self.gate.serves[0] != self.flow.lineages.serves:
                return self.flow.lineages.serve(*self.gate.serves)
        return None

    def kinds(self):
        return [event.kind for event in self.said]


def test_challengers_take_turns_and_the_former_lineage_is_looked_back_at_not_entered(tmp_path):
    contest = Contest(tmp_path)
    contest.push(400, 0.0, cut=1, mean=3.0, ar1=0.0)
    entered = [event.detail["version"] for event in contest.said if event.kind == "shadow"]
    assert entered[:2] == ["eth@learner:mean", "eth@learner:ar1"], "the next one's turn when one is refused"
    contest.push(900, 2.0, cut=1, mean=3.0, ar1=0.0)
    assert contest.flow.lineages.serves == "ar1" and contest.registry.champion("eth").id == "eth@learner:ar1"
    contest.said.clear()
    contest.push(900, 2.0, cut=1, mean=5.0, learner=0.0, former=0.0)
    assert "rolled back" in contest.kinds() and contest.flow.lineages.serves == LEARNER
    against = {event.detail["version"] for event in contest.said if event.kind == "shadow" and event.at < 10**30}
    assert learner_version("eth") not in against


def test_a_former_lineage_that_fails_is_not_waited_for(tmp_path):
    contest = Contest(tmp_path)
    contest.push(1500, 2.0, cut=1, mean=0.0, ar1=0.0)
    assert contest.flow.lineages.serves == "mean"
    contest.push(3, 0.0, cut=1, ar1=0.0, learner=np.nan, former=np.nan)
    assert contest.gate.state["mirror"] is None and contest.gate.state["failed"] == [LEARNER]


def test_it_goes_on_from_a_state(tmp_path):
    one, other = Contest(tmp_path / "a"), Contest(tmp_path / "b")
    for contest in (one, other):
        contest.push(50, 0.5, mean=0.0, ar1=0.0)
    again = LineageGate(other.registry, "eth", other.flow)
    again.load(loads(dumps(other.gate.state)))
    other.gate = again
    for contest in (one, other):
        contest.push(60, 0.5, mean=0.0, ar1=0.0)
    assert dumps(one.gate.state) == dumps(other.gate.state)


def test_a_target_of_several_numbers_is_refused(tmp_path):
    contest = Contest(tmp_path)
    target = SimpleNamespace(outputs=3)
    flow = SimpleNamespace(lineages=contest.flow.lineages, targets={"return": target})
    with pytest.raises(ValueError, match="a prediction of 'return' is several numbers, so challengers cannot be"):
        LineageGate(contest.registry, "eth", flow)
