"""What the answers of a test have shown so far, and what follows from it.

It is a fold over the log of predictions: failures in the order they happened, answers in the order they came. So a
restart comes to the same, and a bandit too goes on with what it knew. Each unit counts once, with its first answer,
since the answers of one unit are alike.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rtml.core.segments import Segment, sentence, settled
from rtml.core.target import ANOMALY, CLASSES, NUMBER, RANKING, Target
from rtml.metrics.confidence_sequence import interval
from rtml.registry.routing import bandit, evidence
from rtml.registry.routing.route import AB, BANDIT, CANARY, Route

CENSORED = 10.0  # mean squared errors at which a squared error is cut off
FIRST = 20  # answers that only say how large squared errors are
MISMATCHED = math.log(100)  # log evidence from which on shares are taken to be broken
_OF_FAILURES = 0.8  # share of a canary's evidence that is on failures, of an A/B test's that is on losses


@dataclass(frozen=True)
class Decision:
    """What shall be done: "better" or "worse" of an arm, a canary's "next" step, or that it got "through"."""

    what: str
    arm: str
    why: str
    evidence: dict


class _Book:
    """One arm against the first: bets that it is better, that it is worse, that it fails more; gains and their sums."""

    def __init__(self) -> None:
        self.better = np.zeros(len(evidence.STAKES))
        self.worse = np.zeros(len(evidence.STAKES))
        self.fails = np.zeros(len(evidence.RISKS))
        self.sums = np.zeros(3)


