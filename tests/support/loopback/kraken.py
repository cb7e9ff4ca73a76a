"""Kraken's public REST (``/0/public``) and websocket v2 (``/v2``), from a feed."""

from __future__ import annotations

import numpy as np
from aiohttp import web

from loopback.feed import iso
from loopback.line import Line

BATCH = 50


def listed(symbol: str) -> str:
    """Kraken's REST name of a symbol."""
    base, quote = symbol.split("/")
    return f"X{'XBT' if base == 'BTC' else base}Z{quote}"


def _assets(symbols) -> dict:
    names = {listed(symbol)[:4]: listed(symbol)[1:4] for symbol in symbols} | {"ZUSD": "USD"}
    fixed = {"aclass": "currency", "decimals": 10, "display_decimals": 5, "status": "enabled"}
    return {name: fixed | {"altname": altname} for name, altname in names.items()}


def _pair(symbol: str) -> dict:
    name = listed(symbol)
    return {
        "altname": name[1:4] + "USD", "wsname": name[1:4] + "/USD", "aclass_base": "currency", "base": name[:4],
        "aclass_quote": "currency", "quote": "ZUSD", "lot": "unit", "cost_decimals": 5, "pair_decimals": 1,
        "lot_decimals": 8, "lot_multiplier": 1, "leverage_buy": [], "leverage_sell": [], "fees": [[0, 0.4]],
        "fees_maker": [[0, 0.25]], "fee_volume_currency": "ZUSD", "margin_call": 80, "margin_stop": 40,
        "ordermin": "0.00005", "costmin": "0.5", "tick_size": "0.1", "status": "online",
    }  # fmt: skip


def told(tape, symbol: str, i: int) -> dict:
    """One trade in a websocket message."""
    return {
        "symbol": symbol, "side": "buy" if tape.buy[i] else "sell", "price": float(tape.price[i]),
        "qty": float(tape.size[i]), "ord_type": "limit", "trade_id": int(tape.id[i]), "timestamp": iso(tape.time[i]),
    }  # fmt: skip


def rest(exchange, request) -> web.Response:
    """Answer a REST request."""
    method, query, feed = request.match_info["method"], request.query, exchange.feed
    if method == "Time":
        return _ok({"unixtime": feed.now() // 10**9, "rfc1123": ""})
    if method == "SystemStatus":
        return _ok({"status": "online", "timestamp": iso(feed.now())})
    if method == "Assets":
        return _ok(_assets(feed.tapes))
    if method == "AssetPairs":
        return _ok({listed(symbol): _pair(symbol) for symbol in feed.tapes})
    symbol = next((symbol for symbol in feed.tapes if query.get("pair") == listed(symbol)), None)
    if method != "Trades" or symbol is None:
        return web.json_response({"error": ["EQuery:Unknown asset pair"]})
    return _ok(_page(exchange, symbol, query))


def _page(exchange, symbol: str, query) -> dict:
    feed, tape, n = exchange.feed, exchange.feed.tapes[symbol], min(int(query.get("count", 1000)), 1000)
    until = feed.upto(symbol, exchange.faults.lag)
    start = max(0, until - n)
    if "since" in query:
        since = int(query["since"]) if len(query["since"]) > 12 else int(float(query["since"]) * 1e9)
        start = int(np.searchsorted(tape.time, since, side="right"))
        until = min(until, start + n)
    known = [i for i in range(start, until) if not feed.hidden[symbol][i]]
    rows = [
        [f"{tape.price[i]:.5f}", f"{tape.size[i]:.8f}", int(tape.time[i]) / 1e9, "b" if tape.buy[i] else "s", "l", "",
         int(tape.id[i])] for i in known
    ]  # fmt: skip
    return {listed(symbol): rows, "last": str(int(tape.time[until - 1])) if until > start else query.get("since", "0")}


def _ok(result) -> web.Response:
    return web.json_response({"error": [], "result": result})


class Socket(Line):
    """A connection to websocket v2."""

    async def hello(self) -> None:
        await self.say({"channel": "status", "type": "update", "data": [{"system": "online", "api_version": "v2"}]})

    async def beat(self) -> None:
        await self.say({"channel": "heartbeat"})

    async def asked(self, message: dict) -> None:
        faults, feed, id = self.exchange.faults, self.exchange.feed, message.get("req_id")
        if message.get("method") == "ping":
            await self.say({"method": "pong", "time_in": iso(feed.now()), "time_out": iso(feed.now())})
        if message.get("method") != "subscribe" or faults.mute:
            return
        wanted = message["params"]
        if self.rejected():
            answer = {
                "error": faults.reject,
                "method": "subscribe",
                "success": False,
                "symbol": wanted["symbol"][0],
            }
            await self.say(answer | {"req_id": id})
            return
        self.position = feed.happened()
        for symbol in wanted["symbol"]:
            result = {"channel": "trade", "snapshot": bool(wanted.get("snapshot")), "symbol": symbol}
            await self.say({"method": "subscribe", "result": result, "success": True, "req_id": id})
        for symbol in wanted["symbol"] if wanted.get("snapshot") else ():
            data = [told(feed.tapes[symbol], symbol, i) for i in feed.newest(symbol, self.position)]
            await self.say({"channel": "trade", "type": "snapshot", "data": data})
        self.follow(wanted["symbol"])

    def messages(self, trades):
        """Trades of one symbol after another in messages of at most ``BATCH``."""
        tapes, data = self.exchange.feed.tapes, []
        for symbol, i in trades:
            if data and (data[-1]["symbol"] != symbol or len(data) == BATCH):
                yield self._message(data)
                data = []
            data.append(told(tapes[symbol], symbol, i))
        if data:
            yield self._message(data)

    def _message(self, data: list) -> dict:
        return {"channel": "trade", "type": "update", "data": data[::-1] if self.exchange.faults.shuffle else data}


ROUTES = {"/0/public/{method}": rest}
SOCKETS = {"/v2": Socket}


def urls(base: str) -> dict:
    """Where the client finds it."""
    return {"public": f"http://{base}", "ws": {"publicV2": f"ws://{base}/v2"}}


def again(feed, symbol: str, indices) -> list[dict]:
    """Messages that tell trades once more."""
    return [{"channel": "trade", "type": "update", "data": [told(feed.tapes[symbol], symbol, i) for i in indices]}]
