"""Flow: events in, predictions out, answers learned: the one path that backtest, online training and serving share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from rtml.bars import Bars
from rtml.checkpoint import dumps
from rtml.features import FeatureSet
from rtml.labels import TARGETS, Labels
from rtml.learner import Learner


@dataclass(frozen=True)
class Outcome:
    """What a chunk of events led to.

    ``bars`` has shape (n, symbols). A question is asked at ``moment`` (ns, a bar's end; its id too) with features
    ``X`` (m, d) and answered by ``predictions[target]`` (m). ``answered`` are moments of questions, now or earlier,
    whose return ``y`` (bp, NaN where it stays unknown) became known at ``known``.
    """

    bars: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    predictions: dict[str, np.ndarray]
    answered: np.ndarray
    y: np.ndarray
    known: np.ndarray


class Flow:
    """Bars, features, labels and the learners of each target, as one transition function.

    Any way of cutting the same events into chunks gives the same outcome and the same state, bit by bit.

    Parameters
    ----------
    bars, features, labels
        Operators of a use case, e.g. ``crypto.operators(...)``.
    rows
        Turns bars of shape (n, symbols) into the rows that the features are declared on.
    learners
        One per target of :data:`rtml.labels.TARGETS`; none to compute questions and answers only.
    """

    def __init__(self, bars: Bars, features: FeatureSet, labels: Labels, rows, learners: Mapping[str, Learner]) -> None:
        unknown = set(learners) - set(TARGETS)
        if unknown:
            raise LookupError(f"no target {', '.join(sorted(unknown))!r}; known: {', '.join(TARGETS)}")
        self.bars, self.features, self.labels, self.learners = bars, features, labels, dict(learners)
        self._rows = rows

    def push(self, events: np.ndarray) -> Outcome:
        """Take events in order of arrival; ask at every bar that closes, then learn what that bar answers."""
        closed = self.bars.push(events)
        target = closed[:, 0]
        X = self.features.push(target["end"], self._rows(closed))
        answered, y = self.labels.push(target["end"], target["close"], target["complete"])
        asked = np.isfinite(target["close"])
        moment, X = target["end"][asked].copy(), np.ascontiguousarray(X[asked])
        known = answered + self.labels.horizon
        predictions = {name: self._drive(name, moment, X, answered, y, known) for name in self.learners}
        return Outcome(closed, moment, X, predictions, answered, y, known)

    def _drive(self, target: str, moment, X, answered, y, known) -> np.ndarray:
        """Question, then what is known at its moment: at equal times the question comes first."""
        learner, learned = self.learners[target], TARGETS[target](y)
        predictions, told = np.empty(len(moment)), 0
        for i, at in enumerate(moment.tolist()):
            while told < len(known) and known[told] < at:
                learner.tell(int(answered[told]), float(learned[told]), int(known[told]))
                told += 1
            predictions[i] = learner.ask(at, at, X[i])
        for j in range(told, len(known)):
            learner.tell(int(answered[j]), float(learned[j]), int(known[j]))
        return predictions

    def snapshot(self) -> bytes:
        """The models as they are now, with all that is needed to answer from them: what the registry keeps."""
        models = {name: learner.model.state for name, learner in self.learners.items()}
        about = {"names": list(self.features.names), "features": self.features.definition}
        return dumps(about | {"horizon": self.labels.horizon, "models": models})

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        parts = {"bars": self.bars.state, "features": self.features.state, "labels": self.labels.state}
        return parts | {"learners": {name: learner.state for name, learner in self.learners.items()}}

    def load(self, state: dict) -> None:
        """Continue from a state; a learner that the state does not hold starts from scratch."""
        for name in ("bars", "features", "labels"):
            getattr(self, name).load(state[name])
        for name, learner in self.learners.items():
            if name in state["learners"]:
                learner.load(state["learners"][name])
