"""What every model accepts: a row of numbers in a fixed order of named columns, NaN where one is missing; a label."""

from __future__ import annotations

import math
import struct
import sys
from collections.abc import Callable, Iterator, Sequence
from operator import itemgetter
from typing import Any, Self

import numpy as np

from rtml.core.arrays import plain
from rtml.kernels.answers import due


class RowModel:
    """What a learner drives: ``predict(x)``, ``learn(x, y)`` and ``replay`` of a chunk, on rows in the order of names.

    Attributes
    ----------
    names
        Names of the features, in the order of the columns of a row. NaN in a row is a missing value.
    classifier
        Labels are numbers of classes and predictions are probabilities.
    classes
        Names of the classes of which each has a probability, in the order of their numbers; empty for all other models.
    outputs
        Numbers in a prediction: with classes their number, and ``predict`` gives an array of shape (C,) that sums to 1
        and ``replay`` (m, C). 1 for all other models: a float and (m,).
    unsupervised
        It learns without labels, from a row right after it was asked about: ``learn(x, nan)`` is allowed.
    """

    kind = "compiled"
    _ARRAYS: tuple[str, ...] = ()  # attributes that hold what a twin learned; a state has each without its underscore

    names: tuple[str, ...]
    classifier: bool = False
    classes: tuple[str | int, ...] = ()
    unsupervised: bool = False

    @property
    def outputs(self) -> int:
        """Numbers in a prediction: the number of classes, or 1."""
        return len(self.classes) or 1

    @property
    def head(self) -> dict:
        """Where a state begins: kind and twin, the names of the columns, and the classes of a model that has some."""
        twin = {"twin": self.twin} if hasattr(self, "twin") else {}
        classes = {"classes": list(self.classes)} if "classes" in vars(self) else {}
        return {"kind": self.kind} | twin | {"names": list(self.names)} | classes

    def predict_rows(self, X: np.ndarray) -> np.ndarray:
        """Predictions of many rows, shape (m,) or (m, outputs): the bits of asking for each."""
        return np.array([self.predict(row) for row in X])

    @property
    def state(self) -> dict:
        """Everything learned, and all that is needed to go on from it, as flat arrays."""
        return self.head | self._copies()

    def load(self, state: dict) -> None:
        """Go on from a state of this very model."""
        self._check(state)
        self._take(state)

    @classmethod
    def of(cls, state: dict) -> Self:
        """Model of a state."""
        self = cls.__new__(cls)
        self.names = check_names(state["names"])
        if "classes" in state:
            self.classes = check_classes(state["classes"])
        self._take(state)
        return self

    def describe(self) -> str:
        """What the model is, in short."""
        return type(self).__name__

    def _copies(self) -> dict:
        """What was learned, in arrays that nobody writes to any more."""
        return {name[1:]: getattr(self, name).copy() for name in self._ARRAYS}

    def _take(self, state: dict) -> None:
        """Go on from a state that was checked."""
        for name in self._ARRAYS:
            setattr(self, name, np.array(state[name[1:]]))

    def _check(self, state: dict) -> None:
        check_state(state, self.kind, self.names, self.classes)
        if state.get("twin") != getattr(self, "twin", None) or not self._same(state):
            raise ValueError(
                f"the state is of another model than this {self.describe()}: restore(state) builds its own"
            )

    def _same(self, state: dict) -> bool:
        """Whether a state is of a model of the same parameters."""
        return True

    def _label(self, y: float) -> float:
        """Label as a float, or why it cannot be one."""
        if self.unsupervised:
            return float(y)
        return check_label(y, self.classifier, len(self.classes) or 2)


def predictions(model: Any, X: np.ndarray) -> np.ndarray:
    """What a model predicts for rows, (m,) or (m, outputs), in one call where it has one: it stays as it is.

    Examples
    --------
    >>> from rtml.models.constant import Constant
    >>> predictions(Constant(["a"], 0.2, classifier=True), np.zeros((3, 1))).tolist()
    [0.2, 0.2, 0.2]
    """
    if hasattr(model, "predict_rows"):
        return model.predict_rows(X)
    return np.array([model.predict(row) for row in X])


def replay(model: Any, X, y, kept, moment, known, order, until: int) -> tuple[np.ndarray, int]:
    """Ask a model a chunk and let it learn, with what was kept and the moments of all rows where it needs them.

    Parameters
    ----------
    kept
        What was kept of the first rows, which were asked before; ``moment`` is that of these too.
    """
    if hasattr(model, "replay_at"):
        return model.replay_at(X, y, kept, moment, known, order, until)
    return model.replay(X, y, np.ascontiguousarray(moment[len(kept) :]), known, order, until)


class RememberingModel(RowModel):
    """A row model that learns from what it said when it was asked, which is kept with the open question.

    ``predict_at(x, moment)`` gives the prediction and ``memory`` numbers behind it, of which ``learn_at`` learns.
    """

    memory: int
    members: list[str]

    @property
    def weights(self) -> dict[str, float]:
        """Weight of every member in the next prediction; of those asleep what they have when they wake."""
        return dict(zip(self.members, (self._top @ self._shares).tolist(), strict=True))

    def predict(self, x: np.ndarray) -> float | np.ndarray:
        """Prediction for a row in the order of ``names``: a number, or the probabilities of the classes, shape (C,)."""
        kept = self.predict_at(x, 0)
        return kept[: self.outputs] if self.classes else float(kept[0])

    def learn(self, x: np.ndarray, y: float) -> None:
        """Learn one answer to what would be said now."""
        self.learn_at(x, y, self.predict_at(x, 0), 0, 1)

    def replay(self, X, y, moment, known, order, until) -> tuple[np.ndarray, int]:
        """Ask and learn a chunk in which no question waits from before."""
        if len(X) != len(moment):
            raise ValueError(f"{len(X) - len(moment)} questions wait: a blend must know what was kept, use replay_at")
        kept, taken = self.replay_at(X, y, np.empty((0, self.outputs + self.memory)), moment, known, order, until)
        return np.ascontiguousarray(kept[:, : self.outputs] if self.classes else kept[:, 0]), taken


