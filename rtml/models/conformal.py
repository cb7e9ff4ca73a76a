"""Conformal intervals: how far around a prediction the truth will lie, steered by every answer so that it holds."""

from __future__ import annotations

import heapq

import numpy as np

from rtml.core.clock import NEVER
from rtml.core.questions import Questions

_COUNTS = ("asked", "answered", "judged", "hits")
_START = 2.0  # of the half width, in mean absolute errors: nine in ten of normal errors
_POWERS, _MEMORIES = (0.0, 0.5, 1.0), (1, 4)  # of the scale; of the error, in multiples of the memory
_ENOUGH, _SCORED = 30, 500  # answers before a scale is believed, and those that its score remembers


class _Widths:
    """Half widths that compete: one a power of the scale given and a memory, each steered by every answer."""

    def __init__(self, coverage: float, rate: float, memory: int) -> None:
        self.coverage, self.rate = coverage, rate
        self.power = np.repeat(_POWERS, len(_MEMORIES))
        self.memory = np.tile(_MEMORIES, len(_POWERS)) * float(memory)
        self.answered = 0
        self.quantile = np.full(len(self.power), _START)
        self.error = np.zeros(len(self.power))
        self.score = np.zeros(len(self.power))

    def halves(self, scale: float) -> np.ndarray:
        """Half width of every candidate; infinite before the first answer."""
        return self.quantile * self.error * scale**self.power if self.answered else np.full(len(self.power), np.inf)

    @property
    def best(self) -> int:
        """The candidate whose intervals scored best lately; the first, without scale, until there are enough."""
        return int(np.argmin(self.score)) if self.answered > _ENOUGH else 0

    def learn(self, miss: float, scale: float, halves: np.ndarray) -> None:
        """Steer every candidate, and score it: its width, and ``2 / (1 - coverage)`` for what lay beyond."""
        if np.isfinite(halves[0]):
            hit = miss <= halves
            self.quantile = np.maximum(self.quantile + self.rate * (self.coverage - hit), 0.0)
            score = 2.0 * halves + 2.0 / (1.0 - self.coverage) * np.maximum(miss - halves, 0.0)
            self.score += (score - self.score) * max(1.0 / self.answered, 1.0 / _SCORED)
        self.answered += 1
        self.error += (miss / scale**self.power - self.error) * np.maximum(1.0 / self.answered, 1.0 / self.memory)

    @property
    def state(self) -> list:
        return [self.answered, self.quantile.tolist(), self.error.tolist(), self.score.tolist()]

    def load(self, state: list) -> None:
        self.answered = state[0]
        self.quantile, self.error, self.score = (np.array(part, float) for part in state[1:])


