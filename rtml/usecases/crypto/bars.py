"""Bars: open, high, low, close and volume of every interval of event time, closed when their time has come."""

from __future__ import annotations

import numpy as np

from rtml.core.arrays import plain
from rtml.core.clock import span, span_text
from rtml.usecases.crypto import bar_kernel as kernel
from rtml.usecases.crypto.exact import DIGITS
from rtml.usecases.crypto.trades import EVENT

BAR = kernel.BAR
_MOST_ROWS = 1 << 16


class Bars:
    """Events in, closed bars out: one row per interval, one column per symbol.

    An interval ``[t, t + every)`` is stamped with its end. It closes when the watermark, the largest event time seen
    minus ``lateness``, reaches that end: every bar of the grid is emitted, an empty one with ``n = 0``, no volume and
    the previous close. Inside a bar trades are ordered by (time, id); the same id counts once; a trade for a closed
    bar is counted in ``late`` and changes nothing. The first, partial interval is dropped. A bar that overlaps a gap
    says ``complete = False``.

    An event more than ``jump`` (and a bar) ahead of all others waits until a tick, or events of three different times,
    say the same: a hole of any length is no end. One that the next event contradicts is a broken clock, ignored. Those,
    and the ones that wait still, are counted in ``ahead``. A first event far ahead of, or behind, those that follow
    begins nothing.

    Any way of cutting the same events into chunks gives the same bars, bit by bit. Where sides are recorded, so does
    any order of arrival within ``lateness``; otherwise ``flow`` follows the changes of price as they arrive.

    Examples
    --------
    >>> from rtml.usecases.crypto.trades import events
    >>> s = 10**9
    >>> bars = Bars(every="10s", lateness="1s")
    >>> trades = events([1 * s, 12 * s, 15 * s, 31 * s], id=[1, 2, 3, 4], price=[7.0, 8.0, 9.0, 9.5])
    >>> closed = bars.push(trades)
    >>> [(int(b["end"]) // s, float(b["open"]), float(b["close"]), int(b["n"])) for b in closed[:, 0]]
    [(20, 8.0, 9.0, 2), (30, 9.0, 9.0, 0)]
    """

    def __init__(self, every: str = "10s", lateness: str | int = "1s", symbols: int = 1, jump: str = "60s") -> None:
        self.every = span(every)
        self.lateness = lateness if isinstance(lateness, int) else span(lateness)
        self._jump = max(span(jump), self.every)
        if symbols < 1:
            raise ValueError(f"bars need at least one symbol, got {symbols}")
        self._head = np.zeros(1, kernel.HEAD)
        self._head["next_end"] = self._head["first_end"] = kernel.NONE
        self._slots = np.zeros((self.lateness // self.every + 2, symbols), kernel.SLOT)
        self._slots["quote_time"] = kernel.NONE
        self._sums = np.zeros((*self._slots.shape, 3, DIGITS), np.int64)
        self._held = np.zeros(kernel.MOST_WAITING, EVENT)
        self._keys = np.zeros(symbols, kernel.KEY)
        for name in ("close", "bid", "ask", "price"):
            self._keys[name] = np.nan
        for name in ("trade_time", "gap_from", "gap_to"):
            self._keys[name] = kernel.NONE
        self._keys["max_id"] = -1
        self._ids = np.zeros((symbols, 2, 64), np.int64)

    def __repr__(self) -> str:
        return f"Bars(every={span_text(self.every)!r}, symbols={self._keys.size}, {self.counts()})"

    def push(self, events: np.ndarray) -> np.ndarray:
        """Take events in order of arrival; return the bars they close, shape (intervals, symbols), dtype ``BAR``."""
        events = plain(events, EVENT)
        closed, taken = [], 0
        while taken < events.size or self._head["believed"][0]:
            out = np.empty((self._rows(events, taken), self._keys.size), BAR)
            state = (self._head, self._slots, self._sums, self._keys, self._ids, self._held)
            taken, rows, full = kernel.push(events, taken, self.every, self.lateness, self._jump, *state, out)
            closed.append(out[:rows])
            if full:
                self._grow()
        if len(closed) == 1:
            return closed[0]
        return np.concatenate(closed) if closed else np.empty((0, self._keys.size), BAR)

    def counts(self) -> dict[str, int]:
        """Events that changed nothing: late, duplicate, ahead of time."""
        head = self._head[0]
        return {
            "late": int(head["late"]),
            "duplicate": int(head["duplicate"]),
            "ahead": int(head["ahead"] + head["waiting"]),
        }

    @property
    def state(self) -> dict:
        """Everything the next event depends on, as arrays."""
        live = [
            self._ids[k, :, np.arange(key["head"], key["tail"]) % self._ids.shape[2]]
            for k, key in enumerate(self._keys)
        ]
        whole = {name: getattr(self, f"_{name}").copy() for name in ("head", "slots", "sums", "keys")}
        return whole | {"ids": live, "held": self._held[: self._head["waiting"][0]].copy()}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        for name in ("head", "slots", "sums", "keys"):
            setattr(self, f"_{name}", state[name].copy())
        self._held[: len(state["held"])] = state["held"]
        size = max([64] + [1 << int(np.ceil(np.log2(max(len(rows), 1)))) for rows in state["ids"]])
        self._place(state["ids"], size)

    def _rows(self, events: np.ndarray, start: int) -> int:
        """Room for the bars that events can close, bounded: a gap of years costs no memory at once."""
        if start == events.size:
            return _MOST_ROWS
        low, high, latest = kernel.survey(events, start).tolist()
        if not 0 <= low <= high < self._keys.size:
            raise ValueError(f"keys must lie in 0..{self._keys.size - 1}, got {low}..{high}")
        next_end = int(self._head["next_end"][0])
        since = int(events["time"][start]) if next_end == kernel.NONE else next_end
        return max(0, min((latest - since) // self.every, _MOST_ROWS)) + 3

    def _grow(self) -> None:
        """Double the ring of ids, each id at its own place modulo the new size."""
        self._place(self.state["ids"], self._ids.shape[2] * 2)

    def _place(self, live: list[np.ndarray], size: int) -> None:
        self._ids = np.zeros((self._keys.size, 2, size), np.int64)
        for k, rows in enumerate(live):
            self._ids[k, :, np.arange(self._keys["head"][k], self._keys["tail"][k]) % size] = rows
