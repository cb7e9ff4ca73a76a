"""A batch estimator fitted again from scratch on a schedule, behind the face of an online model."""

from __future__ import annotations

import pickle
from collections.abc import Sequence

import numpy as np

from rtml.models import pickles
from rtml.models.rows import RowModel, check_classes, check_names, check_row

_COUNTS = ("answered", "samples", "fitted")
_NEVER = 2**62


class Refit(RowModel):
    """Any estimator with ``fit(X, y)`` and ``predict(X)``, fitted from scratch every so many answers.

    Fits come at ``first`` answers, then whenever they have doubled, until ``every`` is reached; between two fits
    nothing is learned. Never continued from an older fit. An estimator that has ``predict_proba`` is a classifier; a
    fit that would see one class alone is left out. Before the first fit a classifier answers with the shares of the
    classes so far (Laplace's rule), a regressor with zero. A chunk of questions between two fits is answered at once
    where the estimator says that its answers do not depend on each other (``row_wise = True``), else one by one, since
    matrix products of several rows are other bits. Missing values are filled with the means of the rows fitted, unless
    the estimator takes NaN (``accepts_missing = True``, or scikit-learn's tag ``allow_nan``).

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    estimator
        Fitted as a copy; it must be possible to pickle it. Labels are floats, of classes their numbers.
    classes
        Names of the classes; empty for a number or the probability of True.
    every
        Answers between two fits.
    first
        Answers before the first fit; 0 for ``every``.
    window
        Answers that a fit reads, the last ones; 0 for all.
    fits
        Fits after which it stays as it is; 0 for no limit.

    Examples
    --------
    >>> from rtml.models.baselines import Ridge
    >>> model = Refit(["a"], Ridge(ridge=1e-9, clip=8.0), every=3)
    >>> for i in range(4):
    ...     model.learn([float(i)], 3.0 * i)
    >>> round(model.predict([7.0]), 6), model.samples
    (21.0, 3)
    """

    twin = "refit"

    def __init__(
        self,
        names: Sequence[str],
        estimator,
        classes: Sequence[str | int] = (),
        every: int = 1000,
        first: int = 0,
        window: int = 0,
        fits: int = 0,
    ) -> None:
        self._how = {"every": int(every), "first": int(first), "window": int(window), "fits": int(fits)}
        check_schedule(**self._how)
        try:
            pickles.ask()
            blob = pickles.made(pickle.dumps(estimator, protocol=5))
        except (pickle.PicklingError, AttributeError, TypeError) as ex:
            raise TypeError(f"{estimator} cannot be saved: {ex}; define its class in a module or file") from ex
        self._begin(names, classes, blob)

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction of the last fit for a row in the order of ``names``."""
        answer = self._ask(check_row(x, self.names)[None])[0]
        return answer if self.classes else float(answer)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Keep the answer; fit again when enough are new."""
        self._keep(check_row(x, self.names)[None], np.array([self._label(y)]))

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk, in as many pieces as there are fits (as a compiled model's ``replay``)."""
        due = known[order]
        asked = np.searchsorted(due, moment, "left")  # answers known before each question
        taken = int(max(np.searchsorted(due, until, "right"), asked[-1] if len(asked) else 0))
        labelled = ~np.isnan(y[order[:taken]])
        learned = np.r_[0, np.cumsum(labelled)][asked]  # and those among them that are learned
        rows, new = order[:taken][labelled], X[len(X) - len(moment) :]
        predictions = np.empty((len(moment), self.outputs) if self.classes else len(moment))
        at = 0
        while True:
            upto = min(at + self._next - self.answered, len(rows) + 1)
            now = (learned >= at) & (learned < upto)
            predictions[now] = self._ask(new[now], y[rows[at:]], learned[now] - at)
            self._keep(X[rows[at:upto]], y[rows[at:upto]])
            if upto > len(rows):
                return predictions, taken
            at = upto

    def widen(self, names: Sequence[str]) -> None:
        """Take more columns, behind those there are; they were missing so far."""
        new = np.full((len(self._X), len(names) - len(self.names)), np.nan)
        self.names, self._X = check_names(names), np.hstack([self._X, new])

    @property
    def weights(self) -> dict[str, float]:
        """Importance or weight of every feature in the last fit, where the estimator has ``weights_`` or like it."""
        found = ("weights_", "feature_importances_", "coef_")
        values = next((getattr(self._estimator, name) for name in found if hasattr(self._estimator, name)), None)
        values = np.zeros(len(self.names)) if values is None else np.ravel(values)
        return dict(zip(self.names, values.tolist(), strict=False))

    @property
    def state(self) -> dict:
        """The estimator before and after its last fit, the rows that the next fit may read, and the counts."""
        head = self.head
        counts = {name: getattr(self, name) for name in _COUNTS} | {"seen": self._seen.copy(), "next": self._next}
        rows = {"X": self._X[self._last].copy(), "y": self._y[self._last].copy()}
        return head | {"how": dict(self._how), "estimator": self._blob, "trained": self._trained} | counts | rows

    @classmethod
    def of(cls, state: dict) -> Refit:
        """Model of a state."""
        self = cls.__new__(cls)
        self._how = dict(state["how"])
        self._begin(state["names"], state["classes"], bytes(state["estimator"]))
        self._take(state)
        return self

    def describe(self) -> str:
        """Its estimator and schedule."""
        rows = f"the last {self._how['window']:,}" if self._how["window"] else "all answers"
        name = getattr(self._fresh, "describe", lambda: type(self._fresh).__name__)()
        return f"{name} from {rows}, every {self._how['every']:,}"

    def _begin(self, names: Sequence[str], classes: Sequence[str | int], blob: bytes) -> None:
        self.names = check_names(names)
        self.classes = check_classes(classes)
        self._blob = blob
        self._fresh = pickles.loads(blob)
        self.classifier = bool(self.classes) or hasattr(self._fresh, "predict_proba")
        self.answered = self.samples = self.fitted = 0
        self._seen = np.zeros(len(self.classes) or 2)
        self._X = np.zeros((256, len(self.names)))
        self._y = np.zeros(256)
        self._kept = 0
        self._trained = b""
        self._estimator = None
        self._filled = np.zeros(0)
        self._next = self._how["first"] or self._how["every"]

    def _same(self, state: dict) -> bool:
        return state["how"] == self._how and bytes(state["estimator"]) == self._blob

    def _take(self, state: dict) -> None:
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._seen, self._next = np.array(state["seen"]), state["next"]
        self._X = np.array(state["X"])
        self._y = np.array(state["y"])
        self._kept = len(state["y"])
        self._use(bytes(state["trained"]))

    def _use(self, trained: bytes) -> None:
        """Answer from a fitted estimator; what answers is what a restored model answers from."""
        self._trained = trained
        self._estimator, self._filled = pickles.loads(trained) if trained else (None, np.zeros(0))

    @property
    def _last(self) -> slice:
        """The rows that a fit reads."""
        return slice(max(0, self._kept - (self._how["window"] or self._kept)), self._kept)

    def _ask(self, rows: np.ndarray, y=(), learned=0) -> np.ndarray:
        """Predictions of the last fit; before it the shares of the classes of what was learned by then, or zero."""
        if self._estimator is not None:
            alone = len(rows) < 2 or getattr(self._estimator, "row_wise", False)
            parts = [rows] if alone else [rows[i : i + 1] for i in range(len(rows))]
            return np.concatenate([self._answers(part) for part in parts]) if len(rows) else self._empty
        if not self.classifier:
            return np.zeros(len(rows))
        new = np.zeros((len(y) + 1, len(self._seen)))
        new[np.arange(1, len(y) + 1), np.asarray(y, dtype=int)] = 1.0
        seen = self._seen + np.cumsum(new, axis=0)[learned]
        p = (seen + 1.0) / (seen.sum(axis=-1, keepdims=True) + len(self._seen))
        p = np.broadcast_to(p, (len(rows), len(self._seen)))
        return p if self.classes else p[:, 1]

    @property
    def _empty(self) -> np.ndarray:
        return np.empty((0, self.outputs)) if self.classes else np.empty(0)

    def _answers(self, rows: np.ndarray) -> np.ndarray:
        rows = rows[:, : len(self._filled)]
        rows = np.where(np.isnan(rows), self._filled, rows)
        if not self.classifier:
            return np.asarray(self._estimator.predict(rows), dtype=np.float64).reshape(len(rows))
        known = np.asarray(getattr(self._estimator, "classes_", np.arange(len(self._seen)))).astype(int)
        p = np.zeros((len(rows), len(self._seen)))
        if hasattr(self._estimator, "predict_proba"):
            p[:, known] = self._estimator.predict_proba(rows)
        else:
            p[np.arange(len(rows)), np.asarray(self._estimator.predict(rows)).astype(int)] = 1.0
        return p if self.classes else p[:, 1]

    def _keep(self, rows: np.ndarray, y: np.ndarray) -> None:
        """Take answers, at most up to the next fit, and fit if that is reached."""
        if self._how["fits"] and self.fitted >= self._how["fits"]:
            return
        if self._how["window"] and self._kept > 2 * self._how["window"]:
            self._X, self._y = self._X[self._last].copy(), self._y[self._last].copy()
            self._kept = len(self._y)
        end = self._kept + len(y)
        if end > len(self._y):
            room = np.zeros((max(2 * len(self._y), end) - self._kept, len(self.names)))
            self._X = np.concatenate([self._X[: self._kept], room])
            self._y = np.concatenate([self._y[: self._kept], room[:, 0]])
        self._X[self._kept : end] = rows
        self._y[self._kept : end] = y
        self._kept = end
        self.answered += len(y)
        if self.classifier:
            self._seen += np.bincount(y.astype(int), minlength=len(self._seen))
        if self.answered == self._next:
            self._fit()

    def _fit(self) -> None:
        X, y = self._X[self._last], self._y[self._last]
        self._next += min(self._next, self._how["every"])
        self.samples += len(y)
        self.fitted += 1
        if self._how["fits"] and self.fitted >= self._how["fits"]:
            self._next = _NEVER
        if self.classifier and len(np.unique(y)) < 2:
            return
        estimator = pickle.loads(self._blob)  # which came in by ``_begin``
        filled = np.full(X.shape[1], np.nan) if takes_missing(estimator) else column_means(X)
        estimator.fit(np.where(np.isnan(X), filled, X), y)
        self._use(pickles.made(pickle.dumps((estimator, filled), protocol=5)))


def check_schedule(every: int, first: int, window: int, fits: int = 0) -> None:
    """Refuse a schedule that cannot be kept.

    Examples
    --------
    >>> check_schedule(every=1000, first=100, window=0)
    >>> try:
    ...     check_schedule(every=0, first=100, window=0)
    ... except ValueError as error:
    ...     print(str(error).partition(":")[0])
    every must be at least 1, first, window and fits at least 0, got 0, 100, 0 and 0
    """
    if every < 1 or first < 0 or window < 0 or fits < 0:
        raise ValueError(
            f"every must be at least 1, first, window and fits at least 0, got {every}, {first}, {window} and {fits}: "
            "every counts answers between two fits"
        )


def takes_missing(estimator) -> bool:
    """Whether an estimator takes rows with NaN, by its own word or by scikit-learn's tag.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> takes_missing(Refit), takes_missing(SimpleNamespace(accepts_missing=True))
    (False, True)
    """
    if hasattr(estimator, "accepts_missing"):
        return bool(estimator.accepts_missing)
    tags = estimator.__sklearn_tags__() if hasattr(estimator, "__sklearn_tags__") else None
    return bool(tags is not None and tags.input_tags.allow_nan)


def column_means(X: np.ndarray) -> np.ndarray:
    """Mean of what is there in each column; zero where nothing is.

    Examples
    --------
    >>> column_means(np.array([[1.0, np.nan], [3.0, np.nan]])).tolist()
    [2.0, 0.0]
    """
    there = ~np.isnan(X)
    return np.where(there, X, 0.0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
