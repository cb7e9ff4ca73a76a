"""A session with an exchange: connect, subscribe, catch up over REST, follow, and begin again when the socket dies."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from contextlib import suppress

from rtml.core.clock import Clock
from rtml.sources.protocol import Refused
from rtml.usecases.crypto.exchange import errors as trouble
from rtml.usecases.crypto.exchange.backfill import Backfill
from rtml.usecases.crypto.exchange.errors import Silent, Slow
from rtml.usecases.crypto.exchange.gap_filler import GapFiller
from rtml.usecases.crypto.exchange.recorder import Recorder, understand
from rtml.usecases.crypto.exchange.timeouts import Timeouts

_SECOND = 10**9
_CLOCKS = 60 * _SECOND  # how far an exchange's clock may be ahead of this machine's before ticks follow this one


class Session:
    """One run against an exchange on the running event loop; rows go to ``deliver``, all notes to the recorder."""

    state = "STARTING"
    error = ""
    recorder: Recorder | None = None
    _broken: BaseException | None = None
    _stamp: list[tuple[int, int]] | None = None
    _since: int | None = None  # monotonic: live for the first time
    _frame = _moved = _ticked = _flushed = 0  # monotonic: last frame, trade, tick, flush
    _asked = _heard = 0  # monotonic: last ping; the newest one answered, what was sent before it has been heard

    def __init__(
        self,
        client,
        dialect,
        markets: dict[str, dict],
        deliver: Callable[[list], None],
        clock: Clock,
        timeouts: Timeouts,
    ) -> None:
        self.client = client
        self.dialect = dialect
        self.markets = markets
        self.clock, self.timeouts = clock, timeouts
        self.names = {symbol: dialect.market(market) for symbol, market in markets.items()}
        self.gap_filler = GapFiller(self.names)
        self.counts: Counter[str] = Counter()
        self.crowded: Callable[[], bool] = lambda: False  #: whether as many rows wait to be taken as may
        self._deliver = deliver
        self._backfill = Backfill(client, dialect, markets, self.gap_filler, clock, timeouts)
        self._backfill.note = self.note
        self._backfill.complain = self.complain
        self._backfill.room = self._room
        self._hole, self._agreed = asyncio.Event(), asyncio.Event()
        self._waiting = set()
        self._farewells: set[asyncio.Task] = set()

    async def run(self, backfill: int, seconds: float, after: dict[str, tuple[int, int]]) -> None:
        """Follow the market until it was live for ``seconds`` (0: for ever); raises ``Refused`` when that cannot be."""
        self.state = "BACKFILLING"
        self.note("begin", await self._backfill.beginnings(backfill, after))
        tries = refusals = 0
        while True:
            began = self.clock.elapsed()
            error = await self._connection(seconds)
            if error is None:
                return
            trouble.raise_if_hopeless(self.dialect.name, error)
            refusals = refusals + 1 if isinstance(error, trouble.Rejected) else 0
            if refusals == 5:
                raise Refused(f"{error}: five times in a row; try again later, or take another exchange") from error
            self.complain(error)
            self.state = "RECONNECTING"
            self.counts["reconnects"] += 1
            self.note("behind", "slow" if isinstance(error, Slow) else None)
            await self._room()
            tries = 0 if self.clock.elapsed() - began > 5 * _SECOND else tries + 1
            await asyncio.sleep(self.timeouts.pause(tries, self._dial_delay()))

    async def close(self) -> None:
        """Hang up and let every connection go."""
        self.state = "STOPPED"
        self._hang_up()
        with suppress(Exception):
            async with asyncio.timeout(2):
                await asyncio.gather(*self._farewells, return_exceptions=True)

    def hear(self, message) -> bool:
        """Take a websocket message; False when the client should see it as well."""
        if not isinstance(message, dict):
            return False
        self._frame = self.clock.elapsed()
        if self.recorder:
            self.recorder.write(self.clock.now(), "ws", message)
        message = self.dialect.hear(message)
        if message.refused:
            self.cut(trouble.subscription(self.dialect.name, self.names, message.refused))
        if message.agreed:
            self._waiting -= set(self._waiting if "*" in message.agreed else message.agreed)
            if not self._waiting:
                self._agreed.set()
        if message.trades or message.broken or message.newest:
            self._apply("ws", message)
        return message.mine

    def pong(self, payload: bytes) -> None:
        """Take the answer to a ping. A socket keeps its order, so everything sent before that ping has been heard.

        No other frame proves that: after a stall of this process, or of the network, trades wait behind the first.
        """
        if payload.isdigit() and int(payload) <= self._asked:
            self._heard = max(self._heard, int(payload))

    def cut(self, error: Exception) -> None:
        """This connection is of no use any more."""
        self._broken = self._broken or error

    def note(self, kind: str, data) -> None:
        """Record a note, hand it to the gap filler, and send the rows that it frees."""
        if self.recorder:
            self.recorder.write(self.clock.now(), kind, data)
        self._apply(kind, understand(self.dialect, self.names, kind, data))

    def complain(self, error: BaseException) -> None:
        """Count an error and remember its words."""
        self.error = trouble.brief(error)
        self.counts[f"error:{type(error).__name__}"] += 1

    def _apply(self, kind: str, meaning) -> None:
        before = self.gap_filler.time
        rows = self.gap_filler.take(kind, meaning)
        if self.gap_filler.time > before:
            self._moved = self.clock.elapsed()
        if rows:
            self._deliver(rows)
        if not self.gap_filler.live:
            self._hole.set()

    async def _connection(self, seconds: float) -> Exception | None:
        """One connection, until it breaks (the error) or the session is over (None)."""
        self._agreed.clear()
        self._waiting = set(self.names.values())
        self._broken = None
        self._stamp = None
        self._frame = self._asked = self.clock.elapsed()
        tasks = [asyncio.create_task(part) for part in (self._watch(), self._keep_level(), self._beat(seconds))]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            done = [task for task in tasks if task.done()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._hang_up()
        errors = [Silent("the client closed the socket") if task.cancelled() else task.exception() for task in done]
        return next((error for error in errors if error is not None), None)

    async def _watch(self) -> None:
        """Dial and subscribe; ends when the connection does, since the client never sees a trade."""
        symbols = [market["symbol"] for market in self.markets.values()]
        await self.client.watch_trades_for_symbols(symbols, params=dict(self.dialect.subscription))
        raise Silent("the subscription ended")

    async def _keep_level(self) -> None:
        """Fill what is missing, now and each time a gap opens."""
        async with asyncio.timeout(self.timeouts.answer):
            await self._agreed.wait()
        while True:
            while behind := self.gap_filler.behind():
                self.state = "BACKFILLING"
                await asyncio.gather(*(self._backfill.fill(symbol) for symbol in behind))
            self.state = "LIVE"
            self._since = self.clock.elapsed() if self._since is None else self._since
            self._hole.clear()
            await self._hole.wait()

    async def _beat(self, seconds: float) -> None:
        """Notice a dead socket, send the time of a quiet market, and end when the time is over."""
        beaten = self.clock.elapsed()
        while True:
            await asyncio.sleep(self.timeouts.beat)
            now = self.clock.elapsed()
            if self._broken:
                raise self._broken
            if self.crowded():
                raise Slow("rows wait to be taken, as many as may: what comes now is fetched later")
            self._look(now)
            stalled, beaten = now - beaten, now
            if stalled < _SECOND and now - self._frame > self.timeouts.dead * _SECOND:
                raise Silent(f"no frame for {self.timeouts.dead:g} s")
            if self.recorder and now - self._flushed > _SECOND:
                self.recorder.flush()
                self._flushed = now
            if self.state == "LIVE" and self.gap_filler.live:
                if seconds and now - self._since >= seconds * _SECOND:
                    return
                self.tick()
                await self._ping(now)

    def _look(self, now: int) -> None:
        """Note whether any frame came, a pong too."""
        stamp = [(id(line), line.last_message_at) for line in self.client.clients.values() if line.last_message_at]
        if stamp and stamp != self._stamp:
            self._stamp, self._frame = stamp, now

    def tick(self) -> None:
        """Send the time of a market that was quiet for a while, as far as it was listened to."""
        if self.gap_filler.time and self._heard - max(self._moved, self._ticked) >= self.timeouts.tick * _SECOND:
            self._ticked = self._heard
            time, now = self.gap_filler.time + self._heard - self._moved, self.clock.now()
            self.note("tick", time if time <= now + _CLOCKS else now - (self.clock.elapsed() - self._heard))

    async def _ping(self, now: int) -> None:
        """Ask whether everything was heard, once the market is quiet, and one question at a time."""
        answered = self._heard >= self._asked or self._asked < max(self._moved, self._ticked)
        if now - max(self._moved, self._asked) >= self.timeouts.tick * _SECOND and answered:
            self._asked = now
            for line in list(self.client.clients.values()):
                if not line.closed():
                    await line.connection.ping(b"%d" % now)

    async def _room(self) -> None:
        """Wait until rows that wait were taken."""
        while self.crowded():
            await asyncio.sleep(self.timeouts.beat)

    def _dial_delay(self) -> float:
        return max(map(self.client.ws_dial_delay, self.client.ws_dial_backoff or {}), default=0.0)

    def _hang_up(self) -> None:
        for url in list(self.client.clients):
            task = asyncio.ensure_future(_farewell(self.client.clients.pop(url)))
            self._farewells.add(task)
            task.add_done_callback(self._farewells.discard)


async def _farewell(line) -> None:
    """Close a socket without waiting for a peer that may be gone; one that is still being dialled is closed after."""
    with suppress(Exception, asyncio.CancelledError):
        if line.connecting:
            await asyncio.wait([line.connected], timeout=15)
        async with asyncio.timeout(5):
            await line.close()
