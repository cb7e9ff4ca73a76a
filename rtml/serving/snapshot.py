"""What serves at one moment: a version, and the newest features that fit it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from struct import Struct
from typing import Protocol

import numpy as np

from rtml.core.clock import Clock
from rtml.serving.schemas import predict_reader


class Model(Protocol):
    """What the service needs of a model: one number for one row of features."""

    def predict(self, x: np.ndarray) -> float: ...


@dataclass(frozen=True)
class Snapshot:
    """A version as it serves: nothing in it changes once it is published.

    ``symbols`` are those it can be asked for, ``horizon`` and ``trained_up_to`` are nanoseconds, ``sign`` is a
    model of the probability that the return is positive, where there is one;
    ``features`` is the hash of their definition.
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
    features: str = ""


class Newest:
    """The newest features of a symbol, with all that does not change between two predictions."""

    __slots__ = ("close", "due_at", "features_at", "moment", "symbol", "x", "x_bytes")

    def __init__(self, symbol: str, moment: int, x: bytes, close: float | None, horizon: int) -> None:
        self.symbol, self.moment, self.x_bytes, self.close = symbol, moment, x, close
        self.x = np.frombuffer(x)  # of read-only bytes: no model can change what is logged
        self.features_at, self.due_at = iso_pair(moment, horizon)


class Serving:
    """A snapshot and the features that fit it: read as one, replaced as one.

    ``read`` gives a request of features by name, all of them and no other, as a struct of numbers in the model's order.
    """

    __slots__ = ("horizon_s", "newest", "pack", "read", "snapshot")

    def __init__(self, snapshot: Snapshot, newest: dict[str, Newest]) -> None:
        self.snapshot, self.newest = snapshot, newest
        self.pack, self.horizon_s = Struct(f"{len(snapshot.names)}d").pack, snapshot.horizon / 1e9
        self.read = predict_reader(snapshot.names)


@lru_cache(maxsize=64)
def _second(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat()[:19]


def iso(moment: int) -> str:
    """ISO text of a moment, to the microsecond; the texts of the last seconds are kept, so it takes 0.5 us.

    Examples
    --------
    >>> iso(1_700_000_000_250_000_000)
    '2023-11-14T22:13:20.250000+00:00'
    """
    seconds, rest = divmod(moment, 10**9)
    return f"{_second(seconds)}.{rest // 1000:06d}+00:00"


def iso_pair(moment: int, later: int) -> tuple[str, str]:
    """ISO texts of a moment and of the one so many nanoseconds later; they share their end where those are seconds.

    Examples
    --------
    >>> iso_pair(1_700_000_000_250_000_000, 10 * 10**9)
    ('2023-11-14T22:13:20.250000+00:00', '2023-11-14T22:13:30.250000+00:00')
    """
    if later % 10**9:
        return iso(moment), iso(moment + later)
    first = iso(moment)
    return first, _second((moment + later) // 10**9) + first[19:]


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
