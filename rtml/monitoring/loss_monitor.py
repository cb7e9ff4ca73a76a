"""The losses of one target as its answers come: the usual one, when it rises, by how much, along which features."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from rtml.core.state import Stateful
from rtml.monitoring.drift.change import Adwin
from rtml.monitoring.drift.reference import Bins
from rtml.monitoring.impact import Effects

_CERTAIN = 3.0  # standard deviations by which the errors must lean on a feature before it is called a cause
FEWEST, ENOUGH = 20, 50  # answers by which a rise that is certain is measured, and one that is not


class Losses(Stateful):
    """Squared errors (of a probability: Brier) against those of the first ``reference`` answers.

    Parameters
    ----------
    column
        Which of the columns of bins holds the target's own predictions; those of other targets are left out.
    features
        How many of the first columns are features.
    """

    kept = ("_codes", "_rest", "_number", "_lean", "_seen", "usual", "_scale", "_detector")

    def __init__(self, features: int, column: int, reference: int, window: int, delta: float) -> None:
        self._columns = np.array([*range(features), column])
        self._reference, self._window = reference, window
        self._detector = Adwin(delta)
        d = len(self._columns)
        self._codes, self._rest = np.zeros((reference, d), dtype=np.uint8), np.zeros((reference, 2))
        self._number = np.zeros(reference, dtype=np.int64)
        self._seen, self.usual = 0, float("nan")
        self._scale = 0.0
        self.effects: Effects | None = None
        self._lean = np.zeros(d - 1)  # mean of error times score, in the reference

    def push(self, bins: Bins, codes: np.ndarray, number: np.ndarray, p: np.ndarray, y: np.ndarray) -> Iterator[int]:
        """Take answers in order; yield the place of each at which the loss is found to have risen."""
        start = 0 if self.settled else min(self._reference - self._seen, len(y))
        if start:
            self._keep(codes[:start], number[:start], p[:start], y[:start])
            if self._seen == self._reference:
                self._settle(bins)
        for alarm in self._detector.push(self._bounded(y[start:] - p[start:])) + start if start < len(y) else ():
            rows = slice(start, int(alarm) + 1)
            self._keep(codes[rows], number[rows], p[rows], y[rows])
            start = rows.stop
            yield int(alarm)
        self._keep(codes[start:], number[start:], p[start:], y[start:])

    @property
    def settled(self) -> bool:
        """Whether the reference is full."""
        return self.effects is not None

    def estimated(self, window: np.ndarray) -> np.ndarray:
        """Expected change of the mean loss where columns lie like this; one per feature, the predictions' last."""
        return self.effects.change(window[self._columns])

    def risen(self) -> tuple[float, int]:
        """Rise of the mean loss above the usual, and over how many of the last answers: those it is surest of."""
        loss = self._window_rows()[0][::-1] ** 2
        n = np.arange(1, len(loss) + 1)
        above = np.cumsum(loss) / n - self.usual
        surest = int((above * np.sqrt(n))[FEWEST - 1 :].argmax()) + FEWEST - 1
        return float(above[surest]), surest + 1

    def since(self, number: int) -> tuple[float, int]:
        """The same over those answers of the window whose question has this number or a later one; NaN of few."""
        rest, numbers, _ = self._window_rows()
        loss = rest[numbers >= number] ** 2
        return (float(loss.mean() - self.usual) if len(loss) >= ENOUGH else float("nan")), len(loss)

    def causes(self, bins: Bins, n: int) -> np.ndarray:
        """How much of the loss of the last ``n`` answers each feature's law makes, as shares; 0 of those not certain.

        Where the law of an answer changes along a feature, errors begin to lean on it: the mean of error times score
        leaves what it was. A regression of the errors on all scores shares this out, so that a feature is not blamed
        for another that happens to go with it; what a feature accounts for is what following its new law would save.
        """
        error, _, codes = (rows[-n:] for rows in self._window_rows())
        z = self._scores(bins, codes)
        moved = (z * error).mean(axis=1) - self._lean
        inverse = np.linalg.inv(z @ z.T / n + 0.05 * np.eye(len(z)))
        weight = inverse @ moved
        doubt = np.sqrt(np.diag(inverse) * (error**2).mean() * (1 / n + 1 / self._reference))
        saved = np.where(np.abs(weight) > _CERTAIN * doubt, np.maximum(weight * moved, 0.0), 0.0)
        return saved / saved.sum() if saved.any() else saved

    @property
    def state(self) -> dict:
        """Everything the next answer depends on."""
        effects = self.effects
        return super().state | {"effects": effects and {"table": effects.table.copy(), "usual": effects.usual.copy()}}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        super().load(state)
        self.effects = state["effects"] and Effects(**state["effects"])

    def _keep(self, codes, number, p, y) -> None:
        n = len(y)
        size = len(self._rest)
        error = y - p
        last = slice(max(n - size, 0), None)
        place = (np.arange(self._seen, self._seen + n) % size)[last]
        if self.settled:  # the usual loss follows those that leave the window, so that a model that learns is known
            left = self._rest[place, 0] if n <= size else np.concatenate([self._window_rows()[0], error])[:n]
            for loss in (left**2).tolist():
                self.usual += (loss - self.usual) / self._reference
        self._codes[place], self._number[place] = codes[last][:, self._columns], number[last]
        self._rest[place, 0], self._rest[place, 1] = error[last], p[last]
        self._seen += n

    def _bounded(self, error: np.ndarray) -> np.ndarray:
        """Squared errors between 0 and 1: as they are of a probability, else against the usual one."""
        loss = error**2
        return loss / (loss + self._scale) if self._scale else np.minimum(loss, 1.0)

    def _settle(self, bins: Bins) -> None:
        """The reference is full: see what is usual, then keep a window."""
        own = Bins(bins.edges[self._columns], bins.shares[self._columns])
        error, predicted = self._rest.T
        self.usual = float((error**2).mean())
        answers = error + predicted
        self._scale = 0.0 if np.isin(answers.round(9), (0.0, 1.0)).all() else max(self.usual, 1e-300)
        self.effects = Effects.fitted(self._codes, error**2, own.shares)
        self._lean = (self._scores(bins, self._codes) * error).mean(axis=1)
        self._detector.push(self._bounded(error))
        last = slice(self._reference - self._window, None)
        self._codes = self._codes[last]
        self._rest = self._rest[last]
        self._number = self._number[last]
        self._seen = self._window

    def _window_rows(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Errors, numbers and codes of the window, the oldest first."""
        order = (np.arange(len(self._rest)) + self._seen) % len(self._rest)
        return self._rest[order, 0], self._number[order], self._codes[order]

    def _scores(self, bins: Bins, codes: np.ndarray) -> np.ndarray:
        """Normal scores of the features, a row each."""
        return np.take_along_axis(bins.scores[self._columns[:-1]], codes[:, :-1].T.astype(np.int64), axis=1)
