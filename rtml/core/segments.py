"""Segments: declared parts of the questions by which every comparison of versions is cut."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

BETTER, WORSE = "better", "worse"


@dataclass(frozen=True)
class Segment:
    """Questions whose feature lies in a range, from ``low`` on and below ``high``; a missing value lies in none.

    Parameters
    ----------
    name
        What a sentence calls them, such as ``"new cards"``.
    feature
        Name of a feature that questions are asked with.
    low, high
        In units of the feature.

    Examples
    --------
    >>> new = Segment("new cards", "payments", high=5)
    >>> new.holds(("amount", "payments"), [80.0, 2.0]), new.holds(("amount", "payments"), [80.0, 5.0])
    (True, False)
    """

    name: str
    feature: str
    low: float = -math.inf
    high: float = math.inf

    def __post_init__(self) -> None:
        if not self.low < self.high:
            raise ValueError(f"segment {self.name!r} needs low < high, got {self.low} and {self.high}")

    def holds(self, names: Sequence[str], x: Sequence[float]) -> bool:
        """Whether a row of features lies in it; one without the feature does not."""
        return self.feature in names and self.low <= float(x[names.index(self.feature)]) < self.high


def checked(segments: Sequence[Segment], names: Sequence[str]) -> tuple[Segment, ...]:
    """The same segments, or which of them is of no feature or named twice.

    Examples
    --------
    >>> checked([Segment("new card", "age", high=7.0)], ["amount"])
    Traceback (most recent call last):
        ...
    LookupError: segment 'new card' is of no feature 'age'; there are: amount
    """
    for segment in segments:
        if segment.feature not in names:
            raise LookupError(
                f"segment {segment.name!r} is of no feature {segment.feature!r}; there are: {', '.join(names)}"
            )
        if [one.name for one in segments].count(segment.name) > 1:
            raise ValueError(f"two segments are called {segment.name!r}: a sentence could not tell them apart")
    return tuple(segments)


def settled(evidence: Mapping[str, tuple[float, float]], alpha: float = 0.05) -> dict[str, str]:
    """Segments in which the second version is better, or worse, beyond doubt, all statements at once.

    With probability ``1 - alpha`` no statement is ever wrong, however often one looks and however many segments there
    are: each side of each is held to its part of ``alpha`` (the union bound over anytime-valid tests).

    Parameters
    ----------
    evidence
        By segment, log evidence that the second is worse, and that it is better: e-processes.

    Examples
    --------
    >>> settled({"new cards": (6.0, -1.0), "old cards": (-1.0, 3.5)})
    {'new cards': 'worse'}
    """
    needed = math.log(2 * max(len(evidence), 1) / alpha)
    found = {name: WORSE if worse >= better else BETTER for name, (worse, better) in evidence.items()}
    return {name: what for name, what in found.items() if max(evidence[name]) >= needed}


def sentence(overall: str, parts: Mapping[str, str]) -> str:
    """A verdict that is cut: what holds overall, then where it does not, and where else it is settled.

    Examples
    --------
    >>> sentence("better", {"new cards": "worse"}), sentence("", {"abroad": "better"}), sentence("better", {})
    ('better overall, worse for new cards', 'not settled overall, better for abroad', '')
    """
    if not parts:
        return ""
    ordered = sorted(parts.items(), key=lambda part: part[1] == overall)
    said = [f"{what} for {name}" for name, what in ordered]
    return ", ".join([f"{overall or 'not settled'} overall", *said])
