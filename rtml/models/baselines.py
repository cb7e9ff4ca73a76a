"""What any model has to beat: no change, the mean so far, the last return, the majority, a re-fitted ridge."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.models.face import Face
from rtml.models.refit import Refit, column_means


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

    Where the feature is missing the prediction is the mean, and nothing is learned.

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
        """Move means, spread and product; nothing where the feature is missing."""
        value = self._value(x)
        if value is None:
            return
        self.n += 1
        off_x, off_y = value - self.mean_x, y - self.mean_y
        self.mean_x += off_x / self.n
        self.mean_y += off_y / self.n
        self.spread += off_x * (value - self.mean_x)
        self.product += off_y * (value - self.mean_x)

    def predict_one(self, x: dict) -> float:
        """The line at the last known return; the mean where that is missing."""
        value = self._value(x)
        if value is None or self.spread == 0.0:
            return self.mean_y
        return self.mean_y + self.product / self.spread * (value - self.mean_x)

    def _value(self, x: dict) -> float | None:
        """The last known return; None where it is missing."""
        value = x.get(self.feature)
        return None if value is None or value != value else value


class LastAnswer(base.Regressor):
    """The last answer learned, whatever the features; zero before the first.

    Examples
    --------
    >>> model = LastAnswer()
    >>> model.learn_one({}, 3.0)
    >>> model.predict_one({})
    3.0
    """

    def __init__(self) -> None:
        self.newest = 0.0

    def learn_one(self, x: dict, y: float) -> None:
        """Remember it."""
        self.newest = float(y)

    def predict_one(self, x: dict) -> float:
        """The last one."""
        return self.newest


class Majority(base.Classifier):
    """The shares of the classes so far, whatever the features; equal ones before the first answer (Laplace's rule).

    Parameters
    ----------
    classes
        Labels, two or more; one that is not among them is added when it is seen.

    Examples
    --------
    >>> model = Majority()
    >>> for y in (True, True, False):
    ...     model.learn_one({}, y)
    >>> model.predict_proba_one({})[True]
    0.6
    """

    def __init__(self, classes: tuple = (False, True)) -> None:
        self.classes = classes
        self.counts = dict.fromkeys(classes, 0)

    @property
    def _multiclass(self) -> bool:
        return len(self.classes) > 2

    @property
    def _shares(self) -> dict:
        total = sum(self.counts.values()) + len(self.counts)
        return {label: (count + 1) / total for label, count in self.counts.items()}

    def learn_one(self, x: dict, y: bool | str | int) -> None:
        """Count."""
        self.counts[y] = self.counts.get(y, 0) + 1

    def predict_proba_one(self, x: dict) -> dict:
        """The shares so far."""
        return self._shares

    def predict_one(self, x: dict) -> bool | str | int:
        """The class seen most often."""
        return max(self.counts, key=self.counts.get)


class NoChange(Majority):
    """The class of the last answer, with the probability that an answer was that of the one before; else the shares.

    Parameters
    ----------
    classes
        Labels, two or more; one that is not among them is added when it is seen.

    Examples
    --------
    >>> model = NoChange()
    >>> for y in (True, True, True, False):
    ...     model.learn_one({}, y)
    >>> model.predict_one({}), round(model.predict_proba_one({})[False], 2)
    (False, 0.6)
    """

    def __init__(self, classes: tuple = (False, True)) -> None:
        super().__init__(classes)
        self.last = None
        self.pairs = self.kept = 0

    def learn_one(self, x: dict, y: bool | str | int) -> None:
        """Count, and whether the class stayed."""
        self.counts[y] = self.counts.get(y, 0) + 1
        self.pairs += self.last is not None
        self.kept += y == self.last
        self.last = y

    def predict_proba_one(self, x: dict) -> dict:
        """The share of answers that were the class of the answer before, and the shares of the other classes."""
        shares = self._shares
        if self.last is None:
            return shares
        stay, others = (self.kept + 1) / (self.pairs + 2), 1.0 - shares[self.last]
        p = {label: (1.0 - stay) * share / others for label, share in shares.items()}
        return p | {self.last: stay}

    def predict_one(self, x: dict) -> bool | str | int:
        """The class of the last answer."""
        return max(self.counts, key=self.counts.get) if self.last is None else self.last


class RidgeRefit(Face, base.Regressor):
    """A ridge regression fitted again from scratch, every so many answers, on all answers so far.

    What most teams run: stateless retraining on a schedule. Features are standardised by what was known at the fit and
    clipped, a missing one counts as its mean; between two fits nothing is learned. Its cost grows with the square of
    the stream.

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
        self.every = every
        self.ridge = ridge
        self.clip = clip
        self.fits = fits
        self._model: Refit | None = None

    @property
    def samples(self) -> int:
        """Rows read by all fits so far: the price of starting from scratch."""
        return 0 if self._model is None else self._model.samples

    def predict_one(self, x: dict) -> float:
        """Prediction of the last fit; zero before the first."""
        return 0.0 if self._model is None else self._model.predict(self._row(x))

    def _made(self, names: tuple[str, ...]) -> Refit:
        return Refit(names, Ridge(self.ridge, self.clip), every=self.every, fits=self.fits)


class Ridge:
    """Ridge regression on standardised, clipped features behind ``fit`` and ``predict``; NaN counts as the mean.

    Parameters
    ----------
    ridge
        Penalty on squared weights.
    clip
        Limit of a standardised feature.

    Examples
    --------
    >>> model = Ridge(ridge=1e-9, clip=8.0).fit(np.array([[0.0], [1.0], [2.0]]), np.array([0.0, 3.0, 6.0]))
    >>> model.predict(np.array([[1.5], [np.nan]])).round(6).tolist()
    [4.5, 3.0]
    """

    accepts_missing = True

    def __init__(self, ridge: float, clip: float) -> None:
        self.ridge, self.clip = ridge, clip

    def fit(self, X: np.ndarray, y: np.ndarray) -> Ridge:
        """Fit on rows (n, d) and labels (n,)."""
        self._mean = column_means(X)
        deviation = np.sqrt(column_means((X - self._mean) ** 2))
        self._deviation = np.where(deviation == 0.0, np.inf, deviation)
        Z = self._standard(X)
        off = Z - Z.mean(axis=0)
        self.weights_ = np.linalg.solve(off.T @ off + self.ridge * np.eye(X.shape[1]), off.T @ (y - y.mean()))
        self._intercept = float(y.mean() - Z.mean(axis=0) @ self.weights_)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:
        """Predictions, shape (n,)."""
        return self._standard(X) @ self.weights_ + self._intercept

    def describe(self) -> str:
        """Its penalty."""
        return f"Ridge({self.ridge:g})"

    def _standard(self, X: np.ndarray) -> np.ndarray:
        Z = np.clip((X - self._mean) / self._deviation, -self.clip, self.clip)
        return np.where(np.isnan(Z), 0.0, Z)
