"""Labels: the return from a bar's close to the close one horizon later, known when that later bar closes."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from math import isfinite

import numpy as np

from rtml.core.clock import span, span_text
from rtml.core.target import Target

#: What the label of a bar at ``horizon`` ahead is called.
RETURN = "return_{}"


def sign(y: np.ndarray) -> np.ndarray:
    """1 for a rise, 0 for a fall; NaN where the price did not move, or where the answer is unknown.

    Examples
    --------
    >>> sign(np.array([2.0, -1.0, 0.0, np.nan]))
    array([ 1.,  0., nan, nan])
    """
    return np.where((y == 0.0) | np.isnan(y), np.nan, (y > 0.0).astype(float))


def targets(options: Mapping) -> tuple[Target, ...]:
    """Return (bp), sign and size of the move over each horizon; the first horizon's bear no horizon in their name.

    Examples
    --------
    >>> [target.name for target in targets({"horizon": "10s,60s"})]
    ['return', 'sign', 'volatility', 'return_60s', 'sign_60s', 'volatility_60s']
    """
    found = []
    for place, horizon in enumerate(horizons(options["horizon"])):
        label, behind = RETURN.format(horizon), f"_{horizon}" if place else ""
        found += [
            Target(f"return{behind}", "number", unit="bp", change=True, label=label),
            Target(f"sign{behind}", "probability", of=sign, label=label),
            Target(f"volatility{behind}", "number", of=np.abs, unit="bp", label=label),
        ]
    return tuple(found)


def horizons(text: str) -> list[str]:
    """The horizons of an option such as ``"10s,60s"``.

    Examples
    --------
    >>> horizons("10s, 60s")
    ['10s', '60s']
    """
    return [part.strip() for part in text.split(",")]


#: One bar's close as a question sees it.
_PAST = np.dtype([("end", "<i8"), ("close", "<f8"), ("whole", "?"), ("asked", "?")])


class Labels:
    """Closes in, answers out: the answer of the question asked at ``t`` leaves at ``t + horizon``.

    A return over an incomplete bar is NaN: the question closes without a label and is counted, not guessed.

    Examples
    --------
    >>> labels = Labels(every="10s", horizon="10s")
    >>> s = 10**9
    >>> asked, y = labels.push(np.array([10, 20]) * s, np.array([100.0, 101.0]), np.array([True, True]))
    >>> asked // s, y.round(2)
    (array([10]), array([99.5]))
    """

    def __init__(self, every: str = "10s", horizon: str = "10s") -> None:
        self.horizon = span(horizon)
        steps, rest = divmod(self.horizon, span(every))
        if rest:
            raise ValueError(
                f"the horizon must be a whole number of bars, got {horizon} with bars of {every}: "
                f"try {span_text(max(1, steps) * span(every))}"
            )
        self.steps = steps
        self._past: deque[tuple] = deque()  # as ``_PAST``

    def push(self, end: np.ndarray, close: np.ndarray, whole: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Take closed bars of the target in order.

        Parameters
        ----------
        end, close, whole
            End (ns), close (NaN before the first trade: no question is asked there) and completeness, shape (n,).

        Returns
        -------
        asked, y
            Moments of the questions answered by these bars, and their returns in basis points.
        """
        past = self._past
        asked = []
        grown = []
        for at, price, complete in zip(end.tolist(), close.tolist(), whole.tolist(), strict=True):
            past.append((at, price, complete, isfinite(price)))
            if len(past) > self.steps:
                then, before, was_complete, was_asked = past.popleft()
                if was_asked:
                    asked.append(then)
                    grown.append(price / before if complete and was_complete else np.nan)
        return np.array(asked, np.int64), 1e4 * np.log(np.array(grown, np.float64))

    @property
    def state(self) -> dict:
        """The closes that wait for their answer."""
        return {"past": np.array(list(self._past), _PAST)}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self._past = deque(state["past"].tolist())