class Experiment:
    """Evidence of one test.

    Losses lie between 0 and 1: the Brier score of a probability, an error of a class, one minus the reciprocal rank;
    a squared error is cut off at ten times the mean of those before, and divided by that.

    Parameters
    ----------
    route
        The test; shares may change, the arms stay.
    target
        The first one that is predicted; its kind says how answers are scored.
    segments
        Declared parts of the questions by which each arm is compared too, all statements valid at once.

    Examples
    --------
    >>> from rtml.registry.routing.route import begin
    >>> route = begin(AB, "price", {"eth@1": 0.5, "eth@2": 0.5})
    >>> test = Experiment(route, Target("up", "probability"))
    >>> for i in range(400):
    ...     arm, p = (("eth@1", 0.5), ("eth@2", 0.9))[i % 2]
    ...     test.answer(arm, f"user {i}", 0.5, p, 1.0)
    >>> test.decision().what, test.decision().arm
    ('better', 'eth@2')
    """

    def __init__(self, route: Route, target: Target, segments: Sequence[Segment] = ()) -> None:
        self._target = target
        self._shares = {}
        self._segments = tuple(segments)
        self.follow(route)
        self._books = {arm: _Book() for arm in route.arms[1:]}
        self._parts = {arm: {one.name: _Book() for one in segments} for arm in route.arms[1:]}
        self._seen: set[str] = set()
        self._failed: set[str] = set()
        self.state = bandit.fresh(len(route.arms))
        self.losses = {arm: [0, 0.0] for arm in route.arms}  #: units with an answer, and the sum of their losses
        self.failures = dict.fromkeys(route.arms, 0)
        self.asked, self.units = dict.fromkeys(route.arms, 0), {}  #: requests by arm; units by label and arm
        self._met: set[str] = set()
        self._squares = [0, 0.0]
        self.answers, self._total = 0, 0.0

    def follow(self, route: Route) -> None:
        """Go on with other shares of the same arms."""
        self.route, self._step = route, set()
        self._shares[route.label] = route.weights

    def ask(self, label: str, arm: str, unit: str) -> None:
        """Take a request that was assigned to an arm, under a label of the route."""
        if arm not in self.asked:
            return
        self.asked[arm] += 1
        if unit not in self._met:
            self._met.add(unit)
            self.units[label, arm] = self.units.get((label, arm), 0) + 1
        if (label, arm) == (self.route.label, self.route.arms[-1]):
            self._step.add(unit)

    def fail(self, label: str, arm: str, unit: str, propensity: float) -> None:
        """Take a failure of an arm, asked with a chance; to a bandit it is an answer without a reward."""
        if arm not in self.failures or (unit and unit in self._failed):
            return
        self._failed.add(unit)
        self.failures[arm] += 1
        if self.route.kind == BANDIT:
            self._learn(arm, 0.0, propensity)
            return
        first, shares = self.route.arms[0], self._shares.get(label, self.route.weights)
        for other, book in self._books.items():
            if arm in (first, other) and (share := shares.get(other, 0.0)):
                book.fails += evidence.failure(arm == other, share / (share + shares.get(first, 0.0)))

    def answer(
        self,
        arm: str,
        unit: str,
        propensity: float,
        prediction: float | np.ndarray,
        y: float,
        names: Sequence[str] = (),
        x: Sequence[float] = (),
    ) -> None:
        """Take the answer of a unit that an arm was asked for with a chance, by the features ``x`` of these names."""
        if arm not in self.losses or (unit and unit in self._seen):
            return
        loss = self._loss(prediction, y)
        if not math.isfinite(loss):
            return
        self._seen.add(unit)
        place = self.route.arms.index(arm)
        for other, book in self._books.items():
            sign = 1.0 if place == 0 else -1.0 if other == arm else 0.0
            gain = sign * (loss - self._total / max(self.answers, 1)) / propensity
            for part in (book, *(self._parts[other][s.name] for s in self._segments if s.holds(names, x))):
                self._bet(part, gain)
        self._learn(arm, 1.0 - loss, propensity)
        self.losses[arm] = [self.losses[arm][0] + 1, self.losses[arm][1] + loss]
        self.answers, self._total = self.answers + 1, self._total + loss

    def _learn(self, arm: str, reward: float, propensity: float) -> None:
        """Let a bandit know a reward; the chances of other arms do not matter, since nothing was counted of them."""
        one = np.eye(len(self.route.arms))[self.route.arms.index(arm)]
        self.state = bandit.learn(self.state, one, reward * one, np.full(len(one), propensity), self.route.discount)

    @property
    def mismatch(self) -> float:
        """Log evidence that units first seen since the last change of shares do not come in these shares."""
        if self.route.kind not in (AB, CANARY):
            return 0.0
        counts = {arm: n for (label, arm), n in self.units.items() if label == self.route.label}
        return evidence.mismatch(counts, self.route.weights)

    def decision(self) -> Decision | None:
        """What is settled, if anything; only to stop an arm where units do not come in the shares that were set."""
        mismatched = self.mismatch >= MISMATCHED
        return next((one for one in self._settled() if not mismatched or one.what == "worse"), None)

    def _settled(self) -> Iterator[Decision]:
        kind, sides = self.route.kind, 1 if self.route.kind == CANARY else 2
        needed = math.log(sides * len(self._books) / self.route.alpha) if self._books else math.inf
        asked = [arm for arm in self._books if kind in (AB, CANARY) and self.route.weights.get(arm)]
        for side, what in enumerate(("worse", "better")[:sides]):  # what must stop comes first
            for arm in asked:
                if (log_e := self.evidence(arm)[side]) >= needed:
                    yield Decision(what, arm, self.sentence(arm, what, log_e, needed), self.facts(arm))
        arm = self.route.arms[-1]
        units = len(self._step)
        if kind == CANARY and units >= self.route.after:
            what = "next" if self.route.steps else "through"
            why = f"{arm} answered {units:,} units at {self.route.weights[arm]:.3g}, and nothing speaks against it"
            yield Decision(what, arm, why, self.facts(arm))

    def evidence(self, arm: str) -> tuple[float, float]:
        """Log evidence that an arm is worse than the first, and that it is better."""
        book = self._books[arm]
        worse, better = _capital(book.worse), _capital(book.better)
        of_failures = _OF_FAILURES if self.route.kind == CANARY else 1 - _OF_FAILURES
        fails = math.log(of_failures) + float(evidence.capital(book.fails))
        worse = float(np.logaddexp(fails, math.log(1 - of_failures) + worse))
        return worse, better

    def segments(self, arm: str) -> dict[str, str]:
        """Declared segments in which an arm is better or worse than the first beyond doubt; all hold at once."""
        parts, alpha = self._parts[arm], self.route.alpha / len(self._books)
        pairs = {name: (_capital(book.worse), _capital(book.better)) for name, book in parts.items()}
        return settled(pairs, alpha)

    def facts(self, arm: str) -> dict:
        """Figures of an arm beside the first: the gain a unit with its 95 % interval, valid whenever one looks."""
        sums = self._books[arm].sums.tolist()
        figures = dict(zip(("gain", "gain_low", "gain_high"), interval(*sums), strict=True)) | {"units": int(sums[0])}
        figures |= {
            name: math.exp(min(log, 700.0)) for name, log in zip(("worse", "better"), self.evidence(arm), strict=True)
        }
        return figures | {"failures": self.failures[arm], "failures_before": self.failures[self.route.arms[0]]}

    def sentence(self, arm: str, what: str, log_e: float, needed: float) -> str:
        """A decision in words."""
        first, figures = self.route.arms[0], self.facts(arm)
        proof = f"(evidence {math.exp(min(log_e, 700)):,.0f} : 1, {math.exp(needed):,.0f} : 1 needed)"
        cut = sentence(what, self.segments(arm))
        proof += cut and f"; {cut}"
        if what == "worse" and figures["failures"] > figures["failures_before"] * self.route.weights.get(arm, 0.0):
            counts = f"{figures['failures']} failures of {arm} beside {figures['failures_before']} of {first}"
            return f"{arm} is worse than {first}: {counts} at its share, loss {-figures['gain']:+.3g} a unit {proof}"
        return (
            f"{arm} is {what} than {first}: loss {-figures['gain']:+.3g} a unit over {figures['units']:,} units {proof}"
        )

    def _bet(self, book: _Book, gain: float) -> None:
        book.better += evidence.difference(gain, self._floor)
        book.worse += evidence.difference(-gain, self._floor)
        book.sums += (1.0, gain, gain * gain)

    @property
    def _floor(self) -> float:
        """Smallest chance of any arm, ever."""
        return bandit.FLOOR / len(self.route.arms) if self.route.kind == BANDIT else self.route.floor

    def _loss(self, prediction: float | np.ndarray, y: float) -> float:
        """Loss of a prediction, between 0 and 1; NaN where there is none."""
        y = float(self._target.learned(np.array([y]))[0])
        kind = self._target.kind
        if kind == CLASSES:
            return float(np.argmax(prediction) != y) if y == y else math.nan
        if kind == RANKING:
            place = np.flatnonzero(np.asarray(prediction) == y)
            return 1.0 - 1.0 / (place[0] + 1.0) if len(place) else 1.0
        square = (float(prediction) - y) ** 2
        if kind != NUMBER:
            return math.nan if kind == ANOMALY else square
        n, total = self._squares
        if square == square:
            self._squares = [n + 1, total + square]
        return min(square * n / (CENSORED * total), 1.0) if n >= FIRST and total > 0 else math.nan


def _capital(bets: np.ndarray) -> float:
    return float(evidence.capital(bets))
