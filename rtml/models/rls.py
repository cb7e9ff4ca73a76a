"""Recursive least squares: the exact ridge regression of everything answered so far, one answer at a time."""

from __future__ import annotations

from river import base

from rtml.kernels import linear
from rtml.models.recursion import Recursion


class RecursiveLeastSquares(Recursion, base.Regressor):
    """Linear regression that is, after every answer, the exact ridge solution of all answers so far.

    No learning rate and no order effect: stochastic gradient descent walks towards this solution, this is it.
    A feature seen for the first time gets a weight of its own and leaves the other weights alone.

    Parameters
    ----------
    ridge
        Penalty on squared weights (the intercept is practically free), in units of squared features.
    forgetting
        Weight of an answer relative to the next one, in (0, 1]; 1 forgets nothing, 0.999 remembers about 1000 answers.
        The ridge does not fade with the answers: it is renewed, one coefficient an answer, so that a direction in which
        nothing happens for a week neither drifts nor blows up.

    Examples
    --------
    >>> model = RecursiveLeastSquares(ridge=1e-6)
    >>> for i in range(20):
    ...     model.learn_one({"a": i, "b": i % 3}, 2 * i - 5 * (i % 3) + 1)
    >>> round(model.predict_one({"a": 10, "b": 1}), 3), {k: round(v, 3) for k, v in model.weights.items()}
    (16.0, {'a': 2.0, 'b': -5.0})
    """

    kind = linear.RECURSIVE

    def __init__(self, ridge: float = 100.0, forgetting: float = 1.0) -> None:
        super().__init__(ridge, forgetting)

    def predict_one(self, x: dict) -> float:
        """Prediction; a feature that is absent, or was never learned, counts as zero."""
        return self._predict(x)
