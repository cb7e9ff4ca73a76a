"""One model per key: questions of each key are asked of, and teach, a model of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

#: The last feature of a stream of several keys: the key's place in the run's keys.
KEY = "key_number"


class PerKey:
    """A model for rows whose last column is the key; each key gets a fresh model of one kind when it first comes.

    What a model for all keys would learn from every answer, each of these learns from its own. It has the columns
    ``outputs`` and ``memory`` of the models within, and their times where they need them.

    Parameters
    ----------
    build
        Makes a fresh model for rows without the key.
    names
        Names of the features, ``key_number`` last.

    Examples
    --------
    >>> from rtml.models.compiled import compile
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = PerKey(lambda names: compile(RecursiveLeastSquares(ridge=1e-9), names), ["a", "key_number"])
    >>> model.learn(np.array([1.0, 0.0]), 3.0)
    >>> [round(float(model.predict(np.array([1.0, k]))), 3) for k in (0.0, 1.0)]
    [3.0, 0.0]
    """

    kind = "compiled"
    twin = "per key"

    def __init__(self, build: Callable[[Sequence[str]], object], names: Sequence[str]) -> None:
        if not names or names[-1] != KEY:
            raise ValueError(f"the last feature must be {KEY!r}, got {', '.join(names) or 'none'}")
        self.names = tuple(names)
        self._build = build
        self._fresh = build(self.names[:-1])
        self.classifier = bool(self._fresh.classifier)
        self.outputs = int(getattr(self._fresh, "outputs", 1))
        self.memory = int(getattr(self._fresh, "memory", 0))
        self._timed = hasattr(self._fresh, "learn_at")
        self.models: dict[int, object] = {}

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction of the key's model, or of a fresh one for a key that has not come: asking changes nothing."""
        key = int(x[-1]) if np.isfinite(x[-1]) else -1
        return self.models.get(key, self._fresh).predict(x[:-1])

    def predict_at(self, x: np.ndarray, moment: int) -> float | np.ndarray:
        """Prediction of the key's model for a question of this moment, and what it wants back with the answer."""
        model = self._of(x)
        return model.predict_at(x[:-1], moment) if self._timed else model.predict(x[:-1])

    def learn(self, x: np.ndarray, y: float) -> None:
        """Teach the key's model."""
        self._of(x).learn(x[:-1], y)

    def learn_at(self, x: np.ndarray, y: float, kept, moment: int, known: int) -> None:
        """Teach the key's model the answer of a question of ``moment``, known at ``known``."""
        model = self._of(x)
        if self._timed:
            model.learn_at(x[:-1], y, kept, moment, known)
        else:
            model.learn(x[:-1], y)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk, key by key: they do not touch each other, so each goes through it by itself."""
        waits, told = len(kept), _told(moment, len(kept), known, order, until)
        columns = self.outputs + self.memory
        said = np.empty((len(moment) - waits, columns)) if columns > 1 else np.empty(len(moment) - waits)
        place = np.full(len(known), -1)
        for key in np.unique(X[:, -1]).tolist():
            rows = np.flatnonzero(X[:, -1] == key)
            place[rows] = np.arange(len(rows))
            own = order[:told][X[order[:told], -1] == key]
            asked = rows[rows >= waits]
            about = (np.ascontiguousarray(X[rows, :-1]), y[rows], kept[rows[rows < waits]], moment[rows], known[rows])
            said[asked - waits] = self._replay(self._model(int(key)), *about, place[own], len(rows) - len(asked))
        return said, told

    def _replay(self, model, X, y, kept, moment, known, order, waits: int) -> np.ndarray:
        last = int(known[order[-1]]) if len(order) else -(2**63)
        if hasattr(model, "replay_at"):
            return model.replay_at(X, y, np.ascontiguousarray(kept), moment, known, order, last)[0]
        return model.replay(X, y, np.ascontiguousarray(moment[waits:]), known, order, last)[0]

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before (see :meth:`replay_at`)."""
        return self.replay_at(X, y, np.empty(0), moment, known, order, until)

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the first key's model."""
        return next(iter(self.models.values()), self._fresh).weights

    @property
    def samples(self) -> int:
        """Answers that the models went through, where they count them."""
        return sum(int(getattr(model, "samples", 0)) for model in self.models.values())

    @property
    def state(self) -> dict:
        """A fresh model, for keys to come, and that of every key."""
        head = {"kind": self.kind, "twin": self.twin, "names": list(self.names), "fresh": self._fresh.state}
        return head | {"models": [[key, model.state] for key, model in sorted(self.models.items())]}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        if tuple(state["names"]) != self.names or state.get("twin") != self.twin:
            raise ValueError(f"the state is of {state.get('twin')} on {', '.join(state['names'])}, not of this model")
        wanted = {key for key, _ in state["models"]}
        self.models = {key: model for key, model in self.models.items() if key in wanted}
        for key, kept in state["models"]:
            self._model(key).load(kept)

    @classmethod
    def of(cls, state: dict, restore: Callable[[dict], object]) -> PerKey:
        """Model of a state, its models rebuilt by ``restore``."""
        model = cls(lambda names: restore(state["fresh"]), state["names"])
        model.models = {int(key): restore(kept) for key, kept in state["models"]}
        return model

    def describe(self) -> str:
        """The model within, said to be one per key."""
        return f"per key: {self._fresh.describe()}"

    def _of(self, x: np.ndarray):
        return self._model(int(x[-1]))

    def _model(self, key: int):
        model = self.models.get(key)
        if model is None:
            model = self.models[key] = self._build(self.names[:-1])
        return model


