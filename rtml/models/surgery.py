"""Model surgery: features are added to a model, or taken from it, without losing what it knows of the others."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rtml.core.questions import Questions
from rtml.kernels import linear
from rtml.models import flat
from rtml.models.compiled import Compiled, compile

KEPT = "kept: a linear model goes on with the weights it has"
FRESH = "fresh: a model that cannot be operated on starts from scratch, as a challenger"


def operate(model, names: Sequence[str], seen: Questions | None = None, build: Callable | None = None) -> tuple:
    """The model for another set of features, and how it came about (:data:`KEPT` or :data:`FRESH`).

    A linear model keeps every weight, deviation and covariance of the features that stay. A feature taken from a
    recursive model is conditioned on having no weight, which gives the very model that never had it (of recursive
    least squares without forgetting, to rounding). A new feature starts with no weight and the ridge's own
    uncertainty, scaled by what ``seen`` says of it, so the first prediction is the old model's. The model given is left
    alone: it may serve on. Any other model, a tree above all, does worse when it goes on than when it starts anew:
    ``build`` makes that one.

    Parameters
    ----------
    model
        What :func:`rtml.models.compiled.compile` gave.
    names
        All features of the new model, in the order of its columns.
    seen
        A stretch of questions with the new features, for their mean and deviation; needed to add one to a model that
        scales.
    build
        Makes a fresh river model where the old one cannot be operated on.

    Examples
    --------
    >>> from rtml.models.rls import RecursiveLeastSquares
    >>> model = compile(RecursiveLeastSquares(ridge=1.0), ["a", "b"])
    >>> model.learn([1.0, 2.0], 3.0)
    >>> wider, how = operate(model, ["b", "c", "a"])
    >>> wider.predict([2.0, 7.0, 1.0]) == model.predict([1.0, 2.0]), how == KEPT
    (True, True)
    """
    names = tuple(names)
    if not isinstance(model, Compiled) or "weights" not in model.state:
        if build is None:
            raise ValueError(f"{model.describe()} cannot be operated on: give build, which makes a fresh challenger")
        return compile(build(), names), FRESH
    state = model.state
    kept = [name for name in model.names if name in names]
    state = _taken(state, model.names, kept)
    state = _added(state, kept, names, seen)
    how = state["how"]
    how[linear.RENEWAL] = _renewal(how, len(names))
    return Compiled(names, how, flat.from_named(how, state)), KEPT


def _renewal(how: np.ndarray, d: int) -> float:
    recursive = how[linear.KIND] >= linear.RECURSIVE
    return 1.0 - how[linear.FORGETTING] ** (d + 1) if recursive else how[linear.RENEWAL]


def _taken(state: dict, names: Sequence[str], kept: Sequence[str]) -> dict:
    """State without the features that are gone, one after the other."""
    left, state = list(names), dict(state)
    for gone in [name for name in names if name not in kept]:
        k = left.index(gone)
        if "covariance" in state:
            state = _conditioned(state, k)
        for column in ("weights", "means", "variances", "missed"):
            if column in state:
                state[column] = np.delete(state[column], k)
        left.pop(k)
    return state


def _conditioned(state: dict, k: int) -> dict:
    """Weights and covariance given that weight ``k`` is zero, without it."""
    P, w = state["covariance"], np.append(state["weights"], state["intercept"])
    column, others = P[:, k], np.delete(np.arange(len(w)), k)
    w = w - column * (w[k] / P[k, k])
    P = P - np.outer(column, column) / P[k, k]
    weights = np.insert(w[others][:-1], k, 0.0)
    return state | {"weights": weights, "intercept": float(w[-1]), "covariance": P[np.ix_(others, others)]}


def _added(state: dict, kept: Sequence[str], names: tuple[str, ...], seen: Questions | None) -> dict:
    """State with the columns of ``names``, new ones with no weight and the ridge's own uncertainty."""
    place, d = {name: i for i, name in enumerate(kept)}, len(names)
    old = np.array([place.get(name, -1) for name in names])
    wide = state | {"weights": np.where(old >= 0, state["weights"][old], 0.0)}
    if "means" in state:
        means, variances = _scales(names, old, seen, state)
        missed = np.where(old >= 0, state["missed"][old], 0.0) if len(state["missed"]) else np.zeros(d)
        wide |= {"means": means, "variances": variances, "missed": missed}
    if "covariance" in state:
        P = np.zeros((d + 1, d + 1))
        P[np.arange(d), np.arange(d)] = 1.0 / state["how"][linear.RIDGE]
        into, out = np.flatnonzero(np.append(old, d) >= 0), np.append(old[old >= 0], len(kept))
        P[np.ix_(into, into)] = state["covariance"][np.ix_(out, out)]
        wide["covariance"] = P
    return wide


def _scales(names: tuple[str, ...], old: np.ndarray, seen: Questions | None, state: dict):
    new = [name for name, at in zip(names, old, strict=True) if at < 0]
    if new and state["count"] and (seen is None or not len(seen)):
        raise ValueError(f"to add {', '.join(new)} to a model that scales, give questions that have seen them (seen)")
    means = np.where(old >= 0, state["means"][old] if len(state["means"]) else 0.0, 0.0)
    variances = np.where(old >= 0, state["variances"][old] if len(state["variances"]) else 0.0, 0.0)
    for name in new if state["count"] else ():
        column = seen.X[:, seen.names.index(name)]
        means[names.index(name)], variances[names.index(name)] = column.mean(), column.var()
    return means, variances
