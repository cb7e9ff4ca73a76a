"""A model that remembers: when an old concept comes back, the model that knew it is taken up again.

After Gama and Kosina, Recurrent concepts in data streams classification (Knowledge and Information Systems 2014): a
detector on the loss says when a concept ends, stored models are judged by the last answers, and the best is reused.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtml.models.compiled import compile, restore
from rtml.monitoring.drift.change import Adwin

_CLEARLY = 0.8  # share of the current model's loss below which another is taken instead


class Recurring:
    """A model behind the usual face, with a pool of models of earlier concepts.

    When the loss rises, the model as it was before is kept. Those kept, a fresh one and the current one are judged by
    the last ``judge`` answers, at once and again after as many more, when all of them are of the new concept; the
    fresh one learns as it is judged. One that is clearly better than the current takes its place.

    Parameters
    ----------
    model, names
        As for :func:`rtml.models.compiled.compile`.
    keep
        Concepts in the pool at most; the one used longest ago goes first.
    judge
        Answers by which models are judged.
    snapshot
        Answers between two copies of the current model: one of them is old enough not to know the new concept.

    Examples
    --------
    >>> from rtml.models.catalogue import build
    >>> model = Recurring(build("rls"), ["a"])
    >>> model.learn([1.0], 2.0)
    >>> model.kind, model.reused, len(model.pool)
    ('recurring', 0, 0)
    """

    kind = "recurring"

    def __init__(
        self, model, names: Sequence[str], *, keep: int = 5, judge: int = 50, snapshot: int = 200, delta: float = 0.0002
    ) -> None:
        self.model = model if hasattr(model, "replay") else compile(model, names)
        self.names, self.classifier = self.model.names, self.model.classifier
        self._how = {"keep": keep, "judge": judge, "snapshot": snapshot, "delta": delta}
        self._fresh = self.model.state
        self._detector, self._scale = Adwin(delta), 0.0
        self._X, self._y = np.zeros((judge, len(self.names))), np.zeros(judge)
        self._learned = self._age = self.reused = 0  # answers ever, answers of this concept, old concepts taken up
        self._loss, self._again = float("nan"), -1  # of this concept in the mean; answers until it is judged again
        self._place, self._copies = -1, []  # of the current concept in the pool; copies of the current model
        self.pool: list[
            dict
        ] = []  #: concepts: the model's ``state``, its mean ``loss``, ``answers``, when last ``used``

    def predict(self, x: np.ndarray) -> float:
        """Prediction of the current model."""
        return self.model.predict(x)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, and see whether the concept is still the same."""
        x = np.asarray(x, dtype=np.float64)
        error = float(y) - self.model.predict(x)
        self.model.learn(x, y)
        self._X[self._learned % len(self._y)], self._y[self._learned % len(self._y)] = x, y
        self._learned += 1
        self._note(error * error)
        self._again -= 1
        if len(self._detector.push(np.array([self._bounded(error * error)]))) and self._age > self._how["judge"]:
            self._ended()
        elif self._again == 0:
            self._judged()

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk one by one, as :func:`rtml.kernels.linear.replay_descent` does."""
        n, told, predictions = len(moment), 0, np.empty(len(moment))
        limits = [*(np.asarray(moment) - 1).tolist(), until]
        for t in range(n + 1):
            while told < len(order) and known[order[told]] <= limits[t]:
                i = order[told]
                told += 1
                if y[i] == y[i]:
                    self.learn(X[i], y[i])
            if t < n:
                predictions[t] = self.predict(X[len(X) - n + t])
        return predictions, told

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the current model, where it has some."""
        return self.model.weights

    @property
    def state(self) -> dict:
        """Everything learned, and all that is needed to go on from it; ``served`` is the current model's."""
        pool, copies = ([dict(one) for one in part] for part in (self.pool, self._copies))
        parts = {"served": self.model.state, "fresh": self._fresh, "detector": self._detector.state}
        parts |= {"X": self._X.copy(), "y": self._y.copy(), "pool": pool, "copies": copies}
        counts = {name: getattr(self, name) for name in _COUNTS}
        return {"kind": self.kind, "names": list(self.names), "how": dict(self._how)} | parts | {"counts": counts}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        if state["kind"] != self.kind or tuple(state["names"]) != self.names or state["how"] != self._how:
            raise ValueError(
                f"the state is of a {state['kind']} model of {', '.join(state['names'])} with {state['how']}, not of "
                f"{self.describe()} of {', '.join(self.names)} with {self._how}"
            )
        self.model, self._fresh = restore(state["served"]), state["fresh"]
        self._detector.load(state["detector"])
        self._X, self._y = np.array(state["X"]), np.array(state["y"])
        self.pool, self._copies = ([dict(one) for one in state[part]] for part in ("pool", "copies"))
        for name, value in state["counts"].items():
            setattr(self, name, value)

    @classmethod
    def of(cls, state: dict) -> Recurring:
        """Model of a state, from the state alone."""
        self = cls(restore(state["fresh"]), state["names"], **state["how"])
        self.load(state)
        return self

    def describe(self) -> str:
        """The model, and what is around it."""
        return f"Recurring({self.model.describe()}, keep={self._how['keep']})"

    def _note(self, loss: float) -> None:
        """Keep the mean loss of the concept, and a copy of the model now and then."""
        self._age += 1
        self._loss = loss if self._age == 1 else self._loss + (loss - self._loss) / min(self._age, 500)
        if self._learned <= self._how["snapshot"]:
            self._scale += (loss - self._scale) / self._learned
        if self._age % self._how["snapshot"] == 0:
            copy = {"state": self.model.state, "loss": self._loss, "answers": self._age}
            self._copies = [*self._copies[-1:], copy]

    def _bounded(self, loss: float) -> float:
        return min(loss, 1.0) if self.classifier else loss / (loss + self._scale) if loss else 0.0

    def _ended(self) -> None:
        """The concept has ended: keep its model as it was before, and judge all."""
        if self._copies:
            kept = self._copies[0] | {"used": self._learned}
            if self._place >= 0:
                self.pool[self._place] = kept
            else:
                self.pool.append(kept)
        if len(self.pool) > self._how["keep"]:
            self.pool.remove(min(self.pool, key=lambda one: one["used"]))
        self._copies, self._place, self._age, self._again = [], -1, 0, self._how["judge"]
        self._judged()

    def _judged(self) -> None:
        """Take the best model for the last answers, if it is clearly better than the current."""
        order = (np.arange(len(self._y)) + self._learned) % len(self._y)
        X, y = self._X[order], self._y[order]
        now = _losses(self.model, X, y)
        places = [place for place in range(len(self.pool)) if place != self._place]
        known = [restore(self.pool[place]["state"]) for place in places]
        fresh = restore(self._fresh)
        others = [*(_losses(model, X, y) for model in known), _losses(fresh, X, y, learn=True)]
        best = int(np.argmin(others))
        if not others[best] < _CLEARLY * now:
            return
        self.model = [*known, fresh][best]
        self._copies, self._age = [], 0
        self._place = [*places, -1][best]
        if self._place >= 0:
            self.pool[self._place]["used"] = self._learned
            self.reused += 1
            for i in range(len(y) // 2, len(y)):  # the newer half is of this concept, and new to its model
                self.model.learn(X[i], y[i])


_COUNTS = ("_learned", "_age", "reused", "_loss", "_again", "_place", "_scale")


def _losses(model, X: np.ndarray, y: np.ndarray, learn: bool = False) -> float:
    """Mean squared error on rows; with ``learn``, of a model that learns each after it was asked."""
    total = 0.0
    for x, answer in zip(X, y, strict=True):
        total += (answer - model.predict(x)) ** 2
        if learn:
            model.learn(x, answer)
    return total / len(y)
