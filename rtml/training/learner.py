"""One model in use: ask it for predictions, tell it the answers; it learns from the very features it was asked with."""

from __future__ import annotations

from collections.abc import Sequence
from math import nan

import numpy as np

from rtml.core.clock import NEVER, utc
from rtml.core.questions import Questions
from rtml.models.compiled import compile
from rtml.models.rows import check_label, packer, replay
from rtml.training.open_questions import Asked, OpenQuestions

Answer = tuple[int, float, int]  # id of a question, y, known

_FEW = 8  # questions of a chunk that are asked one by one: to arrange columns for a kernel would cost more
_NEVER_YET = -(2**63)
_COUNTS = ("asked", "answered", "unanswered", "last_moment", "last_learned")


class Learner:
    """A model that is asked and told.

    Backtest, online training and server drive this one class. At equal times the question comes first: after learning
    an answer that was known at ``t``, a question of a moment up to ``t`` is refused.

    Parameters
    ----------
    model
        A river model (its compiled twin is taken where one exists), what :func:`rtml.models.compiled.compile` gave, or
        a timed model around one: it has ``predict_at(x, moment)`` and ``learn_at(x, y, kept, moment, known)``, and may
        have ``replay_at(X, y, kept, moment, known, order, until)``, which gets the moments of all rows of a chunk and
        what was kept with those asked before it. A model of several ``outputs`` (classes, a ranking) or with a
        ``memory`` predicts that many numbers, the prediction first; they are kept until the answer.
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
        self._unsupervised = bool(getattr(self.model, "unsupervised", False))  # learns a row when it was asked about
        self.outputs = int(getattr(self.model, "outputs", 1))
        self._kept = self.outputs + int(getattr(self.model, "memory", 0))
        self.asked = 0
        self.answered = 0
        self.unanswered = 0
        self.last_moment = self.last_learned = _NEVER_YET
        self._open = OpenQuestions(len(self.names), self._kept)
        self._row = packer(self.names)

    @property
    def open(self) -> int:
        """Questions that wait for their answer."""
        return len(self._open)

    def waits_for(self, id: int) -> bool:
        """Whether a question was asked here and has no answer yet."""
        return int(id) in self._open

    def ask(self, id: int, moment: int, x) -> float | np.ndarray:
        """Predict, and remember question and features until the answer is told.

        Parameters
        ----------
        id, moment
            Of the question; ns UTC.
        x
            The features: numbers in the order of ``names``, or a dict by name.

        Returns
        -------
        float, or shape (outputs,) where a prediction has several numbers.
        """
        id, moment = int(id), int(moment)
        if moment < self.last_moment or moment <= self.last_learned or id in self._open:
            self._check_turn(id, moment)
        x = self._row(x) if isinstance(x, dict) else np.array(x, np.float64)
        kept = self._timed.predict_at(x, moment) if self._timed else self.model.predict(x)
        if self._unsupervised:
            self.model.learn(x, nan)
        self._open.add(id, moment, x, kept)
        self.last_moment = moment
        self.asked += 1
        if self._kept == 1:
            return kept
        return float(kept[0]) if self.outputs == 1 else kept[: self.outputs].copy()

    def tell(self, id: int, y: float, known: int) -> Asked:
        """Learn the answer of an open question; a NaN closes it unanswered. Returns the question as it was asked."""
        id, known = int(id), int(known)
        question = self._open.get(id)
        if question is None:
            raise LookupError(f"question {id} is not open: it was never asked, or was answered before")
        if known <= question.moment:
            raise ValueError(
                f"the answer of question {id}, asked at {utc(question.moment)}, cannot be known at "
                f"{utc(known)}: a label looks ahead"
            )
        if y == y:
            if self._timed:
                self._timed.learn_at(question.x, y, question.kept, question.moment, known)
            elif not self._unsupervised:
                self.model.learn(question.x, y)
            if known > self.last_learned:
                self.last_learned = known
            self.answered += 1
        else:
            self.unanswered += 1
        self._open.close(id)
        return question

    def ask_all(
        self, id: np.ndarray, moment: np.ndarray, X: np.ndarray, answers: Sequence[Answer]
    ) -> tuple[np.ndarray, Sequence[Answer]]:
        """Ask a chunk of questions, each behind the answers known before its moment.

        The same bits as :func:`one_by_one`, in one pass of the model where nothing is out of order.

        Parameters
        ----------
        id, moment, X
            Of the questions, in the order of their moments; shapes (m,), (m,) and (m, features).
        answers
            Of these questions and of those asked before, in the order in which they are known.

        Returns
        -------
        Predictions, shape (m,) or (m, outputs), and the answers that are known only behind the last question.
        """
        due = self._due(id, moment, answers) if len(id) > _FEW else None
        if due is None:
            return one_by_one(self, id, moment, X, answers)
        store, never = self._open, np.full(len(id), NEVER)
        new = store.extend(id, moment, X, np.full(len(id), nan), never)
        order = store.schedule(due)
        predictions, _ = self._pass(new, order, int(moment[-1]) - 1)
        learned = [known for _, y, known in due if y == y]
        store.close_rows(order)
        self.asked += len(id)
        self.answered += len(learned)
        self.unanswered += len(due) - len(learned)
        self.last_moment, self.last_learned = int(moment[-1]), max([self.last_learned, *learned[-1:]])
        return predictions, answers[len(due) :]

    def replay(self, questions: Questions, until: int = NEVER) -> np.ndarray:
        """Ask a chunk of questions and tell every answer in its time.

        Before each question come all answers known before its moment, after the last one those known up to ``until``.
        The rest stays open for the next chunk, so that any cutting of a stream gives the same predictions and state.
        An answer that never comes closes its question at once.

        Returns
        -------
        Predictions, shape (m,), or (m, outputs) where a prediction has several numbers.
        """
        self._check_chunk(questions)
        new = self._open.extend(questions.id, questions.moment, questions.X, questions.y, questions.known)
        start = self._open.start
        order = _by_time(self._open.known[start : new.stop])
        predictions, learned = self._pass(new, order, until)
        self._book(questions, order[:learned], new.start - start)
        return predictions

    @property
    def state(self) -> dict:
        """Everything, for :func:`rtml.core.state.dumps`: the model, the counts and the open questions in order."""
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {"model": self.model.state, "open": self._open.state} | counts

    def load(self, state: dict) -> None:
        """Go on from a state of a learner of the same model."""
        self.model.load(state["model"])
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._open.load(state["open"])

    def _pass(self, new: slice, order: np.ndarray, until: int) -> tuple[np.ndarray, int]:
        """Ask the questions in new rows and learn answers, by their places in time; predictions, and answers taken."""
        store = self._open
        part, before = slice(store.start, new.stop), store.kept[store.start : new.start]
        X = store.X[part]
        y = store.y[part]
        known = store.known[part]
        before = np.ascontiguousarray(before[:, 0]) if self._kept == 1 else before
        kept, learned = replay(self.model, X, y, before, store.moment[part], known, order, until)
        store.kept[new] = kept[:, None] if kept.ndim == 1 else kept
        if kept.ndim == 1:
            return kept, learned
        return (kept[:, 0].copy() if self.outputs == 1 else kept[:, : self.outputs].copy()), learned

    def _due(self, id: np.ndarray, moment: np.ndarray, answers: Sequence[Answer]) -> list[Answer] | None:
        """Answers that come before the last question of a chunk; None where something in it is out of order."""
        known = np.fromiter((at for *_, at in answers), np.int64, len(answers))
        due = list(answers[: int(np.searchsorted(known, moment[-1]))])
        asked = dict(zip(id.tolist(), moment.tolist(), strict=True))
        moments = [self._open.moment_of(one) if self.waits_for(one) else asked.get(one, NEVER) for one, *_ in due]
        fine = (
            (known[1:] >= known[:-1]).all()
            and (moment[1:] >= moment[:-1]).all()
            and max(self.last_moment, self.last_learned + 1) <= moment[0]
            and len(asked) == len(id)
            and not any(map(self.waits_for, asked))
            and len({one for one, *_ in due}) == len(due)
            and all(at < due_at for at, (*_, due_at) in zip(moments, due, strict=True))
            and not self._no_labels(np.array([y for _, y, _ in due])).any()
        )
        return due if fine else None

    def _check_turn(self, id: int, moment: int) -> None:
        if id in self._open:
            raise _open_already(id)
        self._check_moment(id, moment)

    def _check_moment(self, id: int, moment: int) -> None:
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
        ids, waiting = questions.id, self._open.ids
        if len(waiting) and ids.min() <= waiting.max() and (taken := np.isin(ids, waiting)).any():
            raise _open_already(int(ids[taken][0]))
        self._check_moment(int(ids[0]), int(questions.moment[0]))
        if not (ids[1:] > ids[:-1]).all() and len(np.unique(ids)) < len(ids):
            raise ValueError("two questions of the chunk have the same id: give every question an id of its own")
        wrong = self._no_labels(questions.y)
        if wrong.any():
            check_label(questions.y[wrong][0], classifier=True, classes=max(self.outputs, 2))

    def _no_labels(self, y: np.ndarray) -> np.ndarray:
        """Which answers a classifier cannot learn from; one that is missing is none of them."""
        return ~(np.isnan(y) | np.isin(y, np.arange(max(self.outputs, 2)))) & self.model.classifier

    def _book(self, questions: Questions, learned: np.ndarray, before: int) -> None:
        """Bring the counts and the open questions up to date after a chunk; ``learned`` are places from the start."""
        never = before + np.flatnonzero(np.isnan(questions.y) & (questions.known == NEVER))
        y, known = self._open.y[self._open.start :], self._open.known[self._open.start :]
        with_answer = learned[~np.isnan(y[learned])]
        last = int(known[with_answer[-1]]) if len(with_answer) else _NEVER_YET
        self._open.close_rows(np.concatenate([learned, never]))
        self.asked += len(questions)
        self.answered += len(with_answer)
        self.unanswered += len(learned) - len(with_answer) + len(never)
        if len(questions):
            self.last_moment = int(questions.moment[-1])
        self.last_learned = max(self.last_learned, last)


def _open_already(id: int) -> ValueError:
    return ValueError(f"question {id} is open already: give every question an id of its own")


def one_by_one(
    learner, id: np.ndarray, moment: np.ndarray, X: np.ndarray, answers: Sequence[Answer]
) -> tuple[np.ndarray, Sequence[Answer]]:
    """Ask questions and tell answers singly, see :meth:`Learner.ask_all`; at equal times the question comes first.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> learner = Learner(RecursiveLeastSquares(ridge=1.0), ["x"])
    >>> questions = (np.array([1, 2, 3]), np.array([10, 20, 30]), np.full((3, 1), 2.0))
    >>> predictions, left = one_by_one(learner, *questions, [(1, 3.0, 20), (2, 3.0, 90)])
    >>> predictions.round(2), left
    (array([0., 0., 3.]), [(2, 3.0, 90)])
    """
    columns = () if learner.outputs == 1 else (learner.outputs,)
    predictions, done = np.empty((len(id), *columns)), 0
    for i, (question, at) in enumerate(zip(id.tolist(), moment.tolist(), strict=True)):
        while done < len(answers) and answers[done][2] < at:
            learner.tell(*answers[done])
            done += 1
        predictions[i] = learner.ask(question, at, X[i])
    return predictions, answers[done:]


def _by_time(known: np.ndarray) -> np.ndarray:
    """Places of the answers that come, by the time when they are known, ties in the order asked."""
    order = np.flatnonzero(known < NEVER)
    due = known[order]
    return order if (due[1:] >= due[:-1]).all() else order[np.argsort(due, kind="stable")]
