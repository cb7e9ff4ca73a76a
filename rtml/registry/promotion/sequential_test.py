"""The sequential test of two models on the same questions: paired losses, and bets on which model loses less.

Losses are squared errors; of a probability this is its Brier score. The evidence is a capital that starts at one and is
put on every new difference of losses, at stakes fixed beforehand. Where the second model is never better it may not
grow, and reaches ``1 / alpha`` at any time with probability ``alpha`` at most, however often one looks (Ville's
inequality; betting as in Waudby-Smith and Ramdas, "Estimating means of bounded random variables by betting", 2024).

What is claimed. Of probabilities: that the Brier score is lower, each difference in units of the variance ``q (1 - q)``
that both forecasts expect on average. It is bounded, and the guarantee is exact. Of numbers: that the squared error is
lower, where an error counts up to :data:`rtml.kernels.betting.MARGIN` times the largest error seen before. That is a
bounded transform too; for the plain mean the guarantee is measured in ``benchmarks/bench_gate.py``, for tails up to a
lognormal of sigma 1.5. A loss that is rarer than that, and was never seen yet, is beyond every test.

Answers are taken in the order in which their questions were asked, whenever they come. Otherwise a delay that depends
on the answer (fraud is known in a day, its absence after a month) would let a model win that predicts what is known
early.
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
WAITING = 100_000  # questions that wait at most; the oldest is then closed without an answer
_COUNT = 2  # row of the sums of a block, behind the differences and what bets need besides


class Terms(NamedTuple):
    """What is compared: targets, the decisive one first; whether each is a probability; the horizon, ns; segments.

    Examples
    --------
    >>> terms = Terms(("demand", "up"), (False, True), horizon=60 * 10**9, segments=("weekend",))
    >>> SequentialTest(terms).lanes.shape[0] == len(terms.targets) + PARTS + len(terms.segments)
    True
    """

    targets: tuple[str, ...]
    probability: tuple[bool, ...]
    horizon: int
    segments: tuple[str, ...] = ()


class _Asked:
    """A question that waits for its turn: where it counts, both predictions by target, its answer once known."""

    __slots__ = ("answer", "block", "moment", "p", "segment", "turn", "within")

    def __init__(
        self, block: int, segment: int, turn: int, moment: int, p: np.ndarray, answer=None, within: int = 0
    ) -> None:
        self.within = within  # a bit for each declared segment that it lies in
        self.block = block
        self.segment = segment
        self.turn = turn
        self.moment = moment
        self.p = p
        self.answer = answer


class SequentialTest:
    """Compares two models, given their predictions and the answers; where these were computed does not matter.

    Answers that look a horizon ahead overlap, and so do their losses. The unit that is bet on is then a block: the mean
    over questions of three horizons, followed by a gap of one. Questions of the gap are scored like all others, but not
    bet on. Without overlap every answer is a unit.

    Examples
    --------
    >>> sequential_test = SequentialTest(Terms(("up",), (True,), 0))
    >>> for i in range(100):
    ...     sequential_test.ask(i, i, [0.5], [0.9])
    ...     _ = sequential_test.answer(i, [1.0])
    >>> sequential_test.verdict(to_win=math.log(20), to_lose=math.log(20), timeouts=1000) == betting.WON
    True
    """

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self.lanes = np.zeros((len(terms.targets) + PARTS + len(terms.segments), betting.SIZE))
        self.counts = {"asked": 0, "answered": 0, "unanswered": 0}
        self.lost = [0.0, 0.0]
        self.bins = np.zeros((2, BINS, 3))
        self.failure = ""
        self.own = [0, 0, 0.0]  # which of those that took the second side it is; its answers, and what it gained
        self._head, self._edges = [], []
        self._open: dict[int, _Asked] = {}  # in the order asked
        self._sums, self._at = np.zeros((3, len(self.lanes))), -1  # of the block that is being scored
        self._block = -1
        self._start = 0
        self._last = 0
        self._newest = -(2**63)
        self._bounded = [*terms.probability, *[terms.probability[0]] * (PARTS + len(terms.segments))]
        self._judged = next((i for i, p in enumerate(terms.probability) if p), -1)

    def renew(self) -> None:
        """Another takes the second side from the next question on, and goes on with what was shown so far."""
        self.own = [self.own[0] + 1, 0, 0.0]

    def ask(
        self,
        id: int,
        moment: int,
        first: Sequence[float],
        second: Sequence[float],
        failure: str = "",
        within: Sequence[bool] = (),
    ) -> None:
        """Take a question with what both sides predict, a number a target; ``failure`` says why the second could not.

        ``within`` says which declared segments it lies in. A second side that fails, or predicts no number, is out of
        the comparison for good.
        """
        if self.failure:
            return
        p = np.array([first, second], dtype=np.float64)
        if not np.isfinite(p[1]).all():
            self.failure = failure or f"it predicts {p[1][~np.isfinite(p[1])][0]}"
        p[~np.isfinite(p)] = np.nan
        bits = sum(1 << k for k, inside in enumerate(within) if inside)
        where = (self._place(moment), self._segment(float(p[0, 0])), self.own[0], moment)
        self._open[id] = _Asked(*where, p, within=bits)
        self.counts["asked"] += 1
        if len(self._open) > WAITING:
            self.answer(next(iter(self._open)), [math.nan] * len(self.terms.targets))

    def answer(self, id: int, answer: Sequence[float]) -> bool:
        """Take an answer, a number a target, NaN where there is none; whether the decisive target was bet on."""
        asked = self._open.get(id)
        if asked is None or asked.answer is not None:
            return False
        asked.answer = np.array(answer, dtype=np.float64)
        answered = not math.isnan(asked.answer[0] + asked.p[:, 0].sum())
        self.counts["answered" if answered else "unanswered"] += 1
        if answered:
            self._newest = max(self._newest, asked.moment)
        moved = False
        while self._open:
            id, asked = next(iter(self._open.items()))
            if asked.answer is None:
                break
            del self._open[id]
            self._score(asked)
            following = next(iter(self._open.values()), None)
            if following is None or following.block != self._at:
                moved = self._settle() or moved
        return moved

    def verdict(self, to_win: float, to_lose: float, timeouts: float) -> int:
        """How it stands, see :func:`rtml.kernels.betting.verdict`."""
        return betting.verdict(self.lanes[0], to_win, to_lose, timeouts)

    @property
    def proven(self) -> bool:
        """Whether the second side as it is now, not those it took over from, has answers of its own, and no loss."""
        return self.own[1] >= betting.BURN_IN and self.own[2] >= 0.0

    @property
    def overdue(self) -> int:
        """Questions without an answer that were asked before one that has its answer."""
        return sum(asked.answer is None and asked.moment < self._newest for asked in self._open.values())

    def calibration_error(self) -> tuple[float, float]:
        """Mean distance of predicted and observed share over bins, of both sides; NaN without a probability."""
        n = self.bins[:, :, 0].sum(axis=1)
        off = np.abs(self.bins[:, :, 1] - self.bins[:, :, 2]).sum(axis=1)
        first, second = (off / n if n.all() else np.full(2, np.nan)).tolist()
        return first, second

    @property
    def state(self) -> dict:
        """Everything the next answer depends on."""
        rows, n = list(self._open.values()), len(self.terms.targets)
        none = np.full(n, np.nan)
        places = [(row.block, row.segment, row.turn, row.moment, row.answer is not None) for row in rows]
        waiting = {
            "id": np.array(list(self._open), dtype=np.int64),
            "place": np.array(places, dtype=np.int64).reshape(len(rows), 5),
            "p": np.array([row.p for row in rows]).reshape(len(rows), 2, n),
            "y": np.array([none if row.answer is None else row.answer for row in rows]).reshape(len(rows), n),
        }
        if self.terms.segments:
            waiting["within"] = np.array([row.within for row in rows], dtype=np.int64)
        cursor = [self._block, self._start, self._last, self._newest, self._at]
        parts = {"lanes": self.lanes.copy(), "counts": dict(self.counts), "lost": list(self.lost)}
        parts |= {"bins": self.bins.copy(), "failure": self.failure, "head": list(self._head), "own": list(self.own)}
        return parts | {"edges": list(self._edges), "open": waiting, "sums": self._sums.copy(), "cursor": cursor}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        self.lanes = state["lanes"].copy()
        self.bins = state["bins"].copy()
        self._sums = state["sums"].copy()
        self.counts = dict(state["counts"])
        self.lost = list(state["lost"])
        self.failure = state["failure"]
        self._head = list(state["head"])
        self._edges = list(state["edges"])
        self.own = list(state["own"])
        self._block, self._start, self._last, self._newest, self._at = state["cursor"]
        waiting = state["open"]
        within = waiting.get("within", np.zeros(len(waiting["id"]), np.int64)).tolist()
        columns = (waiting["id"].tolist(), waiting["place"].tolist(), waiting["p"], waiting["y"], within)
        self._open = {}
        for id, (*place, answered), p, y, bits in zip(*columns, strict=True):
            self._open[id] = _Asked(*place, p.copy(), y.copy() if answered else None, bits)

    def _place(self, moment: int) -> int:
        """Block of a question: a new one where nothing overlaps any more, -1 in a gap."""
        if self._block < 0 or moment >= self._last + self.terms.horizon:
            self._block, self._start = self._block + 1, moment
        elif moment >= self._start + LONG * self.terms.horizon:
            return -1
        self._last = moment
        return self._block

    def _segment(self, p: float) -> int:
        """Third in which a prediction of the first side lies; -1 as long as nobody knows where the thirds are."""
        if not self._edges:
            self._head.append(p)
            if len(self._head) == HEAD:
                self._edges = np.nanquantile(self._head, [i / PARTS for i in range(1, PARTS)]).tolist()
            return -1
        return sum(p > edge for edge in self._edges)

    def _score(self, asked: _Asked) -> None:
        """Score the question whose turn it is."""
        self._at = asked.block
        losses = (asked.p - asked.answer) ** 2
        apart = losses[0] - losses[1]
        for lane, target in self._lanes(asked) if asked.block >= 0 else ():
            if apart[target] == apart[target]:
                weight = self._weight(lane, *asked.p[:, target].tolist(), float(asked.answer[target]))
                self._sums[:, lane] += (apart[target], weight, 1.0)
        if apart[0] == apart[0]:
            self.lost = [self.lost[0] + float(losses[0, 0]), self.lost[1] + float(losses[1, 0])]
            if asked.turn == self.own[0]:
                self.own = [asked.turn, self.own[1] + 1, self.own[2] + float(apart[0])]
        self._calibrate(asked.p, asked.answer)

    def _weight(self, lane: int, first: float, second: float, y: float) -> float:
        """What a bet needs besides the difference: the same in units of the noise, or the reach of an error."""
        return betting.standardised(first, second, y) if self._bounded[lane] else 2.0 * abs(first - second)

    def _lanes(self, asked: _Asked) -> list[tuple[int, int]]:
        """Lanes that a question counts in, each with its target: every target, and segments of the first."""
        n = len(self.terms.targets)
        thirds = [(n + asked.segment, 0)] if asked.segment >= 0 else []
        own = [(n + PARTS + k, 0) for k in range(len(self.terms.segments)) if asked.within >> k & 1]
        return [(i, i) for i in range(n)] + thirds + own

    def segments(self) -> dict[str, tuple[float, float]]:
        """Log evidence by declared segment: that the second side is worse there, and that it is better."""
        lanes = self.lanes[len(self.terms.targets) + PARTS :]
        sides = (betting.WORSE, betting.BETTER)
        found = [tuple(float(betting.log_capital(lane, side)) for side in sides) for lane in lanes]
        return dict(zip(self.terms.segments, found, strict=True))

    def _calibrate(self, p: np.ndarray, answer: np.ndarray) -> None:
        i = self._judged
        if i < 0 or answer[i] != answer[i] or np.isnan(p[:, i]).any():
            return
        for side in (0, 1):
            row = self.bins[side, min(max(int(p[side, i] * BINS), 0), BINS - 1)]
            row += (1.0, p[side, i], answer[i])

    def _settle(self) -> bool:
        """Bet on the means of the block that was scored; whether the decisive lane moved."""
        moved = bool(self._sums[_COUNT, 0])
        for lane, (difference, weight, count) in enumerate(self._sums.T.tolist()):
            if count:
                put = betting.bet_bounded if self._bounded[lane] else betting.bet
                put(self.lanes[lane], difference / count, weight / count)
        self._sums[:] = 0.0
        return moved
