"""What has happened so far on a tape that runs at any speed, and how an exchange writes it."""

from __future__ import annotations

import datetime as dt
import time
from dataclasses import replace

import numpy as np

from loopback.tape import Tape


class Feed:
    """The exchange's clock, and the trades until now; nothing of the future can be asked.

    Parameters
    ----------
    past : float
        Seconds of the tape that lie in the past when the clock starts.
    wall : bool
        Shift the tape so that its clock is the machine's.
    """

    def __init__(self, tapes: dict[str, Tape], speed: float = 1.0, past: float = 30.0, wall: bool = False) -> None:
        first = min(int(tape.time[0]) for tape in tapes.values())
        shift = time.time_ns() - first - int(past * 1e9) if wall else 0
        self.tapes = {symbol: replace(tape, time=tape.time + shift // 1000 * 1000) for symbol, tape in tapes.items()}
        self.speed, self._time, self._at = speed, first + shift + int(past * 1e9), time.monotonic()
        self._frozen = False
        self.hidden = {symbol: np.zeros(len(tape), bool) for symbol, tape in tapes.items()}  # what REST does not know
        self._names, all_tapes = list(self.tapes), list(self.tapes.values())
        times = np.concatenate([tape.time for tape in all_tapes])
        order = np.argsort(times, kind="stable")
        self._times = times[order]
        self._key = np.repeat(np.arange(len(all_tapes)), [len(tape) for tape in all_tapes])[order]
        self._index = np.concatenate([np.arange(len(tape)) for tape in all_tapes])[order]

    def now(self) -> int:
        """The exchange's time, ns."""
        passed = 0.0 if self._frozen else time.monotonic() - self._at
        return self._time + int(passed * 1e9 * self.speed)

    def freeze(self, frozen: bool = True) -> None:
        """Let no more trades happen, or go on from there."""
        self._time, self._at, self._frozen = self.now(), time.monotonic(), frozen

    def jump(self, seconds: float) -> None:
        """Let time pass at once."""
        self._time += int(seconds * 1e9)

    def upto(self, symbol: str, back: float = 0.0) -> int:
        """How many trades of a symbol have happened, ``back`` seconds ago."""
        return int(np.searchsorted(self.tapes[symbol].time, self.now() - int(back * 1e9), side="right"))

    def happened(self) -> int:
        """How many trades of all symbols have happened."""
        return int(np.searchsorted(self._times, self.now(), side="right"))

    def between(self, start: int, end: int) -> list[tuple[str, int]]:
        """Symbol and index of trades number ``start`` to ``end`` of all symbols."""
        pairs = zip(self._key[start:end].tolist(), self._index[start:end].tolist(), strict=True)
        return [(self._names[k], i) for k, i in pairs]

    def newest(self, symbol: str, number: int, n: int = 50) -> list[int]:
        """Indices of the last ``n`` trades of a symbol among the first ``number`` of all."""
        return self._index[:number][self._key[:number] == self._names.index(symbol)][-n:].tolist()


def iso(ns: int) -> str:
    """A moment as Kraken's websocket writes it, to the microsecond."""
    second, rest = divmod(int(ns), 10**9)
    return f"{dt.datetime.fromtimestamp(second, dt.UTC):%Y-%m-%dT%H:%M:%S}.{rest // 1000:06d}Z"
