"""Recursive least squares: the exact ridge regression of everything answered so far, one answer at a time."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.kernels import linear
from rtml.models import flat


class RecursiveLeastSquares(base.Regressor):
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

    def __init__(self, ridge: float = 100.0, forgetting: float = 1.0) -> None:
        if not 0.0 < ridge < np.inf:
            raise ValueError(f"ridge must be a positive number, got {ridge}: two equal features need it")
        if not 0.0 < forgetting <= 1.0:
            raise ValueError(f"forgetting must be in (0, 1], got {forgetting}: 1 forgets nothing")
        self.ridge = ridge
        self.forgetting = forgetting
        self._places: dict = {}
        self._how = flat.recursive_how(ridge, forgetting, 0)
        self._flat = flat.fresh(self._how, 0)

    @property
    def weights(self) -> dict:
        """Weight of every feature seen."""
        return dict(zip(self._places, self._flat.table[linear.WEIGHTS].tolist(), strict=False))

    @property
    def intercept(self) -> float:
        """Prediction where every feature is zero."""
        return float(self._flat.table[linear.WEIGHTS, -1])

    @property
    def answers(self) -> float:
        """How many answers were learned."""
        return float(self._flat.table[linear.MEANS, -1])

    def covariance(self, names) -> np.ndarray:
        """Covariance of the weights of these features, in this order, and last of the intercept."""
        other = self._grown([name for name in names if name not in self._places])
        places = [*(list(other._places).index(name) for name in names), len(other._places)]
        return other._flat.covariance[np.ix_(places, places)]

    def learn_one(self, x: dict, y: float) -> None:
        """Learn one answer; a feature that is absent counts as zero."""
        if not np.isfinite([*x.values(), y]).all():
            raise ValueError(f"features and label must be finite numbers, got {x} and {y}")
        if not x.keys() <= self._places.keys():
            self.__dict__.update(self._grown([name for name in x if name not in self._places]).__dict__)
        linear.learn(self._row(x), y, self._how, *self._flat)

    def predict_one(self, x: dict) -> float:
        """Prediction; a feature that is absent, or was never learned, counts as zero."""
        return linear.predict(self._row(x), self._how, self._flat.table)

    def _row(self, x: dict) -> np.ndarray:
        return np.array([x.get(name, 0.0) for name in self._places], dtype=np.float64)

    def _grown(self, new: list) -> RecursiveLeastSquares:
        """The same with room for new features, whose weights are zero and know nothing of the others."""
        old, d = len(self._places), len(self._places) + len(new)
        other = RecursiveLeastSquares(self.ridge, self.forgetting)
        other._places = dict(zip([*self._places, *new], range(d), strict=True))
        other._how = flat.recursive_how(self.ridge, self.forgetting, d)
        other._flat = flat.fresh(other._how, d)
        kept = np.r_[:old, d]
        other._flat.table[:, kept] = self._flat.table
        other._flat.covariance[np.ix_(kept, kept)] = self._flat.covariance
        return other
