"""A live exchange as a source, through ccxt, of which this is the only door.

The client dials, subscribes, keeps its rate limits and reports errors; every message it receives is handed to a
``Session`` before it would cache it, so nothing is parsed twice, dropped from a full cache or delivered again.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress

from rtml.core.clock import Clock, span
from rtml.core.later import pd
from rtml.sources.protocol import Status, pieces
from rtml.usecases.crypto.exchange import errors as trouble
from rtml.usecases.crypto.exchange.backfill import GaveUp
from rtml.usecases.crypto.exchange.dialects import DIALECTS
from rtml.usecases.crypto.exchange.markets import markets
from rtml.usecases.crypto.exchange.queue import ArrivalQueue
from rtml.usecases.crypto.exchange.recorder import Recorder
from rtml.usecases.crypto.exchange.session import Session
from rtml.usecases.crypto.exchange.timeouts import Timeouts
from rtml.usecases.crypto.schema import TRADES, frame


class Exchange:
    """Trades of a live exchange: first the past over REST, then every new one as it comes.

    Every trade comes once, in the order of ids of its symbol; what a broken connection missed is filled in before
    anything later is sent. A ``gap`` row marks what could not be filled, ``tick`` rows move the clock of a quiet
    market.

    Parameters
    ----------
    name : str
        ``kraken``, ``coinbase`` or ``binance``.
    symbols : sequence of str
        The target first, such as ``ETH/USD`` or ``ETH-USD``; the exchange's ETH and BTC when empty.
    backfill : str
        How much of the past to begin with, such as ``1h``; empty: none.
    seconds : float
        Stop after being live for so long; 0: until ``stop()``.
    record : str
        File to record every message to; a source of the same events later. Empty: none. One that is there already is
        written on where the session goes on behind trades that are held (``after``), and refused otherwise.
    client_options : dict
        Laid over the options of the ccxt client.
    after : dict
        Symbol to the (id, time in ns) of the newest trade already held: continues behind it instead of ``backfill``.

    Examples
    --------
    >>> source = Exchange("kraken", ("ETH/USD",), backfill="10m")
    >>> source.name, source.symbols, source.status().state
    ('exchange:kraken:ETH/USD', ('ETH/USD',), 'STARTING')
    """

    rows = 0  # how many will come is unknown

    schema = TRADES

    def __init__(
        self,
        name: str = "kraken",
        symbols: Sequence[str] = (),
        *,
        backfill: str = "1h",
        seconds: float = 0.0,
        record: str = "",
        clock: Clock | None = None,
        client_options: dict | None = None,
        after: dict[str, tuple[int, int]] | None = None,
        timeouts: Timeouts | None = None,
    ):
        if not 0 <= seconds < 1e9:
            raise ValueError(f"seconds must be 0 (until stopped) or more, got {seconds}")
        self._dialect, self.symbols = _asked(name, tuple(symbols))
        self.name = f"exchange:{name}:{','.join(self.symbols)}"
        self._plan = (span(backfill) if backfill else 0, seconds, after or {})
        self._record, self._options = record, client_options or {}
        self._clock, self._timeouts = clock or Clock(), timeouts or Timeouts()
        self._queue = ArrivalQueue(self._clock)
        self._stopping = False
        self._error = ""
        self._thread = self._failure = self._session = self._loop = self._task = None

    def chunks(self, n: int = 50_000) -> Iterator[pd.DataFrame]:
        """Frames of at most ``n`` raw rows as they arrive; waits for the next one, ends after ``stop()``.

        An end that waiting does not mend is raised as a sentence, after the rows that came before it.
        """
        with closing(self.arrivals()) as arrivals:
            for rows, _ in arrivals:
                yield from pieces(frame(rows), n)

    def arrivals(self) -> Iterator[tuple[list[tuple], int]]:
        """The same as tuples of the columns of ``RAW``, all that came at once, with when the first of them came.

        That moment is one of ``clock.elapsed()``. For those who cannot wait for a frame to be built.
        """
        if self._thread is not None:
            raise RuntimeError(f"{self.name} is being followed already: open another source")
        self._thread = threading.Thread(target=self._main, name=self.name, daemon=True)
        self._thread.start()
        try:
            while rows := self._queue.take():
                yield rows, self._queue.since
        finally:
            self.stop()
        if self._failure is not None:
            raise self._failure

    def stop(self, timeout: float = 10.0) -> None:
        """End the stream; rows that came already are still delivered. May be called twice, and from any thread."""
        self._stopping = True
        loop = self._loop
        task = self._task
        thread = self._thread
        if loop is not None and task is not None and not self._queue.ended:
            with suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(task.cancel)
        if thread is not None and thread is not threading.current_thread():
            thread.join(timeout)

    def status(self) -> Status:
        """What is going on."""
        session = self._session
        if session is None:
            return Status("STOPPED" if self._queue.ended else "STARTING", error=self._error)
        counts = dict(session.gap_filler.counts) | dict(session.counts)
        return Status("STOPPED" if self._queue.ended else session.state, counts, session.gap_filler.time, session.error)

    def _main(self) -> None:
        try:
            kind = _listening(self._dialect)  # before the loop runs: an import of seconds would block it
            asyncio.run(self._follow(kind))
        except asyncio.CancelledError:
            pass
        except BaseException as error:
            self._failure = error
        finally:
            self._queue.end()

    async def _follow(self, kind: type) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        if self._stopping:
            return
        options = {"enableLastResponseHeaders": True} | self._dialect.options
        client = kind(kind.deep_extend(options, self._options))
        client.rtml_hear = lambda message: self._session is not None and self._session.hear(message)
        client.rtml_pong = lambda payload: self._session is not None and self._session.pong(payload)
        try:
            found = await markets(client, self._dialect, self.symbols, self._clock, self._timeouts, self._complain)
            session = Session(client, self._dialect, found, self._queue.put, self._clock, self._timeouts)
            self._loop.set_exception_handler(lambda _, context: session.cut(_broken(context)))
            self._session, session.crowded = session, lambda: self._queue.crowded
            await self._run(session)
        finally:
            self._loop.set_exception_handler(lambda *_: None)
            await client.close()

    async def _run(self, session: Session) -> None:
        if self._record:
            now = self._clock.now()
            session.recorder = Recorder(self._record, self._dialect.name, session.names, now, bool(self._plan[2]))
        try:
            await session.run(*self._plan)
        except GaveUp as error:
            raise trouble.unreachable(self._dialect.name, self._timeouts.start, error.__cause__) from error
        finally:
            await session.close()
            if session.recorder:
                session.recorder.close()

    def _complain(self, error: BaseException) -> None:
        self._error = trouble.brief(error)


def _asked(name: str, symbols: tuple[str, ...]) -> tuple:
    """The dialect and symbols asked for."""
    if name not in DIALECTS:
        raise LookupError(f"no exchange {name!r}; known: {', '.join(DIALECTS)}")
    if len(set(symbols)) < len(symbols):
        raise ValueError(f"each symbol once, got {', '.join(symbols)}")
    return DIALECTS[name], symbols or DIALECTS[name].symbols


def _broken(context: dict) -> Exception:
    """The error of a callback of the event loop: the client's receiving ended with it."""
    error = context.get("exception")
    return error if isinstance(error, Exception) else ConnectionError(str(context.get("message")))


def _listening(dialect) -> type:
    """The ccxt client of an exchange, which lets ``rtml_hear`` see every message first."""
    import ccxt.pro  # 4 s of CPU, for those who follow a live market only

    class Listening(getattr(ccxt.pro, dialect.client)):
        def handle_message(self, client, message):
            if not self.rtml_hear(message):
                with suppress(Exception):  # what breaks the client in a message that is not for us breaks nothing
                    super().handle_message(client, message)

        def on_connected(self, client, message=None):
            handle = client.handle_message

            def watched(frame) -> None:
                if frame.type.name == "PONG":
                    self.rtml_pong(bytes(frame.data))
                handle(frame)

            client.handle_message = watched
            super().on_connected(client, message)

    return Listening
