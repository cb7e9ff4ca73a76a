"""Models that Python runs one event at a time, behind the face of a compiled one: your class, scikit-learn, river."""

from __future__ import annotations

import io
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from rtml.models import pickles
from rtml.models.refit import Refit, takes_missing
from rtml.models.rows import RowModel, answers_before, check_classes, check_names, check_row

_RENEW_AFTER = 20_000  # learned answers that are repeated at most when one fails


class Adapter(RowModel):
    """A model that is asked and learns row by row, in Python.

    It works on a copy of the model it is given. A failed learn leaves it as it was: the last copy is taken up again and
    the answers since are learned again. What is saved is the pickled model. A class for one kind of models gives
    ``_ask(x)``, ``_learn_row(x, y)`` and ``_read()``, which sets ``classifier`` and ``unsupervised``.

    Parameters
    ----------
    model
        The model; it must be possible to pickle it.
    names
        Names of the features, in the order of their columns.
    classes
        Names of the classes, where each is to have a probability.
    """

    kind: str

    def __init__(self, model, names: Sequence[str], classes: Sequence[str | int] = ()) -> None:
        self.names = check_names(names)
        self.classes = check_classes(classes)
        self.model = model
        pickles.ask()
        self._renew(self._pickled())

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction for a row in the order of ``names``: a number, the probability of True, or of every class."""
        return self._ask(check_row(x, self.names))

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        x, y = check_row(x, self.names), self._label(y)
        with self._all_or_nothing():
            self._learn(x, y)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk one by one, as :func:`rtml.kernels.linear.replay_descent` does.

        What is unsupervised learns every row right after it was asked about.
        """
        n, taken = len(moment), 0
        predictions = np.empty((n, self.outputs) if self.classes else n)
        with self._all_or_nothing():
            for t, rows in answers_before(moment, known, order, until):
                taken += len(rows)
                for i in rows:
                    if y[i] == y[i] and not self.unsupervised:
                        self._learn(X[i], y[i])
                if t < n:
                    x = X[len(X) - n + t]
                    predictions[t] = self._ask(x)
                    if self.unsupervised:
                        self._learn(x, np.nan)
        return predictions, taken

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every feature, where the model has weights."""
        final = final_step(self.model)
        weights = getattr(final, "weights", {}) or {}
        return dict(weights) if isinstance(weights, dict) else dict(zip(self.names, weights, strict=False))

    def describe(self) -> str:
        """The model as it names itself."""
        return getattr(self.model, "describe", lambda: type(self.model).__name__)()

    def _ask(self, x: np.ndarray) -> float | np.ndarray:
        raise NotImplementedError

    def _learn_row(self, x: np.ndarray, y: float) -> None:
        raise NotImplementedError

    def _read(self) -> None:
        raise NotImplementedError

    def _copies(self) -> dict:
        return {"pickle": self._pickled()}

    def _take(self, state: dict) -> None:
        """Go on from a state; its bytes are code, and such a model was asked for where there is this one."""
        self._renew(bytes(state["pickle"]))

    def _learn(self, x: np.ndarray, y: float) -> None:
        self._learn_row(x, y)
        self._since.append((x, y))

    def _renew(self, blob: bytes) -> None:
        self._saved, self._since = blob, []
        self.model = self._unpickled(blob)
        self._read()

    @contextmanager
    def _all_or_nothing(self) -> Iterator[None]:
        before = len(self._since)
        try:
            yield
        except Exception as ex:
            again, name = self._since[:before], self.describe()
            self._renew(self._saved)
            for x, y in again:
                self._learn(x, y)
            raise RuntimeError(f"{name} failed, and is as it was before: {type(ex).__name__}: {ex}") from ex
        if len(self._since) > _RENEW_AFTER:
            self._saved, self._since = self._pickled(), []

    @property
    def _texts(self) -> tuple[str, ...]:
        return self.names + tuple(name for name in self.classes if isinstance(name, str))

    def _pickled(self) -> bytes:
        """Bytes of the model, the same however often it was saved before.

        A pickle notes which of its parts are one object. Names of features and classes and types of arrays are one
        before a restart and several after it, so they are written as a place or a text instead.
        """
        out = io.BytesIO()
        pickler = pickle.Pickler(out, protocol=5)
        places = {name: place for place, name in enumerate(self._texts)}
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
        return pickles.made(out.getvalue())

    def _unpickled(self, blob: bytes):
        unpickler = pickle.Unpickler(io.BytesIO(pickles.checked(blob)))
        unpickler.persistent_load = lambda part: np.dtype(part) if type(part) is str else self._texts[part]
        return unpickler.load()


class PlainModel(Adapter):
    """A class of one's own with ``predict(x)`` and ``learn(x, y)`` on rows of floats, NaN where a value is missing.

    With classes ``predict`` gives their probabilities. The class says by ``classifier = True`` that its one number is
    a probability, and by ``unsupervised = True`` that it learns without labels.
    """

    kind = "plain"

    def _read(self) -> None:
        self.unsupervised = bool(getattr(self.model, "unsupervised", False))
        self.classifier = bool(self.classes) or bool(getattr(self.model, "classifier", False))

    def _ask(self, x: np.ndarray) -> float | np.ndarray:
        return self.model.predict(x) if not self.classes else probabilities(self.model.predict(x), self)

    def _learn_row(self, x: np.ndarray, y: float) -> None:
        self.model.learn(x, y)


class PartialFit:
    """A scikit-learn estimator with ``partial_fit`` as a plain model: one row at a time.

    Before the first answer a classifier gives equal probabilities and a regressor zero. One without ``predict_proba``
    is as sure of the class it names as it was right so far. Missing values are filled with the mean of what was learned
    so far, unless the estimator takes NaN.

    Parameters
    ----------
    estimator
        Has ``partial_fit(X, y)``, of classifiers with ``classes=``, and ``predict(X)``.
    features
        Number of features.
    classes
        Number of classes; 0 where each is not to have a probability.

    Examples
    --------
    >>> class Sum:  # of the features of all rows
    ...     total = 0.0
    ...     def partial_fit(self, X, y):
    ...         self.total += X.sum()
    ...     def predict(self, X):
    ...         return [self.total]
    >>> model = PartialFit(Sum(), features=1)
    >>> for x in (2.0, 4.0, np.nan):  # the missing one counts as their mean
    ...     model.learn(np.array([x]), 1.0)
    >>> model.predict(np.zeros(1))
    9.0
    """

    def __init__(self, estimator, features: int, classes: int = 0) -> None:
        self.estimator, self.classes = estimator, classes
        kind = getattr(estimator, "_estimator_type", "classifier" if hasattr(estimator, "predict_proba") else "")
        self.classifier = bool(classes) or kind == "classifier"
        self.learned = self.rightly = 0
        self.means, self.counts = np.zeros(features), np.zeros(features)
        self._takes_missing = takes_missing(estimator)

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """A number, the probability of class 1, or of every class."""
        classes, row = self.classes or 2, self._filled(x)
        if not self.classifier:
            return float(self.estimator.predict(row)[0]) if self.learned else 0.0
        if not self.learned:
            p = np.full(classes, 1.0 / classes)
        elif hasattr(self.estimator, "predict_proba"):
            p = np.asarray(self.estimator.predict_proba(row)[0], dtype=np.float64)
        else:
            sure = (self.rightly + 1) / (self.learned - 1 + classes)  # Laplace's rule
            p = np.full(classes, (1.0 - sure) / (classes - 1))
            p[int(self.estimator.predict(row)[0])] = sure
        return p if self.classes else float(p[1])

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer."""
        if self.classifier and self.learned:
            self.rightly += int(self.estimator.predict(self._filled(x))[0]) == y
        there = ~np.isnan(x)
        self.counts += there
        self.means[there] += (x[there] - self.means[there]) / self.counts[there]
        known = {"classes": np.arange(self.classes or 2, dtype=np.float64)} if self.classifier else {}
        self.estimator.partial_fit(self._filled(x), np.array([y]), **known)
        self.learned += 1

    def describe(self) -> str:
        """The estimator as it names itself."""
        return " ".join(repr(self.estimator).split())

    def _filled(self, x: np.ndarray) -> np.ndarray:
        return (x if self._takes_missing else np.where(np.isnan(x), self.means, x))[None]


