"""Metrics that are a ratio of two sums: as one number, over time, in a window, and as a running score.

Mean squared error, R2, hit rate and log loss are ``sum(above) / sum(below)`` over the answered questions. So a curve
costs two running sums, O(n) for every window, and a live score seven numbers. A label that never came is NaN.
"""

from __future__ import annotations

from collections.abc import Callable
from math import isfinite, log, nan, sqrt

import numpy as np

_TINY = 1e-15  # a probability is held this far from 0 and 1, so that one certain mistake does not cost infinity


def cumulative(metric: str, y, p) -> np.ndarray:
    """Metric of everything up to and with each question.

    Examples
    --------
    >>> cumulative("mae", [1.0, 2.0, np.nan], [0.0, 0.0, 0.0])
    array([1. , 1.5, 1.5])
    """
    above, below = _terms(metric, y, p)
    return _finish(metric, np.cumsum(above), np.cumsum(below))


def windowed(metric: str, y, p, window: int) -> np.ndarray:
    """Metric of the last ``window`` questions, unanswered ones included; NaN until that many were asked.

    Examples
    --------
    >>> windowed("mae", [1.0, 2.0, 4.0], [0.0, 0.0, 0.0], window=2)
    array([nan, 1.5, 3. ])
    """
    above, below = _terms(metric, y, p)
    curve = _finish(metric, _rolling_sum(above, window), _rolling_sum(below, window))
    curve[: window - 1] = np.nan
    return curve


