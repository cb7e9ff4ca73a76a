"""Ingestor: a source on a thread, its rows in the log as they come, gone on with after a failure or a restart."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import numpy as np

from rtml.core import process
from rtml.core.clock import Clock
from rtml.core.later import pd
from rtml.sources.growing import Follows, arriving
from rtml.sources.pacing import Paced
from rtml.sources.protocol import Refused, Source, Unreachable
from rtml.store.protocols import EventLog

CHUNK = 2000
_AGAIN_S = 0.2  # between two looks at a source that grows
_LONGEST = 60.0  # seconds between two tries at most
_FINAL = (
    LookupError,
    ValueError,
    FileNotFoundError,
    FileExistsError,
    Refused,
)  # their sentences say what the user has to do

#: Opens the source behind what the log holds already: symbol to id and time (ns) of its newest trade.
Open = Callable[[dict[str, tuple[int, int]]], Source]


class Ingestor:
    """Writes a source into one part of the log; a source that fails is opened again behind the last trade logged.

    A recording sends the same rows whenever it is asked, so as many as the log has seen are skipped; an exchange goes
    on behind the newest trade of each symbol. So after any stop nothing is missing and nothing is there twice.

    Parameters
    ----------
    open
        Opens the source; called again after a failure.
    log, part, symbols
        Where the events go, and what they are of, the target first.
    speed
        How fast a recording is replayed, 1 as it happened; 0: as fast as possible.
    durable
        Whether every append waits for the disk; otherwise the reader in this process calls ``log.sync`` soon: no
        prediction waits, and what a power cut loses of the last second is requested again.
    on_event
        Gets every event of the ingest: a word and its details.
    """

    source: Source | None = None
    over = False
    failure: BaseException | None = None
    error = ""
    restarts = 0

    def __init__(
        self,
        open: Open,
        log: EventLog,
        part: str,
        symbols: tuple[str, ...],
        *,
        speed: float = 0.0,
        durable: bool = True,
        on_event: Callable[..., object] = lambda event, **about: None,
    ) -> None:
        self._open = open
        self.log = log
        self._part = part
        self._symbols = symbols
        self._durable = durable
        self._speed = speed
        self._on_event = on_event
        self._clock = Clock()
        self._stop, self._thread = threading.Event(), None
        self.news = threading.Event()  #: set when something was logged, or the state changed
        self.arrived: deque[tuple[int, int]] = deque(maxlen=10_000)  #: last offset, moment of arrival (elapsed, ns)
        self.rejections: Counter[str] = Counter()  #: rows rejected since the start, by reason
        self._logged, self._held = 0, False

    @property
    def state(self) -> str:
        """starting, backfilling, live, reconnecting, replay or stopped."""
        if self.over or self.failure:
            return "stopped"
        if self.error:
            return "reconnecting"
        status = getattr(self.source, "status", None)
        if status and (now := status()).state == "STARTING" and now.error and self._held:
            return "reconnecting"
        return status().state.lower() if status else "replay" if self.source else "starting"

    @property
    def problem(self) -> str:
        """What is wrong now, as a sentence; empty when nothing is."""
        if self.error or self.state != "reconnecting":
            return self.error
        return self.source.status().error

    @property
    def paced(self) -> bool:
        """Whether a recording is replayed at a pace, so that events need not wait for their turn."""
        return self._speed > 0 and not hasattr(self.source, "arrivals")

    def start(self) -> None:
        """Begin, on a thread of its own."""
        self._thread = threading.Thread(target=self.run, name="rtml-ingest", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End; what arrived before is logged. May be called twice."""
        self._stop.set()
        if (stop := getattr(self.source, "stop", None)) is not None:
            stop()
        if self._thread is not None:
            self._thread.join(20)

    def run(self) -> None:
        """Take in until the source is over or ``stop()``; try again after a failure, unless it is final.

        Before anything was logged, a sentence that says what is wrong with the source is final (``failure``). Later a
        source that worked gets another try, with longer and longer pauses; so does one that cannot be reached now,
        but was when the log got what it holds.
        """
        tries = 0
        while not self._stop.is_set():
            before = self._logged
            try:
                self._take_in()
                if not self._stop.is_set():
                    self.over = True
                    self._on_event("source over")
                break
            except Exception as error:
                tries = 1 if self._logged > before else tries + 1
                if not self._logged and isinstance(error, _FINAL) and not (self._held and _away(error)):
                    self.failure = error
                    self._on_event("source refused", error=str(error))
                    break
                self._wait(error, min(2.0 ** min(tries - 1, 16), _LONGEST))
        self.news.set()

    def _wait(self, error: Exception, pause: float) -> None:
        self.error, self.restarts = f"{type(error).__name__}: {error}", self.restarts + 1
        self._on_event("source failed", error=self.error, again_in_s=pause)
        self.news.set()
        self._stop.wait(pause)

    def _take_in(self) -> None:
        held = newest(self.log, self._part, self._symbols)
        self._held = bool(held)
        self.source = source = self._open(held)
        self._on_event("source opened", source=source.name)
        recorded = self._growing if isinstance(source, Follows) else self._recorded
        arrivals = self._live(source) if hasattr(source, "arrivals") else recorded(source)
        for accepted, rejected, at in arrivals:
            if self._stop.is_set() and not hasattr(source, "arrivals"):
                return
            last = self.log.append(self._part, accepted, rejected, durable=self._durable)
            if rejected is not None and len(rejected):
                self._count(rejected)
            self.error, self._logged = "", self._logged + len(accepted)
            self.arrived.append((last, at))
            self.news.set()

    def _count(self, rejected: pd.DataFrame) -> None:
        """Count rejected rows by reason; of each reason the first is said as it came."""
        for reason, row in rejected.drop_duplicates("reason")[["reason", "row"]].itertuples(index=False):
            if reason not in self.rejections:
                self._on_event("rows rejected", reason=reason, row=row)
        self.rejections.update(rejected["reason"])

    def _live(self, source) -> Iterator[tuple[np.ndarray, pd.DataFrame | None, int]]:
        if self._stop.is_set():
            return
        for rows, at in source.arrivals():
            yield *source.schema.judge(rows, source.symbols), at

    def _growing(self, source: Follows) -> Iterator[tuple[np.ndarray, pd.DataFrame | None, int]]:
        """What has come, again and again until it is stopped."""
        while not self._stop.wait(_AGAIN_S):
            for rows in arriving(source, self.log, self._part, CHUNK):
                source.schema.keep_names(rows, self.log)
                yield *source.schema.accept(rows, source.symbols), self._clock.elapsed()

    def _recorded(self, source: Source) -> Iterator[tuple[np.ndarray, pd.DataFrame | None, int]]:
        """What the log has not seen, cut where an uninterrupted run cuts it, each piece when its time has come."""
        log, part = self.log, self._part  # numbered from 1, also where old ones went
        seen = log.last(part) - log.count_posted(part) + log.refused(part)
        paced = Paced(self._speed, self._clock, self._stop)
        for rows in source.chunks(CHUNK):
            skipped = min(seen, len(rows))
            seen -= skipped
            for piece in paced.pieces(rows.iloc[skipped:]):
                accepted, rejected = source.schema.accept(piece, source.symbols)
                source.schema.keep_names(piece, log)
                yield accepted, rejected, self._clock.elapsed()


