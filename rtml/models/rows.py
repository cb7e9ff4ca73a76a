"""What every model accepts: a row of finite numbers in a fixed order of named columns, and a finite label."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

import numpy as np

from rtml.core.arrays import plain


def check_names(names: Sequence[str]) -> tuple[str, ...]:
    """Names of the columns of a row, or why they cannot be.

    Examples
    --------
    >>> check_names(["return_1", "imbalance_60s"])
    ('return_1', 'imbalance_60s')
    """
    if isinstance(names, str) or not len(names) or not all(isinstance(name, str) for name in names):
        raise ValueError(f"names must list the feature columns as texts, in order, got {names!r}")
    if len(set(names)) < len(names):
        raise ValueError(f"names must differ, got {sorted(n for n in set(names) if list(names).count(n) > 1)} twice")
    return tuple(sys.intern(str(name)) for name in names)


def check_row(x, names: tuple[str, ...]) -> np.ndarray:
    """Row as float64, one finite number a name."""
    x = plain(x, np.float64)
    if x.shape != (len(names),):
        raise ValueError(f"a row must have {len(names)} numbers ({', '.join(names)}), got shape {x.shape}")
    fine = np.isfinite(x)
    if not fine.all():
        column = int(np.argmin(fine))
        raise ValueError(
            f"feature {names[column]!r} must be a finite number, got {x[column]}: say what missing means upstream"
        )
    return x


def check_label(y: float, classifier: bool) -> float:
    """Label as a float: finite, and 0 or 1 for a classifier.

    Examples
    --------
    >>> check_label(True, classifier=True)
    1.0
    """
    y = float(y)
    if not math.isfinite(y):
        raise ValueError(
            f"label must be a finite number, got {y}: an answer that never comes is told to the learner as NaN"
        )
    if classifier and y not in (0.0, 1.0):
        raise ValueError(f"label of a classifier must be 0 or 1, got {y}: give it the sign, not the return")
    return y


def check_state(state: dict, kind: str, names: tuple[str, ...]) -> None:
    """Refuse a state of another kind of model or of other columns."""
    if state.get("kind") != kind:
        raise ValueError(
            f"the state is of a {state.get('kind')!r} model, this one is {kind!r}: restore(state) builds it"
        )
    if tuple(state["names"]) != names:
        other = sorted(set(state["names"]) ^ set(names)) or "the same names in another order"
        raise ValueError(f"the state has other columns than this model: {other}; restore(state) builds its own model")
