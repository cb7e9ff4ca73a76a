"""What any model has to beat: no change, the mean so far, the last return, the majority, a re-fitted ridge."""

from __future__ import annotations

import numpy as np
from river import base


class Zero(base.Regressor):
    """No change: predicts zero for ever.

    Examples
    --------
    >>> Zero().predict_one({"return_1": 3.0})
    0.0
    """

    def learn_one(self, x: dict, y: float) -> None:
        """Learn nothing."""

    def predict_one(self, x: dict) -> float:
        """Zero."""
        return 0.0


class RunningMean(base.Regressor):
    """The mean of all answers so far; zero before the first.

    Examples
    --------
    >>> model = RunningMean()
    >>> for y in (1.0, 3.0):
    ...     model.learn_one({}, y)
    >>> model.predict_one({})
    2.0
    """

    def __init__(self) -> None:
        self.n = 0
        self.mean = 0.0

    def learn_one(self, x: dict, y: float) -> None:
        """Move the mean."""
        self.n += 1
        self.mean += (y - self.mean) / self.n

    def predict_one(self, x: dict) -> float:
        """The mean so far."""
        return self.mean


class AR1(base.Regressor):
    """The least squares line through the last known return and the next, exact after every answer.

    Parameters
    ----------
    feature
        The feature that holds the last known return.

    Examples
    --------
    >>> model = AR1("return_1")
    >>> for last, following in ((1.0, -0.5), (-2.0, 1.0), (4.0, -2.0)):
    ...     model.learn_one({"return_1": last}, following)
    >>> model.predict_one({"return_1": 10.0})
    -5.0
    """

    def __init__(self, feature: str = "return_1") -> None:
        self.feature = feature
        self.n = 0
        self.mean_x = self.mean_y = self.spread = self.product = 0.0

    def learn_one(self, x: dict, y: float) -> None:
        """Move means, spread and product."""
        value = self._value(x)
        self.n += 1
        off_x, off_y = value - self.mean_x, y - self.mean_y
        self.mean_x += off_x / self.n
        self.mean_y += off_y / self.n
        self.spread += off_x * (value - self.mean_x)
        self.product += off_y * (value - self.mean_x)

    def predict_one(self, x: dict) -> float:
        """The line at the last known return."""
        value = self._value(x)
        slope = self.product / self.spread if self.spread > 0.0 else 0.0
        return self.mean_y + slope * (value - self.mean_x)

    def _value(self, x: dict) -> float:
        if self.feature not in x:
            raise LookupError(f"AR1 needs the feature {self.feature!r}, got {', '.join(x)}: name the last known return")
        return x[self.feature]


class Majority(base.Classifier):
    """The share of True so far, whatever the features; a half before the first answer (Laplace's rule).

    Examples
    --------
    >>> model = Majority()
    >>> for y in (True, True, False):
    ...     model.learn_one({}, y)
    >>> model.predict_proba_one({})[True]
    0.6
    """

    def __init__(self) -> None:
        self.n = self.true = 0

    @property
    def _multiclass(self) -> bool:
        return False

    def learn_one(self, x: dict, y: bool) -> None:
        """Count."""
        self.n += 1
        self.true += bool(y)

    def predict_proba_one(self, x: dict) -> dict[bool, float]:
        """The shares so far."""
        share = (self.true + 1) / (self.n + 2)
        return {False: 1.0 - share, True: share}


class RidgeRefit(base.Regressor):
    """A ridge regression fitted again from scratch, every so many answers, on all answers so far.

    What most teams run: stateless retraining on a schedule. Features are standardised by what was known at the fit and
    clipped; between two fits nothing is learned. Its cost grows with the square of the stream.

    Parameters
    ----------
    every
        Answers between two fits: 360 of 10 s are an hour.
    ridge
        Penalty on squared weights of standardised features.
    clip
        Limit of a standardised feature.
    fits
        Fits after which it stays as it is; 0 for no limit.

    Examples
    --------
    >>> model = RidgeRefit(every=4, ridge=1e-9)
    >>> for i in range(4):
    ...     model.learn_one({"a": float(i)}, 3.0 * i)
    >>> round(model.predict_one({"a": 2.0}), 6)
    6.0
    """

    def __init__(self, every: int = 360, ridge: float = 100.0, clip: float = 8.0, fits: int = 0) -> None:
        self.fits = fits
        self.every = every
        self.ridge = ridge
        self.clip = clip
        self._rows = np.empty((0, 0))
        self._y: list[float] = []
        self._names: list = []
        self._fit: tuple | None = None

    @property
    def samples(self) -> int:
        """Rows read by all fits so far: the price of starting from scratch."""
        fits = min(len(self._y) // self.every, self.fits or len(self._y))
        return self.every * fits * (fits + 1) // 2

    def learn_one(self, x: dict, y: float) -> None:
        """Keep the answer; fit again when enough are new."""
        if self.fits and len(self._y) >= self.fits * self.every:
            return
        self._names = self._names or list(x)
        if len(self._y) == len(self._rows):  # full: twice the room
            grown = np.zeros(
                (max(2 * len(self._rows), 256), len(self._names))
            )  # zeros: the same bits in every snapshot
            if self._y:
                grown[: len(self._y)] = self._rows
            self._rows = grown
        self._rows[len(self._y)] = [x[name] for name in self._names]
        self._y.append(y)
        if len(self._y) % self.every == 0:
            self._fit = self._fitted()

    def predict_one(self, x: dict) -> float:
        """Prediction of the last fit; zero before the first."""
        if self._fit is None:
            return 0.0
        mean, deviation, weights, intercept = self._fit
        row = np.array([x[name] for name in self._names])
        z = np.clip((row - mean) / deviation, -self.clip, self.clip)
        return float(z @ weights + intercept)

    def _fitted(self) -> tuple:
        X, y = self._rows[: len(self._y)], np.array(self._y)
        mean, deviation = X.mean(axis=0), X.std(axis=0)
        deviation[deviation == 0.0] = np.inf
        Z = np.clip((X - mean) / deviation, -self.clip, self.clip)
        off = Z - Z.mean(axis=0)
        weights = np.linalg.solve(off.T @ off + self.ridge * np.eye(len(mean)), off.T @ (y - y.mean()))
        return mean, deviation, weights, float(y.mean() - Z.mean(axis=0) @ weights)