def _away(error: Exception) -> bool:
    """Whether a source is only out of reach."""
    return isinstance(error, Unreachable)


def newest(log: EventLog, part: str, symbols: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Id and time of the newest event of each key in a part of the log, of the first kind, which ids number."""
    found: dict[str, tuple[int, int]] = {}
    if not {"kind", "key", "id"} <= set(log.dtype(part).names):
        return found
    last, n = log.last(part), 20_000
    while last > 0 and len(found) < len(symbols):
        start = max(0, last - n)
        rows = log.read(part, start, last - start)[1]
        for key, symbol in enumerate(symbols):
            own = rows[(rows["kind"] == 0) & (rows["key"] == key)]
            if len(own) and symbol not in found:
                row = own[own["id"].argmax()]
                found[symbol] = int(row["id"]), int(row["time"])
        last = start
    return found


def alone(folder: Path, what: str) -> AbstractContextManager[None]:
    """Keep a second process out of the same work in a folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (run := Path(folder) / "mine").mkdir()
    ...     with alone(run, "ingest"), alone(run, "ingest"):
    ...         pass
    Traceback (most recent call last):
    ...
    RuntimeError: another process does the ingest in mine: stop it, or name another RUN
    """
    taken = f"another process does the {what} in {folder.name}: stop it, or name another RUN"
    return process.alone(folder / f"{what}.lock", taken)
