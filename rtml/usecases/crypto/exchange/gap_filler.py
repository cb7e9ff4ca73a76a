"""Trades stitched from websocket and REST: each once, in the order of its ids, symbols merged by time.

Messages of the exchange and events of the connection are notes. The same notes give the same rows, so a recording of
them is replayed by this very code.
"""

from __future__ import annotations

import heapq
from collections import Counter, deque
from dataclasses import dataclass, field
from operator import itemgetter

from rtml.usecases.crypto.exchange.trade import Message, Trade

_TIME = itemgetter(2)


@dataclass
class Thread:
    """One symbol: the last trade sent, trades that wait for one before them, rows that wait for other symbols."""

    symbol: str
    market: str
    last: int | None = None  # id of the newest trade in sequence
    time: int = 0  # time up to which the sequence is known
    held: dict[int, Trade] = field(default_factory=dict)
    newest: int = -1  # newest id the exchange spoke of
    behind: bool = True  # REST has to fill in what was missed
    ready: deque = field(default_factory=deque)

    @property
    def level(self) -> bool:
        """Whether everything the exchange has sent so far is in sequence."""
        return not (self.behind or self.held or (self.last is not None and self.newest > self.last))

    @property
    def missing(self) -> int | None:
        """The first id known to exist behind a hole; None when there is no hole."""
        if self.held:
            return min(self.held)
        return self.newest + 1 if self.last is not None and self.newest > self.last else None


