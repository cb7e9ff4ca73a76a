"""What any model has to beat: no change, mean so far, last answer or return, the majority, a re-fitted ridge."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.kernels import baselines as kernels
from rtml.models.rows import check_label, check_names, check_row, check_state


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


class CompiledBaseline:
    """A baseline that learns and answers from eight numbers."""

    kind = "compiled"
    twin = "baseline"

    def __init__(self, names, learned: np.ndarray) -> None:
        self.names, self._learned = check_names(names), learned
        self.classifier = learned[kernels.KIND] == kernels.SHARE

    def predict(self, x: np.ndarray) -> float:
        """Prediction for a row in the order of ``names``."""
        return kernels.predict(check_row(x, self.names), self._learned)

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer, or refuse it and stay as it was."""
        kernels.learn(check_row(x, self.names), check_label(y, self.classifier), self._learned)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in a kernel (see :func:`rtml.kernels.baselines.replay`)."""
        predictions = np.empty(len(moment))
        return predictions, kernels.replay(X, y, moment, known, order, until, predictions, self._learned)

    @property
    def weights(self) -> dict[str, float]:
        """None of a feature, but of the one that a line goes through."""
        learned, slope = self._learned, 0.0
        if learned[kernels.KIND] == kernels.LINE and learned[kernels.SPREAD] > 0.0:
            slope = float(learned[kernels.PRODUCT] / learned[kernels.SPREAD])
        return dict.fromkeys(self.names, 0.0) | {self.names[int(learned[kernels.COLUMN])]: slope}

    @property
    def state(self) -> dict:
        """Everything learned."""
        head = {"kind": self.kind, "twin": self.twin, "names": list(self.names)}
        return head | {"learned": self._learned.copy()}

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        check_state(state, self.kind, self.names)
        if state.get("twin") != self.twin or not np.array_equal(state["learned"][:2], self._learned[:2]):
            raise ValueError(
                f"the state is of another model than this {self.describe()}: restore(state) builds its own"
            )
        self._learned = np.array(state["learned"])

    @classmethod
    def of(cls, state: dict) -> CompiledBaseline:
        """Model of a state."""
        return cls(state["names"], np.array(state["learned"]))

    def describe(self) -> str:
        """The river model this is the twin of."""
        name = list(_KINDS)[int(self._learned[kernels.KIND])].__name__
        return f"{name}({self.names[int(self._learned[kernels.COLUMN])]})" if name == "AR1" else name


_KINDS = {
    Zero: {},
    RunningMean: {"n": 2, "mean": 4},
    AR1: {"n": 2, "mean_x": 3, "mean_y": 4},
    LastAnswer: {"newest": 7},
}
_KINDS[AR1] |= {"spread": kernels.SPREAD, "product": kernels.PRODUCT}
_KINDS[Majority] = {"n": kernels.COUNT, "true": kernels.PRODUCT}


def baseline_twin(model, names: tuple[str, ...]) -> CompiledBaseline | None:
    """Twin of a baseline, with what it has learned; None where the feature of its line is not among the columns."""
    if type(model) not in _KINDS or getattr(model, "feature", names[0]) not in names:
        return None
    learned = kernels.fresh(list(_KINDS).index(type(model)), names.index(getattr(model, "feature", names[0])))
    for name, place in _KINDS[type(model)].items():
        learned[place] = getattr(model, name)
    return CompiledBaseline(names, learned)
