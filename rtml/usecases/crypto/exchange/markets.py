"""The markets of an exchange: which of them a run's symbols mean."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from rtml.core.clock import Clock
from rtml.usecases.crypto.exchange import errors as trouble
from rtml.usecases.crypto.exchange.timeouts import Timeouts


async def markets(
    client,
    dialect,
    symbols: Sequence[str],
    clock: Clock,
    timeouts: Timeouts,
    complain: Callable[[BaseException], None],
) -> dict[str, dict]:
    """The client's market of every symbol (``ETH/USD`` or ``ETH-USD``), tried again for ``timeouts.start`` seconds."""
    listed = await _listed(client, dialect, clock, timeouts, complain)
    found = {symbol: listed.get(symbol.replace("-", "/")) for symbol in symbols}
    for symbol, market in found.items():
        if market is None:
            raise trouble.unknown_symbol(dialect.name, symbol, listed)
    return found


async def _listed(client, dialect, clock: Clock, timeouts: Timeouts, complain) -> dict:
    began, tries = clock.elapsed(), 0
    while True:
        try:
            if listed := await client.load_markets(True):
                return listed
            raise ValueError("the answer lists no market")
        except Exception as error:
            trouble.raise_if_hopeless(dialect.name, error)
            complain(error)
            if clock.elapsed() - began > timeouts.start * 10**9:
                raise trouble.unreachable(dialect.name, timeouts.start, error) from error
            tries += 1
            await asyncio.sleep(timeouts.pause(tries, trouble.asked_to_wait(error, client.last_response_headers)))
