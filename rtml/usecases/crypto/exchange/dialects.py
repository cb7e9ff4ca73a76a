"""How each exchange speaks: its websocket messages, its REST pages, and which request asks for what follows a trade."""

from __future__ import annotations

from typing import ClassVar

from rtml.usecases.crypto.exchange.trade import NOTHING, Message, Trade, iso, read, rows_of, seconds, trade, whole


class Kraken:
    """Kraken spot: one id space for REST and websocket; REST pages forward from a moment in nanoseconds.

    Examples
    --------
    >>> Kraken.market({"id": "XXBTZUSD", "symbol": "BTC/USD"})
    'BTC/USD'
    """

    name = "kraken"
    client = "kraken"
    symbols = ("ETH/USD", "BTC/USD")
    options: ClassVar[dict] = {}
    subscription: ClassVar[dict] = {"snapshot": True}  # the last trades: an overlap that shows whether any was missed

    @staticmethod
    def market(market: dict) -> str:
        """Name of a market in websocket messages."""
        return market["symbol"]

    @staticmethod
    def hear(message: dict) -> Message:
        """Content of a websocket message."""
        if message.get("channel") == "trade":
            trades, broken = read(message.get("data"), Kraken._told)
            return Message(trades, max(broken, int(not trades)))
        if message.get("method") == "subscribe":
            if message.get("success") is True:
                result = message.get("result")
                return Message(agreed=(str(result.get("symbol") if isinstance(result, dict) else result),))
            return Message(refused=str(message.get("error") or "no reason given"))
        return NOTHING

    @staticmethod
    def _told(row: dict) -> Trade:
        return trade(row["symbol"], row["trade_id"], iso(row["timestamp"]), row["price"], row["qty"], row["side"])

    @staticmethod
    def page(answer, market: str) -> tuple[tuple[Trade, ...], int]:
        """Trades of a REST answer, oldest first, and how many were unreadable; ValueError when it is no page."""
        if not isinstance(answer, dict) or answer.get("error") or not isinstance(answer.get("result"), dict):
            raise ValueError(f"the answer is not a page of trades: {str(answer)[:80]!r}")
        rows = [rows for name, rows in answer["result"].items() if name != "last"]
        sides = {"b": "buy", "s": "sell"}
        return read(
            rows_of(rows[0] if rows else None),
            lambda r: trade(market, r[6], seconds(r[2]), r[0], r[1], sides[r[3]]),
        )

    @staticmethod
    def more(trades, last: int) -> bool:
        """Whether a page that follows trade ``last`` has another one behind it."""
        return len(trades) >= 1000

    @staticmethod
    async def newest(client, market: dict):
        """The newest page."""
        return await client.publicGetTrades({"pair": market["id"], "count": 1000})

    @staticmethod
    async def since(client, market: dict, start: int):
        """The page that holds the first trade at or after a moment."""
        return await client.publicGetTrades({"pair": market["id"], "since": str(start - 1), "count": 1000})

    @staticmethod
    async def after(client, market: dict, last: tuple[int, int], slack: int):
        """The page that follows a trade (id, time); ``slack`` ns earlier when ids and times disagree."""
        return await Kraken.since(client, market, last[1] - slack)


