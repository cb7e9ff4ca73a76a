"""A market: trades and quotes in, a question at every bar that closes for every symbol asked, its answers later."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from rtml.core.clock import utc
from rtml.core.operator import Asked, Leak
from rtml.core.state import Stateful
from rtml.features.feature_set import FeatureSet
from rtml.usecases.crypto import bar_kernel
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.labels import Labels

KEY = "key_number"  # the column of a row that says which symbol it is asked for


class Market(Stateful):
    """Bars, features and labels as one operator.

    A question's id is its moment, the end of its bar; with several symbols asked it is the number of the bar times
    their count, plus the place of the symbol.

    Parameters
    ----------
    bars, features
        Operators of their own.
    labels
        For every symbol asked, its labels by horizon.
    rows
        Turns bars of shape (n, symbols) into the rows that the features are declared on.
    """

    kept = ("bars", "features", "labels")

    def __init__(self, bars: Bars, features: FeatureSet, labels: Sequence[Sequence[Labels]], rows: Callable) -> None:
        self.bars = bars
        self.features = features
        self._rows = rows
        self.labels = [list(of_symbol) for of_symbol in labels]
        self.keys = len(self.labels)
        self._seen = (len(features.columns) - (self.keys > 1)) // bar_kernel.WIDTH  # symbols in one row

    @property
    def horizon(self) -> int:
        """How far ahead the (first) label looks, ns."""
        return self.labels[0][0].horizon

    def push(self, events: np.ndarray) -> Asked:
        """Take events in order of arrival; ask at every bar that closes, then answer what that bar answers."""
        closed = self.bars.push(events)
        end = np.ascontiguousarray(closed["end"][:, 0])
        if self.keys == 1:
            X, key = self.features.push(end, self._own(self._rows(closed), closed.shape[1], 0)), None
            asked = np.isfinite(closed["close"][:, 0])
            moment = end[asked].copy()
            id = moment
        else:
            X, asked, moment, key = self._every_key(closed, end)
            id = moment // self.bars.every * self.keys + key
        answered, y, known, label = self._answers(closed, end)
        return Asked(closed, id, moment, np.ascontiguousarray(X[asked]), answered, y, known, key, label)

    def _every_key(self, closed: np.ndarray, end: np.ndarray) -> tuple:
        """Features of every symbol asked at every bar, bar by bar; which of them are asked, and of what."""
        wide = self._rows(closed)
        key = np.tile(np.arange(self.keys, dtype=np.int32), len(closed))
        own = np.stack([self._own(wide, closed.shape[1], s) for s in range(self.keys)], axis=1)
        rows = np.column_stack([own.reshape(len(key), own.shape[2]), key.astype(np.float64)])
        at = np.repeat(end, self.keys)
        X = self.features.push(at, rows, key.astype(np.int64))
        asked = np.isfinite(closed["close"][:, : self.keys]).ravel()
        return X, asked, at[asked], key[asked]

    def _own(self, wide: np.ndarray, symbols: int, s: int) -> np.ndarray:
        """Rows of a symbol: its own fields, then those of its peers, the first others."""
        order = [s, *(other for other in range(symbols) if other != s)][: self._seen]
        if order == list(range(symbols)):
            return wide
        cells = wide.reshape(len(wide), symbols, bar_kernel.WIDTH)
        return np.ascontiguousarray(cells[:, order].reshape(len(wide), self._seen * bar_kernel.WIDTH))

    def _answers(self, closed: np.ndarray, end: np.ndarray) -> tuple:
        """Answers of all symbols and horizons, in the order known; at one time by horizon, then by symbol."""
        found = []
        for s, of_symbol in enumerate(self.labels):
            close, whole = closed["close"][:, s], closed["complete"][:, s]
            for label, one in enumerate(of_symbol):
                asked, y = one.push(end, close, whole)
                id = asked if self.keys == 1 else asked // self.bars.every * self.keys + s
                found.append((id, y, asked + one.horizon, np.full(len(asked), label, np.int8)))
        if len(found) == 1:
            return found[0]
        id, y, known, label = (np.concatenate(column) for column in zip(*found, strict=True))
        order = np.lexsort((id, label, known))
        return id[order], y[order], known[order], label[order]

    def counts(self) -> dict[str, int]:
        """Events that are in no bar: late, duplicate, ahead of time."""
        return self.bars.counts()

    def check(self, asked: Asked) -> str:
        """Recompute every answer from the closes of the bars themselves."""
        ends = asked.closed["end"][:, 0]
        place = {at: i for i, at in enumerate(ends.tolist())}
        closes = np.where(asked.closed["complete"], asked.closed["close"], np.nan)
        columns = (asked.answered.tolist(), asked.y.tolist(), asked.known.tolist(), asked.labels().tolist())
        for id, y, known, label in zip(*columns, strict=True):
            at, s = (id, 0) if self.keys == 1 else (id // self.keys * self.bars.every, id % self.keys)
            horizon = self.labels[s][label].horizon
            if known != at + horizon:
                raise Leak(f"the answer of {utc(at)} is known at {utc(known)}, not at {utc(at + horizon)}")
            want = 1e4 * np.log(closes[place[at + horizon], s] / closes[place[at], s])
            if not np.isclose(y, want, rtol=1e-9, atol=1e-9, equal_nan=True):
                raise Leak(f"the answer of {utc(at)} is {y:.4g} bp, but the price moved {want:.4g} bp over its horizon")
        return f"{len(asked.y):,} answers"
