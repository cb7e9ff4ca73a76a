"""One model in use: ask it for predictions, tell it the answers; it learns from the very features it was asked with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtml.core.clock import NEVER, utc
from rtml.core.questions import Questions
from rtml.models.compiled import compile
from rtml.models.rows import check_label

_NEVER_YET = -(2**63)
_COUNTS = ("asked", "answered", "unanswered", "last_moment", "last_learned")


class Asked(NamedTuple):
    """A question as it was asked; ``y`` and ``known`` are NaN and NEVER until its answer is scheduled."""

    prediction: float
    x: np.ndarray
    moment: int
    y: float = math.nan
    known: int = NEVER


class Learner:
    """A model that is asked and told.

    Backtest, online training and server drive this one class. At equal times the question comes first: after learning
    an answer that was known at ``t``, a question of a moment up to ``t`` is refused.

    Parameters
    ----------
    model
        A river model (its compiled twin is taken where one exists), what :func:`rtml.models.compiled.compile` gave, or
        a timed model around one: it has ``predict_at(x, moment)`` and ``learn_at(x, y, prediction, moment, known)``,
        and may have ``replay_at(X, y, said, moment, known, order, until)``, which is told the moments of all rows of a
        chunk and what was said to those asked before it.
    names
        Names of the features, in the order of their columns.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> learner = Learner(RecursiveLeastSquares(ridge=1.0), ["return_1"])
    >>> learner.ask(1, moment=100, x=[2.0])
    0.0
    >>> learner.tell(1, y=3.0, known=110).prediction, learner.answered
    (0.0, 1)
    """

    def __init__(self, model, names: Sequence[str]) -> None:
        self.model = model if hasattr(model, "replay") else compile(model, names)
        self._timed = self.model if hasattr(self.model, "learn_at") else None
        self.names = self.model.names
        if tuple(names) != self.names:
            raise ValueError(f"the model takes the columns {self.names}, got {tuple(names)}")
        self.asked = self.answered = self.unanswered = 0
        self.last_moment = self.last_learned = _NEVER_YET
        self._open: dict[int, Asked] = {}

    @property
    def open(self) -> int:
        """Questions that wait for their answer."""
        return len(self._open)

    def ask(self, id: int, moment: int, x) -> float:
        """Predict, and remember question and features until the answer is told."""
        self._check_turn(id, moment)
        x = np.array(x, dtype=np.float64)
        prediction = self._timed.predict_at(x, int(moment)) if self._timed else self.model.predict(x)
        self._open[int(id)] = Asked(prediction, x, int(moment))
        self.last_moment = int(moment)
        self.asked += 1
        return prediction

    def tell(self, id: int, y: float, known: int) -> Asked:
        """Learn the answer of an open question; a NaN closes it unanswered. Returns the question as it was asked."""
        question = self._open.get(int(id))
        if question is None:
            raise LookupError(f"question {id} is not open: it was never asked, or was answered before")
        if known <= question.moment:
            raise ValueError(
                f"the answer of question {id}, asked at {utc(question.moment)}, cannot be known at "
                f"{utc(int(known))}: a label looks ahead"
            )
        if y == y:
            if self._timed:
                self._timed.learn_at(question.x, y, question.prediction, question.moment, int(known))
            else:
                self.model.learn(question.x, y)
            self.last_learned = max(self.last_learned, int(known))
            self.answered += 1
        else:
            self.unanswered += 1
        del self._open[int(id)]
        return question

    def replay(self, questions: Questions, until: int = NEVER) -> np.ndarray:
        """Ask a chunk of questions and tell every answer in its time; return the predictions.

        Before each question come all answers known before its moment, after the last one those known up to ``until``.
        The rest stays open for the next chunk, so that any cutting of a stream gives the same predictions and state.
        An answer that never comes closes its question at once.
        """
        self._check_chunk(questions)
        X, y, known, waiting = questions.X, questions.y, questions.known, list(self._open.values())
        if waiting:
            X = np.concatenate([[q.x for q in waiting], X])
            y = np.concatenate([[q.y for q in waiting], y])
            known = np.concatenate([[q.known for q in waiting], known])
        order = _by_time(known)
        if hasattr(self.model, "replay_at"):
            said = np.array([q.prediction for q in waiting], dtype=np.float64)
            moment = np.concatenate([np.array([q.moment for q in waiting], dtype=np.int64), questions.moment])
            predictions, told = self.model.replay_at(X, y, said, moment, known, order, until)
        else:
            predictions, told = self.model.replay(X, y, questions.moment, known, order, until)
        self._book(questions, predictions, y, known, order[:told])
        return predictions

    @property
    def state(self) -> dict:
        """Everything, for :func:`rtml.core.state.dumps`: the model, the counts and the open questions in order."""
        rows = list(self._open.values())
        waiting = {
            "id": np.array(list(self._open), dtype=np.int64),
            "moment": np.array([q.moment for q in rows], dtype=np.int64),
            "X": np.array([q.x for q in rows]).reshape(len(rows), len(self.names)),
            "prediction": np.array([q.prediction for q in rows], dtype=np.float64),
            "y": np.array([q.y if q.y == q.y else math.nan for q in rows], dtype=np.float64),
            "known": np.array([q.known for q in rows], dtype=np.int64),
        }
        return {"model": self.model.state, "open": waiting} | {name: getattr(self, name) for name in _COUNTS}

    def load(self, state: dict) -> None:
        """Go on from a state of a learner of the same model."""
        self.model.load(state["model"])
        for name in _COUNTS:
            setattr(self, name, state[name])
        waiting = state["open"]
        columns = (waiting[name].tolist() for name in ("id", "prediction", "moment", "y", "known"))
        self._open = {
            id: Asked(prediction, x, moment, y, known)
            for (id, prediction, moment, y, known), x in zip(zip(*columns, strict=True), waiting["X"], strict=True)
        }

    def _check_turn(self, id: int, moment: int) -> None:
        if id in self._open:
            raise ValueError(f"question {id} is open already: give every question an id of its own")
        if moment < self.last_moment:
            raise ValueError(
                f"questions must be asked in the order of their moments: question {id} at {utc(int(moment))} follows "
                f"{utc(self.last_moment)}; sort the event log or raise the lateness"
            )
        if moment <= self.last_learned:
            raise ValueError(
                f"question {id} at {utc(int(moment))} comes after an answer known at {utc(self.last_learned)} was "
                "learned: at equal times ask first, then tell"
            )

    def _check_chunk(self, questions: Questions) -> None:
        if questions.names != self.names:
            raise ValueError(f"the learner takes the columns {self.names}, got {questions.names}")
        if len(questions) == 0:
            return
        self._check_turn(int(questions.id[0]), int(questions.moment[0]))
        ids = questions.id
        if not (ids[1:] > ids[:-1]).all() and len(np.unique(ids)) < len(ids):
            raise ValueError("two questions of the chunk have the same id: give every question an id of its own")
        taken = np.isin(ids, list(self._open))
        if taken.any():
            raise ValueError(f"question {ids[taken][0]} is open already: give every question an id of its own")
        if self.model.classifier:
            wrong = ~(np.isnan(questions.y) | np.isin(questions.y, (0.0, 1.0)))
            if wrong.any():
                check_label(questions.y[wrong][0], classifier=True)

    def _book(self, questions: Questions, predictions, y, known, told) -> None:
        """Bring the counts and the open questions up to date after a chunk."""
        before = len(self._open)
        never = before + np.flatnonzero(np.isnan(questions.y) & (questions.known == NEVER))
        learned = told[~np.isnan(y[told])]
        waits = np.ones(len(y), dtype=bool)
        waits[told] = waits[never] = False
        self._open = {id: q for (id, q), waits_ in zip(self._open.items(), waits, strict=False) if waits_}
        for i in (np.flatnonzero(waits[before:])).tolist():
            row = (float(predictions[i]), questions.X[i].copy(), int(questions.moment[i]))
            self._open[int(questions.id[i])] = Asked(*row, float(questions.y[i]), int(questions.known[i]))
        self.asked += len(questions)
        self.answered += len(learned)
        self.unanswered += len(told) - len(learned) + len(never)
        if len(questions):
            self.last_moment = int(questions.moment[-1])
        if len(learned):
            self.last_learned = max(self.last_learned, int(known[learned[-1]]))


def _by_time(known: np.ndarray) -> np.ndarray:
    """Places of the answers that come, by the time when they are known, ties in the order asked."""
    order = np.flatnonzero(known < NEVER)
    due = known[order]
    return order if (due[1:] >= due[:-1]).all() else order[np.argsort(due, kind="stable")]
