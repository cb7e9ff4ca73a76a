"""A contest: a challenger against the champion in shadow, what it has come to, and that in a sentence."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from rtml.kernels import betting
from rtml.metrics import confidence_sequence as evidence
from rtml.registry.promotion.sequential_test import SequentialTest


@dataclass
class LineageComparison:
    """One duel of two versions, named by their ids: ``against`` serves, ``version`` would like to.

    ``number`` counts from 1; ``cause`` says why the version was saved.
    """

    number: int
    version: str
    against: str
    cause: str
    sequential_test: SequentialTest

    @property
    def state(self) -> dict:
        """Everything but the models."""
        about = {"number": self.number, "version": self.version, "against": self.against, "cause": self.cause}
        return about | {"duel": self.sequential_test.state}

    def facts(self, needed: float) -> dict:
        """What it has come to, for the ledger: the gain a question, its interval, and the evidence for it.

        The interval is that of :mod:`rtml.metrics.confidence_sequence`, asymptotic and valid whenever one looks; the
        decision rests on the evidence alone.
        """
        lane = self.sequential_test.lanes[0]
        n, mean = int(lane[betting.N]), lane[betting.SUM] / max(lane[betting.N], 1.0)
        spread = max(lane[betting.SQUARES] / max(n, 1) - mean**2, 0.0)
        off = float(evidence.radius(np.array([n]), np.array([spread]))[0]) if n >= evidence.BURN_IN else math.nan
        capital = math.exp(min(betting.log_capital(lane, betting.BETTER), 700.0))
        facts = {"contest": self.number, "answers": self.sequential_test.counts["answered"], "gain": float(mean)}
        facts |= {"gain_low": float(mean - off), "gain_high": float(mean + off), "share": self.share()}
        return facts | {"evidence": capital, "needed": math.exp(needed)}

    def share(self) -> float:
        """How much less the challenger lost, as a share of what the champion lost."""
        first, second = self.sequential_test.lost
        return (first - second) / first if first > 0 else 0.0

    def says(self, name: str, against: str, needed: float) -> str:
        """How the challenger does, in words."""
        facts, share = self.facts(needed), self.share()
        how = f"loses {abs(share):.1%} {'less' if share > 0 else 'more'} than {against}"
        proof = f"evidence {facts['evidence']:,.3g} : 1, {facts['needed']:,.0f} : 1 needed"
        return f"{name} {how} on the same {facts['answers']:,} questions ({proof})"
