"""Conformal intervals: how far around a prediction the truth will lie, steered by every answer so that it holds."""

from __future__ import annotations

import heapq

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.questions import Questions

_COUNTS = ("asked", "answered", "judged", "hits")
_START = 2.0  # of the half width, in mean absolute errors: nine in ten of normal errors


class Conformal:
    """An interval around each prediction of any model that holds a share ``coverage`` of the truths, through drift too.

    The half width is ``quantile * error * scale``: a mean absolute error with a short memory follows changes of
    variance, and the quantile is moved by every answer, up by ``rate * coverage`` after a miss and down by
    ``rate * (1 - coverage)`` after a hit (Gibbs and Candès, "Adaptive conformal inference under distribution shift",
    2021; Angelopoulos, Candès and Tibshirani, "Conformal PID control for time series prediction", 2023). So the share
    of hits comes to ``coverage`` whatever the stream does; no distribution is assumed. An answer counts when it is
    known: with answers that wait for hundreds of questions the share still holds over all, but not right after a jump.

    Parameters
    ----------
    coverage
        Share of truths that the interval shall hold, in (0, 1).
    rate
        How far one answer moves the quantile, in mean absolute errors.
    memory
        How many answers the mean absolute error remembers.

    Examples
    --------
    >>> intervals = Conformal(coverage=0.9)
    >>> for i in range(400):
    ...     low, high = intervals.ask(i, prediction=0.0)
    ...     hit = intervals.tell(i, y=float(i % 20))
    >>> low < -15 and 15 < high, 0.88 < intervals.share < 0.92
    (True, True)
    """

    def __init__(self, coverage: float = 0.9, rate: float = 0.05, memory: int = 30) -> None:
        if not 0 < coverage < 1:
            raise ValueError(f"the coverage must lie between 0 and 1, got {coverage}: 0.9 holds nine in ten")
        if rate <= 0 or memory < 1:
            raise ValueError(f"rate and memory must be positive, got {rate} and {memory}")
        self.coverage, self.rate, self.memory = coverage, rate, memory
        self.asked = self.answered = self.judged = self.hits = 0
        self._quantile, self._error = _START, 0.0
        self._open: dict[int, tuple[float, float, float]] = {}  # prediction, half width, scale
        self._due: list[tuple[int, int, int, float]] = []  # known, order, id, y

    @property
    def share(self) -> float:
        """Share of truths that lay within a bounded interval, so far; NaN before the first."""
        return self.hits / self.judged if self.judged else float("nan")

    def ask(self, id: int, prediction: float, scale: float = 1.0) -> tuple[float, float]:
        """Interval around a prediction; ``scale`` says how uncertain this one is beside others, where that is known.

        Before the first answer nothing is known, and the interval is the whole line.
        """
        scale = max(float(scale), 1e-12)
        half = self._quantile * self._error * scale if self.answered else np.inf
        self._open[int(id)] = (float(prediction), half, scale)
        self.asked += 1
        return prediction - half, prediction + half

    def tell(self, id: int, y: float) -> bool:
        """Learn the answer of a question asked before; whether it lay within. NaN closes it and teaches nothing."""
        if int(id) not in self._open:
            raise LookupError(f"question {id} has no open interval: it was never asked, or was answered before")
        prediction, half, scale = self._open.pop(int(id))
        if y != y:
            return False
        miss, hit = abs(y - prediction), bool(abs(y - prediction) <= half)
        if half < np.inf:
            self._quantile = max(self._quantile + self.rate * (self.coverage - hit), 0.0)
            self.judged, self.hits = self.judged + 1, self.hits + hit
        self.answered += 1
        self._error += (miss / scale - self._error) * max(1.0 / self.answered, 1.0 / self.memory)
        return hit

    def replay(self, questions: Questions, predictions, scale=None) -> tuple[np.ndarray, np.ndarray]:
        """Intervals of a chunk of questions, every answer learned once it is known; any cutting gives the same bits."""
        low, high = np.empty(len(questions)), np.empty(len(questions))
        scales = np.ones(len(questions)) if scale is None else np.asarray(scale, float)
        columns = (questions.id, questions.moment, questions.known, questions.y, np.asarray(predictions), scales)
        for i, (id, moment, known, y, p, s) in enumerate(zip(*(c.tolist() for c in columns), strict=True)):
            while self._due and self._due[0][0] < moment:
                self.tell(*heapq.heappop(self._due)[2:])
            low[i], high[i] = self.ask(id, p, s)
            if known == NEVER:
                del self._open[id]
            else:
                heapq.heappush(self._due, (known, self.asked, id, y))
        return low, high

    @property
    def state(self) -> dict:
        """Everything, for a checkpoint."""
        waiting = [list(row) for row in sorted(self._due)]
        numbers = {name: getattr(self, name) for name in _COUNTS} | {"quantile": self._quantile, "error": self._error}
        return numbers | {"open": [[id, *row] for id, row in self._open.items()], "due": waiting}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self._quantile, self._error = state["quantile"], state["error"]
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._open = {id: tuple(row) for id, *row in state["open"]}
        self._due = [tuple(row) for row in state["due"]]


def static(y, predictions, known, moment, coverage: float = 0.9, fitted: int = 500) -> np.ndarray:
    """Half width of an interval that is fitted once, on the first errors known, and never again: what most serve."""
    first = np.flatnonzero(np.isfinite(y))[:fitted]
    half = np.quantile(np.abs(np.asarray(y)[first] - np.asarray(predictions)[first]), coverage)
    begin = np.asarray(known)[first].max() if len(first) else NEVER
    return np.where(np.asarray(moment) > begin, half, np.nan)
