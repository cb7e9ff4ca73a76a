"""What serves at one moment: a version, and the newest features that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from rtml.clock import Clock, utc


class Model(Protocol):
    """What the service needs of a model: one number for one row of features."""

    def predict(self, x: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Snapshot:
    """A version as it serves: nothing in it changes once it is published.

    ``symbols`` are those it can be asked for, ``horizon`` and ``trained_up_to`` are nanoseconds, ``sign`` is a
    model of the probability that the return is positive, where there is one.
    """

    version: str
    model: Model
    names: tuple[str, ...]
    symbols: tuple[str, ...]
    target: str
    horizon: int
    trained_up_to: int
    sign: Model | None = None
    kind: str = "compiled"


class Newest:
    """The newest features of a symbol, with all that does not change between two predictions."""

    __slots__ = ("close", "due_at", "features_at", "moment", "symbol", "x", "x_bytes")

    def __init__(self, symbol: str, moment: int, x: np.ndarray, close: float | None, horizon: int) -> None:
        self.symbol, self.moment, self.x, self.close = symbol, moment, x, close
        self.x_bytes = x.tobytes()
        self.features_at, self.due_at = utc(moment).isoformat(), utc(moment + horizon).isoformat()


class Serving:
    """A snapshot and the features that fit it: read as one, replaced as one."""

    __slots__ = ("horizon_s", "name_set", "newest", "snapshot")

    def __init__(self, snapshot: Snapshot, newest: dict[str, Newest]) -> None:
        self.snapshot, self.newest = snapshot, newest
        self.name_set, self.horizon_s = frozenset(snapshot.names), snapshot.horizon / 1e9


class StreamClock(Clock):
    """Event time of a replayed stream: the newest moment told, plus the time that has passed since.

    Examples
    --------
    >>> clock = StreamClock()
    >>> clock.tell(1_700_000_000_000_000_000)
    >>> 0 <= clock.now() - 1_700_000_000_000_000_000 < 10**9
    True
    """

    def __init__(self) -> None:
        self._told = (0, self.elapsed())

    def tell(self, moment: int) -> None:
        """The stream has come to this moment."""
        self._told = (moment, self.elapsed())

    def now(self) -> int:
        moment, at = self._told
        return moment + self.elapsed() - at
