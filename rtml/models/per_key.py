"""One model per key: questions of each key are asked of, and teach, a model of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rtml.models.rows import RowModel, predictions, replay

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
        self.models: dict[int, object] = {}

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction of the key's model, or of a fresh one for a key that has not come: asking changes nothing."""
        key = int(x[-1]) if np.isfinite(x[-1]) else -1
        return self.models.get(key, self._fresh).predict(x[:-1])

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """Predictions of many rows, shape (m,) or (m, outputs), a call for each key."""
        predicted = np.empty((len(X), self.outputs)) if self.outputs > 1 else np.empty(len(X))
        keys = np.where(np.isfinite(X[:, -1]), X[:, -1], -1.0).astype(np.int64)
        for key in np.unique(keys).tolist():
            rows = keys == key
            predicted[rows] = predictions(self.models.get(key, self._fresh), np.ascontiguousarray(X[rows, :-1]))
        return predicted

    def predict_at(self, x: np.ndarray, moment: int) -> float | np.ndarray:
        """Prediction of the key's model for a question of this moment, and what it wants back with the answer."""
        return _ask(self._of(x), x[:-1], moment)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Teach the key's model."""
        self._of(x).learn(x[:-1], y)

    def learn_at(self, x: np.ndarray, y: float, kept, moment: int, known: int) -> None:
        """Teach the key's model the answer of a question of ``moment``, known at ``known``."""
        _learn(self._of(x), x[:-1], y, kept, moment, known)

    def replay_at(self, X, y, kept, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk, key by key: they do not touch each other, so each goes through it by itself."""
        waits, taken = len(kept), _count_known(moment, len(kept), known, order, until)
        columns = self.outputs + self.memory
        predicted = np.empty((len(moment) - waits, columns)) if columns > 1 else np.empty(len(moment) - waits)
        place = np.full(len(known), -1)
        for key in np.unique(X[:, -1]).tolist():
            rows = np.flatnonzero(X[:, -1] == key)
            place[rows] = np.arange(len(rows))
            own = order[:taken][X[order[:taken], -1] == key]
            asked = rows[rows >= waits]
            last = int(known[own[-1]]) if len(own) else -(2**63)
            about = (np.ascontiguousarray(X[rows, :-1]), y[rows], np.ascontiguousarray(kept[rows[rows < waits]]))
            times = (moment[rows], known[rows], place[own], last)
            predicted[asked - waits] = replay(self._model(int(key)), *about, *times)[0]
        return predicted, taken

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
        """The model within, and that there is one per key."""
        return f"per key: {self._fresh.describe()}"

    def _of(self, x: np.ndarray):
        return self._model(int(x[-1]))

    def _model(self, key: int):
        model = self.models.get(key)
        if model is None:
            model = self.models[key] = self._build(self.names[:-1])
        return model


class Columns(RowModel):
    """A model that sees some columns of a row.

    Parameters
    ----------
    names
        Names of all columns.
    model
        Model for rows of those that it sees.
    sees
        Their places.

    Examples
    --------
    >>> from rtml.models.baselines import RunningMean
    >>> from rtml.models.compiled_baselines import baseline_twin
    >>> model = Columns(["a", "b"], baseline_twin(RunningMean(), ("b",)), [1])
    >>> model.learn(np.array([1.0, 2.0]), 3.0)
    >>> model.predict(np.array([5.0, 6.0])), model.names
    (3.0, ('a', 'b'))
    """

    def __init__(self, names: Sequence[str], model, sees: slice | list[int]) -> None:
        self.names = tuple(names)
        self.model, self.classifier = model, bool(model.classifier)
        self._sees = sees

    @property
    def outputs(self) -> int:
        """Numbers in a prediction."""
        return int(getattr(self.model, "outputs", 1))

    @property
    def weights(self) -> dict[str, float]:
        """Weights of the model."""
        return self.model.weights

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction for a row."""
        return self.model.predict(np.ascontiguousarray(x[..., self._sees]))

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """Predictions of many rows."""
        return predictions(self.model, np.ascontiguousarray(X[:, self._sees]))

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer."""
        self.model.learn(x[self._sees], y)

    def replay(self, X, y, *times) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk."""
        return self.model.replay(np.ascontiguousarray(X[:, self._sees]), y, *times)

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        self.model.load(state["model"])

    def _copies(self) -> dict:
        return {"model": self.model.state}


class Pooled(Columns):
    """A model for all keys together that does not see the key: rows lose their last column.

    Examples
    --------
    >>> from rtml.models.baselines import RunningMean
    >>> from rtml.models.compiled_baselines import baseline_twin
    >>> model = Pooled(baseline_twin(RunningMean(), ("a",)))
    >>> model.learn(np.array([1.0, 0.0]), 3.0)  # of the first key
    >>> model.predict(np.array([1.0, 1.0])), model.names[-1] == KEY  # of the second
    (3.0, True)
    """

    twin = "pooled"

    def __init__(self, model) -> None:
        super().__init__((*model.names, KEY), model, slice(-1))
        self.memory = int(getattr(model, "memory", 0))

    @classmethod
    def of(cls, state: dict, restore: Callable[[dict], object]) -> Pooled:
        """Model of a state; ``restore`` builds the model within."""
        return cls(restore(state["model"]))

    def predict_at(self, x: np.ndarray, moment: int) -> float | np.ndarray:
        """What the model keeps of a question, its prediction first."""
        return _ask(self.model, x[:-1], moment)

    def learn_at(self, x: np.ndarray, y: float, kept, moment: int, known: int) -> None:
        """Learn an answer, with the times that the model needs."""
        _learn(self.model, x[:-1], y, kept, moment, known)

    def replay_at(self, X, y, kept, *times) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk; ``kept`` are the rows of those asked before."""
        return replay(self.model, np.ascontiguousarray(X[:, :-1]), y, kept, *times)

    def replay(self, X, y, *times) -> tuple[np.ndarray, int]:
        """A chunk of questions of which none was asked before: what is kept of each, answers learned."""
        return self.replay_at(X, y, np.empty(0), *times)

    def describe(self) -> str:
        """The model, and that it sees no key."""
        return f"pooled: {self.model.describe()}"


def _ask(model, x: np.ndarray, moment: int) -> float | np.ndarray:
    """Ask a model, at a moment if it needs one."""
    return model.predict_at(x, moment) if hasattr(model, "predict_at") else model.predict(x)


def _learn(model, x: np.ndarray, y: float, kept, moment: int, known: int) -> None:
    """Learn an answer, with what was kept and its times where the model needs them."""
    if hasattr(model, "learn_at"):
        model.learn_at(x, y, kept, moment, known)
    else:
        model.learn(x, y)


def _count_known(moment: np.ndarray, waits: int, known: np.ndarray, order: np.ndarray, until: int) -> int:
    """How many answers a chunk learns: those known before its last question, and those known up to ``until``."""
    last = max(int(moment[-1]) - 1, until) if len(moment) > waits else until
    return int(np.searchsorted(known[order], last, side="right"))
