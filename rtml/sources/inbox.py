"""Rows on their way from the thread that receives them to the one that reads them."""

from __future__ import annotations

import threading

from rtml.clock import Clock


class Inbox:
    """Rows put in by one thread and taken out by another, all that wait at once.

    Examples
    --------
    >>> inbox = Inbox()
    >>> inbox.put([(1,), (2,)]); inbox.put([(3,)]); inbox.end()
    >>> inbox.take(), inbox.take(), inbox.ended
    ([(1,), (2,), (3,)], [], True)
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.ended, self.since, self._clock = False, 0, clock or Clock()
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
            rows, self._rows, self.since = self._rows, [], self._first
        return rows
