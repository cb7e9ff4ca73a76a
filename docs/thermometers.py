"""Thermometers: how much warmer will it be in ten minutes? A use case of its own in one file: copy it and change it."""

from __future__ import annotations

import heapq

import numpy as np

from rtml.core.clock import span, utc
from rtml.core.operator import NOTHING, Asked, Leak
from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, FeatureSet, column

#: One event as the log keeps it. Every event needs a time, ns UTC.
EVENT = np.dtype([("time", "<i8"), ("sensor", "<i8"), ("celsius", "<f8")])

FEATURES = [
    Feature("now", column("celsius"), "C", "the reading"),
    Feature("step", column("celsius") - column("celsius").lag(1), "C", "since the reading before"),
    Feature(
        "mean_10m", column("celsius") - column("celsius").over("10m", "mean"), "C", "against the mean of 10 minutes"
    ),
    Feature("mean_1h", column("celsius") - column("celsius").over("1h", "mean"), "C", "against the mean of an hour"),
]


class Thermometers:
    """Readings in; each asks, and answers the questions of its sensor that are a horizon old."""

    def __init__(self, horizon: str) -> None:
        self.features, self.horizon = FeatureSet(FEATURES, ["celsius"]), span(horizon)
        self._asked, self._clock = 0, 0
        self._open: dict[int, list] = {}  # sensor: moment, id, reading of every question that waits
        self._held: list = []  # answers of the newest moment: they leave once time has passed

    def push(self, events: np.ndarray) -> Asked:
        """Take readings in order of arrival; one that comes late is taken when it came."""
        time = np.maximum.accumulate(np.maximum(events["time"], self._clock))
        X = self.features.push(time, events["celsius"][:, None], events["sensor"])
        id, answers = self._asked + np.arange(len(events)), []
        for i, at, sensor, celsius in zip(id.tolist(), time.tolist(), *_columns(events), strict=True):
            if at > self._clock:  # time has passed: what was known before may be learned
                answers += self._held
                self._held, self._clock = [], at
            waiting = self._open.setdefault(sensor, [])
            while waiting and waiting[0][0] + self.horizon <= at:
                _, asked, then = heapq.heappop(waiting)
                self._held.append((asked, celsius - then, at))
            heapq.heappush(waiting, (at, i, celsius))
        self._asked += len(events)
        answered, y, known = (np.array(c) for c in zip(*answers, strict=True)) if answers else ((), (), ())
        ids, when = np.asarray(answered, np.int64), np.asarray(known, np.int64)
        return Asked(NOTHING, id, time, X, ids, np.asarray(y, np.float64), when)

    def check(self, asked: Asked) -> str:
        """Recompute every answer from the readings that were asked with."""
        moment, now = dict(zip(asked.id.tolist(), asked.moment.tolist(), strict=True)), asked.X[:, 0]
        for id, y, known in zip(asked.answered.tolist(), asked.y.tolist(), asked.known.tolist(), strict=True):
            later = now[(asked.moment == known)] - now[id]
            if known < moment[id] + self.horizon or not np.isclose(later, y).any():
                raise Leak(f"the answer of {utc(moment[id])} is {y:.3g}, known at {utc(known)}: that is not what came")
        return f"{len(asked.answered):,} answers"

    @property
    def state(self) -> dict:
        """Everything the next reading depends on."""
        waiting = [[sensor, sorted(map(list, rows))] for sensor, rows in self._open.items()]
        held = [list(row) for row in self._held]
        return {"features": self.features.state, "asked": self._asked, "clock": self._clock} | {
            "open": waiting,
            "held": held,
        }

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self.features.load(state["features"])
        self._asked, self._clock = state["asked"], state["clock"]
        self._open = {sensor: [tuple(row) for row in rows] for sensor, rows in state["open"]}
        self._held = [tuple(row) for row in state["held"]]


use_case = UseCase(
    name="thermometers",
    question="How much warmer will it be in {horizon}?",
    event=EVENT,
    operator=lambda config: Thermometers(config.options["horizon"]),
    targets=(Target("warmer", "number", unit="C", change=True),),
    models={"warmer": "rls"},
    options={"horizon": "10m"},
)


def _columns(events: np.ndarray) -> tuple[list, list]:
    return events["sensor"].tolist(), events["celsius"].tolist()
