"""A duel: two sides answer the same questions in shadow, and bets say which of them loses less.

Losses are squared errors, of a probability its Brier score. Evidence is a capital that starts at one and is put on
every new difference of losses, at stakes fixed beforehand: where the second model is never better, it may not grow,
and comes to ``1 / alpha`` ever with probability ``alpha`` at most, however often one looks (Ville's inequality; betting
as in Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024).

What holds and what does not. Of probabilities the guarantee is exact: their losses are bounded. Of other targets
losses have no bound, and gains are clipped, which only lowers the capital, while a difference that would cost a bet
more than all it has is clipped too: there the guarantee is for tails as heavy as those measured in
``benchmarks/bench_gate.py``; a loss too rare to have been seen yet is beyond every test.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from rtml.kernels import betting

PARTS = 3  # segments: thirds of what the first model predicts
HEAD = 50  # predictions that say where the thirds are
BINS = 10  # of probabilities, for the calibration
LONG = 3  # horizons in a block of questions whose answers overlap


class Terms(NamedTuple):
    """What is dueled over: targets, the decisive one first; whether each is a probability; the horizon, ns."""

    targets: tuple[str, ...]
    probability: tuple[bool, ...]
    horizon: int


class SequentialTest:
    """Two sides, each with a model a target, over the questions that are asked from now on.

    Answers that look a horizon ahead overlap, and so do their losses. The unit that is bet on is then a block: the mean
    over questions of three horizons, followed by a gap of one. Without overlap every answer is a unit.

    Examples
    --------
    >>> guess = type("Guess", (), {"__init__": lambda g, p: setattr(g, "p", p), "predict": lambda g, x: g.p})
    >>> sequential_test = SequentialTest(Terms(("up",), (True,), 0), [guess(0.5)], [guess(0.9)])
    >>> for i in range(100):
    ...     sequential_test.ask(i, i, None)
    ...     _ = sequential_test.tell(i, (1.0,))
    >>> sequential_test.verdict(to_win=math.log(20), to_lose=math.log(20), timeouts=1000) == betting.WON
    True
    """

    def __init__(self, terms: Terms, first: Sequence, second: Sequence) -> None:
        self.terms, self._sides = terms, (tuple(first), tuple(second))
        self.lanes = np.zeros((len(terms.targets) + PARTS, betting.SIZE))
        self.counts = {"asked": 0, "answered": 0, "unanswered": 0}
        self.lost, self.bins, self.failure = [0.0, 0.0], np.zeros((2, BINS, 3)), ""
        self.own = [0, 0, 0.0]  # which of those that took the second side it is; its answers, and what it gained
        self._head, self._edges = [], []
        self._open: dict[int, tuple] = {}
        self._blocks: dict[int, np.ndarray] = {}  # rows: differences and how many, a column a lane; waiting in the last
        self._block, self._start, self._last = -1, 0, 0
        bounds = [float(p) for p in terms.probability]
        self._bounds = bounds + [bounds[0]] * PARTS
        self._judged = next((i for i, p in enumerate(terms.probability) if p), -1)

    def renew(self, second: Sequence) -> None:
        """Another takes the second side from the next question on, and goes on with what was shown so far."""
        self._sides, self.own = (self._sides[0], tuple(second)), [self.own[0] + 1, 0, 0.0]

    def ask(self, id: int, moment: int, x: np.ndarray) -> None:
        """Let both sides predict; a question in the gap behind a block is left out."""
        block = self._place(moment)
        if block < 0 or self.failure:
            return
        p = np.array([[self._predicted(side, model, x) for model in models] for side, models in enumerate(self._sides)])
        self._open[id] = block, self._segment(p[0, 0]), self.own[0], p
        self._blocks.setdefault(block, np.zeros((2, len(self.lanes) + 1)))[0, -1] += 1
        self.counts["asked"] += 1

    def tell(self, id: int, answer: Sequence[float]) -> bool:
        """Score an answer, one number a target, NaN where there is none; whether a unit was bet on."""
        if (asked := self._open.pop(id, None)) is None:
            return False
        block, segment, turn, p = asked
        sums = self._blocks[block]
        sums[0, -1] -= 1
        losses = (p - np.asarray(answer)) ** 2
        apart = losses[0] - losses[1]
        known = apart == apart
        self.counts["answered" if known[0] else "unanswered"] += 1
        for lane, target in self._lanes(segment):
            if known[target]:
                sums[0, lane] += apart[target]
                sums[1, lane] += 1
        if known[0]:
            self.lost = [self.lost[0] + float(losses[0, 0]), self.lost[1] + float(losses[1, 0])]
            if turn == self.own[0]:
                self.own = [turn, self.own[1] + 1, self.own[2] + float(apart[0])]
        self._calibrate(p, answer)
        return sums[0, -1] == 0 and self._settle(self._blocks.pop(block))

    def verdict(self, to_win: float, to_lose: float, timeouts: int) -> int:
        """How it stands, see :func:`rtml.kernels.betting.verdict`."""
        return betting.verdict(self.lanes[0], to_win, to_lose, timeouts)

    @property
    def proven(self) -> bool:
        """Whether the second side as it is now, not those it took over from, has answers of its own, and no loss."""
        return self.own[1] >= betting.BURN_IN and self.own[2] >= 0.0

    def calibration_error(self) -> tuple[float, float]:
        """Mean distance of predicted and observed share over bins, of both sides; NaN without a probability."""
        n = self.bins[:, :, 0].sum(axis=1)
        off = np.abs(self.bins[:, :, 1] - self.bins[:, :, 2]).sum(axis=1)
        first, second = (off / n if n.all() else np.full(2, np.nan)).tolist()
        return first, second

    @property
    def state(self) -> dict:
        """Everything but the models, which do not change."""
        rows, blocks = list(self._open.values()), list(self._blocks.values())
        waiting = {
            "id": np.array(list(self._open), dtype=np.int64),
            "place": np.array([row[:3] for row in rows], dtype=np.int64).reshape(len(rows), 3),
            "p": np.array([row[3] for row in rows]).reshape(len(rows), 2, len(self.terms.targets)),
        }
        blocks = {"number": list(self._blocks), "sums": np.array(blocks).reshape(len(blocks), 2, len(self.lanes) + 1)}
        cursor = [self._block, self._start, self._last]
        parts = {"lanes": self.lanes.copy(), "counts": dict(self.counts), "lost": list(self.lost)}
        parts |= {"bins": self.bins.copy(), "failure": self.failure, "head": list(self._head), "own": list(self.own)}
        return parts | {"edges": list(self._edges), "open": waiting, "blocks": blocks, "cursor": cursor}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self.lanes, self.bins = state["lanes"].copy(), state["bins"].copy()
        self.counts, self.lost, self.failure = dict(state["counts"]), list(state["lost"]), state["failure"]
        self._head, self._edges, self.own = list(state["head"]), list(state["edges"]), list(state["own"])
        self._block, self._start, self._last = state["cursor"]
        waiting, blocks = state["open"], state["blocks"]
        rows = zip(waiting["id"].tolist(), waiting["place"].tolist(), waiting["p"], strict=True)
        self._open = {id: (*place, p) for id, place, p in rows}
        self._blocks = {number: sums.copy() for number, sums in zip(blocks["number"], blocks["sums"], strict=True)}

    def _place(self, moment: int) -> int:
        """Block of a question: a new one where nothing overlaps any more, -1 in a gap."""
        if self._block < 0 or moment >= self._last + self.terms.horizon:
            self._block, self._start = self._block + 1, moment
        elif moment >= self._start + LONG * self.terms.horizon:
            return -1
        self._last = moment
        return self._block

    def _predicted(self, side: int, model, x: np.ndarray) -> float:
        """A prediction; what fails stays in shadow, and ends the duel when it is the second side's."""
        try:
            p = float(model.predict(x))
        except Exception as ex:
            self.failure = self.failure or (f"{type(ex).__name__}: {ex}" if side else "")
            return math.nan
        if side and not math.isfinite(p):
            self.failure = self.failure or f"it predicts {p}"
        return p if math.isfinite(p) else math.nan

    def _segment(self, p: float) -> int:
        """Third in which a prediction of the first side lies; -1 as long as nobody knows where the thirds are."""
        if not self._edges:
            self._head.append(p)
            if len(self._head) == HEAD:
                self._edges = np.nanquantile(self._head, [i / PARTS for i in range(1, PARTS)]).tolist()
            return -1
        return sum(p > edge for edge in self._edges)

    def _lanes(self, segment: int) -> list[tuple[int, int]]:
        """Lanes that a question counts in, each with its target: every target, and the segment of the first."""
        n = len(self.terms.targets)
        return [(i, i) for i in range(n)] + ([(n + segment, 0)] if segment >= 0 else [])

    def _calibrate(self, p: np.ndarray, answer: Sequence[float]) -> None:
        i = self._judged
        if i < 0 or answer[i] != answer[i] or np.isnan(p[:, i]).any():
            return
        for side in (0, 1):
            row = self.bins[side, min(max(int(p[side, i] * BINS), 0), BINS - 1)]
            row += (1.0, p[side, i], answer[i])

    def _settle(self, sums: np.ndarray) -> bool:
        """Bet on the means of a block; whether the decisive lane moved."""
        for lane, (total, count) in enumerate(sums[:, :-1].T.tolist()):
            if count:
                betting.bet(self.lanes[lane], total / count, self._bounds[lane])
        return bool(sums[1, 0])
