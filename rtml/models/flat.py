"""What a linear model knows, as flat arrays, and the kernels that use and change it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rtml.kernels import linear

INTERCEPT_PRECISION = 1e-4  # so small that the intercept is hardly shrunk, so large that the arithmetic stays exact


class Flat(NamedTuple):
    """Everything a linear model has learned.

    ``table`` has the rows weights, means, variances, deviations (roots of variances, infinite where nothing varied) and
    how often each feature was missing, and a column a feature; a last column holds the intercept and the count of
    answers. ``covariance`` is empty but for the recursive models.

    Examples
    --------
    >>> learned = fresh(recursive_how(linear.RECURSIVE, ridge=4.0, forgetting=1.0, d=2), d=2)
    >>> learned.table.shape, learned.covariance.diagonal().tolist()
    ((5, 3), [0.25, 0.25, 10000.0])
    """

    table: np.ndarray
    covariance: np.ndarray


def fresh(how: np.ndarray, d: int) -> Flat:
    """What a model of ``d`` features knows before the first answer.

    Examples
    --------
    >>> fresh(np.zeros(linear.SIZE), d=2).covariance.size
    0
    """
    table, covariance = np.zeros((5, d + 1)), np.empty((0, 0))
    table[linear.DEVIATIONS] = np.inf if how[linear.SCALE] else 1.0
    if how[linear.KIND] >= linear.RECURSIVE:
        covariance = np.diag(np.r_[np.full(d, 1.0 / how[linear.RIDGE]), 1.0 / how[linear.INTERCEPT_PRECISION]])
    return Flat(table, covariance)


def recursive_how(kind: int, ridge: float, forgetting: float, d: int) -> np.ndarray:
    """Parameters of a recursive model on ``d`` features as the kernels take them.

    Examples
    --------
    >>> how = recursive_how(linear.RECURSIVE, ridge=4.0, forgetting=0.5, d=1)
    >>> how[[linear.RIDGE, linear.RENEWAL]].tolist()
    [4.0, 0.75]
    """
    how = np.zeros(linear.SIZE)
    how[linear.KIND], how[linear.CLIP] = kind, math.inf
    how[linear.FORGETTING], how[linear.RIDGE] = forgetting, ridge
    how[linear.INTERCEPT_PRECISION] = INTERCEPT_PRECISION
    how[linear.RENEWAL] = 1.0 - forgetting ** (d + 1)
    return how


def replay(X, y, moment, known, order, until, predictions, how: np.ndarray, flat: Flat) -> int:
    """Ask and learn a chunk (see :func:`rtml.kernels.linear.replay_descent`)."""
    recursive = how[linear.KIND] >= linear.RECURSIVE
    kernel = linear.replay_recursive if recursive else linear.replay_descent
    return kernel(X, y, moment, known, order, until, predictions, how, *flat)


def to_named(how: np.ndarray, flat: Flat) -> dict:
    """Copy of everything learned, by name; what can be computed from it again is left out.

    Examples
    --------
    >>> how = recursive_how(linear.RECURSIVE, ridge=4.0, forgetting=1.0, d=2)
    >>> sorted(to_named(how, fresh(how, 2)))
    ['count', 'covariance', 'intercept', 'weights']
    """
    weights, means, variances, _, missed = flat.table
    named = {"count": float(means[-1]), "intercept": float(weights[-1]), "weights": weights[:-1].copy()}
    if how[linear.SCALE]:
        named |= {"means": means[:-1].copy(), "variances": variances[:-1].copy()}
        named["missed"] = missed[:-1].copy()
    if how[linear.KIND] >= linear.RECURSIVE:
        named["covariance"] = flat.covariance.copy()
    return named


def from_named(how: np.ndarray, named: dict) -> Flat:
    """What :func:`to_named` took apart.

    Examples
    --------
    >>> how = recursive_how(linear.RECURSIVE, ridge=4.0, forgetting=1.0, d=2)
    >>> named = to_named(how, fresh(how, 2)) | {"weights": np.array([1.0, -1.0])}
    >>> from_named(how, named).table[0].tolist()
    [1.0, -1.0, 0.0]
    """
    flat = fresh(how, len(named["weights"]))
    weights, means, variances, deviations, missed = flat.table
    weights[:] = np.append(named["weights"], named["intercept"])
    means[-1] = named["count"]
    if how[linear.SCALE]:
        means[:-1] = named["means"]
        variances[:-1] = named["variances"]
        missed[:-1] = named["missed"]
        roots = np.sqrt(variances)
        deviations[:] = np.where(roots == 0.0, np.inf, roots)
    if how[linear.KIND] >= linear.RECURSIVE:
        flat.covariance[:] = named["covariance"]
    return flat


def describe(how: np.ndarray) -> str:
    """The river pipeline of a ``how``, in short.

    Examples
    --------
    >>> describe(recursive_how(linear.RECURSIVE, ridge=4.0, forgetting=0.99, d=2))
    'RecursiveLeastSquares(ridge=4, forgetting=0.99)'
    """
    steps = ["StandardScaler"] if how[linear.SCALE] else []
    if how[linear.CLIP] < math.inf:
        steps.append(f"Clip({how[linear.CLIP]:g})")
    if how[linear.KIND] >= linear.RECURSIVE:
        name = "RecursiveLeastSquares" if how[linear.KIND] == linear.RECURSIVE else "RecursiveLogistic"
        return " | ".join([*steps, f"{name}(ridge={how[linear.RIDGE]:g}, forgetting={how[linear.FORGETTING]:g})"])
    name = "LogisticRegression" if how[linear.KIND] == linear.LOG else "LinearRegression"
    text = f"rate={how[linear.RATE]:g}, intercept_rate={how[linear.INTERCEPT_RATE]:g}"
    text += f", l2={how[linear.L2]:g}" if how[linear.L2] else ""
    return " | ".join([*steps, f"{name}({text})"])
