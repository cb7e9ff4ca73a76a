"""A market: trades and quotes in, a question at every bar that closes, its answer one horizon later."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from rtml.core.clock import utc
from rtml.core.operator import Asked, Leak
from rtml.features.feature_set import FeatureSet
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.labels import Labels


class Market:
    """Bars, features and labels as one operator; a question's id is its moment, the end of its bar.

    Parameters
    ----------
    bars, features, labels
        Operators of their own.
    rows
        Turns bars of shape (n, symbols) into the rows that the features are declared on.
    """

    def __init__(self, bars: Bars, features: FeatureSet, labels: Labels, rows: Callable) -> None:
        self.bars, self.features, self.labels, self._rows = bars, features, labels, rows

    @property
    def horizon(self) -> int:
        """How far ahead the label looks, ns."""
        return self.labels.horizon

    def push(self, events: np.ndarray) -> Asked:
        """Take events in order of arrival; ask at every bar that closes, then answer what that bar answers."""
        closed = self.bars.push(events)
        target = closed[:, 0]
        X = self.features.push(target["end"], self._rows(closed))
        answered, y = self.labels.push(target["end"], target["close"], target["complete"])
        asked = np.isfinite(target["close"])
        moment = target["end"][asked].copy()
        return Asked(
            closed, moment, moment, np.ascontiguousarray(X[asked]), answered, y, answered + self.labels.horizon
        )

    def check(self, asked: Asked) -> str:
        """Recompute every answer from the closes of the bars themselves."""
        target, horizon = asked.bars[:, 0], self.labels.horizon
        ends, closes = target["end"], np.where(target["complete"], target["close"], np.nan)
        due = asked.answered + horizon
        if not np.array_equal(asked.known, due):
            wrong = int(np.flatnonzero(asked.known != due)[0])
            raise Leak(f"the answer of {utc(int(asked.answered[wrong]))} is known at {utc(int(asked.known[wrong]))}")
        place = dict(zip(ends.tolist(), closes.tolist(), strict=True))
        for at, y in zip(asked.answered.tolist(), asked.y.tolist(), strict=True):
            want = 1e4 * np.log(place[at + horizon] / place[at])
            if not np.isclose(y, want, rtol=1e-9, atol=1e-9, equal_nan=True):
                raise Leak(f"the answer of {utc(at)} is {y:.4g} bp, but the price moved {want:.4g} bp over its horizon")
        return f"{len(asked.y):,} answers"

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        return {"bars": self.bars.state, "features": self.features.state, "labels": self.labels.state}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        for name in ("bars", "features", "labels"):
            getattr(self, name).load(state[name])
