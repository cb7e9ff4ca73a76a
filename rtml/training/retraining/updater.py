"""A trainee: the model behind the published one, which learns every answer, or is fitted from scratch when told."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.state import Stateful
from rtml.models.compiled import restore
from rtml.training.retraining.buffer import Buffer, Rehearsal
from rtml.training.retraining.schedule import Schedule

_NOBODY = np.empty(0, np.int64)


class Updater(Stateful):
    """Learns as a schedule says: answer by answer, with old ones beside them, or a whole window from scratch.

    ``model`` is what learns; one that starts from scratch each time keeps answers instead and never reads a model
    fitted before. ``samples`` counts what was learned, a refit its whole window again.
    """

    kept = ("samples", "new", "new_samples", "_recent", "_rehearsal")

    def __init__(self, model, schedule: Schedule, seed: int) -> None:
        self._fresh = model.state
        self.model = restore(self._fresh)
        d, (each, size) = len(model.names), schedule.rehearse
        self.scratch = schedule.learning == "stateless"
        self._recent = Buffer(d, schedule.window) if self.scratch else None
        self._rehearsal = Rehearsal(d, each, size, seed) if each else None
        self.samples = self.new = self.new_samples = 0  # new: answers and samples since the last version was made

    def take(self, X: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Learn answers in the order known, or keep them for the next fit."""
        self.new += len(y)
        if self.scratch:
            self._recent.add(X, y, known)
            return
        if self._rehearsal:
            X, y, _ = self._rehearsal.mixed(X, y)
        _learn(self.model, X, y)
        self._count(len(y))

    def stream(self, X, y, asked, known, rows) -> np.ndarray:
        """Predictions for the last rows of ``X``, asked at ``asked``; each of ``rows`` is learned once it is known."""
        self.new += len(rows)
        if self._rehearsal:
            old_X, old_y, owner = self._rehearsal.mixed(X[rows], y[rows])
            X, y = np.concatenate([old_X, X[len(X) - len(asked) :]]), np.concatenate([old_y, np.zeros(len(asked))])
            known = np.concatenate([known[rows][owner], np.full(len(asked), NEVER)])
            rows = np.arange(len(old_y))
        self._count(len(rows))
        return self.model.replay(X, y, asked, known, rows, NEVER)[0]

    def version(self, at: int):
        """A model of its own that knows what there is at an event time, and its samples; None where nothing is new."""
        if not self.new:
            return None
        made, learned = restore(self._fresh if self.scratch else self.model.state), self.new_samples
        if self.scratch:
            X, y = self._recent.at(at)[:2]
            if not len(y):
                return None
            _learn(made, X, y)
            self._count(learned := len(y))
        self.new = self.new_samples = 0
        return made, learned

    @property
    def state(self) -> dict:
        """What the next version depends on."""
        return super().state | {"model": None if self.scratch else self.model.state}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        super().load(state)
        if state["model"]:
            self.model = restore(state["model"])

    def _count(self, samples: int) -> None:
        self.samples += samples
        self.new_samples += samples


def predicted(model, X: np.ndarray, asked: np.ndarray) -> np.ndarray:
    """Predictions of a model that stays as it is.

    Examples
    --------
    >>> from rtml.models.compiled import compile
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = compile(RecursiveLeastSquares(ridge=1.0), ["x"])
    >>> model.learn(np.array([2.0]), 3.0)
    >>> predicted(model, np.array([[1.0], [2.0]]), np.array([10, 20])).round(2)
    array([3., 3.])
    """
    return model.replay(X, np.zeros(len(asked)), asked, np.full(len(asked), NEVER), _NOBODY, NEVER)[0]


def _learn(model, X: np.ndarray, y: np.ndarray) -> None:
    """Learn rows one after the other."""
    rows = np.arange(len(y))
    model.replay(np.ascontiguousarray(X), y, _NOBODY, rows, rows, NEVER)
