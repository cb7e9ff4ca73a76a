"""Questions that wait for their answers, each as the bins it lies in: a few dozen bytes however wide the row."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from rtml.monitoring.drift.reference import Bins


class Joined(NamedTuple):
    """Answers with their questions, in order: number, bins and prediction of the question, the answer, when known."""

    number: np.ndarray
    codes: np.ndarray
    predicted: np.ndarray
    y: np.ndarray
    known: np.ndarray


class Join:
    """Joins answers with the questions behind the first ``settle``.

    The rows of the next ``reference`` questions fix the bins, and answers that come before that wait.

    Parameters
    ----------
    columns, predicted
        Columns of a row, and how many of them, the last ones, are predictions.

    Examples
    --------
    >>> join = Join(columns=1, predicted=1, settle=0, reference=2)
    >>> join.ask(np.array([1, 2]), np.array([[0.5], [0.7]]))
    >>> join.full
    True
    """

    def __init__(self, columns: int, predicted: int, settle: int, reference: int) -> None:
        self.asked = 0
        self._from = settle
        self.fixed_at = settle + reference
        self._sizes = (columns, 8 * predicted)
        self._columns, self._predicted = columns, predicted
        self.kept = np.empty((0, columns))
        self.bins: Bins | None = None
        self._open: dict[int, tuple[int, bytes, bytes]] = {}  # id: number, bins, predictions
        self._early: list[tuple[int, float, int]] = []

    @property
    def full(self) -> bool:
        """Whether the reference is there and its bins are not yet fixed."""
        return self.bins is None and self.asked == self.fixed_at

    def ask(self, ids: np.ndarray, rows: np.ndarray) -> None:
        """Remember questions that are all of one stage: before, in, or behind the reference."""
        first, self.asked = self.asked, self.asked + len(ids)
        if first < self._from:
            return
        if self.bins is None:
            self.kept = np.concatenate([self.kept, rows])
        coded = self._coded(rows) if self.bins is not None else ([b""] * len(ids),) * 2
        self._open.update(zip(ids.tolist(), zip(range(first, self.asked), *coded, strict=True), strict=True))

    def fix(self, bins: Bins) -> Joined | None:
        """Fix the bins of the reference ``kept``; returns the answers that waited for that."""
        self.bins = bins
        coded = list(zip(*self._coded(self.kept), strict=True))
        self._open = {id: (n, *coded[n - self._from]) for id, (n, *_) in self._open.items()}
        self.kept = self.kept[:0]
        early = self._early
        self._early = []
        return self.answered(*(np.array(column) for column in zip(*early, strict=True))) if early else None

    def answered(self, ids: np.ndarray, y: np.ndarray, known: np.ndarray) -> Joined | None:
        """Answers to questions that wait; None where there are none yet."""
        here = [i for i, id in enumerate(ids.tolist()) if id in self._open]
        if self.bins is None:
            self._early += [(int(ids[i]), float(y[i]), int(known[i])) for i in here]
            return None
        if not here:
            return None
        number, codes, predicted = zip(*(self._open.pop(int(ids[i])) for i in here), strict=True)
        codes = np.frombuffer(b"".join(codes), dtype=np.uint8).reshape(-1, self._columns)
        predicted = np.frombuffer(b"".join(predicted)).reshape(-1, self._predicted)
        return Joined(np.array(number), codes, predicted, y[here], known[here])

    @property
    def state(self) -> dict:
        """Everything the next question or answer depends on, but the bins."""
        number, codes, predicted = zip(*self._open.values(), strict=True) if self._open else ((), (), ())
        pending = {"id": np.array(list(self._open), dtype=np.int64), "number": np.array(number, dtype=np.int64)}
        pending |= {"codes": b"".join(codes), "predicted": b"".join(predicted)}
        early = [list(row) for row in self._early]
        return {"asked": self.asked, "kept": self.kept.copy(), "open": pending, "early": early}

    def load(self, state: dict, bins: Bins | None) -> None:
        """Continue from a state, with the bins that were fixed."""
        self.asked = state["asked"]
        self.kept = np.array(state["kept"])
        self.bins = bins
        self._early = [tuple(row) for row in state["early"]]
        ids, number = state["open"]["id"].tolist(), state["open"]["number"].tolist()
        parts = [
            _cut(state["open"][name], size) for name, size in zip(("codes", "predicted"), self._sizes, strict=True)
        ]
        parts = parts if bins is not None else [[b""] * len(ids)] * 2
        self._open = dict(zip(ids, zip(number, *parts, strict=True), strict=True))

    def _coded(self, rows: np.ndarray) -> tuple[list[bytes], list[bytes]]:
        predicted = np.ascontiguousarray(rows[:, self._columns - self._predicted :])
        return _cut(self.bins.codes(rows).tobytes(), self._sizes[0]), _cut(predicted.tobytes(), self._sizes[1])


def _cut(whole: bytes, size: int) -> list[bytes]:
    return [whole[at : at + size] for at in range(0, len(whole), size)]
