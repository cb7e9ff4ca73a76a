"""What a market adds to serving: candles on the page, and the price that a predicted return leads to."""

from __future__ import annotations

from math import exp, isfinite

import numpy as np

from rtml.serving.view import View, script
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.schema import TRADES

_FIELDS = ("open", "high", "low", "close", "volume")


class LiveView(View):
    """The view of a market: bars are what its operator closes, all symbols side by side.

    Examples
    --------
    >>> from rtml.usecases.crypto.bars import BAR
    >>> view = LiveView(RunConfig.of("crypto", ("ETH-USD",)))
    >>> bars = np.zeros(2, BAR)
    >>> bars["close"] = 2000.0
    >>> {name: round(value, 6) for name, value in view.extend({"return": {"value": 5.0}}, 0, bars).items()}
    {'close': 2000.0, 'price': 2001.00025}
    """

    panel = script(__file__, "panel.js")
    schema = TRADES

    def __init__(self, config: RunConfig) -> None:
        super().__init__(config)
        self._first = next((target.name for target in config.targets if target.name in config.models), "")

    def columns(self, closed: np.ndarray, key: int) -> dict[str, float | int | bool]:
        """The bar of a symbol."""
        bar = closed[key]
        figures = {name: float(bar[name]) for name in _FIELDS}
        return figures | {"n": int(bar["n"]), "empty": bool(bar["empty"]), "complete": bool(bar["complete"])}

    def extend(self, answer: dict[str, dict], key: int, closed: np.ndarray | None) -> dict:
        """The close that is known, and the price expected at the end of the horizon: returns are log returns, bp."""
        value = answer.get(self._first, {}).get("value")
        if closed is None or value is None or not isfinite(closed[key]["close"]):
            return {}
        close = float(closed[key]["close"])
        return {"close": close, "price": close * exp(min(value, 1e6) * 1e-4)}
