"""What a step of the training leaves behind, as the rows that the journal keeps."""

from __future__ import annotations

from dataclasses import dataclass

from rtml.training.flow import Outcome


@dataclass(frozen=True)
class Status:
    """Where the training stands: events done and there, the newest version, and the scores so far by target.

    Examples
    --------
    >>> print(Status(1200, 5000, "run@3", {"rise": {"log loss": 0.6543}}))
    1,200 of 5,000 events, newest version run@3, rise log loss 0.654
    """

    offset: int
    last: int
    version: str
    scores: dict[str, dict[str, float]]

    def __str__(self) -> str:
        scores = ", ".join(f"{target} {first(score)}" for target, score in self.scores.items())
        return f"{self.offset:,} of {self.last:,} events, newest version {self.version or 'none'}, {scores}"


def first(score: dict[str, float]) -> str:
    """The first metric of a score, as text: the loss of its kind.

    Examples
    --------
    >>> first({"mse": 0.12345, "mae": 1.0})
    'mse 0.123'
    """
    name, value = next(iter(score.items()))
    return f"{name} {value:.3g}"


def question_rows(outcome: Outcome) -> list[tuple[int, int, int, bytes]]:
    """Every question: its id, key and moment, and the features it was asked with.

    Examples
    --------
    >>> import numpy as np
    >>> none, one = np.empty(0, np.int64), np.array([7])
    >>> outcome = Outcome(none, one, 0 * one, 10 * one, np.ones((1, 2)), {}, none, none, none, none)
    >>> [(id, key, at, len(x)) for id, key, at, x in question_rows(outcome)]
    [(7, 0, 70, 16)]
    """
    columns = (outcome.id.tolist(), outcome.key.tolist(), outcome.moment.tolist(), outcome.X)
    return [(id, key, at, x.tobytes()) for id, key, at, x in zip(*columns, strict=True)]


def closed_rows(outcome: Outcome) -> list[tuple[int, bytes]]:
    """What the operator closed, such as the bars of a market: its end, and its records of all keys."""
    if not outcome.closed.size:
        return []
    ends = outcome.closed["end"].reshape(len(outcome.closed), -1)[:, 0].tolist()
    return [(end, row.tobytes()) for end, row in zip(ends, outcome.closed, strict=True)]
