"""Strategies: a model that is trained again on a schedule, and answers from the version it published last.

The seven strategies of retraining are one knob, a line of text (see :mod:`rtml.training.retraining.schedule`). A
:class:`Strategy` is a timed model around any other: a trainee learns or answers are kept, and predictions come from the
published version, which nothing changes. All is decided on the event clock, so that a backtest does what the live
system did.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import NamedTuple

import numpy as np

from rtml.core.plugin import is_reference
from rtml.core.questions import Questions
from rtml.models import catalogue as zoo
from rtml.models.compiled import compile, restore
from rtml.models.per_key import KEY, PerKey, Pooled
from rtml.registry.promotion.guard import Guarded
from rtml.training.retraining.schedule import Schedule, read
from rtml.training.retraining.updater import Updater, predicted

_SMALL, _LARGE = 16, 2048  # questions answered ahead of a training that may come: few after one, ever more without
_MOST = 10_000  # publications kept until somebody takes them


class Publication(NamedTuple):
    """A version that began to answer at an event time (ns): why, how it was trained, and on how many answers."""

    at: int
    cause: str
    kind: str
    samples: int
    version: int


def build(model, names: Sequence[str], seed: int = 0, classes: Sequence[str] = ()):
    """A fresh model for rows whose columns are ``names``: what a notebook parameter names.

    Parameters
    ----------
    model
        A name of the catalogue, or of a model of one's own (:func:`rtml.models.catalogue.build`), with a schedule
        behind a colon and a blank or without; or an estimator itself. With ``guarded`` before it a checkpoint or the
        baseline serves while the learner is worse (:class:`rtml.registry.promotion.guard.Guarded`).
    names
        Names of the features. Where the last one is ``key_number`` there is one model per key, unless ``pooled`` stands
        before the name; with a single key ``pooled`` says nothing.
    seed
        Of what is rehearsed.
    classes
        Names of the classes, where the target has some.

    Examples
    --------
    >>> build("rls: stateless every 1h window 6h", ["a"]).describe()
    'stateless every 1h window 6h: StandardScaler | Clip(8) | RecursiveLeastSquares(ridge=100, forgetting=0.999)'
    >>> build("rls", ["a"]).kind, build("rls", ["a", "key_number"]).describe()[:7]
    ('compiled', 'per key')
    """
    pooled = isinstance(model, str) and model.startswith("pooled ")
    if pooled:  # with a single key there is nothing to pool
        model = model.removeprefix("pooled ")
    if names and names[-1] == KEY:
        if pooled:
            return Pooled(build(model, names[:-1], seed, classes))
        return PerKey(lambda own: build(deepcopy(model), own, seed, classes), names)
    if isinstance(model, str) and model.startswith("guarded "):
        return Guarded(build(model.removeprefix("guarded "), names, seed, classes), names)
    if not isinstance(model, str):
        return model if hasattr(model, "replay") else zoo.build(model, names, classes)
    name, schedule = (model, "") if is_reference(model) else _parts(model)
    made = zoo.build(name, names, classes)
    return Strategy(made, names, schedule, seed) if schedule else made


def _parts(text: str) -> tuple[str, str]:
    """A model's name, and the schedule behind it."""
    name, _, schedule = text.partition(": ") if ": " in text else text.partition(":")
    return name.strip(), schedule.strip()


