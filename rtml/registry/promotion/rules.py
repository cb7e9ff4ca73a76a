"""The rules of the gate: how much evidence a promotion needs, how long it is waited for, and what must hold besides."""

from __future__ import annotations

import math
from dataclasses import dataclass

from rtml.kernels import betting
from rtml.registry.promotion.sequential_test import SequentialTest

FIRST = 0.8  # of the capital is for the first comparison
_ZETA = 2.6123753486854883  # sum of n ** -1.5
_SEGMENTS = ("low", "middle", "high")


@dataclass(frozen=True)
class Rules:
    """What a candidate must show.

    Parameters
    ----------
    alpha
        Chance that ever, over the whole stream, a version is promoted that is not better; as much for rollbacks.
    timeouts
        Answers after a quarter of which a comparison is given up where the candidate is behind; otherwise it goes on
        for as long as nothing speaks against the candidate, but for 20 times as many at most.
    watch
        The same for the look back at the version before, which begins again as long as the version serves.
    automatic
        Whether the gate promotes; otherwise it only recommends.
    coverage
        Share of questions that must be answered.
    calibration
        How much further from the truth, on average, the candidate's probabilities may be than the champion's.
    latency_ms
        What a prediction may take.

    Examples
    --------
    >>> [round(math.exp(Rules().needed(invested))) for invested in (Rules.share(1), Rules.share(2), 0.5)]
    [25, 456, 40]
    """

    alpha: float = 0.05
    timeouts: int = 1000
    watch: int = 1000
    automatic: bool = True
    coverage: float = 0.5
    calibration: float = 0.05
    latency_ms: float = 10.0

    def __post_init__(self) -> None:
        if not 0 < self.alpha < 1:
            raise ValueError(f"alpha is a chance between 0 and 1, got {self.alpha}")
        if min(self.timeouts, self.watch) <= 2 * betting.BURN_IN:
            raise ValueError(
                f"timeouts and watch must be more than {2 * betting.BURN_IN} answers, got {self.timeouts} and "
                f"{self.watch}: the first {betting.BURN_IN} only say how large differences are"
            )

    @staticmethod
    def share(number: int) -> float:
        """Share of the first capital that is kept for comparison ``number``, from 1; they add up to one.

        A comparison that ends also leaves what it did not lose, at most what it began with, to the next. So the capital
        never grows by a comparison that ends without a promotion, nor by one whose candidate is truly better, and the
        chance that any candidate that is not better is ever promoted stays at ``alpha``.
        """
        return FIRST if number == 1 else (1.0 - FIRST) / (_ZETA - 1.0) * number**-1.5

    def needed(self, invested: float) -> float:
        """Log capital that a comparison must reach which began with a share of the first capital."""
        return -math.log(self.alpha * invested)

    @property
    def lost(self) -> float:
        """Log capital of the other side at which a candidate has lost."""
        return math.log(1 / self.alpha)

    def early(self, sequential_test: SequentialTest) -> bool:
        """Whether too many questions still wait that were asked before one that has its answer."""
        counts, waiting = sequential_test.counts, sequential_test.overdue
        closed = counts["answered"] + counts["unanswered"]
        return counts["answered"] < self.coverage * (closed + waiting) and counts["answered"] >= self.coverage * closed

    def broken(self, sequential_test: SequentialTest, latency_ms: float) -> list[str]:
        """What else speaks against the second side of a comparison, in words; nothing where all guards hold."""
        found = []
        counts = sequential_test.counts
        first, second = sequential_test.calibration_error()
        waiting = sequential_test.overdue
        share = counts["answered"] / max(counts["answered"] + counts["unanswered"] + waiting, 1)
        if share < self.coverage:
            found.append(f"only {share:.0%} of the questions were answered, {self.coverage:.0%} are needed")
        if second > first + self.calibration:
            found.append(f"its probabilities are off by {second:.3f}, the champion's by {first:.3f}")
        if latency_ms > self.latency_ms:
            found.append(f"a prediction takes {latency_ms:.1f} ms, {self.latency_ms:g} are allowed")
        return found + self._worse(sequential_test)

    def _worse(self, sequential_test: SequentialTest) -> list[str]:
        """Other targets, and segments, on which the second side loses more beyond doubt."""
        targets = sequential_test.terms.targets
        where = [f"on {target!r}" for target in targets]
        where += [f"where the champion's prediction is {third}" for third in _SEGMENTS]
        where += [f"for {name}" for name in sequential_test.terms.segments]
        looked = len(where) - 1
        return [
            f"it loses more {where[lane]}"
            for lane in range(1, len(sequential_test.lanes))
            if betting.log_capital(sequential_test.lanes[lane], betting.WORSE) >= self.lost + math.log(looked)
        ]
