"""Any river model behind the face of a compiled one: the only door to ``learn_one`` and ``predict_one``."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
from river import base

from rtml.models.rows import check_label, check_names, check_row, check_state

_RENEW_AFTER = 20_000  # learned answers that are repeated at most when one fails


class RiverModel:
    """A river regressor or binary classifier that takes rows instead of dicts.

    It works on a copy of the model it is given. A failed learn leaves it as it was: the last copy is taken up again and
    the answers since are learned again.
    """

    kind = "river"

    def __init__(self, model: base.Estimator, names: Sequence[str]) -> None:
        self.names = check_names(names)
        self.model = model
        self._saved, self._since = self._pickled(), []
        self.model = self._unpickled(self._saved)
        self.classifier = _is_classifier(model)

    @classmethod
    def of(cls, state: dict) -> RiverModel:
        """Model of a state."""
        self = cls.__new__(cls)
        self.names = check_names(state["names"])
        self.load(state)
        return self

    def predict(self, x: np.ndarray) -> float:
        """Prediction for a row in the order of ``names``; a classifier's is the probability of True."""
        return self._predict(check_row(x, self.names))

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        x, y = check_row(x, self.names), check_label(y, self.classifier)
        with self._all_or_nothing():
            self._learn(x, y)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk one by one, as :func:`rtml.kernels.linear.replay_descent` does."""
        n, told, predictions = len(moment), 0, np.empty(len(moment))
        limits = [*(moment - 1).tolist(), until]
        with self._all_or_nothing():
            for t in range(n + 1):
                while told < len(order) and known[order[told]] <= limits[t]:
                    i = order[told]
                    told += 1
                    if y[i] == y[i]:
                        self._learn(X[i], y[i])
                if t < n:
                    predictions[t] = self._predict(X[len(X) - n + t])
        return predictions, told

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every feature, where the model has weights."""
        final = list(self.model.steps.values())[-1] if hasattr(self.model, "steps") else self.model
        return dict(getattr(final, "weights", {}) or {})

    @property
    def state(self) -> dict:
        """The model as bytes, beside the columns it takes."""
        return {"kind": self.kind, "names": list(self.names), "pickle": self._pickled()}

    def load(self, state: dict) -> None:
        """Go on from a state; its bytes are code, so they must come from a trusted registry."""
        check_state(state, self.kind, self.names)
        self._saved, self._since = bytes(state["pickle"]), []
        self.model = self._unpickled(self._saved)
        self.classifier = _is_classifier(self.model)

    def describe(self) -> str:
        """The model as river names it."""
        steps = self.model.steps.values() if hasattr(self.model, "steps") else [self.model]
        return " | ".join(str(step) for step in steps)

    def _predict(self, x: np.ndarray) -> float:
        row = dict(zip(self.names, x.tolist(), strict=True))
        if self.classifier:
            odds = self.model.predict_proba_one(row)
            return float(odds.get(True, 0.0)) if odds else 0.5
        guess = self.model.predict_one(row)
        return 0.0 if guess is None else float(guess)

    def _learn(self, x: np.ndarray, y: float) -> None:
        self.model.learn_one(dict(zip(self.names, x.tolist(), strict=True)), bool(y) if self.classifier else float(y))
        self._since.append((x, y))

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = len(self._since)
        try:
            yield
        except Exception as ex:
            again, self._since = self._since[:before], []
            self.model = self._unpickled(self._saved)
            for x, y in again:
                self._learn(x, y)
            raise RuntimeError(f"{self.describe()} failed, and is as it was before: {type(ex).__name__}: {ex}") from ex
        if len(self._since) > _RENEW_AFTER:
            self._saved, self._since = self._pickled(), []

    def _pickled(self) -> bytes:
        """Bytes of the model, the same however often it was saved before.

        A pickle notes which of its parts are one object. Names of features and types of arrays are one before a restart
        and several after it, so they are written as a place or a text instead.
        """
        out = io.BytesIO()
        pickler = pickle.Pickler(out, protocol=5)
        places = {name: place for place, name in enumerate(self.names)}
        pickler.persistent_id = lambda part: (
            places.get(part)
            if type(part) is str
            else part.str
            if isinstance(part, np.dtype) and not part.names
            else None
        )
        try:
            pickler.dump(self.model)
        except (pickle.PicklingError, AttributeError, TypeError) as ex:
            raise TypeError(f"{self.describe()} cannot be saved: {ex}; use named functions of a module") from ex
        return out.getvalue()

    def _unpickled(self, blob: bytes):
        unpickler = pickle.Unpickler(io.BytesIO(blob))
        unpickler.persistent_load = lambda part: np.dtype(part) if type(part) is str else self.names[part]
        return unpickler.load()


def _is_classifier(model) -> bool:
    final = list(model.steps.values())[-1] if hasattr(model, "steps") else model
    return isinstance(final, base.Classifier)
