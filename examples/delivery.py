"""Delivery: in how many minutes will this order be there? The answer comes when it is, by the order's id.

make run-all USE_CASE=examples/delivery.py
"""

import numpy as np
import pandas as pd

from rtml.core.target import Target
from rtml.core.use_case import UseCase
from rtml.features.feature_set import Feature, column, moment
from rtml.sources.protocol import pieces
from rtml.sources.records import Records, schema_of
from rtml.usecases.by_id import ById

#: Two events an order: it is placed (``minutes`` is missing), and it is there (``minutes`` is what it took).
EVENT = np.dtype([("time", "<i8"), ("id", "<i8"), ("km", "<f8"), ("items", "<f8"), ("rain", "<f8"), ("minutes", "<f8")])
MINUTE = 60 * 10**9

km, items, rain = column("km"), column("items"), column("rain")
FEATURES = [
    Feature("km", km, "km", "distance to the door"),
    Feature("items", items, "count", "what has to be packed"),
    Feature("rain", rain, "0/1", "it rains"),
    Feature("wet_km", rain * km, "km", "distance in the rain"),
    Feature("orders_30m", km.over("30m", "count"), "count", "orders of the last half hour: how busy the kitchen is"),
    Feature("hour", moment() % 86_400 / 3600.0, "h", "hour of the day, UTC"),
    Feature("rush", (moment() % 86_400 / 3600.0 - 19.0).abs(), "h", "hours from seven in the evening"),
]


class Kitchen:
    """Thirty days of a seeded kitchen: rush hours, rain, and half way a second rider who halves the way."""

    symbols, schema = ("",), schema_of(EVENT)

    def __init__(self, seed: int = 7, days: int = 30, orders: int = 120) -> None:
        self.name, self.rows = f"kitchen:seed={seed}", 2 * days * orders
        self._random, self._days, self._orders = np.random.default_rng(seed), days, orders

    def chunks(self, n: int = 50_000):
        """Raw rows in order of time."""
        r, number = self._random, self._days * self._orders
        hour = np.clip(r.normal(19, 2.5, number), 11, 23)
        placed = np.sort(r.integers(0, self._days, number) * 24 + hour)
        far, packed = r.gamma(2, 1.2, number), 1 + r.poisson(2, number)
        wet = (np.sin(placed / 17) > 0.5).astype(float)
        busy = np.exp(-((placed % 24 - 19) ** 2) / 4)
        a_km = np.where(np.arange(number) > number // 2, 3.0, 6.0) * (1 + 0.4 * wet)
        took = np.maximum(3.0, 8 + 1.5 * packed + a_km * far + 12 * busy + r.normal(0, 3, number))
        time = 1_735_689_600 * 10**9 + (placed * 60).astype(np.int64) * MINUTE
        about = {"id": np.arange(number), "km": far, "items": packed, "rain": wet}
        asked = pd.DataFrame({"time": time, **about, "minutes": np.nan})
        there = asked.assign(time=time + (took * MINUTE).astype(np.int64), minutes=took)
        table = pd.concat([asked, there]).sort_values("time", kind="stable").reset_index(drop=True)
        yield from pieces(table, n)


def source(name: str = "", *, symbols=(), columns=None, seed: int = 7, **_):
    """The seeded kitchen, or a recording with the columns time, id, km, items, rain and minutes."""
    return Records(name, EVENT, symbols, columns) if name else Kitchen(seed)


use_case = UseCase(
    name="delivery",
    question="In how many minutes will this order be there?",
    event=EVENT,
    operator=lambda config: ById(FEATURES, ["km", "items", "rain"], "minutes", timeout="1d"),
    targets=(Target("minutes", "number", unit="min"),),
    models={"minutes": "blend"},
    source=source,
)
