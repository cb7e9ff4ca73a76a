"""What a step of the training leaves behind, as the rows that the journal keeps."""

from __future__ import annotations

from dataclasses import dataclass

from rtml.training.flow import Outcome


@dataclass(frozen=True)
class Status:
    """Where the training stands: events done and there, the newest version, and the scores so far by target."""

    offset: int
    last: int
    version: str
    scores: dict[str, dict[str, float]]

    def __str__(self) -> str:
        mse = ", ".join(f"{target} {score['mse']:.3g}" for target, score in self.scores.items())
        return f"{self.offset:,} of {self.last:,} events, newest version {self.version or 'none'}, mse {mse}"


def bar_rows(outcome: Outcome) -> list[tuple[int, bytes, bytes | None]]:
    """Every closed bar of a market: its end, its records of all symbols, the features asked with there, if any."""
    if not outcome.bars.size:
        return []
    x = {at: row.tobytes() for at, row in zip(outcome.moment.tolist(), outcome.X, strict=True)}
    ends = outcome.bars["end"][:, 0].tolist()
    return [(end, bar.tobytes(), x.get(end)) for end, bar in zip(ends, outcome.bars, strict=True)]