class GapFiller:
    """Notes in, raw rows out.

    A trade is sent when the one before it was: what comes early is held until REST brings what is missing. While any
    symbol is behind, rows wait until every symbol that is behind has passed their time, since bars of all symbols close
    by one watermark.

    Parameters
    ----------
    markets : dict
        Symbol to the exchange's name of it, the target first.

    Examples
    --------
    >>> gap_filler = GapFiller({"ETH/USD": "ETH/USD"})
    >>> _ = gap_filler.take("begin", {"from": 0, "ETH/USD": [6, 5]}), gap_filler.take("level", "ETH/USD")
    >>> def message(id): return Message((Trade("ETH/USD", id, 10 * id, 9.5, 1.0, "buy"),))
    >>> [[row[6] for row in gap_filler.take("ws", message(id))] for id in (7, 7, 9, 8)]
    [[7], [], [], [8, 9]]
    """

    def __init__(self, markets: dict[str, str]) -> None:
        self.threads = {symbol: Thread(symbol, market) for symbol, market in markets.items()}
        self.counts: Counter[str] = Counter()
        self.time = 0  # time of the newest row sent, ticks aside
        self._start = 0
        self._target = next(iter(markets))
        self._by_market = {thread.market: thread for thread in self.threads.values()}
        self._behind_now = dict.fromkeys(markets)  # symbols that are not level
        self._flowing = False  # live at the last note: no row waits
        self._out: list[tuple] = []

    @property
    def live(self) -> bool:
        """Whether nothing is missing of any symbol."""
        return not self._behind_now

    def behind(self) -> list[str]:
        """Symbols of which something is missing."""
        return [symbol for symbol in self.threads if symbol in self._behind_now]

    def take(self, kind: str, data) -> list[tuple]:
        """Rows (columns of ``RAW``) that a note sets free.

        ``begin`` holds behind which trade each symbol begins, and from when rows are wanted; ``ws`` is the content of a
        message (``Message``); ``rest`` is a symbol, the trades of a page and how many were unreadable; ``behind`` means
        that the connection was lost (``slow``: let go, and trades that wait for one before them too), ``level`` that a
        symbol has caught up; ``lost`` gives up what is missing, ``false`` drops an id that does not exist; ``tick`` is
        the time of a quiet market.
        """
        self._out = []
        changed = getattr(self, "_" + kind)(data)
        for thread in changed:
            if thread.level:
                self._behind_now.pop(thread.symbol, None)
            else:
                self._behind_now[thread.symbol] = None
        self._merge(changed)
        if self._out and kind != "tick":
            self.time = max(self.time, max(map(_TIME, self._out)))
        return self._out

    def _begin(self, data: dict) -> list[Thread]:
        self._start = data["from"]
        for symbol, thread in self.threads.items():
            thread.last, thread.time = data[symbol] or (None, data["from"])
        return list(self.threads.values())

    def _ws(self, message: Message) -> list[Thread]:
        self.counts["broken"] += message.broken
        changed = self._offer(message.trades)
        if message.newest and message.newest[0] in self._by_market:
            thread = self._by_market[message.newest[0]]
            thread.newest = max(thread.newest, message.newest[1])
            changed.append(thread)
        return changed

    def _rest(self, page: tuple) -> list[Thread]:
        _, trades, broken = page
        self.counts["pages"] += 1
        self.counts["broken"] += broken
        return self._offer(trades)

    def _behind(self, why: str | None) -> list[Thread]:
        for thread in self.threads.values():
            thread.behind = True
            if why == "slow":
                thread.held.clear()
        return list(self.threads.values())

    def _level(self, symbol: str) -> list[Thread]:
        thread = self.threads[symbol]
        thread.behind = False
        if thread.last is None and thread.held:
            thread.last = min(thread.held) - 1
            self._advance(thread)
        return [thread]

    def _lost(self, symbol: str) -> list[Thread]:
        """What lies before the first trade held never comes: say so, and go on with that trade."""
        thread = self.threads[symbol]
        if thread.held and thread.last is not None:
            first = min(thread.held)
            end = max(thread.held[first].time - 1, thread.time + 1)
            self.counts["gaps"] += 1
            self.counts["lost"] += first - 1 - thread.last
            thread.ready.append((symbol, "gap", end, None, None, None, thread.time, None, None))
            thread.last = first - 1
            self._advance(thread)
        return [thread]

    def _false(self, symbol: str) -> list[Thread]:
        thread = self.threads[symbol]
        thread.newest = -1
        if thread.held:
            del thread.held[min(thread.held)]
        self.counts["false"] += 1
        return [thread]

    def _tick(self, time: int) -> list[Thread]:
        self.counts["ticks"] += 1
        self._out.append((self._target, "tick", time, None, None, None, -1, None, None))
        return []

    def _offer(self, trades) -> list[Thread]:
        """Take trades; the symbols they belong to."""
        changed: dict[str, Thread] = {}
        for trade in trades:
            thread = self._by_market.get(trade.market)
            if thread is None:
                self.counts["strange"] += 1
                continue
            changed[trade.market] = thread
            if thread.last is None and not thread.behind:
                thread.last = trade.id - 1
            if (thread.last is not None and trade.id <= thread.last) or trade.id in thread.held:
                self.counts["duplicate"] += 1
            else:
                thread.held[trade.id] = trade
                self._advance(thread)
        return list(changed.values())

    def _advance(self, thread: Thread) -> None:
        while thread.last is not None and (trade := thread.held.pop(thread.last + 1, None)) is not None:
            thread.last, thread.time = trade.id, max(thread.time, trade.time)
            if trade.time >= self._start:
                self.counts["trades"] += 1
                row = (thread.symbol, "trade", trade.time, trade.price, trade.size, trade.side, trade.id, None, None)
                thread.ready.append(row)

    def _merge(self, changed: list[Thread]) -> None:
        """Move rows out: all when every symbol is level, else those whose time every symbol behind has passed."""
        if self.live and len(changed) == 1 and self._flowing:  # the common case: one message, nothing waits
            self._out.extend(changed[0].ready)
            changed[0].ready.clear()
            return
        until = min((self.threads[symbol].time for symbol in self._behind_now), default=None)
        waiting = [thread.ready for thread in self.threads.values() if thread.ready]
        self._out.extend(heapq.merge(*(_upto(ready, until) for ready in waiting), key=_TIME))
        self._flowing = self.live


def _upto(ready: deque, until: int | None):
    """Take rows from the left as long as they are not after ``until``."""
    while ready and (until is None or ready[0][2] <= until):
        yield ready.popleft()
