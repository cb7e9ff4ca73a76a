"""Backfill by REST: the past before the start, and what the websocket missed since."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from rtml.core.clock import Clock
from rtml.usecases.crypto.exchange import errors as trouble
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.exchange.timeouts import Timeouts

_SECOND = 10**9
_SLACK = (0, 0, 1, 10, 60)  # seconds that a page asked again reaches further back


class GaveUp(Exception):
    """REST did not answer usefully for too long.

    Examples
    --------
    >>> raise GaveUp("no page for 60 s")
    Traceback (most recent call last):
        ...
    rtml.usecases.crypto.exchange.backfill.GaveUp: no page for 60 s
    """


class Backfill:
    """Pages of trades, until the gap filler misses nothing; ``note`` takes each page, ``complain`` each error."""

    def __init__(
        self, client, dialect, markets: dict[str, dict], gap_filler: GapFiller, clock: Clock, timeouts: Timeouts
    ):
        self.client = client
        self.dialect = dialect
        self.markets = markets
        self.gap_filler = gap_filler
        self.clock, self.timeouts = clock, timeouts
        self.note: Callable[[str, object], None] = lambda kind, data: None
        self.complain: Callable[[BaseException], None] = lambda error: None
        self.room: Callable[[], Awaitable[None]] = _at_once  #: waits until rows may be brought

    async def beginnings(self, backfill: int, after: dict[str, tuple[int, int]]) -> dict:
        """The note ``begin``: behind which trade each symbol starts, ``backfill`` ns before the newest trade.

        The exchange's own newest trade sets the time, so a machine whose clock is wrong asks for the right hour.
        """
        newest = {}
        for symbol in self.markets:
            if symbol not in after:
                newest[symbol] = await self.page(symbol, "newest", limit=self.timeouts.start)
        times = [trades[-1].time for _, trades, _ in newest.values() if trades]
        start = min([time for _, time in after.values()] or [max(times, default=self.clock.now()) - backfill])
        begin = {symbol: list(after[symbol]) for symbol in after if symbol in self.markets}
        for symbol, (_, trades, _) in newest.items():
            begin[symbol] = await self._before(symbol, trades, start)
        return {"from": start if not after else 0, **begin}

    async def _before(self, symbol: str, trades, start: int) -> list[int] | None:
        """Id and time of the trade before a moment; None for a symbol that has never traded."""
        if not trades:
            return None
        if trades[0].time >= start:
            _, trades, _ = await self.page(symbol, "since", start, limit=self.timeouts.start)
        earlier = [trade for trade in trades if trade.time < start]
        if earlier:
            last = max(earlier, key=lambda trade: trade.id)
            return [last.id, last.time]
        return [trades[0].id - 1, start - 1] if trades else None

    async def fill(self, symbol: str) -> None:
        """Request what follows the last trade in sequence until nothing is missing, or note that it is lost."""
        thread = self.gap_filler.threads[symbol]
        doubted = None
        began = tries = 0
        limit = self.timeouts.fill
        while thread.last is not None:
            await self.room()
            last, slack = thread.last, _SLACK[min(tries, 4)] * _SECOND
            try:
                answer, trades, _ = await self.page(symbol, "after", (last, thread.time), slack, limit=limit)
            except GaveUp:
                self.note("lost", symbol)
                break
            self.note("rest", [symbol, answer])
            if thread.last > last and self.dialect.more(trades, last):
                continue
            if thread.missing is None:
                break
            if thread.missing != doubted:
                began, tries = self.clock.elapsed(), 0
                doubted = thread.missing
            tries += 1
            self._doubt(symbol, trades, tries, began)
            await asyncio.sleep(min(1.0, self.timeouts.pause(tries)))
        self.note("level", symbol)

    def _doubt(self, symbol: str, trades, tries: int, began: int) -> None:
        """Give up a hole that REST knows no trade in, or a trade behind it that REST does not know after all."""
        newest = max((trade.id for trade in trades), default=-1)
        if tries >= 5 and newest >= self.gap_filler.threads[symbol].missing:
            self.note("lost", symbol)
        elif self.clock.elapsed() - began > self.timeouts.fill * _SECOND:
            self.note("false", symbol)

    async def page(self, symbol: str, which: str, *arguments, limit: float) -> tuple:
        """A page as it was answered, its trades, and how many were unreadable; tries again for ``limit`` seconds."""
        began = self.clock.elapsed()
        tries = 0
        market = self.markets[symbol]
        while True:
            try:
                answer = await getattr(self.dialect, which)(self.client, market, *arguments)
                return answer, *self.dialect.page(answer, self.dialect.market(market))
            except Exception as error:
                await self.retry(error, began, tries := tries + 1, limit)

    async def retry(self, error: Exception, began: int, tries: int, limit: float) -> None:
        """Wait before the next try; raises when an error is final or ``limit`` seconds have passed."""
        trouble.raise_if_hopeless(self.dialect.name, error)
        self.complain(error)
        if self.clock.elapsed() - began > limit * _SECOND:
            raise GaveUp from error
        asked = trouble.asked_to_wait(error, self.client.last_response_headers)
        await asyncio.sleep(self.timeouts.pause(tries, asked))


async def _at_once() -> None:
    """Rows may be brought at any time."""
