"""Exact metrics where one label in a hundred is 1: average precision, recall at few false alarms, alarms.

All of them see only the order of the predictions, and are read from one pair of curves: how many ones and how many
zeros lie at or above each distinct prediction. A label that never came is NaN and counts for nothing; a metric that
needs ones and finds none is NaN. Intervals resample whole days, since the questions of a day share their frauds.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtml.metrics.running import arrays, binary

DAY = 86_400 * 10**9  #: ns


def average_precision(y, p) -> float:
    """Mean precision over the ones, each at its own threshold: the area under precision and recall, no interpolation.

    Of predictions without information it is the share of ones, so a tenth is a lot where one in a hundred is 1.

    Examples
    --------
    >>> average_precision([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.6])
    0.8333333333333333
    """
    return _value(_average_precision, y, p)


def value(metric: str, y, p) -> float:
    """One of :data:`METRICS` by name, of the answered questions.

    Examples
    --------
    >>> value("auc", [0, 1, 1], [0.1, 0.9, 0.4])
    1.0
    """
    return _value(_found(metric), y, p)


def recall_at(y, p, false_alarms: float = 0.01) -> float:
    """Share of the ones found by the lowest threshold that alarms at most this share of the zeros.

    Examples
    --------
    >>> recall_at([0, 0, 1, 1, 0], [0.1, 0.8, 0.9, 0.4, 0.2], false_alarms=0.34)
    1.0
    >>> recall_at([0, 0, 1, 1, 0], [0.1, 0.8, 0.9, 0.4, 0.2], false_alarms=0.3)
    0.5
    """
    return _value(_recall(false_alarms), y, p)


def alarms(y, p, threshold: float = 0.5, reviewed: float = 0.01) -> dict[str, float]:
    """Precision, recall, F1 and false-positive rate of alarms from a threshold on, and the capture rate.

    The capture rate is the share of the ones among the ``reviewed`` share of questions that look most suspicious, so it
    depends on no threshold.

    Examples
    --------
    >>> alarms([0, 1, 1, 0], [0.1, 0.9, 0.4, 0.6], reviewed=0.25)
    {'precision': 0.5, 'recall': 0.5, 'f1': 0.5, 'fpr': 0.5, 'capture_rate': 0.5}
    """
    y, p = answered(y, p)
    alarm, ones = p >= threshold, y.sum()
    hits, looked = y[alarm].sum(), max(1, round(reviewed * len(y)))
    captured = y[np.argsort(-p, kind="stable")[:looked]].sum()
    parts = {"precision": (hits, alarm.sum()), "recall": (hits, ones), "f1": (2 * hits, alarm.sum() + ones)}
    parts |= {"fpr": (alarm.sum() - hits, len(y) - ones), "capture_rate": (captured, ones)}
    return {name: float(above / below) if below else np.nan for name, (above, below) in parts.items()}


def interval(metric: str, y, p, moment, *, draws: int = 200, seed: int = 7) -> tuple[float, float, float]:
    """A metric and its 95 % interval, by drawing whole days again.

    ``metric`` is one of :data:`METRICS`. Days are drawn with replacement and each weighs as often as it was drawn
    (block bootstrap): frauds come in series, so single questions drawn on their own would feign more than is known.

    Examples
    --------
    >>> day = 86_400 * 10**9 * np.arange(6)
    >>> [round(float(v), 2) for v in interval("auc", [0, 1, 0, 1, 0, 1], [0.1, 0.9, 0.2, 0.3, 0.4, 0.8], day)]
    [0.89, 0.5, 1.0]
    """
    value, drawn = _resampled(metric, y, (p,), moment, draws, seed)
    return (float(value[0]), *_middle(drawn[:, 0]))


def difference(metric: str, y, a, b, moment, *, draws: int = 200, seed: int = 7) -> tuple[float, float, float]:
    """How much better ``a`` is than ``b``, with a 95 % interval: both scored on the same drawn days.

    Examples
    --------
    >>> day = 86_400 * 10**9 * np.arange(4)
    >>> difference("average_precision", [0, 1, 0, 1], [0.1, 0.9, 0.2, 0.8], [0.1, 0.9, 0.2, 0.8], day)
    (0.0, 0.0, 0.0)
    """
    value, drawn = _resampled(metric, y, (a, b), moment, draws, seed)
    return (float(value[0] - value[1]), *_middle(drawn[:, 0] - drawn[:, 1]))


def _area(ones: np.ndarray, zeros: np.ndarray) -> float:
    if not ones[-1] or not zeros[-1]:
        return np.nan
    return float(np.sum(np.diff(zeros, prepend=0.0) * (ones - np.diff(ones, prepend=0.0) / 2)) / (ones[-1] * zeros[-1]))


def _average_precision(ones: np.ndarray, zeros: np.ndarray) -> float:
    if not ones[-1]:
        return np.nan
    some = ones + zeros > 0  # a drawn set of days may have nothing at the highest thresholds
    return float(np.sum((np.diff(ones, prepend=0.0) * ones)[some] / (ones + zeros)[some]) / ones[-1])


def _recall(false_alarms: float) -> Callable:
    if not 0 <= false_alarms <= 1:
        raise ValueError(f"the share of false alarms lies between 0 and 1, got {false_alarms}")

    def recall(ones: np.ndarray, zeros: np.ndarray) -> float:
        if not ones[-1] or not zeros[-1]:
            return np.nan
        allowed = np.searchsorted(zeros, false_alarms * zeros[-1] * (1 + 1e-12), side="right")
        return float(ones[allowed - 1] / ones[-1]) if allowed else 0.0

    return recall


METRICS: dict[str, Callable] = {"auc": _area, "average_precision": _average_precision, "recall_at_1pct": _recall(0.01)}


def _found(metric: str) -> Callable:
    if metric not in METRICS:
        raise LookupError(f"no metric {metric!r} of rare labels; there are: {', '.join(METRICS)}")
    return METRICS[metric]


def _value(metric: Callable, y, p) -> float:
    y, p = answered(y, p)
    if not len(y):
        return np.nan
    order = np.argsort(-p, kind="stable")
    ends = last_of_equals(p[order])
    return metric(np.cumsum(y[order])[ends], np.cumsum(1 - y[order])[ends])


def _resampled(metric: str, y, predictions: tuple, moment, draws: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """The metric of each column of predictions, and the same of ``draws`` sets of drawn days."""
    score, rng = _found(metric), np.random.default_rng(seed)
    values, drawn = np.full(len(predictions), np.nan), np.full((draws, len(predictions)), np.nan)
    days, day = np.unique(answered(y, predictions[0], moment)[2] // DAY, return_inverse=True)
    if not len(days):
        return values, drawn
    counts = rng.multinomial(len(days), np.full(len(days), 1 / len(days)), size=draws).astype(float)
    for j, p in enumerate(predictions):
        known, p, _ = answered(y, p, moment)
        order = np.argsort(-p, kind="stable")
        ends = last_of_equals(p[order])
        known = known[order]
        day_of = day[order]
        values[j] = score(np.cumsum(known)[ends], np.cumsum(1 - known)[ends])
        for i, count in enumerate(counts):
            weight = count[day_of]
            drawn[i, j] = score(np.cumsum(weight * known)[ends], np.cumsum(weight * (1 - known))[ends])
    return values, drawn


def _middle(drawn: np.ndarray) -> tuple[float, float]:
    drawn = drawn[np.isfinite(drawn)]
    return tuple(np.quantile(drawn, [0.025, 0.975]).tolist()) if len(drawn) else (np.nan, np.nan)


def last_of_equals(falling: np.ndarray) -> np.ndarray:
    """Last place of each run of equal values.

    Examples
    --------
    >>> last_of_equals(np.array([0.9, 0.5, 0.5, 0.1]))
    array([0, 2, 3])
    """
    return np.flatnonzero(np.r_[falling[1:] != falling[:-1], True])


def answered(y, p, *more) -> tuple[np.ndarray, ...]:
    """Labels, predictions and further columns of the questions that were answered.

    Examples
    --------
    >>> answered([1.0, np.nan, 0.0], [0.9, 0.8, 0.1], ["a", "b", "c"])
    (array([1., 0.]), array([0.9, 0.1]), array(['a', 'c'], dtype='<U1'))
    """
    y, p = arrays(y, p)
    known = ~np.isnan(y)
    return binary(y[known]), p[known], *(np.asarray(column)[known] for column in more)
