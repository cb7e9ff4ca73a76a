"""One comparison of a challenger with the champion: its sequential test, what it has shown, and a sentence about it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from rtml.core.segments import BETTER, sentence, settled
from rtml.kernels import betting
from rtml.metrics.confidence_sequence import interval
from rtml.models.rows import predictions
from rtml.registry.promotion.sequential_test import SequentialTest


@dataclass
class LineageComparison:
    """A comparison of two versions, named by their ids: ``against`` serves, ``version`` would like to.

    ``number`` counts from 1; ``cause`` says why the version was saved; ``invested`` is the capital to begin with.
    ``models`` are those of both versions, a list of one a target each. Of a ``lineage``, that is of a learner that goes
    on learning, they are empty: its predictions come as numbers, and ``version`` is its newest.

    Examples
    --------
    >>> from rtml.models.constant import Constant
    >>> from rtml.registry.promotion.sequential_test import Terms
    >>> test = SequentialTest(Terms(("up",), (True,), 0))
    >>> sides = tuple([Constant(["a"], p, classifier=True)] for p in (0.5, 0.9))
    >>> comparison = LineageComparison(1, "v2", "v1", "every 10m", 0.8, test, sides)
    >>> for i in range(100):
    ...     comparison.ask(i, i, np.zeros((1, 1)), row=0)
    ...     _ = test.answer(i, [1.0])
    >>> round(comparison.share(), 2), comparison.facts(needed=math.log(20))["answers"]
    (0.96, 100)
    """

    number: int
    version: str
    against: str
    cause: str
    invested: float
    sequential_test: SequentialTest
    models: tuple[list, list]
    lineage: str = ""
    _chunk: Any = field(default=None, init=False, repr=False, compare=False)

    @property
    def state(self) -> dict:
        """Everything but the models."""
        names = ("number", "version", "against", "cause", "invested", "lineage")
        return {name: getattr(self, name) for name in names} | {"test": self.sequential_test.state}

    def ask(self, id: int, moment: int, X: np.ndarray, row: int, within: Sequence[bool] = ()) -> None:
        """Let the models of both versions predict a row of a chunk; a failure of the second's ends the comparison.

        They do not learn, so they predict the whole chunk when they are asked for the first of its rows.
        """
        if self._chunk is None or self._chunk[0] is not X or self._chunk[1] is not self.models:
            self._chunk = (X, self.models, *(_predicted(models, X) for models in self.models))
        _, _, (first, _), (second, failures) = self._chunk
        self.sequential_test.ask(id, moment, first[row], second[row], failures.get(row, ""), within)

    @property
    def left(self) -> float:
        """Capital that the next comparison may use: what is left, at most what there was to begin with."""
        return self.invested * math.exp(min(betting.log_capital(self.sequential_test.lanes[0], betting.BETTER), 0.0))

    def facts(self, needed: float) -> dict:
        """What was found, for the ledger: the gain per question, its interval, and the evidence for it.

        The interval is that of :mod:`rtml.metrics.confidence_sequence`, asymptotic and valid whenever one looks; the
        decision rests on the evidence alone.
        """
        lane = self.sequential_test.lanes[0]
        gain = interval(*lane[[betting.N, betting.SUM, betting.SQUARES]].tolist())
        capital = math.exp(min(betting.log_capital(lane, betting.BETTER), 700.0))
        facts = {"contest": self.number, "answers": self.sequential_test.counts["answered"], "gain": gain[0]}
        facts |= {"gain_low": gain[1], "gain_high": gain[2], "share": self.share()}
        return facts | {"evidence": capital, "needed": math.exp(needed)}

    def share(self) -> float:
        """How much less the challenger lost, as a share of what the champion lost."""
        first, second = self.sequential_test.lost
        return (first - second) / first if first > 0 else 0.0

    def sentence(self, name: str, against: str, needed: float) -> str:
        """How the challenger does, in words."""
        facts, share = self.facts(needed), self.share()
        how = f"mean squared error of {name} is {abs(share):.1%} {'lower' if share > 0 else 'higher'} than of {against}"
        proof = f"evidence {facts['evidence']:,.3g} : 1, {facts['needed']:,.0f} : 1 needed"
        overall = BETTER if facts["evidence"] >= facts["needed"] else ""
        cut = sentence(overall, settled(self.sequential_test.segments()))
        return f"{how} on the same {facts['answers']:,} questions ({proof}){cut and f'; {cut}'}"


def _predicted(models: list, X: np.ndarray) -> tuple[np.ndarray, dict[int, str]]:
    """Predictions of a chunk, (m, models), NaN where one failed, and why by row."""
    predicted, failures = np.full((len(X), len(models)), np.nan), {}
    for column, model in enumerate(models):
        try:
            predicted[:, column] = predictions(model, X)
        except Exception:  # of which row, is found one by one
            for row, x in enumerate(X):
                try:
                    predicted[row, column] = model.predict(x)
                except Exception as ex:
                    failures.setdefault(row, f"{type(ex).__name__}: {ex}")
    return predicted, failures
