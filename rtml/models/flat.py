"""What a linear model knows, as flat arrays, and the kernels that use and change it."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from rtml.kernels import linear

INTERCEPT_PRECISION = 1e-4  # so small that the intercept is hardly shrunk, so large that the arithmetic stays exact
_NOTHING, _FIRST, _EMPTY = np.empty(0, np.int64), np.zeros(1, np.int64), np.empty(0)


class Flat(NamedTuple):
    """Everything a linear model has learned.

    ``weights`` end with the intercept and ``means`` with the count of answers; ``deviations`` are the roots of
    ``variances``, infinite where nothing varied. ``covariance`` is empty but for recursive least squares.
    """

    weights: np.ndarray
    means: np.ndarray
    variances: np.ndarray
    deviations: np.ndarray
    covariance: np.ndarray


def fresh(how: np.ndarray, d: int) -> Flat:
    """What a model of ``d`` features knows before the first answer."""
    covariance = np.empty((0, 0))
    if how[linear.KIND] == linear.RECURSIVE:
        covariance = np.diag(np.r_[np.full(d, 1.0 / how[linear.RIDGE]), 1.0 / how[linear.INTERCEPT_PRECISION]])
    deviations = np.full(d + 1, np.inf if how[linear.SCALE] else 1.0)
    return Flat(np.zeros(d + 1), np.zeros(d + 1), np.zeros(d + 1), deviations, covariance)


def recursive_how(ridge: float, forgetting: float, d: int, scale: bool = False, limit: float = math.inf) -> np.ndarray:
    """What a kernel must be told of recursive least squares on ``d`` features."""
    how = np.zeros(linear.SIZE)
    how[linear.KIND], how[linear.SCALE], how[linear.CLIP] = linear.RECURSIVE, scale, limit
    how[linear.FORGETTING], how[linear.RIDGE] = forgetting, ridge
    how[linear.INTERCEPT_PRECISION] = INTERCEPT_PRECISION
    how[linear.RENEWAL] = 1.0 - forgetting ** (d + 1)
    return how


def predict(x: np.ndarray, how: np.ndarray, flat: Flat) -> float:
    """Prediction for one row."""
    return linear.predict(x[None], how, *flat)


def learn(x: np.ndarray, y: float, how: np.ndarray, flat: Flat) -> None:
    """Learn one row."""
    replay(x[None], np.array([y]), _NOTHING, _FIRST, _FIRST, 0, _EMPTY, how, flat)


def replay(X, y, moment, known, order, until, predictions, how: np.ndarray, flat: Flat) -> int:
    """Ask and learn a chunk (see :func:`rtml.kernels.linear.replay_descent`)."""
    recursive = how[linear.KIND] == linear.RECURSIVE
    kernel = linear.replay_recursive if recursive else linear.replay_descent
    return kernel(X, y, moment, known, order, until, predictions, how, *flat)


def to_named(how: np.ndarray, flat: Flat) -> dict:
    """Copy of everything learned, by name; what can be computed from it again is left out."""
    d = len(flat.weights) - 1
    named = {"count": float(flat.means[d]), "intercept": float(flat.weights[d]), "weights": flat.weights[:d].copy()}
    if how[linear.SCALE]:
        named |= {"means": flat.means[:d].copy(), "variances": flat.variances[:d].copy()}
    if how[linear.KIND] == linear.RECURSIVE:
        named["covariance"] = flat.covariance.copy()
    return named


def from_named(how: np.ndarray, named: dict) -> Flat:
    """What :func:`to_named` took apart."""
    d = len(named["weights"])
    flat = fresh(how, d)
    flat.weights[:] = np.append(named["weights"], named["intercept"])
    flat.means[d] = named["count"]
    if how[linear.SCALE]:
        flat.means[:d], flat.variances[:d] = named["means"], named["variances"]
        roots = np.sqrt(flat.variances)
        flat.deviations[:] = np.where(roots == 0.0, np.inf, roots)
    if how[linear.KIND] == linear.RECURSIVE:
        flat.covariance[:] = named["covariance"]
    return flat


def describe(how: np.ndarray) -> str:
    """The river pipeline of a ``how``, in short."""
    steps = ["StandardScaler"] if how[linear.SCALE] else []
    if how[linear.CLIP] < math.inf:
        steps.append(f"Clip({how[linear.CLIP]:g})")
    if how[linear.KIND] == linear.RECURSIVE:
        text = f"ridge={how[linear.RIDGE]:g}, forgetting={how[linear.FORGETTING]:g}"
        return " | ".join([*steps, f"RecursiveLeastSquares({text})"])
    name = "LogisticRegression" if how[linear.KIND] == linear.LOG else "LinearRegression"
    text = f"rate={how[linear.RATE]:g}, intercept_rate={how[linear.INTERCEPT_RATE]:g}"
    text += f", l2={how[linear.L2]:g}" if how[linear.L2] else ""
    return " | ".join([*steps, f"{name}({text})"])
