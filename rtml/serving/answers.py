"""Answers by the kind of a target: value and interval, probability, label, items, or score and flag."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from math import inf, isfinite

import numpy as np

from rtml.core.target import ANOMALY, CLASSES, NUMBER, PROBABILITY, Target
from rtml.models.conformal import Conformal

COVERAGE = 0.9  # share of the truths that an interval shall hold
FLAGGED = 0.01  # share of the questions that an anomaly's flag shall be raised at
_STEP = 0.05  # how far one score moves the threshold, in mean sizes of a score


class Band:
    """What stands around a prediction of one target and key: an interval, or the threshold of a flag.

    The interval is a :class:`rtml.models.conformal.Conformal` one, steered by every answer so that it holds nine truths
    in ten; the threshold is a running quantile of the scores, above which one in a hundred lies. Other kinds have none.

    Examples
    --------
    >>> from rtml.core.target import Target
    >>> band = Band(Target("oddness", "anomaly"))
    >>> bounds = [band.ask(i, float(i % 100)) for i in range(20_000)]
    >>> 95 < bounds[-1][0] < 102
    True
    """

    def __init__(self, target: Target) -> None:
        self._kind = target.kind
        self._conformal = Conformal(COVERAGE) if target.kind == NUMBER else None
        self._open: set[int] = set()
        self._threshold = 0.0
        self._size = 0.0
        self._seen = 0

    def ask(self, id: int, prediction) -> tuple[float, ...]:
        """Bounds of a question's prediction: low and high of a number, the threshold of a score."""
        if self._conformal is not None:
            self._open.add(id)
            return self._conformal.ask(id, prediction)
        if self._kind != ANOMALY or not isfinite(prediction):
            return ()
        bound = self._threshold if self._seen else inf
        self._seen += 1
        self._size += (abs(prediction) - self._size) / min(self._seen, 1000)
        if self._seen == 1:
            self._threshold = prediction
        above = prediction > self._threshold
        self._threshold += _STEP * self._size * (1 - FLAGGED if above else -FLAGGED)
        return (bound,)

    def learn(self, id: int, y: float) -> None:
        """Learn the answer of a question; one that was never asked here teaches nothing."""
        if id in self._open:
            self._open.remove(id)
            self._conformal.answer(id, y)


def answer_of(target: Target, prediction, bounds: tuple[float, ...] = ()) -> dict:
    """What ``/predict`` says of one target.

    Parameters
    ----------
    target
        Its kind decides.
    prediction
        A number, or shape (outputs,).
    bounds
        Of :meth:`Band.ask`; infinite ones are not told.

    Examples
    --------
    >>> from rtml.core.target import Target
    >>> answer_of(Target("demand", unit="MW"), 2.0, (1.0, 3.5))
    {'value': 2.0, 'unit': 'MW', 'low': 1.0, 'high': 3.5}
    >>> answer_of(Target("rise", "probability"), 0.25)
    {'probability': 0.25}
    >>> answer_of(Target("sky", "classes", classes=("dry", "wet")), np.array([0.25, 0.75]))
    {'label': 'wet', 'probabilities': {'dry': 0.25, 'wet': 0.75}}
    >>> answer_of(Target("next", "ranking", size=2), np.array([7.0, 3.0]))
    {'items': [{'item': 7, 'score': 1.0}, {'item': 3, 'score': 0.5}]}
    >>> answer_of(Target("next", "ranking", size=2), np.array([7.0, np.nan]))  # a catalogue of one item
    {'items': [{'item': 7, 'score': 1.0}]}
    >>> answer_of(Target("oddness", "anomaly"), 3.0, (2.5,))
    {'score': 3.0, 'threshold': 2.5, 'flag': True}
    """
    bounded = bool(bounds) and isfinite(bounds[0])
    if target.kind == NUMBER:
        answer = {"value": prediction if prediction.__class__ is float else float(prediction), "unit": target.unit}
        return answer | dict(zip(("low", "high"), map(float, bounds), strict=True)) if bounded else answer
    if target.kind == PROBABILITY:
        return {"probability": float(prediction)}
    if target.kind == CLASSES:
        shares = np.asarray(prediction).tolist()
        label = target.classes[int(np.argmax(prediction))]
        return {"label": label, "probabilities": dict(zip(target.classes, shares, strict=True))}
    if target.kind == ANOMALY:
        flag = bool(bounded and prediction > bounds[0])
        return {"score": float(prediction), "threshold": float(bounds[0]) if bounded else None, "flag": flag}
    items = np.asarray(prediction)
    items = items[np.isfinite(items)]
    return {"items": [{"item": int(item), "score": 1.0 / (place + 1)} for place, item in enumerate(items)]}


def columns(prediction: np.ndarray, outputs: int) -> float | np.ndarray:
    """The numbers of one prediction, without what a model keeps behind them for itself.

    Examples
    --------
    >>> columns(np.array([0.2, 0.5, 9.0]), outputs=2), columns(np.array([0.25]), outputs=1)
    (array([0.2, 0.5]), 0.25)
    """
    if prediction.__class__ is float:
        return prediction
    return float(np.atleast_1d(prediction)[0]) if outputs == 1 else np.asarray(prediction, float)[:outputs]


def by_target(cells: np.ndarray, outputs: Iterable[tuple[str, int]]) -> dict[str, float | np.ndarray]:
    """Predictions by target from all their numbers in a row; ``outputs`` are names and how many numbers each has.

    Examples
    --------
    >>> by_target(np.array([0.5, 1.0, 2.0]), [("rise", 1), ("sky", 2)])
    {'rise': 0.5, 'sky': array([1., 2.])}
    """
    numbers = iter(cells.tolist())
    return {name: next(numbers) if n == 1 else np.array([*islice(numbers, n)]) for name, n in outputs}


def finite(prediction: float | np.ndarray) -> bool:
    """Whether every number of a prediction is finite.

    Examples
    --------
    >>> finite(0.5), finite(np.array([1.0, np.inf]))
    (True, False)
    """
    return isfinite(prediction) if prediction.__class__ is float else bool(np.isfinite(prediction).all())