class Coinbase:
    """Coinbase Exchange: REST pages go backward from an id, heartbeats carry the newest id.

    Examples
    --------
    >>> Coinbase.market({"id": "BTC-USD", "symbol": "BTC/USD"})
    'BTC-USD'
    """

    name = "coinbase"
    client = "coinbaseexchange"
    symbols = ("ETH/USD", "BTC/USD")
    options: ClassVar[dict] = {"streaming": {"keepAlive": 1000}}
    subscription: ClassVar[dict] = {"channels": ["matches", "heartbeat"]}

    @staticmethod
    def market(market: dict) -> str:
        """Name of a market in websocket messages."""
        return market["id"]

    @staticmethod
    def hear(message: dict) -> Message:
        """Content of a websocket message."""
        kind = message.get("type")
        if kind in ("match", "last_match"):
            return Message(*read([message], lambda m: Coinbase._told(m, m["product_id"])))
        if kind == "heartbeat":
            return Message(newest=(str(message.get("product_id")), whole(message.get("last_trade_id"))))
        if kind == "subscriptions":
            return Message(agreed=("*",))
        if kind == "error":
            return Message(refused=str(message.get("reason") or message.get("message") or "no reason given"))
        return NOTHING

    @staticmethod
    def _told(row: dict, market: str) -> Trade:
        """The side is the maker's: a sell order that was hit means that a buyer took."""
        taker = {"sell": "buy", "buy": "sell"}[row["side"]]
        return trade(market, row["trade_id"], iso(row["time"]), row["price"], row["size"], taker)

    @staticmethod
    def page(answer, market: str) -> tuple[tuple[Trade, ...], int]:
        """Trades of a REST answer, oldest first, and how many were unreadable; ValueError when it is no page."""
        return read(rows_of(answer)[::-1], lambda row: Coinbase._told(row, market))

    @staticmethod
    def more(trades, last: int) -> bool:
        """Whether a page that follows trade ``last`` has another one behind it."""
        return bool(trades) and trades[-1].id >= last + 1000

    @staticmethod
    async def newest(client, market: dict):
        """The newest page."""
        return await client.publicGetProductsIdTrades({"id": market["id"], "limit": 1000})

    @staticmethod
    async def since(client, market: dict, start: int):
        """A page that holds trades before a moment: back from the newest in steps that double."""
        step, answer = 1000, await Coinbase.newest(client, market)
        while trades := Coinbase.page(answer, market["id"])[0]:
            if trades[0].time < start or trades[0].id <= 1:
                break
            before = max(trades[0].id - step + 1000, 2)
            request = {"id": market["id"], "limit": 1000, "after": str(before)}
            answer, step = await client.publicGetProductsIdTrades(request), step * 2
        return answer

    @staticmethod
    async def after(client, market: dict, last: tuple[int, int], slack: int):
        """The page that follows a trade (id, time)."""
        request = {"id": market["id"], "limit": 1000, "after": str(last[0] + 1001)}
        return await client.publicGetProductsIdTrades(request)


class Binance:
    """Binance spot, aggregated trades, whose ids REST and websocket share; refuses many places, so only when asked.

    Examples
    --------
    >>> Binance.market({"id": "BTCUSDT", "symbol": "BTC/USDT"})
    'BTCUSDT'
    """

    name = "binance"
    client = "binance"
    symbols = ("ETH/USDT", "BTC/USDT")
    options: ClassVar[dict] = {
        "streaming": {"keepAlive": 1000},
        "options": {"defaultType": "spot", "fetchMarkets": {"types": ["spot"]}},
    }
    subscription: ClassVar[dict] = {"name": "aggTrade"}

    @staticmethod
    def market(market: dict) -> str:
        """Name of a market in websocket messages."""
        return market["id"]

    @staticmethod
    def hear(message: dict) -> Message:
        """Content of a websocket message."""
        message = message.get("data", message) if isinstance(message.get("data", message), dict) else message
        if message.get("e") == "aggTrade":
            return Message(*read([message], lambda m: Binance._told(m, m["s"])))
        if "id" in message and message.get("error"):
            error = message["error"]
            return Message(refused=str(error.get("msg", error) if isinstance(error, dict) else error))
        if "id" in message and "result" in message:
            return Message(agreed=("*",))
        return NOTHING

    @staticmethod
    def _told(row: dict, market: str) -> Trade:
        side = "sell" if row["m"] else "buy"
        return trade(market, row["a"], int(row["T"]) * 10**6, row["p"], row["q"], side)

    @staticmethod
    def page(answer, market: str) -> tuple[tuple[Trade, ...], int]:
        """Trades of a REST answer, oldest first, and how many were unreadable; ValueError when it is no page."""
        return read(rows_of(answer), lambda row: Binance._told(row, market))

    @staticmethod
    def more(trades, last: int) -> bool:
        """Whether a page that follows trade ``last`` has another one behind it."""
        return len(trades) >= 1000

    @staticmethod
    async def newest(client, market: dict):
        """The newest page."""
        return await client.publicGetAggTrades({"symbol": market["id"], "limit": 1000})

    @staticmethod
    async def since(client, market: dict, start: int):
        """The page that holds the first trade at or after a moment."""
        first = -(-start // 10**6)
        return await client.publicGetAggTrades({"symbol": market["id"], "limit": 1000, "startTime": first})

    @staticmethod
    async def after(client, market: dict, last: tuple[int, int], slack: int):
        """The page that follows a trade (id, time)."""
        return await client.publicGetAggTrades({"symbol": market["id"], "limit": 1000, "fromId": last[0] + 1})


DIALECTS = {dialect.name: dialect for dialect in (Kraken, Coinbase, Binance)}