def per_block(metric: Callable, y, p, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Index of the last question and metric of each whole block of ``size`` questions, for any ``metric(y, p)``.

    Examples
    --------
    >>> per_block(lambda y, p: value("mae", y, p), [1.0, 2.0, 4.0, 8.0, 9.0], [0.0] * 5, size=2)
    (array([1, 3]), array([1.5, 6. ]))
    """
    y, p = arrays(y, p)
    ends = np.arange(_positive(size) - 1, len(y), size)
    return ends, np.array([metric(y[e + 1 - size : e + 1], p[e + 1 - size : e + 1]) for e in ends])


def value(metric: str, y, p) -> float:
    """Metric of all answered questions, by name.

    Examples
    --------
    >>> value("r2_zero", [1.0, -1.0, np.nan], [0.5, -0.5, 9.0])
    0.75
    """
    above, below = _terms(metric, y, p)
    return float(_finish(metric, above.sum(), below.sum()))


class Score:
    """A running score of one kind of target: labels and predictions come in, the metrics so far come out.

    Any cutting of the stream into updates, down to one by one, gives the same bits.

    Parameters
    ----------
    kind
        Kind of the target (:mod:`rtml.core.target`): predictions have the shape (m,), for ``classes`` (m, C)
        probabilities, for ``ranking`` (m, k) item ids.
    outputs
        Columns of one prediction.

    Examples
    --------
    >>> score = Score()
    >>> score.update(2.0, 1.0).update([-1.0, np.nan], [-1.0, 3.0]).get()["mse"]
    0.5
    >>> score.get()["r2_zero"], score.get()["answered"], score.get()["asked"]
    (0.8, 2, 3)
    >>> Score("classes", 2).update([1.0], [[0.25, 0.75]]).get()["accuracy"]
    1.0
    """

    def __init__(self, kind: str = "number", outputs: int = 1) -> None:
        self.kind, self.outputs = kind, outputs
        self._terms, self._get = _KINDS[kind]
        self._sums = np.zeros(2 + len(self._terms(np.zeros(1), self._rows(np.zeros(outputs)))))

    def update(self, y, p) -> Score:
        """Add a label and its prediction, or arrays of them."""
        if self.kind == "number" and isinstance(y, float) and isinstance(p, float) and isfinite(y) and isfinite(p):
            return self._one(float(y), float(p))
        y, p = np.atleast_1d(np.asarray(y, float)), self._rows(p)
        if self.outputs == 1 and self.kind != "ranking":
            y, p = arrays(y, p)
        known = ~np.isnan(y)
        rows = np.zeros((len(self._sums), len(y)))
        rows[0] = 1.0
        rows[1] = known
        rows[2:, known] = self._terms(y[known], p[known])
        # accumulate, not sum: it adds from left to right, so where the stream is cut changes no bit
        self._sums = np.add.accumulate(np.column_stack([self._sums, rows]), axis=1)[:, -1].copy()
        return self

    def get(self) -> dict[str, float]:
        """Metrics so far; NaN for those nothing is known of."""
        asked, answered, *sums = self._sums.tolist()
        found = self._get(answered, sums)
        return found | {"coverage": _share(answered, asked), "answered": int(answered), "asked": int(asked)}

    @property
    def state(self) -> dict:
        """The sums, for a checkpoint."""
        return {"sums": self._sums.copy()}

    def load(self, state: dict) -> Score:
        """Go on from a checkpoint."""
        self._sums = np.array(state["sums"], float)
        return self

    def _rows(self, p) -> np.ndarray:
        p = np.asarray(p, float)
        return p.reshape(-1, self.outputs) if self.outputs > 1 or self.kind == "ranking" else np.atleast_1d(p)

    def _one(self, y: float, p: float) -> Score:
        """The same for one number, without arrays of one: a tenth of the time, for a loop in which a client waits."""
        asked, answered, squared, absolute, zero, hits, moves = self._sums.tolist()
        miss, moved = y - p, float(y != 0.0)
        hit = moved * (1 + _sign(y) * _sign(p)) / 2
        sums = (asked + 1.0, answered + 1.0, squared + miss * miss, absolute + abs(miss), zero + y * y)
        self._sums = np.array((*sums, hits + hit, moves + moved))
        return self


def _squared(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return (y - p) ** 2


def _hits(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """1 where the sign is right, a half where none was said, 0 where it is wrong or nothing moved."""
    return (y != 0) * (1 + np.sign(y) * np.sign(p)) / 2


def _moved(y: np.ndarray) -> np.ndarray:
    return (y != 0).astype(float)


def _surprise(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    p = np.clip(probabilities(p), _TINY, 1 - _TINY)
    return -np.where(binary(y) == 1, np.log(p), np.log1p(-p))


def _number_terms(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.stack([_squared(y, p), np.abs(y - p), y * y, _hits(y, p), _moved(y)])


def _number(answered: float, sums: list[float]) -> dict[str, float]:
    squared, absolute, zero, hits, moves = sums
    mse = _share(squared, answered)
    found = {"mse": mse, "rmse": sqrt(mse), "mae": _share(absolute, answered), "r2_zero": 1 - _share(squared, zero)}
    return found | {"hit_rate": _share(hits, moves)}


def _probability_terms(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.stack([_surprise(y, p), (p - y) ** 2, (p >= 0.5) == (y == 1), y])


def _probability(answered: float, sums: list[float]) -> dict[str, float]:
    surprise, squared, hits, positive = sums
    rate = _share(positive, answered)
    known = -(rate * log(rate) + (1 - rate) * log(1 - rate)) if 0 < rate < 1 else nan
    loss = _share(surprise, answered)
    found = {"log_loss": loss, "mse": _share(squared, answered), "brier": _share(squared, answered)}
    return found | {"accuracy": _share(hits, answered), "base_rate": rate, "gain": 1 - _share(loss, known)}


def _classes_terms(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Log loss, hits, and for each class how often it was true and how often it was predicted."""
    truth, predicted = y.astype(int), p.argmax(1) if len(p) else np.empty(0, int)
    one = np.eye(p.shape[1])
    loss = -np.log(np.clip(p[np.arange(len(y)), truth], _TINY, 1.0))
    return np.concatenate(
        [[loss, (truth == predicted).astype(float)], one[truth].T, one[predicted].T, (one[truth] * one[predicted]).T]
    )


def _classes(answered: float, sums: list[float]) -> dict[str, float]:
    loss, hits, *counts = sums
    truth, predicted, both = np.reshape(counts, (3, -1))
    accuracy = _share(hits, answered)
    chance = float(truth @ predicted) / answered**2 if answered else nan
    below = truth + predicted
    f1 = np.divide(2 * both, below, out=np.zeros(len(below)), where=below > 0)
    found = {"log_loss": _share(loss, answered), "accuracy": accuracy, "kappa": 1 - _share(1 - accuracy, 1 - chance)}
    return found | {"macro_f1": float(f1[below > 0].mean()) if answered else nan}


def _ranking_terms(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    match = p == y[:, None]
    found, place = match.any(1), match.argmax(1) + 1.0 if len(p) else np.empty(0)
    return np.stack([found, found / place, found / np.log2(place + 1.0)])


def _ranking(answered: float, sums: list[float]) -> dict[str, float]:
    found, reciprocal, gain = sums
    mrr = _share(reciprocal, answered)
    return {"loss": 1 - mrr, "mrr": mrr, "recall": _share(found, answered), "ndcg": _share(gain, answered)}


def _anomaly_terms(y: np.ndarray, p: np.ndarray) -> np.ndarray:
    return np.stack([y, y * p, (1 - y) * p])


def _anomaly(answered: float, sums: list[float]) -> dict[str, float]:
    positive, of_positive, of_others = sums
    found = {"base_rate": _share(positive, answered), "mean_score_anomalies": _share(of_positive, positive)}
    return found | {"mean_score_others": _share(of_others, answered - positive)}


#: By kind of target: what each answered question adds, shape (sums, m), and the metrics of those sums.
_KINDS: dict[str, tuple[Callable, Callable]] = {
    "number": (_number_terms, _number),
    "probability": (_probability_terms, _probability),
    "classes": (_classes_terms, _classes),
    "ranking": (_ranking_terms, _ranking),
    "anomaly": (_anomaly_terms, _anomaly),
}


_ABOVE: dict[str, Callable] = {
    "mse": _squared,
    "rmse": _squared,
    "r2_zero": _squared,
    "mae": lambda y, p: np.abs(y - p),
    "hit_rate": _hits,
    "log_loss": _surprise,
    "brier": lambda y, p: (probabilities(p) - binary(y)) ** 2,
    "coverage": lambda y, p: np.ones_like(y),
}
_BELOW: dict[str, Callable] = {"r2_zero": lambda y: y * y, "hit_rate": _moved}


def _terms(metric: str, y, p) -> tuple[np.ndarray, np.ndarray]:
    """What each question adds above and below the line; zero where it was not answered."""
    if metric not in _ABOVE:
        raise LookupError(f"no curve of {metric!r}; there are: {', '.join(_ABOVE)}; per_block takes any metric")
    y, p = arrays(y, p)
    known = ~np.isnan(y)
    above, below = np.zeros(len(y)), np.zeros(len(y))
    above[known] = _ABOVE[metric](y[known], p[known])
    below[known] = _BELOW.get(metric, np.ones_like)(y[known])
    return above, np.ones(len(y)) if metric == "coverage" else below


def _share(above: float, below: float) -> float:
    return above / below if below > 0 else nan


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)


def _finish(metric: str, above, below):
    above, below = np.asarray(above, float), np.asarray(below, float)
    ratio = np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0)
    if metric == "r2_zero":
        return 1 - ratio
    return np.sqrt(ratio) if metric == "rmse" else ratio


