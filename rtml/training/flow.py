"""Flow: events in, predictions out, answers learned: the one path that backtest, online training and serving share."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from rtml.core.operator import Operator
from rtml.core.segments import Segment, checked
from rtml.core.state import dumps
from rtml.core.target import Target, by_name
from rtml.registry.learners import LEARNER
from rtml.training.learner import Answer, Learner
from rtml.training.lineages import Lineages


@dataclass(frozen=True)
class Outcome:
    """What a chunk of events led to: :class:`rtml.core.operator.Asked`, and ``predictions`` by target.

    ``key`` is the key of each question, ``label`` the number of each answer's label. A prediction is a number, shape
    (m,), or several, shape (m, outputs). ``lineage`` gave the predictions; ``challengers`` are those of the lineages in
    shadow, by name and target.

    Examples
    --------
    >>> none, asked = np.empty(0, np.int64), np.array([1, 2])
    >>> about = ({"price": np.array([0.5, 0.6])}, none, none, none, none)
    >>> outcome = Outcome(none, asked, 0 * asked, np.array([10, 20]), np.ones((2, 3)), *about)
    >>> last = outcome.part(asked=slice(1, None))
    >>> last.id, last.X.shape, last.predictions["price"]
    (array([2]), (1, 3), array([0.6]))
    """

    closed: np.ndarray
    id: np.ndarray
    key: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    predictions: dict[str, np.ndarray]
    answered: np.ndarray
    y: np.ndarray
    known: np.ndarray
    label: np.ndarray
    challengers: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)
    lineage: str = LEARNER

    def keys(self) -> np.ndarray:
        """Key of every question, as :class:`rtml.core.operator.Asked` has it."""
        return self.key

    def labels(self) -> np.ndarray:
        """Label of every answer, likewise."""
        return self.label

    def part(self, asked=slice(None), answered=slice(None)) -> Outcome:
        """Some of the questions with their predictions, and some of the answers: slices, masks or places."""
        rows = {name: getattr(self, name)[asked] for name in ("id", "key", "moment", "X")}
        rows |= {name: getattr(self, name)[answered] for name in ("answered", "y", "known", "label")}
        return replace(self, predictions={name: p[asked] for name, p in self.predictions.items()}, **rows)

    def answers(self, label: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ids, ``y`` and ``known`` of the answers of one label."""
        part = self.label == label
        return self.answered[part], self.y[part], self.known[part]


class Flow:
    """A use case's operator and the learners of each target, as one transition function.

    Any way of cutting the same events into chunks gives the same outcome and the same state, bit by bit.

    Parameters
    ----------
    operator
        Turns events into questions and answers, e.g. a :class:`rtml.usecases.crypto.operator.Market`.
    learners
        One for each target that is predicted; none to compute questions and answers only.
    targets
        What is predicted, and what each target learns from an answer.
    challengers
        Learners that are asked in shadow, by lineage and target, see :class:`rtml.training.lineages.Lineages`.

    segments
        Parts of the questions by which comparisons are cut.

    Raises
    ------
    LookupError
        Where a learner is of no target, or a segment of no feature.
    """

    def __init__(
        self,
        operator: Operator,
        learners: Mapping[str, Learner],
        targets: Sequence[Target],
        challengers: Mapping[str, Mapping[str, Learner]] = {},
        segments: Sequence[Segment] = (),
    ) -> None:
        self.targets = by_name(tuple(targets))
        unknown = set(learners) - set(self.targets)
        if unknown:
            raise LookupError(f"no target {', '.join(sorted(unknown))!r}; known: {', '.join(self.targets)}")
        self.operator, self.lineages = operator, Lineages(learners, challengers)
        self.learners = self.lineages.learners  #: those that serve, by target
        self.challenged = bool(challengers)
        self.segments = checked(segments, operator.features.names) if segments else ()
        labels = list(dict.fromkeys(target.label for target in targets))
        self.label_of = {target.name: labels.index(target.label) for target in targets}

    @property
    def features(self):
        """The features that questions are asked with."""
        return self.operator.features

    @property
    def horizon(self) -> int:
        """How far ahead an answer looks, ns; 0 where answers come at a time of their own."""
        return self.operator.horizon

    def push(self, events: np.ndarray, on_outcome: Callable[[Outcome], object] | None = None) -> Outcome:
        """Take events in order of arrival; ask every question they lead to, and learn every answer in its time.

        ``on_outcome`` gets the outcome before what is known only behind the last question is learned: a prediction
        does not wait for that.
        """
        asked = self.operator.push(events)
        columns, serves = (asked.answered, asked.y, asked.known, asked.labels()), self.lineages.serves
        outcome = Outcome(asked.closed, asked.id, asked.keys(), asked.moment, asked.X, {}, *columns, {}, serves)
        left = {}
        for name, learner in self.learners.items():
            answers = self._learned(name, outcome)
            predictions, left[name] = learner.ask_all(outcome.id, outcome.moment, outcome.X, answers)
            outcome.predictions[name] = predictions
        if on_outcome is not None:
            on_outcome(outcome)
        for name, answers in left.items():
            for answer in answers:
                self.learners[name].tell(*answer)
        if self.challenged:
            outcome.challengers.update(self.lineages.ask(outcome, lambda target: self._learned(target, outcome)))
        return outcome

    def _learned(self, target: str, outcome: Outcome) -> list[Answer]:
        """What a target learns from the answers of an outcome: id, y, known."""
        if not len(outcome.answered):
            return []
        answered, y, known = outcome.answers(self.label_of[target])
        learned = self.targets[target].learned(y)
        return list(zip(answered.tolist(), learned.tolist(), known.tolist(), strict=True))

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
        whole = {"operator": self.operator.state, "learners": learners}
        return whole | ({"lineages": self.lineages.state} if self.challenged else {})

    def load(self, state: dict) -> None:
        """Continue from a state; a learner that the state does not hold starts from scratch."""
        self.operator.load(state["operator"])
        if self.challenged:
            self.lineages.load(state.get("lineages", {}))
        for name, learner in self.learners.items():
            if name in state["learners"]:
                learner.load(state["learners"][name])
