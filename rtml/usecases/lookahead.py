"""An operator for the commonest problem: every row asks what a column of its key will be some time later."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from operator import itemgetter

import numpy as np

from rtml.core.clock import span, utc
from rtml.core.operator import NOTHING, Asked, Leak
from rtml.features.feature_set import Feature, FeatureSet, column

KEY = "key_number"  # the last feature where there are several keys


class Lookahead:
    """Rows in; each asks, and answers the questions of its key that are a horizon old.

    Parameters
    ----------
    features
        Declared on the columns, over windows of each key.
    columns
        Fields of an event that the features see.
    of
        The field that is predicted.
    horizon
        How far ahead; the answer is the value of the first row of the key at or behind ``moment + horizon``, known
        when that row comes.
    keys
        How many keys are asked for; an event's field ``key`` is the place of its own. With several keys
        ``key_number`` is the last feature.
    change
        Whether the change since the question is predicted, instead of the value.

    Examples
    --------
    >>> event = np.dtype([("time", "<i8"), ("bikes", "<f8")])
    >>> operator = Lookahead([Feature("now", column("bikes"), "", "bikes now")], ["bikes"], of="bikes", horizon="1h")
    >>> hour = 3600 * 10**9
    >>> rows = np.array([(hour, 5.0), (2 * hour, 7.0), (3 * hour, 4.0)], event)
    >>> asked = operator.push(rows)
    >>> asked.X.ravel().tolist(), asked.answered.tolist(), asked.y.tolist()
    ([5.0, 7.0, 4.0], [0], [7.0])
    """

    def __init__(
        self,
        features: Sequence[Feature],
        columns: Sequence[str],
        of: str,
        horizon: str,
        keys: int = 1,
        change: bool = False,
    ) -> None:
        declared, names = list(features), list(columns)
        if keys > 1:
            declared.append(Feature(KEY, column(KEY), "place", "which of the run's keys is asked for"))
            names.append(KEY)
        self.features = FeatureSet(declared, names)
        self.horizon = span(horizon)
        self.keys = keys
        self._columns = list(columns)
        self._of = of
        self._change = change
        self._asked = self._clock = 0
        self._open: dict[int, deque] = {}  # key: moment, id and value of every question that waits
        self._held: list = []  # answers of the newest moment: they leave once time has passed

    def push(self, events: np.ndarray) -> Asked:
        """Take rows in order of arrival; one that comes late is taken when it came."""
        time = np.maximum.accumulate(np.maximum(events["time"], self._clock))
        key = events["key"].astype(np.int64) if "key" in events.dtype.names else np.zeros(len(events), np.int64)
        rows = np.column_stack([np.asarray(events[name], np.float64) for name in self._columns])
        rows = np.column_stack([rows, key]) if self.keys > 1 else rows
        value, asks, of = events[self._of].astype(np.float64), self._asks(events), self._waits_by(events, key)
        X = self.features.push(time[asks], np.ascontiguousarray(rows[asks]), key[asks])
        id = self._asked + np.cumsum(asks) - 1  # of a row that asks nothing, whatever
        answers = []
        for at, k, i, now, ask in zip(*(part.tolist() for part in (time, of, id, value, asks)), strict=True):
            if at > self._clock:  # time has passed: what was known before may be learned
                answers += sorted(self._held, key=itemgetter(2))
                self._held, self._clock = [], at
            self._held += self._answered(k, at, now)
            if ask:
                self._open.setdefault(k, deque()).append((at, i, now))
        self._asked += int(asks.sum())
        answered, y, known = zip(*answers, strict=True) if answers else ((), (), ())
        columns = (np.array(answered, np.int64), np.array(y, np.float64), np.array(known, np.int64))
        return Asked(NOTHING, id[asks], time[asks], X, *columns, key[asks].astype(np.int32))

    def _asks(self, events: np.ndarray) -> np.ndarray:
        """Which rows ask a question, (rows,)."""
        return np.ones(len(events), bool)

    def _waits_by(self, events: np.ndarray, key: np.ndarray) -> np.ndarray:
        """What a question is found again by, and a row that answers it, (rows,): the key."""
        return key

    def _answered(self, k: int, at: int, now: float) -> list[tuple]:
        """Questions that a row answers, with their answers and when they are known."""
        found, waiting = [], self._open.get(k, ())
        while waiting and waiting[0][0] + self.horizon <= at:
            _, asked, then = waiting.popleft()
            found.append((asked, now - then if self._change else now, at))
        return found

    def check(self, asked: Asked) -> str:
        """Recompute when every answer was due: not before its horizon, at a row of its own key."""
        place = {id: i for i, id in enumerate(asked.id.tolist())}
        moments = [np.sort(asked.moment[asked.keys() == k]) for k in range(int(asked.keys().max(initial=0)) + 1)]
        for id, known in zip(asked.answered.tolist(), asked.known.tolist(), strict=True):
            at, k = int(asked.moment[place[id]]), int(asked.keys()[place[id]])
            due = moments[k][np.searchsorted(moments[k], at + self.horizon)]
            if known != due:
                raise Leak(f"the answer of {utc(at)} is known at {utc(known)}, but its row comes at {utc(int(due))}")
        return f"{len(asked.answered):,} answers"

    @property
    def state(self) -> dict:
        """Everything the next row depends on."""
        waiting = [[k, [list(row) for row in rows]] for k, rows in self._open.items()]
        held = [list(row) for row in self._held]
        counts = {"asked": self._asked, "clock": self._clock}
        return {"features": self.features.state, "open": waiting, "held": held} | counts

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self.features.load(state["features"])
        self._asked, self._clock = state["asked"], state["clock"]
        self._open = {k: deque(tuple(row) for row in rows) for k, rows in state["open"]}
        self._held = [tuple(row) for row in state["held"]]
