"""Softmax regression of second order: what the recursive logistic regression becomes for more classes than two."""

from __future__ import annotations

from collections.abc import Sequence
from operator import attrgetter

import numpy as np

from rtml.kernels import linear
from rtml.kernels import softmax as kernels
from rtml.models import flat
from rtml.models.rows import RowModel, check_classes, check_names, check_row


class Softmax(RowModel):
    """Probabilities of C classes from linear scores, every class with weights and a covariance of its own.

    An answer moves the weights of each class as :class:`rtml.models.recursive_logistic.RecursiveLogistic` moves its
    own, the probability being the softmax's (Laplace's approximation with the covariances between classes left out:
    the block diagonal of the Hessian of Böhning, "Multinomial logistic regression algorithm", 1992). An answer costs
    C times the square of the number of features.

    Parameters
    ----------
    names
        Names of the features, in the order of their columns.
    how
        Parameters of the kernels (see :func:`rtml.models.flat.recursive_how`).
    classes
        Names of the classes.
    """

    twin = "softmax"
    classifier = True
    _kernels = kernels
    _ARRAYS = ("_how", "_table", "_weights", "_cov")
    _arrays = property(attrgetter(*_ARRAYS))

    def __init__(self, names: Sequence[str], how: np.ndarray, classes: Sequence[str | int]) -> None:
        self.names = check_names(names)
        self.classes = check_classes(classes)
        self._how = how
        first = flat.fresh(how, len(self.names))
        self._table, self._weights = first.table, np.zeros((self.outputs, len(self.names) + 1))
        self._cov = np.repeat(first.covariance[None], self.outputs, axis=0)

    def predict(self, x: np.ndarray) -> np.ndarray:
        """Probabilities of the classes for a row in the order of ``names``, shape (C,)."""
        p = np.empty(self.outputs)
        if not self._kernels.predict(np.ascontiguousarray(x, dtype=np.float64).ravel(), p, *self._arrays):
            check_row(x, self.names)
        return p

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        self._kernels.learn(check_row(x, self.names), self._label(y), *self._arrays)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.softmax.replay`); shape (m, C)."""
        predictions = np.empty((len(moment), self.outputs))
        return predictions, self._kernels.replay(X, y, moment, known, order, until, predictions, *self._arrays)

    @property
    def weights(self) -> dict[str, float]:
        """How far the weights of a feature lie apart between classes (their standard deviation, after scaling)."""
        return dict(zip(self.names, self._weights.std(axis=0).tolist(), strict=False))

    def describe(self) -> str:
        """The steps of the model and its number of classes."""
        return f"{flat.describe(self._how)} of {self.outputs} classes"

    def _same(self, state: dict) -> bool:
        return np.array_equal(state["how"], self._how)


def softmax_twin(how: np.ndarray, named: dict, names: tuple[str, ...], classes: tuple) -> Softmax | None:
    """Softmax regression for a recursive logistic regression that has learned nothing, or None for other models.

    Examples
    --------
    >>> how = flat.recursive_how(linear.RECURSIVE_LOG, ridge=1.0, forgetting=1.0, d=1)
    >>> softmax_twin(how, {"count": 0.0}, ("a",), ("low", "high")).describe()
    'RecursiveLogistic(ridge=1, forgetting=1) of 2 classes'
    >>> softmax_twin(how, {"count": 7.0}, ("a",), ("low", "high")) is None
    True
    """
    fresh = how[linear.KIND] == linear.RECURSIVE_LOG and not named["count"]
    return Softmax(names, how, classes) if fresh else None