def final_step(model):
    """The last step of a river pipeline, or the model itself.

    Examples
    --------
    >>> from river import linear_model, preprocessing
    >>> type(final_step(preprocessing.StandardScaler() | linear_model.LinearRegression())).__name__
    'LinearRegression'
    """
    return list(model.steps.values())[-1] if hasattr(model, "steps") else model


def probabilities(p, model: RowModel) -> np.ndarray:
    """Probabilities of the classes of a model as an array that sums to 1; equal ones where all are zero.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> model = SimpleNamespace(outputs=2, classes=("low", "high"), model=object())
    >>> probabilities([1.0, 3.0], model), probabilities([0.0, 0.0], model)
    (array([0.25, 0.75]), array([0.5, 0.5]))
    """
    p = np.asarray(p, dtype=np.float64)
    if p.shape != (model.outputs,) or not (p >= 0.0).all():
        raise ValueError(
            f"{type(model.model).__name__}.predict must give {model.outputs} probabilities ({model.classes}), got {p}"
        )
    total = p.sum()
    return p / total if total > 0.0 else np.full(model.outputs, 1.0 / model.outputs)


def adapted(model, names: Sequence[str], classes: Sequence[str | int] = ()) -> RowModel:
    """A row model around what is not of river: by the methods it has; a class is called first.

    ``partial_fit`` learns every answer; ``fit`` and ``predict`` is fitted again every 1000 answers (make a
    :class:`rtml.models.refit.Refit` for another schedule); ``learn`` and ``predict`` is a plain model.

    Examples
    --------
    >>> adapted(object(), ["a"])
    Traceback (most recent call last):
    TypeError: a model needs learn_one (river), partial_fit, fit and predict, or learn and predict; object has none
    """
    if hasattr(model, "partial_fit"):
        return PlainModel(PartialFit(model, len(names), len(classes)), names, classes)
    if hasattr(model, "fit") and hasattr(model, "predict"):
        return Refit(names, model, classes)
    if hasattr(model, "learn") and hasattr(model, "predict"):
        return PlainModel(model, names, classes)
    raise TypeError(
        f"a model needs learn_one (river), partial_fit, fit and predict, or learn and predict; {type(model).__name__} "
        "has none"
    )
