"""What went wrong with an exchange: whether trying again may help, and the sentence for when it does not."""

from __future__ import annotations

import difflib
import re

from rtml.sources.protocol import Refused, Unreachable

_BLOCKED = re.compile(r"\b451\b|restricted location|not available in your (country|region)", re.IGNORECASE)
_UNKNOWN = re.compile(r"not supported|unknown|invalid|not found|does not exist|not a valid", re.IGNORECASE)
_MARKET = re.compile(r"pair|symbol|product|market|stream", re.IGNORECASE)


class Slow(ConnectionError):
    """The reader of the rows is slower than the market: the connection is closed, REST fills in what was missed.

    Examples
    --------
    >>> raise Slow("10,000 rows wait to be read")
    Traceback (most recent call last):
        ...
    rtml.usecases.crypto.exchange.errors.Slow: 10,000 rows wait to be read
    """


class Rejected(ConnectionError):
    """A subscription that was not granted, for a reason that may pass.

    Examples
    --------
    >>> subscription("kraken", ["BTC/USD"], "rate limit exceeded")
    Rejected("kraken rejected the subscription of BTC/USD: 'rate limit exceeded'")
    """


class Silent(ConnectionError):
    """The socket is open and nothing comes.

    Examples
    --------
    >>> brief(Silent("nothing came for 3 s"))
    'Silent: nothing came for 3 s'
    """


def raise_if_hopeless(exchange: str, error: BaseException) -> None:
    """Raise ``Refused`` when an error is final: a place that is not served, a subscription of no market.

    Examples
    --------
    >>> raise_if_hopeless("binance", ConnectionError("GET https://... 451 restricted location"))
    Traceback (most recent call last):
    rtml.sources.protocol.Refused: binance does not serve this place (HTTP 451): choose another exchange, ...
    """
    if isinstance(error, Refused):
        raise error
    text = str(error)
    if _BLOCKED.search(text):
        raise Refused(
            f"{exchange} does not serve this place (HTTP 451): choose another exchange, such as SOURCE=kraken, "
            "or run where it is served"
        ) from error


def subscription(exchange: str, symbols, reason: str) -> Exception:
    """The error of a rejected subscription: final when it names no market of the exchange, else worth another try.

    Examples
    --------
    >>> type(subscription("kraken", ["BTC/XYZ"], "unknown market")).__name__
    'Refused'
    >>> type(subscription("kraken", ["BTC/USD"], "too many requests")).__name__
    'Rejected'
    """
    text = f"{exchange} rejected the subscription of {', '.join(symbols)}: {reason!r}"
    if _UNKNOWN.search(reason) and _MARKET.search(reason):
        return Refused(f"{text}: take a symbol that is traded there, SYMBOLS=[...]")
    return Rejected(text)


def unknown_symbol(exchange: str, symbol: str, markets) -> Refused:
    """The error of a symbol that an exchange does not have, with the nearest that it has.

    Examples
    --------
    >>> print(unknown_symbol("kraken", "ETH/USX", ["ETH/USD", "XMR/EUR"]))
    kraken has no symbol ETH/USX; near to it: ETH/USD: set SYMBOLS to what is traded there
    """
    near = difflib.get_close_matches(symbol, list(markets), n=5, cutoff=0.5) or sorted(markets)[:5]
    return Refused(
        f"{exchange} has no symbol {symbol}; near to it: {', '.join(near)}: set SYMBOLS to what is traded there"
    )


def unreachable(exchange: str, seconds: float, error: BaseException) -> Unreachable:
    """The error of an exchange that could not be had from the start.

    Examples
    --------
    >>> str(unreachable("kraken", 30.0, TimeoutError("no route")))[:75]
    'kraken could not be had within 30 s, the last error was TimeoutError: no ro'
    """
    return Unreachable(
        f"{exchange} could not be had within {seconds:g} s, the last error was {brief(error)}: check the network and "
        "the exchange's status page, or set SOURCE to another exchange, to a recording, or to synthetic"
    )


def brief(error: BaseException) -> str:
    """Kind and first words of an error.

    Examples
    --------
    >>> brief(ValueError("<html>503  unavailable</html>")), brief(TimeoutError())
    ('ValueError: 503 unavailable', 'TimeoutError')
    """
    words = " ".join(re.sub(r"<[^>]*>", " ", str(error)).split())
    return f"{type(error).__name__}: {words[:160]}" if words else type(error).__name__


def asked_to_wait(error: BaseException, headers: dict | None) -> float:
    """Seconds that the exchange asked to wait when it refused a request for coming too soon, else 0.

    Examples
    --------
    >>> asked_to_wait(ConnectionError("GET ... 429 Too Many Requests"), {"Retry-After": "2"})
    2.0
    """
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not ({"RateLimitExceeded", "DDoSProtection"} & kinds or re.search(r"\b(429|418|503)\b", str(error))):
        return 0.0
    wait = next((value for name, value in (headers or {}).items() if name.lower() == "retry-after"), "")
    return float(wait) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]+)?", str(wait)) else 0.0
