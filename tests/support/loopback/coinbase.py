"""Coinbase Exchange: REST products and trades, newest first, and the feed of matches and heartbeats."""

from __future__ import annotations

import time

import numpy as np
from aiohttp import web

from loopback.feed import iso
from loopback.line import Line


def _told(tape, i: int) -> dict:
    """A trade; the side is the maker's."""
    return {
        "trade_id": int(tape.id[i]), "side": "sell" if tape.buy[i] else "buy", "size": f"{tape.size[i]:.8f}",
        "price": f"{tape.price[i]:.8f}", "time": iso(tape.time[i]),
    }  # fmt: skip


def _product(symbol: str) -> dict:
    base, quote = symbol.split("/")
    return {
        "id": f"{base}-{quote}", "base_currency": base, "quote_currency": quote, "quote_increment": "0.01",
        "base_increment": "0.00000001", "display_name": symbol, "min_market_funds": "1", "margin_enabled": False,
        "status": "online", "status_message": "", "trading_disabled": False, "type": "spot",
    }  # fmt: skip


def rest(exchange, request) -> web.Response:
    """Answer a REST request."""
    feed, path = exchange.feed, request.match_info["path"].split("/")
    if path[0] == "currencies":
        names = {name for symbol in feed.tapes for name in symbol.split("/")}
        return web.json_response([{"id": n, "name": n, "status": "online", "details": {}} for n in sorted(names)])
    if path == ["products"]:
        return web.json_response([_product(symbol) for symbol in feed.tapes])
    symbol = path[1].replace("-", "/") if len(path) == 3 and path[2] == "trades" else ""
    if symbol not in feed.tapes:
        return web.json_response({"message": "NotFound"}, status=404)
    tape, until = feed.tapes[symbol], feed.upto(symbol, exchange.faults.lag)
    if "after" in request.query:
        until = min(until, int(np.searchsorted(tape.id, int(request.query["after"]))))
    start = max(0, until - min(int(request.query.get("limit", 100)), 1000))
    known = [i for i in range(start, until) if not feed.hidden[symbol][i]]
    return web.json_response([_told(tape, i) for i in reversed(known)])


class Socket(Line):
    """A connection to the feed."""

    async def asked(self, message: dict) -> None:
        if message.get("type") != "subscribe" or self.exchange.faults.mute:
            return
        if self.rejected():
            await self.say({"type": "error", "message": "Failed to subscribe", "reason": self.exchange.faults.reject})
            return
        self.position, products = self.exchange.feed.happened(), message["product_ids"]
        channels = [{"name": name, "product_ids": products} for name in message["channels"]]
        await self.say({"type": "subscriptions", "channels": channels})
        self.follow(product.replace("-", "/") for product in products)

    def messages(self, trades):
        """One message a trade."""
        for symbol, i in trades:
            yield _told(self.exchange.feed.tapes[symbol], i) | {"type": "match", "product_id": symbol.replace("/", "-")}

    async def beat(self) -> None:
        for symbol in self.symbols:
            last = int(self.exchange.feed.tapes[symbol].id[self.exchange.feed.upto(symbol) - 1])
            await self.say({"type": "heartbeat", "product_id": symbol.replace("/", "-"), "last_trade_id": last})
        self.sent = time.monotonic()


ROUTES = {"/rest/{path:.*}": rest}
SOCKETS = {"/feed": Socket}


def urls(base: str) -> dict:
    """Where the client finds it."""
    return {"public": f"http://{base}/rest", "ws": f"ws://{base}/feed"}
