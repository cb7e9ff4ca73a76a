"""What the recursive linear models share: weights with their covariance, exact or nearly so after every answer."""

from __future__ import annotations

import numpy as np

from rtml.kernels import linear
from rtml.models import flat


class Recursion:
    """Weights by name and their covariance, and the kernel that moves both by an answer.

    A feature seen for the first time gets a weight of its own and leaves the other weights alone.

    Parameters
    ----------
    ridge
        Penalty on squared weights, the intercept's practically zero.
    forgetting
        Weight of an answer relative to the next one, in (0, 1].
    """

    kind = linear.RECURSIVE

    def __init__(self, ridge: float, forgetting: float) -> None:
        if not 0.0 < ridge < np.inf:
            raise ValueError(f"ridge must be a positive number, got {ridge}: two equal features need it")
        if not 0.0 < forgetting <= 1.0:
            raise ValueError(f"forgetting must be in (0, 1], got {forgetting}: 1 forgets nothing")
        self.ridge = ridge
        self.forgetting = forgetting
        self._places: dict = {}
        self._how = flat.recursive_how(self.kind, ridge, forgetting, 0)
        self._flat = flat.fresh(self._how, 0)

    @property
    def weights(self) -> dict:
        """Weight of every feature seen."""
        return dict(zip(self._places, self._flat.table[linear.WEIGHTS].tolist(), strict=False))

    @property
    def intercept(self) -> float:
        """Weight of no feature: what the weights make of a row of zeros."""
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

    def learn_one(self, x: dict, y) -> None:
        """Learn one answer; a feature that is absent or NaN counts as zero."""
        there = {name: value for name, value in x.items() if value == value}
        if not np.isfinite([*there.values(), y]).all():
            raise ValueError(f"features must be finite or NaN and the label finite, got {x} and {y}")
        if not there.keys() <= self._places.keys():
            new = sorted(there.keys() - self._places.keys(), key=str)  # the same bits whatever the order in the dict
            self.__dict__.update(self._grown(new).__dict__)
        linear.learn(self._row(there), y, self._how, *self._flat)

    def _predict(self, x: dict) -> float:
        return linear.predict(self._row(x), self._how, self._flat.table)

    def _row(self, x: dict) -> np.ndarray:
        return np.array([x.get(name, 0.0) for name in self._places], dtype=np.float64)

    def _grown(self, new: list) -> Recursion:
        """The same with room for new features, whose weights are zero and know nothing of the others."""
        old, d = len(self._places), len(self._places) + len(new)
        other = type(self)(self.ridge, self.forgetting)
        other._places = dict(zip([*self._places, *new], range(d), strict=True))
        other._how = flat.recursive_how(self.kind, self.ridge, self.forgetting, d)
        other._flat = flat.fresh(other._how, d)
        kept = np.r_[:old, d]
        other._flat.table[:, kept] = self._flat.table
        other._flat.covariance[np.ix_(kept, kept)] = self._flat.covariance
        return other
