"""Weather: dry, rain or snow in three hours? A use case of one's own with three classes.

make run-all USE_CASE=examples/weather.py
"""

import numpy as np
import pandas as pd

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, column
from rtml.sources.protocol import pieces
from rtml.sources.records import Records, schema_of
from rtml.usecases.lookahead import Lookahead

#: One event: an observation, hourly. ``sky`` is the number of a class: 0 dry, 1 rain, 2 snow.
EVENT = np.dtype([("time", "<i8"), ("celsius", "<f8"), ("pressure", "<f8"), ("sky", "<i4")])
CLASSES = ("dry", "rain", "snow")

celsius, pressure, sky = column("celsius"), column("pressure"), column("sky")
FEATURES = [
    Feature("celsius", celsius, "C", "temperature"),
    Feature("pressure", pressure - 1013.0, "hPa", "pressure above the usual"),
    Feature("falling", pressure - pressure.lag(3), "hPa", "change of the pressure over three hours"),
    Feature("warmer", celsius - celsius.lag(3), "C", "change of the temperature over three hours"),
    Feature("wet_now", sky > 0.5, "0/1", "rain or snow now"),
    Feature("snow_now", sky > 1.5, "0/1", "snow now"),
]


class Station:
    """A year of a seeded station: pressure wanders, low pressure is wet, and what is wet below zero is snow."""

    symbols, schema = ("",), schema_of(EVENT)

    def __init__(self, seed: int = 7, days: int = 240) -> None:
        self.name, self.rows = f"station:seed={seed}", days * 24
        self._random, self._days = np.random.default_rng(seed), days

    def chunks(self, n: int = 50_000):
        """Raw rows in order of time."""
        hour, r = np.arange(self._days * 24), self._random
        wander = np.zeros(len(hour))
        for i in range(1, len(hour)):
            wander[i] = 0.985 * wander[i - 1] + r.normal(0, 1.6)
        temperature = 8 - 12 * np.cos(2 * np.pi * hour / (365 * 24)) + 4 * np.sin(2 * np.pi * hour / 24)
        temperature = temperature + r.normal(0, 1, len(hour))
        wet = wander + r.normal(0, 2, len(hour)) < -6
        seen = np.where(wet, np.where(temperature < 0, 2, 1), 0)
        time = 1_735_689_600 * 10**9 + hour * 3600 * 10**9
        table = pd.DataFrame({"time": time, "celsius": temperature, "pressure": 1013 + wander, "sky": seen})
        yield from pieces(table, n)


def source(name: str = "", *, symbols=(), columns=None, seed: int = 7, **_):
    """The seeded station, or a recording with the columns time, celsius, pressure and sky."""
    return Records(name, EVENT, symbols, columns) if name else Station(seed)


use_case = UseCase(
    name="weather",
    question="Dry, rain or snow in {horizon}?",
    event=EVENT,
    operator=lambda config: Lookahead(FEATURES, ["celsius", "pressure", "sky"], "sky", config.options["horizon"]),
    targets=(Target("sky", "classes", classes=CLASSES),),
    models={"sky": "blend_probability"},
    options={"horizon": "3h"},
    source=source,
)
