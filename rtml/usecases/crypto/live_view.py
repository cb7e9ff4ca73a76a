"""The bulletin: every closed bar as one message to the open pages, with its prediction and the answer that it gave."""

from __future__ import annotations

from collections.abc import Callable
from math import inf, isfinite

import numpy as np

from rtml.core.clock import Clock
from rtml.metrics.running import Score
from rtml.models.conformal import Conformal
from rtml.serving.service import Service
from rtml.training.flow import Outcome
from rtml.usecases.crypto.bars import BAR

COVERAGE = 0.9  # share of truths that the interval around a prediction shall hold
_MS = 10**6
_LEAST_BP = 0.01  # a volatility that is predicted below is taken for this


class LiveView:
    """Tells a service of bars: from a flow's outcome while it learns, or from the journal of another process.

    Both ways tell the same of the same bar. A bar is told once: what comes again after a crash is known already.
    The interval around a prediction is a :class:`rtml.models.conformal.Conformal` one, scaled by the volatility
    model: every answer steers it so that nine in ten truths lie within; there is none before the first answers.

    Parameters
    ----------
    service
        Gets the newest features, and the messages on its stream.
    symbol, horizon
        What is predicted, and how far ahead, ns.
    live
        Whether event time is the wall clock's, so that a bar's lag means something.
    """

    def __init__(self, service: Service, symbol: str, horizon: int, *, live: bool) -> None:
        self._service, self._symbol, self._horizon, self._live = service, symbol, horizon, live
        self._clock, self.observe = Clock(), _nothing  #: is told each latency in seconds
        self._score, self._moved, self._asked = Score(), 0.0, 0  # the sum of |y|: what no change would have missed by
        self._open: dict[int, float] = {}  # predictions that wait for their answer
        self._conformal = Conformal(COVERAGE)
        self.end, self.bars, self.lag_s = 0, 0, None
        self.newest: tuple | None = None  # moment, features, close

    def outcome(self, outcome: Outcome, arrived: int | None = None) -> None:
        """Tell of the bars that a chunk closed; ``arrived`` is when its first event came in (``Clock.elapsed``, ns)."""
        place = {at: i for i, at in enumerate(outcome.moment.tolist())}
        known, asked_at, returns = outcome.known.tolist(), outcome.answered.tolist(), outcome.y.tolist()
        answers = {end: (asked, y) for end, asked, y in zip(known, asked_at, returns, strict=True)}
        for bar in outcome.bars[:, 0]:
            end = int(bar["end"])
            i = place.get(end)
            said = {} if i is None else {name: float(p[i]) for name, p in outcome.predictions.items()}
            asked, y = answers.get(end, (None, None))
            answer = (y, self._open.get(asked)) if asked in self._open else None
            self.tell(bar, None if i is None else outcome.X[i], said, answer, arrived)

    def rows(self, rows: list[tuple], quiet: Callable[[int], bool] = lambda end: False) -> None:
        """Tell of bars that a ``CheckpointReader`` gives; of ``quiet`` ones only the score is kept."""
        for end, record, x, *said, y, predicted, known in rows:
            bar = np.frombuffer(record, BAR)[0]
            names = ("return", "sign", "volatility")
            predictions = {name: p for name, p in zip(names, said, strict=True) if p is not None}
            answer = None if known is None else (np.nan if y is None else y, predicted)
            features = None if x is None else np.frombuffer(x)
            self.tell(bar, features, predictions, answer, None, silent=quiet(end))

    def tell(self, bar: np.void, x, said: dict[str, float], answer, arrived: int | None, silent: bool = False) -> None:
        """Tell of one bar, unless it is known."""
        end = int(bar["end"])
        if end <= self.end:
            return
        self.end, self.bars = end, self.bars + 1
        interval = self._interval(end, said, answer)
        if answer is not None:
            self._open.pop(end - self._horizon, None)
            if isfinite(answer[0]):
                self._score.update(*answer)
                self._moved += abs(answer[0])
        if "return" in said:
            self._open[end] = said["return"]
            self._asked += 1
        if x is not None:
            self.newest = (end, x, float(bar["close"]))
        if not silent:
            self._publish(bar, said, interval, answer or (None, None), arrived)
            self.offer()

    def _interval(self, end: int, said: dict[str, float], answer) -> tuple[float, float]:
        """Interval around what is said now; then what is answered now steers the next one."""
        low, high = -inf, inf
        if "return" in said:
            low, high = self._conformal.ask(end, said["return"], max(said.get("volatility", 1.0), _LEAST_BP))
        if answer is not None and end - self._horizon in self._open:
            self._conformal.tell(end - self._horizon, answer[0])
        return low, high

    def offer(self) -> None:
        """Hand the newest features to the service; again when it has got its first version."""
        snapshot = self._service.snapshot
        if self.newest is not None:
            if hasattr(self._service.clock, "tell"):
                self._service.clock.tell(self.newest[0])
            if snapshot is not None and len(snapshot.names) == len(self.newest[1]):
                self._service.update_features(self._symbol, *self.newest)

    def score(self) -> dict[str, float | int | None]:
        """How good the predictions were so far, beside the baseline of no change."""
        score = self._score.get()
        figures, answered = {name: score[name] for name in ("r2_zero", "mae", "hit_rate")}, score["answered"]
        figures["mae_zero"] = self._moved / answered if answered else np.nan
        figures["coverage"] = answered / self._asked if self._asked else np.nan
        return plain(figures) | {"answered": answered, "asked": self._asked}

    def _publish(self, bar: np.void, said: dict[str, float], interval: tuple, answer: tuple, arrived) -> None:
        at, snapshot, end = said.get("return"), self._service.snapshot, int(bar["end"])
        self.lag_s = (self._clock.now() - end) / 1e9 if self._live else None
        latency_ms = None if arrived is None else (self._clock.elapsed() - arrived) / _MS
        figures = {name: float(bar[name]) for name in ("open", "high", "low", "close", "volume")}
        figures |= {"prediction_bp": at, "low_bp": interval[0], "high_bp": interval[1], "p_up": said.get("sign")}
        figures |= {"y_bp": answer[0], "predicted_bp": answer[1], "lag_s": self.lag_s, "latency_ms": latency_ms}
        about = {"end": end // _MS, "symbol": self._symbol, "n": int(bar["n"]), "score": self.score()}
        about |= {"empty": bool(bar["empty"]), "complete": bool(bar["complete"])}
        about["version"] = snapshot.version if snapshot else ""
        self._service.stream.publish(end // _MS, "bar", about | plain(figures))
        if arrived is not None and at is not None:
            self.observe((self._clock.elapsed() - arrived) / 1e9)


def _nothing(seconds: float) -> None:
    """Nobody counts latencies."""


def plain(figures: dict[str, float | None]) -> dict[str, float | None]:
    """Figures as JSON has them: what is no number is None.

    Examples
    --------
    >>> plain({"mae": float("nan"), "p_up": 0.5, "y_bp": None})
    {'mae': None, 'p_up': 0.5, 'y_bp': None}
    """
    return {name: None if value is None or not isfinite(value) else float(value) for name, value in figures.items()}
