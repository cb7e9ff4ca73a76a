"""Open questions: what was asked and waits for its answer, in columns that a kernel reads where they stand."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtml.core.clock import NEVER

_FIRST = 64  # rows of a new store


class Asked(NamedTuple):
    """A question as it was asked; ``y`` and ``known`` are NaN and NEVER until its answer is scheduled.

    ``kept`` is what the model said and wants back with the answer: a number, or ``outputs`` numbers of the prediction
    and behind them ``memory`` numbers of the model's own.

    Examples
    --------
    >>> Asked(np.array([0.6, 7.0]), np.ones(2), moment=10).prediction
    0.6
    """

    kept: float | np.ndarray
    x: np.ndarray
    moment: int
    y: float = math.nan
    known: int = NEVER

    @property
    def prediction(self) -> float:
        """The (first) number of the prediction."""
        return self.kept if isinstance(self.kept, float) else float(self.kept[0])


class OpenQuestions:
    """Rows in the order asked; a closed one stays until half of them are closed, so that no row is moved often.

    Those added one by one wait as they are, and become rows when a chunk or a state needs them.

    Parameters
    ----------
    features
        Columns of ``X``.
    kept
        Numbers that are kept with each question; one is a prediction and nothing else.

    Examples
    --------
    >>> questions = OpenQuestions(features=1, kept=1)
    >>> questions.add(7, 100, np.array([0.5]), 0.25)
    >>> len(questions), questions.close(7).kept, len(questions)
    (1, 0.25, 0)
    """

    def __init__(self, features: int, kept: int) -> None:
        self._features, self._kept = features, kept
        self._allocate(_FIRST)
        self.start = 0
        self.end = 0
        self.closed = 0
        self._row_of: dict[int, int] | None = {}
        self._late: dict[int, Asked] = {}

    def __len__(self) -> int:
        return self.end - self.start - self.closed + len(self._late)

    def __contains__(self, id: int) -> bool:
        return id in self._late or id in (self._rows() if self._row_of is None else self._row_of)

    def add(self, id: int, moment: int, x: np.ndarray, kept: float | np.ndarray) -> None:
        """Keep one question; its answer is not scheduled, and ``x`` is not copied."""
        self._late[id] = Asked(float(kept) if self._kept == 1 else np.array(kept), x, moment)

    def get(self, id: int) -> Asked | None:
        """An open question, None where there is none of that id."""
        if (asked := self._late.get(id)) is not None:
            return asked
        row = self._rows().get(id)
        if row is None:
            return None
        kept = float(self.kept[row, 0]) if self._kept == 1 else self.kept[row].copy()
        return Asked(kept, self.X[row].copy(), int(self.moment[row]), float(self.y[row]), int(self.known[row]))

    def moment_of(self, id: int) -> int:
        """When an open question was asked."""
        return self._late[id].moment if id in self._late else int(self.moment[self._rows()[id]])

    def schedule(self, answers: Sequence[tuple[int, float, int]]) -> np.ndarray:
        """Enter answers (id, y, known) of open questions; their places, counted from ``start``, in this order."""
        row_of = self._rows()
        rows = np.array([row_of[id] for id, *_ in answers], np.int64)
        for row, (_, y, known) in zip(rows.tolist(), answers, strict=True):
            self.y[row], self.known[row] = y, known
        return rows - self.start

    def close(self, id: int) -> Asked:
        """Take a question out."""
        if id in self._late:
            return self._late.pop(id)
        asked = self.get(id)
        row = self._rows().pop(id)
        self.known[row] = NEVER
        self.alive[row] = False
        self.closed += 1
        self._shrink()
        return asked

    def extend(self, id, moment, X, y, known) -> slice:
        """Add a chunk of questions whose predictions come later; where they stand."""
        if self._late:
            self._settle()
        first = self._room(len(id))
        rows = slice(first, first + len(id))
        self.id[rows] = id
        self.moment[rows] = moment
        self.X[rows] = X
        self.y[rows] = y
        self.known[rows] = known
        self.end = rows.stop
        self._row_of = None
        return rows

    def close_rows(self, rows: np.ndarray) -> None:
        """Take out rows by their places, counted from ``start``."""
        at = rows + self.start
        self.known[at] = NEVER
        self.alive[at] = False
        self.closed += len(at)
        self._row_of = None
        self._shrink()

    @property
    def ids(self) -> np.ndarray:
        """Ids of the open questions, in the order asked."""
        if self._late:
            self._settle()
        part = slice(self.start, self.end)
        return self.id[part][self.alive[part]]

    @property
    def state(self) -> dict:
        """The open questions as columns, in the order asked."""
        if self._late:
            self._settle()
        part = slice(self.start, self.end)
        alive = self.alive[part]
        names = ("id", "moment", "X", "kept", "y", "known")
        return {name: np.ascontiguousarray(getattr(self, name)[part][alive]) for name in names}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        n = len(state["id"])
        self._allocate(max(_FIRST, 2 * n))
        for name in ("id", "moment", "X", "kept", "y", "known"):
            getattr(self, name)[:n] = state[name]
        self.start = self.closed = 0
        self.end = n
        self._row_of = None
        self._late = {}

    def _settle(self) -> None:
        """Make rows of those that were added one by one."""
        late, self._late = self._late, {}
        asked = list(late.values())
        moment, X = [one.moment for one in asked], np.array([one.x for one in asked])
        rows = self.extend(list(late), moment, X, math.nan, NEVER)
        self.kept[rows] = np.reshape([one.kept for one in asked], (-1, self._kept))

    def _rows(self) -> dict[int, int]:
        if self._row_of is None:
            at = np.flatnonzero(self.alive[self.start : self.end]) + self.start
            self._row_of = dict(zip(self.id[at].tolist(), at.tolist(), strict=True))
        return self._row_of

    def _allocate(self, rows: int) -> None:
        self.id = np.empty(rows, np.int64)
        self.moment = np.empty(rows, np.int64)
        self.X = np.empty((rows, self._features))
        self.kept = np.empty((rows, self._kept))
        self.y = np.empty(rows)
        self.known = np.empty(rows, np.int64)
        self.alive = np.ones(rows, bool)

    def _room(self, n: int) -> int:
        """First row of room for so many more."""
        if self.end + n > len(self.id):
            state = self.state
            self._allocate(max(len(self.id), 2 * (len(state["id"]) + n)))
            for name, column in state.items():
                getattr(self, name)[: len(column)] = column
            self.start = self.closed = 0
            self.end = len(state["id"])
            self._row_of = None
        return self.end

    def _shrink(self) -> None:
        """Forget closed rows at the front; all of them where nothing is open."""
        if self.closed == self.end - self.start:
            self.alive[self.start : self.end] = True
            self.start = 0
            self.end = 0
            self.closed = 0
            return
        gone = int(np.argmax(self.alive[self.start : self.end]))
        self.alive[self.start : self.start + gone] = True
        self.start += gone
        self.closed -= gone