class Conformal:
    """An interval around each prediction of any model that holds a share ``coverage`` of the truths, through drift too.

    The half width is ``quantile * error * scale ** power``: a mean absolute error with a short memory follows changes
    of variance, and the quantile is moved by every answer, up by ``rate * coverage`` after a miss and down by
    ``rate * (1 - coverage)`` after a hit (Gibbs and Candès, "Adaptive conformal inference under distribution shift",
    2021; Angelopoulos, Candès and Tibshirani, "Conformal PID control for time series prediction", 2023). So the share
    of hits comes to ``coverage`` whatever the stream does; no distribution is assumed. An answer counts when it is
    known: with answers that wait for hundreds of questions the share still holds over all, but not right after a jump.

    How far the scale is believed (power 0, a half or 1) and how long the error remembers is chosen by the interval
    score of late (Gneiting and Raftery, "Strictly proper scoring rules, prediction, and estimation", 2007): a predicted
    size of the move that only widens the intervals is left out. Every key has widths of its own.

    Parameters
    ----------
    coverage
        Share of truths that the interval shall hold, in (0, 1).
    rate
        How far one answer moves the quantile, in mean absolute errors.
    memory
        How many answers the mean absolute error remembers, at least.

    Examples
    --------
    >>> intervals = Conformal(coverage=0.9)
    >>> for i in range(400):
    ...     low, high = intervals.ask(i, prediction=0.0)
    ...     hit = intervals.answer(i, y=float(i % 20))
    >>> bool(low < -15 and 15 < high), 0.88 < intervals.share < 0.92
    (True, True)
    """

    def __init__(self, coverage: float = 0.9, rate: float = 0.1, memory: int = 30) -> None:
        if not 0 < coverage < 1:
            raise ValueError(f"the coverage must lie between 0 and 1, got {coverage}: 0.9 holds nine in ten")
        if rate <= 0 or memory < 1:
            raise ValueError(f"rate and memory must be positive, got {rate} and {memory}")
        self.coverage = coverage
        self.rate = rate
        self.memory = memory
        self.asked = self.answered = self.judged = self.hits = 0
        self._widths: dict[str, _Widths] = {}
        self._open: dict[int, tuple[float, float, np.ndarray, float, str]] = {}  # prediction, half, halves, scale, key
        self._due: list[tuple[int, int, int, float]] = []  # known, order, id, y

    @property
    def share(self) -> float:
        """Share of truths that lay within a bounded interval, so far; NaN before the first."""
        return self.hits / self.judged if self.judged else float("nan")

    def ask(self, id: int, prediction: float, scale: float = 1.0, key: str = "") -> tuple[float, float]:
        """Interval around a prediction; ``scale`` says how uncertain this one is beside others, where that is known.

        Before the first answer nothing is known, and the interval is the whole line.
        """
        scale, widths = max(float(scale), 1e-12), self._of(key)
        halves = widths.halves(scale)
        half = float(halves[widths.best])
        self._open[int(id)] = (float(prediction), half, halves, scale, key)
        self.asked += 1
        return prediction - half, prediction + half

    def answer(self, id: int, y: float) -> bool:
        """Learn the answer of a question asked before; whether it lay within. NaN closes it and teaches nothing."""
        if int(id) not in self._open:
            raise LookupError(f"question {id} has no open interval: it was never asked, or was answered before")
        prediction, half, halves, scale, key = self._open.pop(int(id))
        if y != y:
            return False
        miss = abs(y - prediction)
        hit = bool(miss <= half)
        if half < np.inf:
            self.judged, self.hits = self.judged + 1, self.hits + hit
        self.answered += 1
        self._of(key).learn(miss, scale, halves)
        return hit

    def replay(self, questions: Questions, predictions, scale=None, key=None) -> tuple[np.ndarray, np.ndarray]:
        """Intervals of a chunk of questions, every answer learned once it is known; any cutting gives the same bits.

        ``scale`` and ``key`` have one value a question, where there are some.
        """
        low, high = np.empty(len(questions)), np.empty(len(questions))
        scales = np.ones(len(questions)) if scale is None else np.asarray(scale, float)
        keys = [""] * len(questions) if key is None else [str(k) for k in key]
        columns = (questions.id, questions.moment, questions.known, questions.y, np.asarray(predictions), scales)
        rows = zip(*(c.tolist() for c in columns), keys, strict=True)
        for i, (id, moment, known, y, p, s, k) in enumerate(rows):
            while self._due and self._due[0][0] < moment:
                self.answer(*heapq.heappop(self._due)[2:])
            low[i], high[i] = self.ask(id, p, s, k)
            if known == NEVER:
                del self._open[id]
            else:
                heapq.heappush(self._due, (known, self.asked, id, y))
        return low, high

    @property
    def state(self) -> dict:
        """Everything, for a checkpoint."""
        waiting = [list(row) for row in sorted(self._due)]
        head = {name: getattr(self, name) for name in _COUNTS} | {"due": waiting}
        asked = [[id, p, half, halves.tolist(), s, key] for id, (p, half, halves, s, key) in self._open.items()]
        return head | {"open": asked, "widths": {key: widths.state for key, widths in self._widths.items()}}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        for name in _COUNTS:
            setattr(self, name, state[name])
        self._open = {id: (p, half, np.array(halves), s, key) for id, p, half, halves, s, key in state["open"]}
        self._due = [tuple(row) for row in state["due"]]
        self._widths = {}
        for key, widths in state["widths"].items():
            self._of(key).load(widths)

    def _of(self, key: str) -> _Widths:
        if key not in self._widths:
            self._widths[key] = _Widths(self.coverage, self.rate, self.memory)
        return self._widths[key]


def static(y, predictions, known, moment, coverage: float = 0.9, fitted: int = 500) -> np.ndarray:
    """Half width of an interval that is fitted once, on the first errors known, and never again: what most serve.

    Examples
    --------
    >>> y = np.array([1.0, -2.0, 3.0, 1.0])
    >>> static(y, np.zeros(4), known=[1, 2, 3, 4], moment=[0, 1, 2, 3], coverage=1.0, fitted=2).tolist()
    [nan, nan, nan, 2.0]
    """
    first = np.flatnonzero(np.isfinite(y))[:fitted]
    half = np.quantile(np.abs(np.asarray(y)[first] - np.asarray(predictions)[first]), coverage)
    begin = np.asarray(known)[first].max() if len(first) else NEVER
    return np.where(np.asarray(moment) > begin, half, np.nan)
