"""Bars of a live market close on time and their memory stays flat: 10,000 trades a second over 20 symbols."""

import tracemalloc

import numpy as np

from rtml.core.clock import ManualClock
from rtml.core.state import dumps
from rtml.usecases.crypto.bars import Bars
from rtml.usecases.crypto.exchange.dialects import Kraken
from rtml.usecases.crypto.exchange.session import Session
from rtml.usecases.crypto.exchange.timeouts import Timeouts
from rtml.usecases.crypto.exchange.trade import Message, Trade
from rtml.usecases.crypto.schema import TRADES, frame

SECOND, STEP = 10**9, 50 * 10**6
SYMBOLS = tuple(f"A{k:02d}/USD" for k in range(20))
START = 1_700_000_000 * SECOND


class Market:
    """A live session on a clock that is told to move, and its bars; trades of a step come at its end."""

    def __init__(self, every="1s"):
        self.clock, self.rows, self.next = ManualClock(START), [], 1
        markets = {symbol: {"symbol": symbol} for symbol in SYMBOLS}
        self.session = Session(None, Kraken, markets, self.rows.extend, self.clock, Timeouts())
        self.session.note("begin", {"from": 0} | {symbol: [0, START] for symbol in SYMBOLS})
        for symbol in SYMBOLS:
            self.session.note("level", symbol)
        self.bars, self.closed = Bars(every, "1s", len(SYMBOLS)), []

    def step(self, each: int) -> None:
        """Let 50 ms pass in which every symbol traded ``each`` times, and close what is due."""
        begun = self.clock.now()
        self.clock.advance(STEP)
        for symbol in SYMBOLS:
            times = begun + np.linspace(0, STEP - 1, each).astype(int) if each else ()
            trades = tuple(Trade(symbol, self.next + k, int(t), 9.5, 1.0, "buy") for k, t in enumerate(times))
            if trades:
                self.session._apply("ws", Message(trades))
        self.next += each
        self.session._asked = self.clock.elapsed()  # a ping a step, answered at once
        self.session.pong(b"%d" % self.clock.elapsed())
        self.session.tick()
        if self.rows:
            closed = self.bars.push(TRADES.accept(frame(self.rows), SYMBOLS)[0])
            self.rows.clear()
            self.closed += [(int(end), self.clock.now()) for end in closed["end"][:, 0]]


def test_bars_close_within_a_tick_of_their_time_in_a_busy_and_in_a_quiet_market():
    market = Market()
    for each in [25] * 100 + [0] * 100 + [1] * 20 + [0] * 60:  # 5 s busy, 5 s quiet, 1 s slow, 3 s quiet
        market.step(each)
    ends = np.array([end for end, _ in market.closed])
    late = np.array([at - end - SECOND for end, at in market.closed])
    assert (np.diff(ends) == SECOND).all() and len(ends) >= 9
    assert late.min() >= 0, "before its time"
    assert late[:2].max() <= STEP, "busy: the next trades close it"
    assert late.max() <= (Timeouts().tick * SECOND) + 2 * STEP < SECOND // 2, "quiet: the next tick does"


def test_after_a_trade_with_a_clock_ahead_ticks_follow_the_wall_clock_and_bars_go_on():
    market = Market()
    for each in [5] * 40 + [0] * 40:
        market.step(each)
    market.session._apply(
        "ws", Message((Trade(SYMBOLS[0], market.next, market.clock.now() + 90 * SECOND, 1.0, 1.0, "buy"),))
    )
    market.next += 1
    wrong = market.clock.now()
    for _ in range(60):  # 3 s without a trade
        market.step(0)
    assert max(end for end, _ in market.closed) > wrong, "a quiet market closes its bars"
    assert max(end for end, _ in market.closed) <= market.clock.now() and market.bars.counts()["ahead"] == 1


def test_memory_is_flat():
    market, state, memory = Market(every="250ms"), [], []
    tracemalloc.start()
    try:
        for step in range(60):
            market.step(10)  # 200 trades
            if step % 20 == 19:
                market.closed.clear()
                state.append(len(dumps(market.bars.state)))
                memory.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
    assert market.session.gap_filler.counts["trades"] == 60 * 200
    assert not any(thread.held or thread.ready for thread in market.session.gap_filler.threads.values())
    assert state[2] <= state[1] * 1.1, f"the bars' state grows: {state}"
    assert memory[2] - memory[1] < 1_000_000, f"memory grows: {memory}"
