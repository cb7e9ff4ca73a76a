"""Pace: a recording delivered as it happened, or faster."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import numpy as np
import pandas as pd

from rtml.core.clock import Clock

_JUMP = 86400 * 10**9  # a row that much ahead of all before it has a broken clock


class Paced:
    """Rows of a recording when they are due: as many at once as have become due meanwhile."""

    def __init__(self, speed: float, clock: Clock, stop: threading.Event) -> None:
        if not 0 <= speed < 1e9:
            raise ValueError(f"speed must be 0 (as fast as possible) or more, got {speed}")
        self._speed = speed
        self._clock = clock
        self._stop = stop
        self._start: tuple[int, int] | None = None
        self._last = 0

    def pieces(self, rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
        """The rows, cut where the time of the next one has not come; all at once when speed is 0."""
        if not len(rows):
            return
        if not self._speed:
            yield rows
            return
        times, done = moments(rows, self._last), 0
        self._last = int(times[-1])
        self._start = self._start or (int(times[0]), self._clock.elapsed())
        while done < len(rows) and not self._stop.is_set():
            due = int(np.searchsorted(times, self._now(), side="right"))
            if due > done:
                yield rows.iloc[done:due]
                done = due
            else:
                self._stop.wait(min(0.5, (int(times[done]) - self._now()) / 1e9 / self._speed))

    def _now(self) -> int:
        first, at = self._start
        return first + int((self._clock.elapsed() - at) * self._speed)


def moments(rows: pd.DataFrame, last: int = 0) -> np.ndarray:
    """Time of every row, never going back; an unreadable one, or one more than a day ahead, is that of the row before.

    Examples
    --------
    >>> moments(pd.DataFrame({"time": [10, "soon", 8, 12, 10**18]})).tolist()
    [10, 10, 10, 12, 12]
    """
    column = rows["time"]
    if isinstance(column.dtype, pd.DatetimeTZDtype):
        column = pd.Series(pd.DatetimeIndex(column).as_unit("ns").asi8)
    times = []
    for time in column.tolist():
        if isinstance(time, int | float) and last < time and (not last or time < last + _JUMP):
            last = int(time)
        times.append(last)
    return np.array(times, np.int64)