class Pooled:
    """A model for all keys together that does not see the key: rows lose their last column.

    Parameters
    ----------
    model
        Model for rows without the key.
    """

    kind = "compiled"
    twin = "pooled"

    def __init__(self, model) -> None:
        self.model = model
        self.names = (*model.names, KEY)
        self.classifier = bool(model.classifier)
        self.outputs, self.memory = int(getattr(model, "outputs", 1)), int(getattr(model, "memory", 0))

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction for a row, whatever its key."""
        return self.model.predict(np.ascontiguousarray(x[..., :-1]))

    def predict_at(self, x: np.ndarray, moment: int) -> float | np.ndarray:
        """Prediction at a moment, and what is kept with the question."""
        x = x[:-1]
        return self.model.predict_at(x, moment) if hasattr(self.model, "predict_at") else self.model.predict(x)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn an answer."""
        self.model.learn(x[:-1], y)

    def learn_at(self, x: np.ndarray, y: float, kept, moment: int, known: int) -> None:
        """Learn the answer of a question of ``moment``, known at ``known``."""
        if hasattr(self.model, "learn_at"):
            self.model.learn_at(x[:-1], y, kept, moment, known)
        else:
            self.model.learn(x[:-1], y)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk."""
        X = np.ascontiguousarray(X[:, :-1])
        if hasattr(self.model, "replay_at"):
            return self.model.replay_at(X, y, kept, moment, known, order, until)
        return self.model.replay(X, y, np.ascontiguousarray(moment[len(kept) :]), known, order, until)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before."""
        return self.replay_at(X, y, np.empty(0), moment, known, order, until)

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the model."""
        return self.model.weights

    @property
    def state(self) -> dict:
        """The model's."""
        return {"kind": self.kind, "twin": self.twin, "names": list(self.names), "model": self.model.state}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self.model.load(state["model"])

    def describe(self) -> str:
        """The model, said to be of all keys."""
        return f"pooled: {self.model.describe()}"


def _told(moment: np.ndarray, waits: int, known: np.ndarray, order: np.ndarray, until: int) -> int:
    """How many answers a chunk learns: those known before its last question, and those known up to ``until``."""
    last = max(int(moment[-1]) - 1, until) if len(moment) > waits else until
    return int(np.searchsorted(known[order], last, side="right"))
