"""Pace: a recording delivered as it happened, or faster."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np

from rtml.core.clock import Clock
from rtml.core.later import pd
from rtml.sources.columns import LATEST

_JUMP = 86400 * 10**9  # nobody waits longer for a row: a hole that the next row confirms is passed over


class Paced:
    """Rows of a recording when they are due: as many at once as have become due meanwhile.

    Examples
    --------
    >>> rows = pd.DataFrame({"time": [10**18, 10**18 + 10**6, 10**18 + 2 * 10**6]})
    >>> [len(piece) for piece in Paced(0, Clock(), threading.Event()).pieces(rows)]
    [3]
    >>> sum(len(piece) for piece in Paced(10.0, Clock(), threading.Event()).pieces(rows))
    3
    """

    def __init__(self, speed: float, clock: Clock, stop: threading.Event) -> None:
        if not 0 <= speed < 1e9:
            raise ValueError(f"speed must be 0 (as fast as possible) or more, got {speed}")
        self._speed = speed
        self._clock = clock
        self._stop = stop
        self._start: tuple[int, int] | None = None
        self._last = self._due = 0

    def pieces(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """The rows, cut where the time of the next one has not come; all at once when speed is 0."""
        if not len(rows):
            return
        if not self._speed:
            yield rows
            return
        times, done = moments(rows, self._last), 0
        step = np.diff(times, prepend=self._last or times[0])
        due_at = self._due + np.cumsum(np.where(step > _JUMP, 0, step))
        self._last, self._due = int(times[-1]), int(due_at[-1])
        self._start = self._start or (int(due_at[0]), self._clock.elapsed())
        while done < len(rows) and not self._stop.is_set():
            due = int(np.searchsorted(due_at, self._now(), side="right"))
            if due > done:
                yield rows.iloc[done:due]
                done = due
            else:
                self._stop.wait(min(0.5, (int(due_at[done]) - self._now()) / 1e9 / self._speed))

    def _now(self) -> int:
        first, at = self._start
        return first + int((self._clock.elapsed() - at) * self._speed)


def moments(rows: pd.DataFrame, last: int = 0) -> np.ndarray:
    """Time of every row, never going back; an unreadable one is that of the row before.

    So is one a day ahead, unless the next one is too: a broken clock is no hole.

    Examples
    --------
    >>> moments(pd.DataFrame({"time": [10, "soon", 8, 12, 10**18]})).tolist()
    [10, 10, 10, 12, 12]
    >>> moments(pd.DataFrame({"time": [10, 10**18, 10**18 + 5]})).tolist()[1:]
    [1000000000000000000, 1000000000000000005]
    """
    column = rows["time"]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = pd.Series(pd.DatetimeIndex(column).as_unit("ns").asi8)
    faulty = rows["fault"].fillna("").astype(str) != "" if "fault" in rows else pd.Series(False, index=rows.index)
    given = [t if _is_time(t) and not bad else 0 for t, bad in zip(column.tolist(), faulty, strict=True)]
    times = []
    for k, time in enumerate(given):
        following = next((t for t in given[k + 1 : k + 4] if t), 0) if last and time >= last + _JUMP else 0
        if last < time and (not last or time < last + _JUMP or following >= last + _JUMP):
            last = int(time)
        times.append(last)
    return np.array(times, np.int64)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and 0 < value < LATEST
