"""One websocket connection: what happens is told as it happens, faults applied; how, a subclass says."""

from __future__ import annotations

import asyncio
import json
import time

import msgspec
from aiohttp import WSMsgType, web

TICK = 0.005
TOGETHER = 20_000_000  # ns: trades of a symbol this near to each other may share a message


class Line:
    """One connection of a client; a subclass says ``hello``, answers what is ``asked`` and writes ``messages``."""

    def __init__(self, exchange, request) -> None:
        self.exchange, self.request = exchange, request
        self.ws = web.WebSocketResponse(compress=False, autoping=False)
        self.symbols: set[str] = set()
        self.position, self.sent = 0, time.monotonic()

    async def run(self) -> web.WebSocketResponse:
        """Serve until the connection ends."""
        await self.ws.prepare(self.request)
        self.exchange.sockets.add(self)
        pump = asyncio.create_task(self._pump())
        try:
            await self.hello()
            async for message in self.ws:
                if message.type == WSMsgType.PING and not self.exchange.faults.stall:
                    await self.ws.pong(message.data)
                elif message.type == WSMsgType.TEXT:
                    await self.asked(json.loads(message.data))
        finally:
            pump.cancel()
            self.exchange.sockets.discard(self)
        return self.ws

    async def say(self, message) -> None:
        """Send a message, unless the line is dead."""
        if not self.exchange.faults.stall and not self.ws.closed:
            self.sent = time.monotonic()
            await self.ws.send_str(message if isinstance(message, str) else msgspec.json.encode(message).decode())

    def rejected(self) -> bool:
        """Count a subscription, and whether it is to be rejected."""
        faults = self.exchange.faults
        self.exchange.subscriptions += 1
        faults.rejections -= 1
        return faults.rejections >= 0

    def follow(self, symbols) -> None:
        """Tell these symbols' trades from now on."""
        self.symbols |= set(symbols)

    async def hello(self) -> None:
        """What is said first."""

    async def beat(self) -> None:
        """What is said after a second without a word."""

    async def asked(self, message: dict) -> None:
        """Answer a message."""
        raise NotImplementedError

    def messages(self, trades: list[tuple[str, int]]):
        """Messages that tell trades (symbol, index)."""
        raise NotImplementedError

    async def _pump(self) -> None:
        """Tell what happens, in the order of time."""
        faults, feed = self.exchange.faults, self.exchange.feed
        while not self.ws.closed:
            if self.symbols and not faults.stall:
                until = feed.happened()
                trades = [at for at in feed.between(self.position, until) if at[0] in self.symbols]
                trades.sort(key=lambda at: (feed.tapes[at[0]].time[at[1]] // TOGETHER, at[0]))
                left_out, self.position = min(max(faults.skip, 0), len(trades)), until
                faults.skip -= left_out
                for message in self.messages(trades[left_out:]):
                    await self.say(message)
            if self.symbols and time.monotonic() - self.sent > 1:
                await self.beat()
            await asyncio.sleep(TICK)
