"""A source that sends nothing itself: every event comes over HTTP, from the application of a user."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence

from rtml.core.later import pd
from rtml.core.use_case import UseCase
from rtml.sources.protocol import Status
from rtml.sources.records import schema_of

HTTP = "http"  # what SOURCE says


class Posted:
    """Waits, until it is stopped, while ``POST /events`` writes into the log.

    Examples
    --------
    >>> from rtml.core.use_case import load_use_case
    >>> source = Posted(load_use_case("sessions"))
    >>> source.symbols, source.status().state, list(source.chunks())
    (('shop',), 'LIVE', [])
    """

    name = HTTP
    rows = 0

    def __init__(self, case: UseCase, symbols: Sequence[str] = ()) -> None:
        self.symbols, self.schema = tuple(symbols) or case.keys, schema_of(case.event)
        self._stopped = threading.Event()

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Nothing."""
        yield from ()

    def arrivals(self) -> Iterator[tuple[list[tuple], int]]:
        """Nothing, until it is stopped."""
        self._stopped.wait()
        yield from ()

    def status(self) -> Status:
        """Live, or stopped."""
        return Status("STOPPED" if self._stopped.is_set() else "LIVE")

    def stop(self) -> None:
        """End the waiting."""
        self._stopped.set()
