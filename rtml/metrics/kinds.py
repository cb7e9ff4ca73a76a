"""What follows from the kind of a target: its loss, the metric of the headline, and the baselines it stands beside."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.target import ANOMALY, CLASSES, NUMBER, PROBABILITY, RANKING, Target
from rtml.metrics.running import Score, arrays

_TINY = 1e-15


@dataclass(frozen=True)
class Kind:
    """What follows from one kind of target.

    ``loss`` is the name of the loss in a sentence, empty where there is none, ``loss_metric`` its mean in a
    :class:`rtml.metrics.running.Score`, ``headline`` the metric a report begins with, ``metrics`` those kept with a
    version, ``baselines`` models of the catalogue that any other has to beat, the first of them the plainest, which
    ``plainest`` names in a sentence.

    Examples
    --------
    >>> from rtml.core.target import Target
    >>> kind_of(Target("up", kind="probability")).headline
    'log_loss'
    """

    loss: str
    loss_metric: str
    headline: str
    metrics: tuple[str, ...]
    baselines: tuple[str, ...]
    plainest: str = ""


KINDS = {
    NUMBER: Kind("squared error", "mse", "r2_mean", ("mse", "rmse", "mae"), ("mean", "last"), "the running mean"),
    PROBABILITY: Kind("log loss", "log_loss", "log_loss", ("log_loss", "mse", "gain"), ("majority",), "the base rate"),
    CLASSES: Kind(
        "log loss",
        "log_loss",
        "accuracy",
        ("log_loss", "accuracy", "kappa", "macro_f1"),
        ("majority",),
        "the base rates",
    ),
    RANKING: Kind(
        "one minus the reciprocal rank",
        "loss",
        "recall",
        ("loss", "mrr", "recall", "ndcg"),
        ("popular",),
        "what is popular",
    ),
    ANOMALY: Kind("", "base_rate", "mean_score_anomalies", ("base_rate", "mean_score_anomalies"), ()),
}

_CHANGE = Kind("squared error", "mse", "r2_zero", ("mse", "mae", "r2_zero", "hit_rate"), ("zero", "mean"), "no change")


def kind_of(target: Target) -> Kind:
    """What follows from a target's kind, and of a number from whether it is a change.

    Examples
    --------
    >>> kind_of(Target("demand")).loss
    'squared error'
    >>> kind_of(Target("demand")).headline, kind_of(Target("rise", change=True)).headline
    ('r2_mean', 'r2_zero')
    """
    return _CHANGE if target.change else KINDS[target.kind]


def score_of(target: Target) -> Score:
    """A running score of a target's kind, empty.

    Examples
    --------
    >>> from rtml.core.target import Target
    >>> score_of(Target("y", kind="number")).get().keys()
    dict_keys(['mse', 'rmse', 'mae', 'r2_zero', 'hit_rate', 'coverage', 'answered', 'asked'])
    """
    return Score(target.kind, target.outputs)


def losses(target: Target, y: np.ndarray, p: np.ndarray) -> np.ndarray:
    """Loss of each question, shape (m,); NaN without an answer, and of an anomaly score always.

    Parameters
    ----------
    target
        Whose kind decides: squared error; log loss of a probability or of classes; one minus the reciprocal rank.
    y
        What was learned of the answers (:meth:`rtml.core.target.Target.learned`), shape (m,).
    p
        Predictions, (m,), (m, classes) or (m, items).

    Examples
    --------
    >>> losses(Target("demand"), np.array([2.0, np.nan]), np.array([1.0, 5.0]))
    array([ 1., nan])
    """
    y, p = np.asarray(y, float), np.asarray(p, float)
    if target.kind == NUMBER:
        y, p = arrays(y, p)
        return (y - p) ** 2
    if target.kind == PROBABILITY:
        p = np.clip(p, _TINY, 1 - _TINY)
        return np.where(np.isnan(y), np.nan, -np.where(y == 1, np.log(p), np.log1p(-p)))
    known = ~np.isnan(y)
    loss = np.full(len(y), np.nan)
    if target.kind == CLASSES:
        truth = y[known].astype(int)
        loss[known] = -np.log(np.clip(p[known][np.arange(len(truth)), truth], _TINY, 1.0))
    if target.kind == RANKING:
        match = p[known] == y[known, None]
        loss[known] = 1.0 - match.any(1) / (match.argmax(1) + 1.0)
    return loss
