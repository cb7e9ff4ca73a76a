"""An operator for answers that come when they come: a later row with the id of the row that asked brings the answer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from rtml.core.clock import span, utc
from rtml.core.operator import Asked, Leak
from rtml.features.feature_set import Feature
from rtml.usecases.lookahead import Lookahead


class ById(Lookahead):
    """Rows without an answer ask; a row with one answers the question of its id, and asks nothing.

    An order and its delivery, a message and its report, a loan and its end: two events, one ``id``. An id may ask again
    while it waits: one answer is for all its questions. The first answer counts; one of an id that never asked, or that
    was given up, changes nothing.

    Parameters
    ----------
    features
        Declared on the columns, over windows of each key; a row that answers is not in them.
    columns
        Fields of an event that the features see.
    of
        The field that is predicted: NaN in a row that asks.
    timeout
        How long a question waits for its answer; it is given up then, and stays without.
    keys
        How many keys are asked for, see :class:`Lookahead`.

    Examples
    --------
    >>> from rtml.features.feature_set import column
    >>> event = np.dtype([("time", "<i8"), ("id", "<i8"), ("km", "<f8"), ("minutes", "<f8")])
    >>> operator = ById([Feature("km", column("km"), "km", "how far")], ["km"], of="minutes")
    >>> minute, nan = 60 * 10**9, np.nan
    >>> ordered = [(0, 7, 2.0, nan), (minute, 8, 5.0, nan)]
    >>> asked = operator.push(np.array([*ordered, (9 * minute, 7, nan, 9.0), (10 * minute, 9, 1.0, nan)], event))
    >>> asked.X.ravel().tolist(), asked.answered.tolist(), asked.y.tolist()
    ([2.0, 5.0, 1.0], [0], [9.0])
    """

    def __init__(
        self, features: Sequence[Feature], columns: Sequence[str], of: str, timeout: str = "30d", keys: int = 1
    ) -> None:
        super().__init__(features, columns, of, timeout, keys)
        self.horizon, self._timeout = 0, span(timeout)

    def _asks(self, events: np.ndarray) -> np.ndarray:
        return np.isnan(events[self._of])

    def _waits_by(self, events: np.ndarray, key: np.ndarray) -> np.ndarray:
        return events["id"].astype(np.int64)

    def _answered(self, k: int, at: int, now: float) -> list[tuple]:
        while self._open:
            oldest, waiting = next(iter(self._open.items()))
            if waiting[0][0] + self._timeout >= at:
                break
            del self._open[oldest]
        if now != now:
            return []
        return [(asked, now, max(at, then + 1)) for then, asked, _ in self._open.pop(k, ())]  # known behind its moment

    def check(self, asked: Asked) -> str:
        """Recompute that no answer was known at its question or before, and none after it was given up."""
        place = {id: i for i, id in enumerate(asked.id.tolist())}
        for id, known in zip(asked.answered.tolist(), asked.known.tolist(), strict=True):
            at = int(asked.moment[place[id]])
            if not at <= known <= at + self._timeout:
                raise Leak(
                    f"the answer of {utc(at)} is known at {utc(known)}: not within {self._timeout / 1e9:g} s of it"
                )
        return f"{len(asked.answered):,} answers"
