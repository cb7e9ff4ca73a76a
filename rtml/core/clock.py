"""Time: integer nanoseconds UTC inside, aware datetimes and spans such as ``"10s"`` at the edge.

The only module that reads the machine's clock; everything else is handed one.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

NEVER = 2**63 - 1  # a moment that does not come: a label that stays unknown
_UNITS = {"ns": 1, "us": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9, "h": 3600 * 10**9, "d": 86400 * 10**9}
_SPAN = re.compile(r"(\d+(?:\.\d+)?)\s*(ns|us|ms|s|m|h|d)")


def span(text: str | timedelta) -> int:
    """Nanoseconds of a positive span such as ``"10s"``, ``"250ms"``, ``"5m"``, ``"24h"`` or ``"7d"``.

    Examples
    --------
    >>> span("10s"), span("1.5m")
    (10000000000, 90000000000)
    """
    if isinstance(text, timedelta):
        nanoseconds = round(text / timedelta(microseconds=1)) * 1000
    else:
        match = _SPAN.fullmatch(text.strip())
        if match is None:
            raise ValueError(f"a span is a number and one of ns us ms s m h d, such as '10s' or '24h', got {text!r}")
        nanoseconds = round(float(match[1]) * _UNITS[match[2]])
    if nanoseconds <= 0:
        raise ValueError(f"a span must be positive, got {text!r}")
    return nanoseconds


def is_span(text: str) -> bool:
    """Whether a text is a span, or none of any length such as ``"0s"``.

    Examples
    --------
    >>> is_span("1.5m"), is_span("0s"), is_span("7x")
    (True, True, False)
    """
    return _SPAN.fullmatch(text.strip()) is not None


def span_text(nanoseconds: int) -> str:
    """Shortest text of a span.

    Examples
    --------
    >>> span_text(10_000_000_000), span_text(span("24h")), span_text(span("90s"))
    ('10s', '1d', '90s')
    """
    unit = next(u for u in ("d", "h", "m", "s", "ms", "us", "ns") if nanoseconds % _UNITS[u] == 0)
    return f"{nanoseconds // _UNITS[unit]}{unit}"


def round_span(nanoseconds: int) -> str:
    """The shortest span of a clock face (10s, 1m, 15m, 1h ...) that is not shorter.

    Examples
    --------
    >>> round_span(span("14m")), round_span(1), round_span(span("400d"))
    ('15m', '10s', '7d')
    """
    faces = ("10s", "30s", "1m", "5m", "15m", "30m", "1h", "3h", "6h", "12h", "1d", "2d", "7d")
    return next((face for face in faces if span(face) >= nanoseconds), faces[-1])


def utc(nanoseconds: int) -> datetime:
    """Aware UTC datetime of a moment, to the microsecond.

    Examples
    --------
    >>> utc(1_700_000_000_000_000_000).isoformat()
    '2023-11-14T22:13:20+00:00'
    """
    nanoseconds = int(nanoseconds)
    return datetime.fromtimestamp(nanoseconds // 10**9, UTC) + timedelta(microseconds=nanoseconds % 10**9 // 1000)


def moment(when: datetime | str) -> int:
    """Nanoseconds of an aware datetime or ISO text; a naive one is refused, since its zone is unknown.

    Examples
    --------
    >>> moment("2023-11-14T22:13:20+00:00")
    1700000000000000000
    """
    at = datetime.fromisoformat(when) if isinstance(when, str) else when
    if at.tzinfo is None:
        raise ValueError(f"a moment needs a time zone, got {when!r}: write '+00:00' or 'Z' behind it")
    since = at - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86400 + since.seconds) * 10**9 + since.microseconds * 1000


class Clock:
    """The machine's clock.

    Examples
    --------
    >>> clock = Clock()
    >>> before = clock.elapsed()
    >>> clock.elapsed() >= before
    True
    """

    def now(self) -> int:
        """Nanoseconds UTC."""
        return time.time_ns()

    def elapsed(self) -> int:
        """Nanoseconds from an arbitrary start, never going back."""
        return time.monotonic_ns()


@dataclass
class ManualClock(Clock):
    """A clock that moves when told: for tests and for replay.

    Examples
    --------
    >>> clock = ManualClock(); clock.advance(span("2s")); clock.elapsed()
    2000000000
    """

    start: int = 1_700_000_000_000_000_000
    passed: int = field(default=0, init=False)

    def advance(self, nanoseconds: int) -> None:
        """Let time pass."""
        self.passed += nanoseconds

    def now(self) -> int:
        return self.start + self.passed

    def elapsed(self) -> int:
        return self.passed
