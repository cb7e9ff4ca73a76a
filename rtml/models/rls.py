"""Recursive least squares: the exact ridge regression of everything answered so far, one answer at a time."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.kernels import linear

INTERCEPT_PRECISION = 1e-4  # so small that the intercept is hardly shrunk, so large that the arithmetic stays exact


def recursive_how(ridge: float, forgetting: float, d: int, *, scale: bool = False, clip: float = np.inf) -> np.ndarray:
    """What the kernel must know of a recursive least squares model of ``d`` features."""
    how = np.zeros(linear.SIZE)
    how[linear.KIND], how[linear.SCALE], how[linear.CLIP] = linear.RECURSIVE, scale, clip
    how[linear.FORGETTING], how[linear.RIDGE] = forgetting, ridge
    how[linear.INTERCEPT_PRECISION] = INTERCEPT_PRECISION
    how[linear.RENEWAL] = 1.0 - forgetting ** (d + 1)
    return how


def fresh_covariance(ridge: float, d: int) -> np.ndarray:
    """Covariance before any answer: ``1 / ridge`` a weight, the intercept last."""
    return np.diag(np.r_[np.full(d, 1.0 / ridge), 1.0 / INTERCEPT_PRECISION])


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
        The ridge does not fade with the answers: it is renewed one coefficient an answer, so that a direction in which
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
            raise ValueError(
                f"ridge must be a positive number, got {ridge}: without it two equal features have no answer"
            )
        if not 0.0 < forgetting <= 1.0:
            raise ValueError(f"forgetting must be in (0, 1], got {forgetting}: 1 forgets nothing")
        self.ridge = ridge
        self.forgetting = forgetting
        self._names: list = []
        self._grow([])

    @property
    def weights(self) -> dict:
        """Weight of every feature seen."""
        return dict(zip(self._names, self._state[linear.HEAD :].tolist(), strict=False))

    @property
    def intercept(self) -> float:
        """Prediction where every feature is zero."""
        return float(self._state[1])

    @property
    def answers(self) -> float:
        """How many answers were learned."""
        return float(self._state[0])

    def covariance(self, names) -> np.ndarray:
        """Covariance of the weights of these features, in this order, and of the intercept, last."""
        places = [self._names.index(name) for name in names] + [len(self._names)]
        return covariance_of(self._state, len(self._names))[np.ix_(places, places)]

    def learn_one(self, x: dict, y: float) -> None:
        """Learn one answer; a feature that is absent counts as zero."""
        row = self._row(x, [name for name in x if name not in self._known])
        y = float(y)
        if not (np.isfinite(y) and linear.finite(row, len(row))):
            raise ValueError(f"features and label must be finite numbers, got {x} and {y}")
        if len(row) > len(self._names):
            self._grow([name for name in x if name not in self._known])
        linear.learn(row, y, self._how, self._state)

    def predict_one(self, x: dict) -> float:
        """Prediction; a feature that is absent, or never learned, counts as zero."""
        return linear.predict(self._row(x, []), self._how, self._state)

    def _row(self, x: dict, new: list) -> np.ndarray:
        return np.array([x.get(name, 0.0) for name in self._names] + [x[name] for name in new], dtype=np.float64)

    def _grow(self, new: list) -> None:
        """Make room for new features, whose weights start at zero and know nothing of the others."""
        old, d = len(self._names), len(self._names) + len(new)
        covariance = fresh_covariance(self.ridge, d)
        state = flat_state(d, covariance)
        if old:
            kept = np.r_[np.arange(old), d]
            state[:2], state[2 : 2 + old] = self._state[:2], self._state[2 : 2 + old]
            covariance[np.ix_(kept, kept)] = covariance_of(self._state, old)
            state[-(d + 1) * (d + 2) : -(d + 1)] = covariance.ravel()
        self._names = self._names + new
        self._known = set(self._names)
        self._state, self._how = state, recursive_how(self.ridge, self.forgetting, d)


def covariance_of(state: np.ndarray, d: int) -> np.ndarray:
    """View of the covariance inside a flat state."""
    return state[-(d + 1) * (d + 2) : -(d + 1)].reshape(d + 1, d + 1)


def flat_state(d: int, covariance: np.ndarray | None = None) -> np.ndarray:
    """State of a model that has learned nothing; with a covariance, of a recursive one."""
    state = np.zeros(linear.state_size(d, covariance is not None))
    state[linear.HEAD + 3 * d : linear.HEAD + 4 * d] = 1.0
    if covariance is not None:
        state[-(d + 1) * (d + 2) : -(d + 1)] = covariance.ravel()
    return state
