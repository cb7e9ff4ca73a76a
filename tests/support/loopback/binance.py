"""Binance spot: REST exchangeInfo and aggTrades, and the stream of aggregated trades."""

from __future__ import annotations

import numpy as np
from aiohttp import web

from loopback.line import Line


def _told(tape, i: int) -> dict:
    return {
        "a": int(tape.id[i]), "p": f"{tape.price[i]:.8f}", "q": f"{tape.size[i]:.8f}", "f": int(tape.id[i]) * 3,
        "l": int(tape.id[i]) * 3 + 2, "T": int(tape.time[i]) // 10**6, "m": not tape.buy[i], "M": True,
    }  # fmt: skip


def _listed(symbol: str) -> dict:
    base, quote = symbol.split("/")
    filters = [
        {"filterType": "PRICE_FILTER", "minPrice": "0.01", "maxPrice": "1000000", "tickSize": "0.01"},
        {"filterType": "LOT_SIZE", "minQty": "0.00001", "maxQty": "9000", "stepSize": "0.00001"},
    ]
    return {
        "symbol": base + quote, "status": "TRADING", "baseAsset": base, "baseAssetPrecision": 8, "quoteAsset": quote,
        "quotePrecision": 8, "quoteAssetPrecision": 8, "baseCommissionPrecision": 8, "quoteCommissionPrecision": 8,
        "orderTypes": ["LIMIT"], "icebergAllowed": True, "ocoAllowed": True, "isSpotTradingAllowed": True,
        "isMarginTradingAllowed": False, "filters": filters, "permissions": ["SPOT"], "permissionSets": [["SPOT"]],
    }  # fmt: skip


def rest(exchange, request) -> web.Response:
    """Answer a REST request."""
    feed, method, query = exchange.feed, request.match_info["method"], request.query
    if method == "exchangeInfo":
        return web.json_response({"timezone": "UTC", "symbols": [_listed(symbol) for symbol in feed.tapes]})
    symbol = next((s for s in feed.tapes if s.replace("/", "") == query.get("symbol")), None)
    if method != "aggTrades" or symbol is None:
        return web.json_response({"code": -1121, "msg": "Invalid symbol."}, status=400)
    tape, n, until = feed.tapes[symbol], min(int(query.get("limit", 500)), 1000), feed.upto(symbol, exchange.faults.lag)
    start = max(0, until - n)
    if "fromId" in query:
        start = int(np.searchsorted(tape.id, int(query["fromId"])))
    elif "startTime" in query:
        start = int(np.searchsorted(tape.time // 10**6, int(query["startTime"])))
    known = [i for i in range(start, min(until, start + n)) if not feed.hidden[symbol][i]]
    return web.json_response([_told(tape, i) for i in known])


class Socket(Line):
    """A connection to the streams; no heartbeat but the pong."""

    async def asked(self, message: dict) -> None:
        if message.get("method") != "SUBSCRIBE" or self.exchange.faults.mute:
            return
        if self.rejected():
            await self.say({"error": {"code": 2, "msg": self.exchange.faults.reject}, "id": message["id"]})
            return
        self.position = self.exchange.feed.happened()
        await self.say({"result": None, "id": message["id"]})
        names = {symbol.replace("/", "").lower() + "@aggTrade": symbol for symbol in self.exchange.feed.tapes}
        self.follow(names[stream] for stream in message["params"])

    def messages(self, trades):
        """One message a trade."""
        for symbol, i in trades:
            told = _told(self.exchange.feed.tapes[symbol], i)
            yield told | {"e": "aggTrade", "E": told["T"] + 1, "s": symbol.replace("/", "")}


ROUTES = {"/api/v3/{method}": rest}
SOCKETS = {"/stream/ws/{stream}": Socket, "/stream/{stream}": Socket}


def urls(base: str) -> dict:
    """Where the client finds it."""
    return {"public": f"http://{base}/api/v3", "ws": {"spot": f"ws://{base}/stream/ws"}}
