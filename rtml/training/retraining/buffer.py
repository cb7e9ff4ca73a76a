"""Buffer answers: what is kept of a stream so that a model can be fitted from scratch, or rehearse what was before."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import span
from rtml.core.state import Stateful
from rtml.kernels import segments


class Buffer:
    """The answers of a window: of the last so many, of a span of event time, or all of them.

    Examples
    --------
    >>> recent = Buffer(d=1, window="2")
    >>> recent.add(np.array([[1.0], [2.0], [3.0]]), np.array([1.0, 2.0, 3.0]), np.array([10, 20, 30]))
    >>> recent.at(30)[1]
    array([2., 3.])
    """

    def __init__(self, d: int, window: str) -> None:
        self.most = int(window) if window.isdigit() else 0
        self.span = 0 if self.most or window == "all" else span(window)
        self._X = np.empty((0, d))
        self._y = np.empty(0)
        self._known = np.empty(0, np.int64)
        self._first = self._end = 0

    def add(self, X: np.ndarray, y: np.ndarray, known: np.ndarray) -> None:
        """Keep answers, in the order known."""
        need = self._end + len(y)
        if need > len(self._y):
            self._first = self._start(int(self._known[self._end - 1]) if self._end else 0)
            self._grow(2 * (self._end - self._first + len(y)))
        for column, new in ((self._X, X), (self._y, y), (self._known, known)):
            column[self._end : self._end + len(y)] = new
        self._end += len(y)

    def at(self, now: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Features, labels and times of the answers in the window that ends now."""
        part = slice(self._start(now), self._end)
        return self._X[part], self._y[part], self._known[part]

    @property
    def state(self) -> dict:
        """The answers that a later window can still hold."""
        newest = int(self._known[self._end - 1]) if self._end else 0
        X, y, known = self.at(newest)
        return {"X": X.copy(), "y": y.copy(), "known": known.copy()}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self._X, self._y, self._known = (np.array(state[name]) for name in ("X", "y", "known"))
        self._first, self._end = 0, len(self._y)

    def _start(self, now: int) -> int:
        first = max(self._first, self._end - self.most) if self.most else self._first
        if self.span:
            first += int(np.searchsorted(self._known[first : self._end], now - self.span, side="right"))
        return first

    def _grow(self, room: int) -> None:
        part, kept = slice(self._first, self._end), self._end - self._first
        for name in ("_X", "_y", "_known"):
            old = getattr(self, name)
            new = np.zeros((room, *old.shape[1:]), dtype=old.dtype)
            new[:kept] = old[part]
            setattr(self, name, new)
        self._first, self._end = 0, kept


class Rehearsal(Stateful):
    """Old answers to learn again beside the new ones: ``each`` after every new one, drawn from a seeded reservoir.

    Every answer so far has the same chance to be in the reservoir (see :func:`rtml.kernels.segments.rehearse`).

    Examples
    --------
    >>> rehearsal = Rehearsal(d=1, each=1, size=10, seed=7)
    >>> rehearsal.mixed(np.array([[1.0], [2.0]]), np.array([1.0, 2.0]))[1].tolist()  # nothing is old at first
    [1.0, 2.0, 1.0]
    """

    kept = ("_X", "_y", "_seen", "_kept")

    def __init__(self, d: int, each: int, size: int, seed: int) -> None:
        self.each, self.seed = each, seed
        self._X, self._y = np.zeros((size, d)), np.zeros(size)
        self._seen = self._kept = 0

    def mixed(self, X: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """New answers with old ones among them, and which of the new each row belongs to."""
        room = len(y) * (1 + self.each)
        out_X, out_y = np.empty((room, X.shape[1])), np.empty(room)
        counts = np.full(len(y), 1 + self.each)
        if not self._kept and len(y):
            counts[0] = 1
        given = (X, y, self.seed, self.each, self._seen, self._kept, self._X, self._y, out_X, out_y)
        rows, self._kept = segments.rehearse(*given)
        self._seen += len(y)
        return out_X[:rows], out_y[:rows], np.repeat(np.arange(len(y)), counts)