def answers_before(moment, known, order, until) -> Iterator[tuple[int, np.ndarray]]:
    """Each question's place and the rows whose answers come before it, then those known ``until`` behind the last.

    Examples
    --------
    >>> asked, known, order = (np.array(column) for column in ([0, 10, 20], [5, 20, 30], [0, 1, 2]))
    >>> [(t, rows.tolist()) for t, rows in answers_before(asked, known, order, 25)]
    [(0, []), (1, [0]), (2, []), (3, [1])]
    """
    taken = 0
    for t in range(len(moment) + 1):
        before, taken = taken, due(t, moment, until, known, order, taken)
        yield t, order[before:taken]


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
    """Row as float64, one number per name; NaN is a missing value, an infinite one is refused.

    Examples
    --------
    >>> check_row([0.5, float("nan")], ("return_1", "spread"))
    array([0.5, nan])
    """
    x = plain(x, np.float64)
    if x.shape != (len(names),):
        raise ValueError(f"a row must have {len(names)} numbers ({', '.join(names)}), got shape {x.shape}")
    infinite = np.isinf(x)
    if infinite.any():
        column = int(np.argmax(infinite))
        raise ValueError(
            f"feature {names[column]!r} must be a finite number, got {x[column]}: NaN says that it is missing"
        )
    return x


def packer(names: tuple[str, ...]) -> Callable[[dict], np.ndarray]:
    """What makes a row of a dict by name, at a third of the cost of an array of a list; the row is not writable.

    A value may be None where it is missing; a name may not. Names that the row does not have are left alone.

    Examples
    --------
    >>> packer(("return_1", "spread"))({"spread": None, "return_1": 2})
    array([ 2., nan])
    """
    pack = struct.Struct(f"{len(names)}d").pack
    values = itemgetter(*names) if len(names) > 1 else lambda x: (x[names[0]],)

    def row(x: dict) -> np.ndarray:
        try:
            return np.frombuffer(pack(*values(x)))
        except KeyError as ex:
            raise LookupError(f"no feature {ex}, got {', '.join(map(str, x))}: the row has {', '.join(names)}") from ex
        except struct.error:  # something is not a number: None, or it is refused
            return np.array(values(x), np.float64)

    return row


def check_label(y: float, classifier: bool, classes: int = 2) -> float:
    """Label as a float: finite, and the number of a class, 0 to ``classes - 1``, for a classifier.

    Examples
    --------
    >>> check_label(True, classifier=True)
    1.0
    >>> check_label(4, classifier=True, classes=5)
    4.0
    """
    y = float(y)
    if not math.isfinite(y):
        raise ValueError(
            f"label must be a finite number, got {y}: an answer that never comes is given to the learner as NaN"
        )
    if classifier and not (y.is_integer() and 0.0 <= y < classes):
        known = "0 or 1" if classes == 2 else f"one of 0 to {classes - 1}"
        hint = "give it the sign, not the return" if classes == 2 else "the number of the class, in the order declared"
        raise ValueError(f"label of a classifier must be {known}, got {y}: {hint}")
    return y


def check_classes(classes: Sequence[str | int]) -> tuple[str | int, ...]:
    """Names of the classes of a classifier, in the order of their numbers; empty for a probability or a number.

    Examples
    --------
    >>> check_classes(["low", "middle", "high"])
    ('low', 'middle', 'high')
    """
    classes = tuple(c.item() if isinstance(c, np.generic) else c for c in classes)
    if len(classes) == 1 or len(set(classes)) < len(classes):
        raise ValueError(f"classes must list two or more different names, got {classes}")
    return classes


def check_state(state: dict, kind: str, names: tuple[str, ...], classes: tuple[str | int, ...] = ()) -> None:
    """Refuse a state of another kind of model, of other columns or of other classes.

    Examples
    --------
    >>> check_state({"kind": "compiled", "names": ["a"]}, "compiled", ("a",))
    >>> check_state({"kind": "compiled", "names": ["a", "b"]}, "compiled", ("a",))
    Traceback (most recent call last):
    ...
    ValueError: the state has other columns than this model: ['b']; restore(state) builds its own model
    """
    if state.get("kind") != kind:
        raise ValueError(
            f"the state is of a {state.get('kind')!r} model, this one is {kind!r}: restore(state) builds it"
        )
    if tuple(state["names"]) != names:
        other = sorted(set(state["names"]) ^ set(names)) or "the same names in another order"
        raise ValueError(f"the state has other columns than this model: {other}; restore(state) builds its own model")
    if (given := tuple(state.get("classes", ()))) != classes:
        texts = [", ".join(map(str, each)) or "none" for each in (given, classes)]
        raise ValueError(f"the state is of the classes {texts[0]}, this model of {texts[1]}: restore(state) builds it")
