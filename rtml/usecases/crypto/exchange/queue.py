"""Rows on their way from the thread that receives them to the one that reads them."""

from __future__ import annotations

import threading

from rtml.core.clock import Clock

BACKLOG = 100_000  # rows that may wait: ten seconds of 10,000 trades per second


class ArrivalQueue:
    """Rows put in by one thread and taken out by another, all that wait at once.

    Putting rows in never waits, since a socket that is not read dies. Once ``limit`` rows wait it is ``crowded``: a
    session then hangs up, asks for nothing until they were taken, and has REST fill in what it missed. So memory is
    bounded, by the limit, a page, and what came until it hung up, and no trade is lost.

    Examples
    --------
    >>> queue = ArrivalQueue()
    >>> queue.put([(1,), (2,)]); queue.put([(3,)]); queue.end()
    >>> queue.take(), queue.take(), queue.ended
    ([(1,), (2,), (3,)], [], True)
    >>> queue = ArrivalQueue(limit=2)
    >>> queue.put([(1,), (2,), (3,)]); queue.crowded
    True
    """

    def __init__(self, clock: Clock | None = None, limit: int = BACKLOG) -> None:
        self.limit = limit
        self.ended = False
        self.since = 0
        self._clock = clock or Clock()
        self._rows: list[tuple] = []
        self._first = 0
        self._news = threading.Condition()

    def put(self, rows: list[tuple]) -> None:
        """Add rows."""
        with self._news:
            if not self._rows:
                self._first = self._clock.elapsed()
            self._rows.extend(rows)
            self._news.notify()

    @property
    def crowded(self) -> bool:
        """Whether as many rows wait as may."""
        return len(self._rows) >= self.limit

    def end(self) -> None:
        """No more rows will come."""
        with self._news:
            self.ended = True
            self._news.notify_all()

    def take(self) -> list[tuple]:
        """Everything that waits, at least one row; nothing at the end.

        ``since`` is then the moment, of ``clock.elapsed()``, at which the first of them was put in.
        """
        with self._news:
            while not self._rows and not self.ended:
                self._news.wait(0.5)  # not for ever: Ctrl-C must get through
            rows = self._rows
            self._rows = []
            self.since = self._first
        return rows
