"""Bikes: how many will stand at a station six hours from now? A use case of one's own: copy it and change it.

make run-all USE_CASE=examples/bikes.py
"""

import numpy as np
import pandas as pd

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, column, moment
from rtml.sources.protocol import pieces
from rtml.sources.records import Records, schema_of
from rtml.usecases.lookahead import Lookahead

#: One event as the log keeps it: a count of the bikes at a station, every ten minutes, at all stations at once.
EVENT = np.dtype([("time", "<i8"), ("key", "<i4"), ("bikes", "<f8")])
STATIONS = ("north", "river", "station")

bikes = column("bikes")
FEATURES = [
    Feature("now", bikes, "bikes", "bikes at the station"),
    Feature("change_1h", bikes - bikes.lag(6), "bikes", "change over the last hour"),
    Feature("mean_1d", bikes.over("24h", "mean"), "bikes", "mean of the last day"),
    Feature("yesterday", bikes.lag(108), "bikes", "this time of the day yesterday, six hours ahead"),
    Feature("hour", moment() % 86_400 / 3600.0, "h", "hour of the day, UTC"),
]


class City:
    """Twenty days of three stations, seeded: a daily wave, noise, and a new bus line that turns one of them around."""

    symbols, schema = STATIONS, schema_of(EVENT)

    def __init__(self, seed: int = 7, days: int = 20) -> None:
        self.name, self.rows = f"city:seed={seed}", days * 144 * len(STATIONS)
        self._random, self._days = np.random.default_rng(seed), days

    def chunks(self, n: int = 50_000):
        """Raw rows in order of time."""
        step = np.arange(self._days * 144)
        time = 1_735_689_600 * 10**9 + step * 600 * 10**9
        parts = []
        for place, station in enumerate(STATIONS):
            turned = np.where((place == 1) & (step > step.size // 2), -1.0, 1.0)
            wave = turned * 8 * np.sin(2 * np.pi * (step / 144 + place / 3))
            drift = np.cumsum(self._random.normal(0, 0.3, step.size))
            counted = np.clip(np.round(20 + wave + drift - drift.mean()), 0, 60)
            parts.append(pd.DataFrame({"time": time, "key": station, "bikes": counted}))
        table = pd.concat(parts).sort_values("time", kind="stable").reset_index(drop=True)
        yield from pieces(table, n)


def source(name: str = "", *, symbols=(), columns=None, seed: int = 7, **_):
    """The seeded city, or a recording: any table with the columns time, key and bikes."""
    return Records(name, EVENT, symbols, columns) if name else City(seed)


use_case = UseCase(
    name="bikes",
    question="How many bikes will stand at {key} in {horizon}?",
    event=EVENT,
    operator=lambda config: Lookahead(FEATURES, ["bikes"], "bikes", config.options["horizon"], len(config.keys)),
    targets=(
        Target("bikes", "number", unit="bikes"),
        Target("empty", "probability", of=lambda y: np.where(np.isnan(y), np.nan, y < 5)),
    ),
    models={"bikes": "rls", "empty": "recursive_logistic"},
    options={"horizon": "6h"},
    keys=STATIONS,
    source=source,
)
