"""Pumps: which reading is strange? Anomalies without labels, scored when the mechanic has been there two days later.

make run-all USE_CASE=examples/pumps.py
"""

import numpy as np
import pandas as pd

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, column
from rtml.sources.protocol import pieces
from rtml.sources.records import Records, schema_of
from rtml.usecases.lookahead import Lookahead

#: One event: a reading of a pump every half hour. ``found`` is what the mechanic says of the reading two days before.
EVENT = np.dtype([("time", "<i8"), ("vibration", "<f8"), ("heat", "<f8"), ("found", "<f8")])
DELAY = 96  # readings until the mechanic has been there: two days

vibration, heat = column("vibration"), column("heat")
FEATURES = [
    Feature("vibration", vibration - vibration.over("24h", "mean"), "mm/s", "against the mean of the day"),
    Feature("heat", heat - heat.over("24h", "mean"), "C", "against the mean of the day"),
    Feature("jump", (vibration - vibration.lag(1)).abs(), "mm/s", "change since the reading before"),
]


class Plant:
    """Sixty days of a seeded pump; one reading in sixty is a fault that shows in vibration and heat together."""

    symbols, schema = ("",), schema_of(EVENT)

    def __init__(self, seed: int = 7, days: int = 60) -> None:
        self.name, self.rows = f"plant:seed={seed}", days * 48
        self._random, self._days = np.random.default_rng(seed), days

    def chunks(self, n: int = 50_000):
        """Raw rows in order of time."""
        r, half_hour = self._random, np.arange(self._days * 48)
        fault = r.random(len(half_hour)) < 1 / 60
        shake = 2 + 0.3 * np.sin(2 * np.pi * half_hour / 48) + r.normal(0, 0.2, len(half_hour)) + fault * 1.5
        warm = 40 + 5 * np.sin(2 * np.pi * half_hour / 48) + r.normal(0, 1, len(half_hour)) + fault * 6
        found = np.concatenate([np.full(DELAY, np.nan), fault[:-DELAY].astype(float)])
        time = 1_735_689_600 * 10**9 + half_hour * 1800 * 10**9
        table = pd.DataFrame({"time": time, "vibration": shake, "heat": warm, "found": found})
        yield from pieces(table, n)


def source(name: str = "", *, symbols=(), columns=None, seed: int = 7, **_):
    """The seeded pump, or a recording with the columns time, vibration, heat and found."""
    return Records(name, EVENT, symbols, columns) if name else Plant(seed)


use_case = UseCase(
    name="pumps",
    question="Is this reading of the pump strange?",
    event=EVENT,
    operator=lambda config: Lookahead(FEATURES, ["vibration", "heat"], "found", "48h"),
    targets=(Target("strange", "anomaly"),),
    models={"strange": "half_space_trees"},
    source=source,
)
