"""A river model over a row model: dicts become rows, and features may come and go."""

from __future__ import annotations

import numpy as np
from river import base

from rtml.models.rows import RowModel


class Face:
    """What the river models of this package share that learn from rows.

    Features are taken in the order of their names, whatever the order in a dict. A feature that is absent, None or NaN
    is missing; one seen for the first time is a column that was missing before, if the row model has ``widen(names)``,
    else it is not looked at. A class inherits this first and gives ``_made(names)``, a fresh row model.
    """

    _model: RowModel | None = None

    def learn_one(self, x: dict, y) -> None:
        """Learn one answer."""
        model = self._ready(x)
        if hasattr(model, "widen") and (new := sorted(x.keys() - set(model.names))):
            model.widen((*model.names, *new))
        model.learn(self._row(x), float(y))

    def _ready(self, x: dict) -> RowModel:
        """The row model, whose columns are those of the first row."""
        self._model = self._model or self._made(tuple(sorted(x)))
        return self._model

    def _row(self, x: dict) -> np.ndarray:
        values = [x.get(name) for name in self._model.names]
        return np.array([np.nan if value is None else value for value in values], dtype=np.float64)

    def _probabilities(self, x: dict) -> dict[bool, float]:
        """Probabilities of False and True; a half before the first answer."""
        p = 0.5 if self._model is None else self._model.predict(self._row(x))
        return {False: 1.0 - p, True: p}

    def _made(self, names: tuple[str, ...]) -> RowModel:
        raise NotImplementedError(f"{type(self).__name__} must make a row model of {names}")


def face_twin(model, names: tuple[str, ...], classes: tuple[str | int, ...] = ()) -> RowModel | None:
    """Row model of such a river model with all that it has learned; None where it has learned of other columns.

    Examples
    --------
    >>> from rtml.models.forest import AdaptiveRandomForest
    >>> from rtml.models.baselines import Zero
    >>> type(face_twin(AdaptiveRandomForest(), ("a",))).__name__, face_twin(Zero(), ("a",))
    ('CompiledForest', None)
    """
    learned = getattr(model, "_model", None)
    own = getattr(type(model), "learn_one", None) is Face.learn_one
    if not own or (classes and (learned is not None or isinstance(model, base.Regressor))):
        return None
    if learned is None:
        return model._made(names, classes) if classes else model._made(names)
    return type(learned).of(learned.state) if learned.names == names else None
