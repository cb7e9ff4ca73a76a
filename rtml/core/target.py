"""Targets: what is predicted, of which kind, and what a model learns from an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

NUMBER, PROBABILITY, CLASSES, RANKING, ANOMALY = KINDS = ("number", "probability", "classes", "ranking", "anomaly")


def itself(y: np.ndarray) -> np.ndarray:
    """The answer as it is.

    Examples
    --------
    >>> itself(np.array([1.5, np.nan]))
    array([1.5, nan])
    """
    return y


@dataclass(frozen=True)
class Target:
    """One thing that is predicted; loss, metrics, baselines, HTTP answer and page follow from its kind.

    Parameters
    ----------
    name
        What it is called in predictions, metrics and requests.
    kind
        ``number``, ``probability`` (of a yes), ``classes`` (one of several), ``ranking`` (the k most likely items) or
        ``anomaly`` (a score that needs no label).
    of
        What is learned from answers ``y`` of shape (m,), NaN where nothing is: the answer itself unless given.
    unit
        Unit of a number, such as ``"bp"``.
    change
        Whether a number is a change, as a return is: zero then means no change, which is what it is scored against,
        and its sign counts. A level, such as a demand, is scored against the mean of the answers known by then.
    classes
        Names of the classes; the label of class ``i`` is the number ``i``.
    label
        Which of the operator's labels answers it; the first one unless given. Several horizons are several labels.
    size
        How many items a ranking lists.

    Examples
    --------
    >>> Target("rise", "probability", of=lambda y: (y > 0).astype(float)).learned(np.array([2.0, -1.0]))
    array([1., 0.])
    >>> Target("weather", "classes", classes=("dry", "wet", "snow")).outputs
    3
    """

    name: str
    kind: str = NUMBER
    of: Callable[[np.ndarray], np.ndarray] = itself
    unit: str = ""
    change: bool = False
    classes: tuple[str, ...] = ()
    label: str = ""
    size: int = 20

    def __post_init__(self) -> None:
        if self.kind not in KINDS:
            raise ValueError(f"the kind of target {self.name!r} must be one of {', '.join(KINDS)}, got {self.kind!r}")
        if self.kind == CLASSES and len(self.classes) < 2:
            raise ValueError(f"target {self.name!r} of kind classes needs the names of at least two classes")
        if self.change and self.kind != NUMBER:
            raise ValueError(f"target {self.name!r} of kind {self.kind} is no number, so it cannot be a change")
        if not self.name.isidentifier():
            raise ValueError(f"a target's name must be a word such as 'demand', got {self.name!r}")

    @property
    def outputs(self) -> int:
        """Columns of one prediction."""
        return {CLASSES: len(self.classes), RANKING: self.size}.get(self.kind, 1)

    def learned(self, y: np.ndarray) -> np.ndarray:
        """What is learned from answers, shape (m,); NaN where there is nothing to learn."""
        return np.asarray(self.of(np.asarray(y, np.float64)), np.float64)


def by_name(targets: tuple[Target, ...]) -> dict[str, Target]:
    """Targets by their names, which must differ.

    Examples
    --------
    >>> list(by_name((Target("up"), Target("size"))))
    ['up', 'size']
    >>> by_name((Target("up"), Target("up")))
    Traceback (most recent call last):
        ...
    ValueError: two targets have the same name: up, up
    """
    named = {target.name: target for target in targets}
    if len(named) < len(targets):
        raise ValueError(f"two targets have the same name: {', '.join(target.name for target in targets)}")
    return named
