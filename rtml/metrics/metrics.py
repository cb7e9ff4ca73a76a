"""Exact metrics of predictions, from arrays: errors, R2, AUC, hit rate, calibration, side by side and over time.

A label that never came is NaN: its question counts for the coverage and for nothing else. A metric of nothing is NaN.
"""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.metrics.running import Score, arrays, binary, cumulative, per_block, probabilities, value, windowed

__all__ = [
    "Score",
    "auc",
    "brier",
    "calibration",
    "coverage",
    "cumulative",
    "hit_rate",
    "log_loss",
    "mae",
    "mse",
    "per_block",
    "r2",
    "r2_zero",
    "rmse",
    "sign_labels",
    "windowed",
]


def mse(y, p) -> float:
    """Mean squared error, in the label's unit squared.

    Examples
    --------
    >>> mse([1.0, 2.0, np.nan], [1.0, 0.0, 5.0])
    2.0
    """
    return value("mse", y, p)


def rmse(y, p) -> float:
    """Root of the mean squared error, in the label's unit.

    Examples
    --------
    >>> rmse([3.0, 4.0], [0.0, 1.0])
    3.0
    """
    return value("rmse", y, p)


def mae(y, p) -> float:
    """Mean absolute error, in the label's unit.

    Examples
    --------
    >>> mae([3.0, 4.0], [0.0, 3.0])
    2.0
    """
    return value("mae", y, p)


def r2_zero(y, p) -> float:
    """Share of the squared label explained, against predicting zero: ``1 - sum (y - p)^2 / sum y^2``.

    Zero, not the mean, is what a market's return is measured against: its mean is not known beforehand.

    Examples
    --------
    >>> r2_zero([1.0, -1.0], [0.5, -0.5])
    0.75
    """
    return value("r2_zero", y, p)


def r2(y, p, baseline) -> float:
    """Share of the squared error of a baseline's predictions that these take away.

    Examples
    --------
    >>> r2([3.0, 5.0], [3.0, 4.0], baseline=[4.0, 4.0])
    0.5
    """
    worst = mse(y, baseline)
    return 1 - mse(y, p) / worst if worst > 0 else np.nan


def hit_rate(y, p) -> float:
    """Share of moves whose sign was predicted; no move is not counted, a prediction of exactly zero is half a hit.

    Examples
    --------
    >>> hit_rate([1.0, -2.0, 0.0, 3.0, 1.0], [0.1, 0.1, 0.1, 0.0, 2.0])
    0.625
    """
    return value("hit_rate", y, p)


def log_loss(y, p) -> float:
    """Mean negative log likelihood (nats) of 0/1 labels under the predicted probabilities of a 1.

    Examples
    --------
    >>> round(log_loss([1, 0], [0.5, 0.5]), 4)
    0.6931
    """
    return value("log_loss", y, p)


def brier(y, p) -> float:
    """Mean squared distance of predicted probabilities from 0/1 labels.

    Examples
    --------
    >>> brier([1, 0], [0.5, 0.5])
    0.25
    """
    return value("brier", y, p)


def coverage(y) -> float:
    """Share of the questions that got an answer.

    Examples
    --------
    >>> coverage([1.0, np.nan, 0.5, 2.0])
    0.75
    """
    return value("coverage", y, np.zeros(np.shape(y)))


def sign_labels(returns) -> np.ndarray:
    """1 for up, 0 for down, NaN for no move or no answer: the label of a direction.

    Examples
    --------
    >>> sign_labels([2.0, -1.0, 0.0, np.nan])
    array([ 1.,  0., nan, nan])
    """
    returns = np.asarray(returns, float)
    moved = np.isfinite(returns) & (returns != 0)
    return np.where(moved, (returns > 0).astype(float), np.nan)


def auc(y, p) -> float:
    """Probability that a label of 1 got a higher score than a label of 0, ties counting half (exact, by ranks).

    Examples
    --------
    >>> auc([0, 0, 1, 1], [0.1, 0.4, 0.4, 0.8])
    0.875
    """
    y, p = _answered(y, p)
    positives = int(binary(y).sum())
    if not 0 < positives < len(y):
        return np.nan
    _, place, counts = np.unique(p, return_inverse=True, return_counts=True)
    ranks = np.cumsum(counts) - (counts - 1) / 2
    wins = ranks[place][y == 1].sum() - positives * (positives + 1) / 2
    return float(wins / (positives * (len(y) - positives)))


def calibration(y, p, bins: int = 10) -> pd.DataFrame:
    """Predicted probability against observed share in bins of about equally many questions, with 95 % Wilson intervals.

    Equal predictions stay in one bin, so there may be fewer bins than asked for.

    Examples
    --------
    >>> calibration([0, 1, 1, 1], [0.2, 0.2, 0.9, 0.9], bins=2)[["predicted", "observed", "n"]].values.tolist()
    [[0.2, 0.5, 2.0], [0.9, 1.0, 2.0]]
    """
    y, p = _answered(y, p)
    binary(y), probabilities(p)
    cuts = np.unique(np.quantile(p, np.arange(1, bins) / bins)) if len(p) else np.empty(0)
    _, place, n = np.unique(np.searchsorted(cuts, p, side="right"), return_inverse=True, return_counts=True)
    predicted, observed = np.bincount(place, p) / n, np.bincount(place, y) / n
    low, high = _wilson(observed, n)
    return pd.DataFrame({"predicted": predicted, "observed": observed, "low": low, "high": high, "n": n})


def loss(y, p, classes: bool) -> np.ndarray:
    """Loss of each question, NaN without an answer: log loss of classes, squared error of numbers.

    Examples
    --------
    >>> loss(np.array([1.0, np.nan]), np.array([0.5, 0.5]), classes=True).round(3)
    array([0.693,   nan])
    """
    if not classes:
        return (y - p) ** 2
    p = np.clip(p, 1e-6, 1 - 1e-6)
    return -np.where(y == 1.0, np.log(p), np.log(1 - p)) + 0 * y


def _answered(y, p) -> tuple[np.ndarray, np.ndarray]:
    y, p = arrays(y, p)
    return y[~np.isnan(y)], p[~np.isnan(y)]


def _wilson(share: np.ndarray, n: np.ndarray, z: float = 1.959963984540054) -> tuple[np.ndarray, np.ndarray]:
    """95 % interval of a share: stays inside 0..1 and is honest for few questions."""
    middle = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * np.sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    return np.maximum(middle - half, 0.0), np.minimum(middle + half, 1.0)
