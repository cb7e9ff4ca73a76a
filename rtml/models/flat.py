"""River's linear models as flat arrays: which have a compiled twin, with what numbers, and what they have learned."""

from __future__ import annotations

import math

import numpy as np
from river import compose, linear_model, optim, preprocessing

from rtml.kernels import linear
from rtml.models import rls
from rtml.models.clip import Clip


def translate(model, names: tuple[str, ...]) -> tuple[np.ndarray, dict] | None:
    """The ``how`` and the named state of a river model, or None where the kernel does not know its arithmetic."""
    steps = list(model.steps.values()) if isinstance(model, compose.Pipeline) else [model]
    scaler = steps.pop(0) if len(steps) > 1 and _is_plain_scaler(steps[0]) else None
    clip = steps.pop(0) if len(steps) > 1 and type(steps[0]) is Clip else None
    final = steps[0]
    if len(steps) > 1 or not (type(final) is rls.RecursiveLeastSquares or _is_plain_descent(final)):
        return None
    learned = _learned(scaler, final, names)
    limit = clip.limit if clip else math.inf
    return None if learned is None else (_how(final, len(names), scaler is not None, limit), learned)


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


def weights(state: np.ndarray, d: int) -> np.ndarray:
    """View of the weights inside a flat state."""
    return state[linear.HEAD : linear.HEAD + d]


def to_named(how: np.ndarray, state: np.ndarray, d: int) -> dict:
    """Copy of everything learned, by name; what can be computed from it again is left out."""
    named = {"count": float(state[0]), "intercept": float(state[1]), "weights": weights(state, d).copy()}
    if how[linear.SCALE]:
        named["means"] = state[linear.HEAD + d : linear.HEAD + 2 * d].copy()
        named["variances"] = state[linear.HEAD + 2 * d : linear.HEAD + 3 * d].copy()
    if how[linear.KIND] == linear.RECURSIVE:
        named["covariance"] = rls.covariance_of(state, d).copy()
    return named


def from_named(how: np.ndarray, named: dict, d: int) -> np.ndarray:
    """Flat state of everything learned."""
    state = rls.flat_state(d, named["covariance"] if how[linear.KIND] == linear.RECURSIVE else None)
    state[0], state[1], weights(state, d)[:] = named["count"], named["intercept"], named["weights"]
    if how[linear.SCALE]:
        state[linear.HEAD + d : linear.HEAD + 2 * d] = named["means"]
        state[linear.HEAD + 2 * d : linear.HEAD + 3 * d] = named["variances"]
        roots = np.sqrt(named["variances"])
        state[linear.HEAD + 3 * d : linear.HEAD + 4 * d] = np.where(roots == 0.0, np.inf, roots)
    return state


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


def _how(final, d: int, scale: bool, limit: float) -> np.ndarray:
    if type(final) is rls.RecursiveLeastSquares:
        return rls.recursive_how(final.ridge, final.forgetting, d, scale=scale, clip=limit)
    how = np.zeros(linear.SIZE)
    how[linear.SCALE], how[linear.CLIP] = scale, limit
    how[linear.RATE], how[linear.INTERCEPT_RATE] = final.optimizer.learning_rate, final.intercept_lr.get(0)
    how[linear.L2], how[linear.GRADIENT_LIMIT] = final.l2, final.clip_gradient
    if type(final) is linear_model.LogisticRegression:
        how[linear.KIND] = linear.LOG
        how[linear.WEIGHT_POS], how[linear.WEIGHT_NEG] = final.loss.weight_pos, final.loss.weight_neg
    return how


def _learned(scaler, final, names: tuple[str, ...]) -> dict | None:
    """What a river model knows, in columns; None where it knows other columns than ``names``."""
    known = final.weights
    counts = {scaler.counts[name] for name in scaler.counts} if scaler else set()
    columns = [known] + ([scaler.counts] if scaler else [])
    if len(counts) > 1 or any(len(column) and set(column) != set(names) for column in columns):
        return None
    return _named(scaler, final, names)


def _named(scaler, final, names: tuple[str, ...]) -> dict:
    d, known = len(names), final.weights
    named = {"count": 0.0, "intercept": final.intercept, "weights": np.array([known.get(n, 0.0) for n in names])}
    if type(final) is rls.RecursiveLeastSquares:
        named["count"] = final.answers
        named["covariance"] = final.covariance(names) if known else rls.fresh_covariance(final.ridge, d)
    if scaler:
        named["count"] = float(next(iter(scaler.counts.values()), 0))
        named["means"] = np.array([scaler.means.get(name, 0.0) for name in names])
        named["variances"] = np.array([scaler.vars.get(name, 0.0) for name in names])
    return named
