"""Which river models have a compiled twin, with what numbers, and what they have learned so far."""

from __future__ import annotations

import math

import numpy as np

from rtml.kernels import linear
from rtml.models.clip import Clip
from rtml.models.flat import recursive_how
from rtml.models.parts import compose, linear_model, optim, preprocessing
from rtml.models.recursive_logistic import RecursiveLogistic
from rtml.models.rls import RecursiveLeastSquares

_RECURSIVE = (RecursiveLeastSquares, RecursiveLogistic)


def translate(model, names: tuple[str, ...]) -> tuple[np.ndarray, dict] | None:
    """Parameters of a river model for the kernels and what it has learned, or None where no kernel does the same.

    Examples
    --------
    >>> from river import tree
    >>> how, learned = translate(preprocessing.StandardScaler() | RecursiveLeastSquares(ridge=4.0), ("a",))
    >>> how[[linear.RIDGE, linear.SCALE]].tolist(), learned["weights"].tolist()
    ([4.0, 1.0], [0.0])
    >>> translate(tree.HoeffdingTreeRegressor(), ("a",)) is None
    True
    """
    steps = list(model.steps.values()) if isinstance(model, compose.Pipeline) else [model]
    scaler = steps.pop(0) if len(steps) > 1 and _is_plain_scaler(steps[0]) else None
    clip = steps.pop(0) if len(steps) > 1 and type(steps[0]) is Clip else None
    final = steps[0]
    if len(steps) > 1 or not (type(final) in _RECURSIVE or _is_plain_descent(final)):
        return None
    if not _knows_only(names, scaler, final):
        return None
    limit = clip.limit if clip else math.inf
    return _how(final, len(names), scaler is not None, limit), _learned(scaler, final, names)


def _is_plain_scaler(step) -> bool:
    return type(step) is preprocessing.StandardScaler and step.with_std and step.window_size is None


def _is_plain_descent(step) -> bool:
    """Whether a generalised linear model does nothing but stochastic gradient descent at constant rates."""
    losses = {linear_model.LinearRegression: optim.losses.Squared, linear_model.LogisticRegression: optim.losses.Log}
    return (
        type(step) in losses
        and type(step.loss) is losses[type(step)]
        and type(step.optimizer) is optim.SGD
        and type(step.optimizer.lr) is optim.schedulers.Constant
        and type(step.intercept_lr) is optim.schedulers.Constant
        and type(step.initializer) is optim.initializers.Zeros
        and step.l1 == 0
    )


def _knows_only(names: tuple[str, ...], scaler, final) -> bool:
    """Whether a model has learned nothing, or of these columns and no other, one of them with every answer."""
    columns = [final.weights, scaler.counts] if scaler else [final.weights]
    return all(not column or set(column) == set(names) for column in columns)


def _how(final, d: int, scale: bool, limit: float) -> np.ndarray:
    recursive = type(final) in _RECURSIVE
    how = recursive_how(final.kind, final.ridge, final.forgetting, d) if recursive else np.zeros(linear.SIZE)
    how[linear.SCALE], how[linear.CLIP] = scale, limit
    return how if recursive else _descent_how(final, how)


def _descent_how(final, how: np.ndarray) -> np.ndarray:
    how[linear.RATE], how[linear.INTERCEPT_RATE] = final.optimizer.learning_rate, final.intercept_lr.get(0)
    how[linear.L2], how[linear.GRADIENT_LIMIT] = final.l2, final.clip_gradient
    if type(final) is linear_model.LogisticRegression:
        how[linear.KIND] = linear.LOG
        how[linear.WEIGHT_POS], how[linear.WEIGHT_NEG] = final.loss.weight_pos, final.loss.weight_neg
    return how


def _learned(scaler, final, names: tuple[str, ...]) -> dict:
    """What a model knows, in the order of ``names``."""
    known = final.weights
    named = {"count": 0.0, "intercept": final.intercept, "weights": np.array([known.get(n, 0.0) for n in names])}
    if type(final) in _RECURSIVE:
        named |= {"count": final.answers, "covariance": final.covariance(names)}
    if scaler:
        counts = np.array([float(scaler.counts.get(name, 0)) for name in names])
        named["count"] = max(named["count"], counts.max())
        named["missed"] = named["count"] - counts
        named["means"] = np.array([scaler.means.get(name, 0.0) for name in names])
        named["variances"] = np.array([scaler.vars.get(name, 0.0) for name in names])
    return named
