"""Flow: events in, predictions out, answers learned: the one path that backtest, online training and serving share."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from rtml.core.operator import Operator
from rtml.core.state import dumps
from rtml.training.learner import Learner
from rtml.usecases.crypto.labels import TARGETS


@dataclass(frozen=True)
class Outcome:
    """What a chunk of events led to: :class:`rtml.core.operator.Asked`, and ``predictions`` by target, (m,)."""

    bars: np.ndarray
    id: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    predictions: dict[str, np.ndarray]
    answered: np.ndarray
    y: np.ndarray
    known: np.ndarray


class Flow:
    """A use case's operator and the learners of each target, as one transition function.

    Any way of cutting the same events into chunks gives the same outcome and the same state, bit by bit.

    Parameters
    ----------
    operator
        Turns events into questions and answers, e.g. a :class:`rtml.usecases.crypto.operator.Market`.
    learners
        One a target; none to compute questions and answers only.
    targets
        What each target learns from an answer ``y``; NaN says that there is nothing to learn.
    """

    def __init__(
        self, operator: Operator, learners: Mapping[str, Learner], targets: Mapping[str, Callable] = TARGETS
    ) -> None:
        unknown = set(learners) - set(targets)
        if unknown:
            raise LookupError(f"no target {', '.join(sorted(unknown))!r}; known: {', '.join(targets)}")
        self.operator, self.learners, self.targets = operator, dict(learners), dict(targets)

    @property
    def features(self):
        """The features that questions are asked with."""
        return self.operator.features

    @property
    def horizon(self) -> int:
        """How far ahead an answer looks, ns; 0 where answers come at a time of their own."""
        return self.operator.horizon

    def push(self, events: np.ndarray, told: Callable[[Outcome], object] | None = None) -> Outcome:
        """Take events in order of arrival; ask every question they lead to, and learn every answer in its time.

        ``told`` gets the outcome before what is known only behind the last question is learned: nobody waits for that.
        """
        asked = self.operator.push(events)
        columns = [column.tolist() for column in (asked.id, asked.moment, asked.answered, asked.known)]
        driven = {name: self._drive(name, asked, *columns) for name in self.learners}
        bars, id, moment, X, answered, y, known = asked
        predictions = {name: said for name, (said, _) in driven.items()}
        outcome = Outcome(bars, id, moment, X, predictions, answered, y, known)
        if told is not None:
            told(outcome)
        for name, (_, behind) in driven.items():
            for answer in behind:
                self.learners[name].tell(*answer)
        return outcome

    def _drive(self, target: str, asked, ids: list, moments: list, answered: list, known: list) -> tuple:
        """Question, then what is known at its moment, for at equal times the question comes first; and what is left."""
        learner, y = self.learners[target], self.targets[target](asked.y).tolist() if answered else []
        answers, predictions, told = list(zip(answered, y, known, strict=True)), np.empty(len(moments)), 0
        for i, (id, at) in enumerate(zip(ids, moments, strict=True)):
            while told < len(known) and known[told] < at:
                learner.tell(*answers[told])
                told += 1
            predictions[i] = learner.ask(id, at, asked.X[i])
        return predictions, answers[told:]

    def snapshot(self) -> bytes:
        """The models as they are now, with all that is needed to answer from them: what the registry keeps."""
        states = {name: learner.model.state for name, learner in self.learners.items()}
        models = {name: state.get("served", state) for name, state in states.items()}  # what it answers from
        about = {"names": list(self.features.names), "features": self.features.definition}
        return dumps(about | {"horizon": self.horizon, "models": models})

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        learners = {name: learner.state for name, learner in self.learners.items()}
        return {"operator": self.operator.state, "learners": learners}

    def load(self, state: dict) -> None:
        """Continue from a state; a learner that the state does not hold starts from scratch."""
        self.operator.load(state["operator"])
        for name, learner in self.learners.items():
            if name in state["learners"]:
                learner.load(state["learners"][name])