def _rolling_sum(values: np.ndarray, window: int) -> np.ndarray:
    """Sum of the last ``window`` values: sums forward and backward in blocks, so that a huge value leaves no trace.

    The difference of two cumulative sums would keep its rounding error for ever.
    """
    n, blocks = len(values), -(-len(values) // _positive(window))
    padded = np.pad(values, (0, blocks * window - n)).reshape(blocks, window)
    forward = np.cumsum(padded, axis=1).ravel()
    backward = np.cumsum(padded[:, ::-1], axis=1)[:, ::-1].ravel()
    total = forward.copy()
    inside = np.arange(len(total)) % window != window - 1  # at a block's end the forward sum is the whole window
    at = np.flatnonzero(inside & (np.arange(len(total)) >= window))
    total[at] += backward[at - window + 1]
    return total[:n]


def arrays(y, p) -> tuple[np.ndarray, np.ndarray]:
    """Labels and predictions as float arrays of one length; NaN labels pass, anything else not finite is refused.

    Examples
    --------
    >>> arrays([1, np.nan], [2, 3])
    (array([ 1., nan]), array([2., 3.]))
    >>> arrays([1.0], [np.nan])
    Traceback (most recent call last):
        ...
    ValueError: prediction 0 is nan: a model that gives no number cannot be scored
    """
    y, p = np.asarray(y, float), np.asarray(p, float)
    if y.shape != p.shape or y.ndim != 1:
        raise ValueError(f"labels and predictions must be two columns of one length, got {y.shape} and {p.shape}")
    if np.isinf(y).any():
        raise ValueError(f"label {int(np.isinf(y).argmax())} is infinite: write NaN for a label that never came")
    bad = ~np.isnan(y) & ~np.isfinite(p)
    if bad.any():
        row = int(bad.argmax())
        raise ValueError(f"prediction {row} is {p[row]}: a model that gives no number cannot be scored")
    return y, p


def binary(y: np.ndarray) -> np.ndarray:
    """The labels, refused unless each is 0 or 1.

    Examples
    --------
    >>> binary(np.array([1.0, 0.0]))
    array([1., 0.])
    >>> binary(np.array([1.0, -1.0]))
    Traceback (most recent call last):
        ...
    ValueError: labels must be 0 or 1 (NaN: no answer), got -1.0: sign_labels(returns) makes them
    """
    bad = (y != 0) & (y != 1)
    if bad.any():
        raise ValueError(f"labels must be 0 or 1 (NaN: no answer), got {y[bad][0]}: sign_labels(returns) makes them")
    return y


def probabilities(p: np.ndarray) -> np.ndarray:
    """The predictions, refused unless each lies between 0 and 1.

    Examples
    --------
    >>> probabilities(np.array([0.0, 1.2]))
    Traceback (most recent call last):
        ...
    ValueError: probabilities lie between 0 and 1, got 1.2: is it a score? auc takes those
    """
    bad = (p < 0) | (p > 1)
    if bad.any():
        raise ValueError(f"probabilities lie between 0 and 1, got {p[bad][0]}: is it a score? auc takes those")
    return p


def _positive(size: int) -> int:
    if size < 1:
        raise ValueError(f"a window must hold at least one question, got {size}")
    return size
