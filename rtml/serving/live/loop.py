"""The loop: what was logged is learned, predictions are published before they are committed, the page is told."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

from rtml.core.clock import Clock
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.sources.ingestor import Ingestor
from rtml.store.checkpoint_store import CheckpointReader
from rtml.training.flow import Outcome
from rtml.training.outputs import Status
from rtml.training.trainer import Trainer
from rtml.usecases.crypto.live_view import LiveView

SLICE = 2000  # events between two looks at the clock
SHOWN = 1000  # bars that an opened page begins with
_SECOND = 10**9
_LONGEST = 60  # seconds between two tries to train at most


class Loop:
    """Learns what the intake logs and tells the service, until it is stopped or the time is over.

    What fails is said and tried again: the source by the intake, training here, with longer and longer pauses, and the
    last version goes on serving meanwhile.
    """

    def __init__(self, ingestor: Ingestor, trainer: Trainer, service: Service, feed: Publisher, view: LiveView) -> None:
        self._ingestor, self._trainer, self._service = ingestor, trainer, service
        self._feed, self.view = feed, view
        self._clock, self._stop = Clock(), threading.Event()
        self._status: Status = trainer.status()
        self._error, self._tries, self._again, self._looked, self._since = "", 0, 0, 0, 0
        self._version, self._began, self._history = "", 0, {"alarms": []}

    def remember(self, journal: Path, horizon: int, bar: int) -> None:
        """Begin with what earlier runs predicted: their score, and the last bars for whoever opens the page."""
        reading, rows = CheckpointReader(journal), []
        while more := reading.since(rows[-1][0] if rows else 0, horizon):
            rows += more
        reading.close()
        if rows:
            first = rows[-1][0] - SHOWN * bar
            self._refresh()
            self.view.rows(rows, quiet=lambda end: end < first)

    def run(
        self,
        stop: threading.Event,
        *,
        seconds: float = 0.0,
        once: bool = False,
        say: Callable[..., object] = lambda event, **about: None,
        out: Callable[[str], object] = print,
    ) -> None:
        """Go on until ``stop``, for so many seconds of a stream (0: for ever), or ``once`` through a recording."""
        self._stop, self._say, self._out = stop, say, out
        self._ingestor.start()
        try:
            while not (stop.is_set() or self._over(seconds, once)):
                self._ingestor.news.wait(0.1)
                self._ingestor.news.clear()
                while self._learn() and not stop.is_set():
                    self._look()
                self._look()
        finally:
            self._ingestor.stop()
            self._learn(settle=True)
            self._look(last=True)
        if self._ingestor.failure is not None:
            raise self._ingestor.failure

    def told(self, outcome: Outcome) -> None:
        """Tell of a chunk before it is committed; the log has its events, so a restart comes to the same."""
        if len(outcome.bars):
            self.view.outcome(outcome, self._arrival())

    def _arrival(self) -> int | None:
        """When the first event of the chunk at work arrived; unknown where events waited for their turn."""
        if not (self._ingestor.state == "live" or self._ingestor.paced):
            return None
        return next((at for last, at in list(self._ingestor.arrived) if last > self._status.offset), None)

    def _learn(self, settle: bool = False) -> bool:
        """Train on the next events; whether there may be more."""
        if self._clock.elapsed() < self._again:
            return False
        try:
            self._took(self._trainer.run(self._status.offset + SLICE, settle=settle))
        except Exception as error:
            self._tries += 1
            pause = min(2 ** (self._tries - 1), _LONGEST)
            self._error = f"training failed, the last version goes on serving: {type(error).__name__}: {error}"
            self._again = self._clock.elapsed() + pause * _SECOND
            self._say("training failed", error=str(error), again_in_s=pause)
            return False
        if self._error:
            self._say("training goes on", offset=self._status.offset)
        self._error, self._tries = "", 0
        return self._status.offset < self._status.last

    def _took(self, status: Status) -> None:
        fresh = status.version != self._status.version
        self._status, arrived = status, self._ingestor.arrived
        while arrived and arrived[0][0] <= status.offset:
            arrived.popleft()
        if fresh:
            self._say("version", version=status.version, offset=status.offset)
            self._refresh()

    def _refresh(self) -> None:
        """Serve the champion, if there is one."""
        try:
            self._feed.refresh()
        except LookupError:
            return  # none yet: the first comes after T
        version = self._service.snapshot.version
        if version != self._version:
            self._version, self._since = version, self._clock.now() // 10**6
        self.view.offer()

    def _look(self, last: bool = False) -> None:
        """Once a second: wait for the disk, serve what was promoted, tell the page how it stands, print a line."""
        now = self._clock.elapsed()
        if not last and now - self._looked < _SECOND:
            return
        self._looked = now
        self._ingestor.log.sync()
        try:
            self._refresh()
            self._history = self._feed.history()
        except Exception as error:
            self._say("refresh failed", error=str(error))
        status = self.status()
        status = self._history | status | {"alarms": status["alarms"] + self._history["alarms"]}
        if last:
            status |= {"state": "stopped", "message": "stopped"}
        self._service.stream.publish(self._clock.now() // 10**6, "status", status)
        self._out(self.line(status["state"]))

    def status(self) -> dict:
        """How it stands, as the page is told."""
        snapshot, state, trouble = self._service.snapshot, self._ingestor.state, self._ingestor.trouble
        message = trouble or ("the recording is over" if self._ingestor.over else "")
        if not message and snapshot is None:
            message = "learning: predictions can be asked for once there is a first version"
        return {
            "state": state,
            "source": self._ingestor.source.name if self._ingestor.source else "",
            "message": self._error or message,
            "alarms": [text for text in (self._error, trouble) if text],
            "version": self._version,
            "since": self._since,
            "trained_up_to": snapshot.trained_up_to // 10**6 if snapshot else 0,
        }

    def line(self, state: str) -> str:
        """One line of progress."""
        score, lag = self.view.score(), self.view.lag_s
        r2 = "-" if score["r2_zero"] is None else f"{score['r2_zero']:.4f}"
        behind = self._status.last - self._status.offset
        parts = [f"{self._status.offset:,} events{f' ({behind:,} wait)' if behind else ''}"]
        parts += [f"{self.view.bars:,} bars", f"lag {'-' if lag is None else f'{lag:.1f} s'}", f"R2 {r2}"]
        trouble = self._error or self._ingestor.trouble
        return " | ".join([state, *parts, self._version or "no version yet", *([trouble] if trouble else [])])

    def _over(self, seconds: float, once: bool) -> bool:
        ingestor = self._ingestor
        if ingestor.failure is not None:
            return True
        if not self._began and ingestor.state in ("live", "replay", "stopped"):
            self._began = self._clock.elapsed()
        if once and ingestor.over:
            status = self._trainer.status()
            return status.offset == status.last
        return bool(seconds and self._began) and self._clock.elapsed() - self._began > seconds * _SECOND
