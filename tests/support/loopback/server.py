"""The loopback exchange as a thread of its own, with its faults as methods."""

from __future__ import annotations

import asyncio
import threading
import time
from contextlib import suppress
from functools import partial

from aiohttp import web

from loopback import binance, coinbase, kraken
from loopback.faults import Faults, Rest
from loopback.feed import Feed


class Loopback:
    """An exchange on 127.0.0.1, started and stopped by ``with``.

    Examples
    --------
    >>> from loopback.tape import tapes
    >>> with Loopback(Feed(tapes())) as exchange:
    ...     sorted(exchange.client_options)
    ['rateLimit', 'timeout_on_exit', 'urls']
    """

    def __init__(self, feed: Feed, port: int = 0, name: str = "kraken") -> None:
        self.name, self.speech = name, {"kraken": kraken, "coinbase": coinbase, "binance": binance}[name]
        self.feed, self.faults, self.port = feed, Faults(), port
        self.sockets: set = set()
        self.requests: list[tuple[float, str]] = []  # when and what REST was asked
        self.dials = self.subscriptions = 0
        self._ready, self._over = threading.Event(), None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._serve()), name="loopback", daemon=True)

    @property
    def client_options(self) -> dict:
        """Options that point the unpatched client here."""
        return {"urls": {"api": self.speech.urls(f"127.0.0.1:{self.port}")}, "rateLimit": 5, "timeout_on_exit": 1}

    def __enter__(self) -> Loopback:
        self._thread.start()
        if not self._ready.wait(20):
            raise RuntimeError("the loopback exchange did not start")
        return self

    def __exit__(self, *_) -> None:
        self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(20)

    def drop(self, how: str = "close", code: int = 1001) -> None:
        """End every connection: ``close`` says goodbye, ``abort`` resets, ``end`` closes the stream without a word."""
        for socket in list(self.sockets):
            transport = socket.request.transport
            if how == "close":
                self._do(socket.ws.close(code=code, message=b"bye"))
            elif transport is not None:
                self._loop.call_soon_threadsafe(transport.abort if how == "abort" else transport.close)

    def send(self, frame: str | bytes) -> None:
        """Send a frame as it is to every connection."""
        for socket in list(self.sockets):
            self._do(socket.ws.send_bytes(frame) if isinstance(frame, bytes) else socket.ws.send_str(frame))

    def repeat(self, n: int = 20) -> None:
        """Tell the last trades of every symbol again."""
        for symbol in self.feed.tapes:
            until = self.feed.upto(symbol)
            for message in self.speech.again(self.feed, symbol, range(max(0, until - n), until)):
                for socket in list(self.sockets):
                    self._do(socket.say(message))

    def fail(self, n: int, **what) -> None:
        """Let the next ``n`` REST requests fail."""
        self.faults.rest = Rest(n, **what)

    def _do(self, coroutine) -> None:
        asyncio.run_coroutine_threadsafe(_quietly(coroutine), self._loop)

    async def _serve(self) -> None:
        self._loop, self._over = asyncio.get_running_loop(), asyncio.Event()
        app = web.Application()
        for path, answer in self.speech.ROUTES.items():
            app.router.add_get(path, partial(self._rest, answer))
        for path, line in self.speech.SOCKETS.items():
            app.router.add_get(path, partial(self._dialled, line))
        runner = web.AppRunner(app, shutdown_timeout=0.2, access_log=None)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", self.port)
        await site.start()
        self.port = runner.addresses[0][1]
        self._ready.set()
        await self._over.wait()
        self.faults.clear()
        for socket in list(self.sockets):
            if socket.request.transport is not None:
                socket.request.transport.abort()
        await runner.cleanup()

    async def _rest(self, answer, request) -> web.StreamResponse:
        self.requests.append((time.monotonic(), request.path_qs))
        fault = self.faults.rest
        if fault and fault.n > 0 and fault.only in request.path:
            fault.n -= 1
            await asyncio.sleep(fault.delay)
            if fault.abort:
                request.transport.abort()
            if fault.abort or fault.body or fault.status != 200:
                headers = fault.headers | {"Content-Type": fault.content}
                return web.Response(status=fault.status, body=fault.body.encode(), headers=headers)
        return answer(self, request)

    async def _dialled(self, line, request) -> web.StreamResponse:
        self.dials += 1
        if self.faults.refuse:
            return web.Response(status=self.faults.refuse, text="no", headers=self.faults.refuse_headers)
        return await line(self, request).run()


async def _quietly(coroutine) -> None:
    with suppress(ConnectionError, RuntimeError):
        await coroutine