class Strategy:
    """A model with a schedule.

    Parameters
    ----------
    model
        A river model or its compiled twin; what it knows already is what every fit from scratch starts with.
    names
        Names of the features, in the order of their columns.
    schedule
        One of the seven, such as ``"stateful every 1h"`` or ``"stateless on drift window 7d"``.
    seed
        Of what is rehearsed.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = Strategy(RecursiveLeastSquares(ridge=1e-6), ["one"], "stateless every 2 window 2")
    >>> for at in (10, 20, 30, 40):
    ...     said = model.predict_at(np.ones(1), at)
    ...     model.learn_at(np.ones(1), float(at), said, at, at + 1)
    >>> [(p.at, p.cause, p.samples, p.version) for p in model.publications()]
    [(21, 'every 2 answers', 2, 1), (41, 'every 2 answers', 2, 2)]
    """

    kind = "strategy"

    def __init__(self, model, names: Sequence[str], schedule: str | Schedule = "continual", seed: int = 0) -> None:
        self.schedule = schedule if isinstance(schedule, Schedule) else read(schedule)
        made = model if hasattr(model, "replay") else compile(model, names)
        self.names = made.names
        self.classifier = made.classifier
        self.seed = seed
        self.updater = Updater(made, self.schedule, seed)
        self._directly = self.schedule.learning == "continual" and not self.schedule.publish
        self._served = self.updater.model if self._directly else restore(made.state)
        self.triggers = self.schedule.trigger_set(self.names, self.classifier)
        self.version = 0  # versions published, and with one that answers at once, answers learned
        self._block, self._published = _SMALL, []

    @property
    def samples(self) -> int:
        """Answers learned; those of a refit and those rehearsed are counted each time."""
        return self.updater.samples

    def predict(self, x: np.ndarray) -> float:
        """Prediction of the published version."""
        return self._served.predict(x)

    def predict_at(self, x: np.ndarray, moment: int) -> float:
        """Prediction at a moment: what was due before it is trained first."""
        self._pass(int(moment))
        return self._served.predict(x)

    def learn_at(self, x: np.ndarray, y: float, prediction: float, moment: int, known: int) -> None:
        """Learn or keep the answer to a question of ``moment``, known at ``known``; train where something fires."""
        self._pass(int(known))
        row = (np.array([x], dtype=np.float64), np.array([y], dtype=np.float64), np.array([prediction]))
        self._answers(*row, np.array([moment], np.int64), np.array([known], np.int64))

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before (see :meth:`replay_at`)."""
        if len(X) != len(moment):
            raise ValueError(f"{len(X) - len(moment)} questions wait: a strategy must know what it said, use replay_at")
        return self.replay_at(X, y, np.empty(0), moment, known, order, until)

    def replay_at(self, X, y, earlier, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask the last rows at their moments and take answers once known; ``earlier`` was said to the rows before.

        The same as predicting and learning one by one, in stretches between two trainings.
        """
        waits, n = len(earlier), len(moment) - len(earlier)
        asked = np.ascontiguousarray(moment[waits:])
        learned = int(np.searchsorted(known[order], max(int(asked[-1]) - 1, until) if n else until, side="right"))
        rows = order[:learned][~np.isnan(y[order[:learned]])]
        if self._directly:
            self.version += len(rows)
            return self.updater.stream(X, y, asked, known, rows), learned
        predictions = np.concatenate([earlier, np.empty(n)])
        at = known[rows]
        before = np.searchsorted(at, asked, side="left")  # answers known before each question
        q = a = 0
        while q < n or a < len(rows):
            answer_first = a < len(rows) and (q == n or before[q] > a)
            self._pass(int(at[a] if answer_first else asked[q]))
            q_end, a_end = self._stretch(q, a, asked, at, before)
            part, taken = slice(waits + q, waits + q_end), rows[a:a_end]
            predictions[part] = predicted(self._served, X[part], asked[q:q_end])
            done, fired = self._answers(X[taken], y[taken], predictions[taken], moment[taken], at[a:a_end])
            a += done
            q = q + int(np.searchsorted(before[q:q_end], a - 1, side="right")) if fired else q_end
        return predictions[waits:], learned

    def retrain(self, at: int) -> Publication | None:
        """Train and publish now, at an event time; None where nothing is new."""
        self._pass(int(at))
        before = self.version
        self._train(int(at), "told")
        return self._published[-1] if self.version > before else None

    def warm(self, history: Questions) -> None:
        """Learn a history before the stream begins, every answer in the order known, and answer from that."""
        if self.triggers.number or self.version:
            raise RuntimeError(f"{self.triggers.number} answers were learned already: warm up before the stream")
        order = np.argsort(history.known, kind="stable")
        order = order[~np.isnan(history.y[order])]
        if len(order):
            self.updater.take(history.X[order], history.y[order], history.known[order])
            self._train(int(history.known[order[-1]]), "history")

    def publications(self) -> list[Publication]:
        """Versions published since this was asked before; one that learns and answers at once is only counted."""
        published, self._published = self._published, []
        return published

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the published version, where it has some."""
        return self._served.weights

    def describe(self) -> str:
        """The schedule and the model, in one line."""
        return f"{self.schedule.text}: {self._served.describe()}"

    @property
    def state(self) -> dict:
        """Everything the next prediction depends on; ``served`` alone is the model that answers."""
        head = {"kind": self.kind, "names": list(self.names), "schedule": self.schedule.text, "seed": self.seed}
        head |= {"version": self.version, "published": [list(p) for p in self._published]}
        parts = {"served": self._served, "trainee": self.updater, "occasions": self.triggers}
        return head | {name: part.state for name, part in parts.items()}

    def load(self, state: dict) -> None:
        """Go on from a state of the same schedule."""
        given = (state.get("kind"), state.get("schedule"), tuple(state.get("names", ())), state.get("seed"))
        if given != (self.kind, self.schedule.text, self.names, self.seed):
            raise ValueError(
                f"the state is of {given[1]!r} with seed {given[3]} on {', '.join(given[2])}, this strategy is "
                f"{self.schedule.text!r} with seed {self.seed} on {', '.join(self.names)}: build it alike"
            )
        self.updater.load(state["trainee"])
        self.triggers.load(state["occasions"])
        self._served = self.updater.model if self._directly else restore(state["served"])
        self.version = state["version"]
        self._published = [Publication(*values) for values in state["published"]]

    def _pass(self, at: int) -> None:
        """Let time come to an event: what was due before it is trained."""
        if due := self.triggers.tick(at):
            self._train(*due)

    def _stretch(self, q: int, a: int, asked, at, before) -> tuple[int, int]:
        """Questions and answers up to which no timer fires, and few enough to be answered ahead."""
        due = self.triggers.due
        q_end = int(np.searchsorted(asked, due, side="right"))
        if q + self._block < q_end:
            q_end = q + self._block
            self._block = min(2 * self._block, _LARGE)
            return q_end, int(before[q_end])
        return q_end, int(np.searchsorted(at, due, side="right"))

    def _answers(self, X, y, predictions, moment, known) -> tuple[int, bool]:
        """Take answers up to the first at which something fires, and train there; how many were taken, and whether."""
        if self._directly or not len(y):
            self.updater.take(X, y, known)
            self.version += len(y)
            return len(y), False
        place, cause = self.triggers.first(X, y, predictions, moment, known)
        taken = min(place + 1, len(y))
        self.updater.take(X[:taken], y[:taken], known[:taken])
        if cause:
            self._train(int(known[place]), cause)
        return taken, bool(cause)

    def _train(self, at: int, cause: str) -> None:
        """Publish a version that knows what there is at an event time, unless nothing is new."""
        made = None if self._directly else self.updater.version(at)
        if made is None:
            return
        self._served, samples = made
        self.version += 1
        kind = "stateless" if self.updater.scratch else "stateful"
        self._published = [*self._published[1 - _MOST :], Publication(at, cause, kind, samples, self.version)]
        self._block = _SMALL
        self.triggers.trained(at)
