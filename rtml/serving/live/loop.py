"""The loop: what was logged is learned, predictions are served before they are committed, the page is told."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable

from rtml.core.clock import Clock
from rtml.core.process import news
from rtml.serving.publisher import Publisher
from rtml.sources.ingestor import Ingestor
from rtml.training.flow import Outcome
from rtml.training.outputs import Status
from rtml.training.trainer import Trainer

SLICE = 2000  # events between two looks at the clock
_SECOND = 10**9
_MINUTE = 60  # looks
_SAME_S = 60  # after so many seconds a line that says the same is printed again
_FEW, _SHARE = 3, 0.05  # events that are ignored before it is said: so many, and of all in a minute
_LONGEST = 60  # seconds between two tries to train at most


class Loop:
    """Learns what the ingestor logs and serves what it predicts, until it is stopped or the time is over.

    What fails is said and tried again: the source by the ingestor, training here, with longer and longer pauses, and
    what was published last goes on serving meanwhile.
    """

    def __init__(self, ingestor: Ingestor, trainer: Trainer, publisher: Publisher) -> None:
        self._ingestor = ingestor
        self._trainer = trainer
        self.publisher = publisher
        self._clock, self._stop = Clock(), threading.Event()
        self.retain: Callable[[], object] = lambda: None  #: lets go of what is older than the rules say, when it is due
        self.trained: Callable[[], object] = lambda: None  #: follows what was committed
        self._status: Status = trainer.status()
        self._before: deque[tuple[int, int]] = deque(maxlen=_MINUTE)  # events done, and those of them ignored
        self._error = ""
        self._tries = 0
        self._again = 0
        self._looked = 0
        self._began = 0

    def run(
        self,
        stop: threading.Event,
        *,
        seconds: float = 0.0,
        once: bool = False,
        report: Callable[..., object] = lambda event, **about: None,
        out: Callable[[str], object] = print,
    ) -> None:
        """Go on until ``stop``, for so many seconds of a stream (0: for ever), or ``once`` through a recording."""
        self._stop, self._report = stop, report
        self._out, self._out_changed = out, news(out, _SAME_S)
        self._ingestor.start()
        try:
            while not (stop.is_set() or self._over(seconds, once)):
                self._ingestor.news.wait(0.1)
                self._ingestor.news.clear()
                while self._learn() and not (stop.is_set() or self._past(seconds)):
                    self._look()
                self._look()
        finally:
            self._ingestor.stop()
            self._learn(settle=True)
            self._look(last=True)
        if self._ingestor.failure is not None:
            raise self._ingestor.failure

    def take(self, outcome: Outcome) -> None:
        """Serve what a chunk led to before it is committed; the log has its events, so a restart comes to the same."""
        if len(outcome.id) or len(outcome.answered):
            self.publisher.outcome(outcome, self._arrival())

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
            self._error = f"training failed, what was published goes on serving: {type(error).__name__}: {error}"
            self._again = self._clock.elapsed() + pause * _SECOND
            self._report("training failed", error=str(error), again_in_s=pause)
            return False
        if self._error:
            self._report("training goes on", offset=self._status.offset)
        self._error, self._tries = "", 0
        return self._status.offset < self._status.last

    def _took(self, status: Status) -> None:
        fresh = status.version != self._status.version
        self._status, arrived = status, self._ingestor.arrived
        while arrived and arrived[0][0] <= status.offset:
            arrived.popleft()
        self.publisher.committed()
        self.trained()
        if fresh:
            self._report("version", version=status.version, offset=status.offset)
            self.publisher.refresh()

    def _look(self, last: bool = False) -> None:
        """Once a second: wait for the disk, serve what was promoted, tell the page how it stands, print a line."""
        now = self._clock.elapsed()
        if not last and now - self._looked < _SECOND:
            return
        self._looked = now
        try:
            self._ingestor.log.sync()
            self.publisher.refresh()
            self.retain()
            disk = ""
        except Exception as error:
            disk = f"what is served goes on, but was not kept or renewed: {type(error).__name__}: {error}"
            self._report("refresh failed", error=str(error))
        state, failure = self._ingestor.state, self._ingestor.problem or disk
        wrong = self._clocks()
        message = self._error or failure or wrong or ("the recording is over" if self._ingestor.over else "")
        source = self._ingestor.source.name if self._ingestor.source else ""
        about = {"source": source, "alarms": tuple(text for text in (self._error, failure, wrong) if text)}
        state, message = ("stopped", "stopped") if last else (state, message)
        self.publisher.report(state, message, **about)
        behind = self._status.last - self._status.offset
        line = self.publisher.line(state, self._status.offset, behind, self._error or failure)
        (self._out if last else self._out_changed)(line)

    def _clocks(self) -> str:
        """What is wrong with the clocks of events, where in the last minute too many came late or far ahead."""
        counts = self._trainer.ignored()
        now = self._status.offset, counts.get("late", 0) + counts.get("ahead", 0)
        self._before.append(now)
        events, ignored = (new - old for new, old in zip(now, self._before[0], strict=True))
        if ignored < max(_FEW, _SHARE * events):
            return ""
        return f"{ignored:,} of the last {events:,} events came late or with a clock ahead: they are in no bar"

    def _over(self, seconds: float, once: bool) -> bool:
        ingestor = self._ingestor
        if ingestor.failure is not None:
            return True
        if not self._began and ingestor.state in ("live", "replay", "stopped"):
            self._began = self._clock.elapsed()
        if once and ingestor.over:
            status = self._trainer.status()
            return status.offset == status.last
        return self._past(seconds)

    def _past(self, seconds: float) -> bool:
        """Whether a stream was followed for so long, also where learning is behind it."""
        return bool(seconds and self._began) and self._clock.elapsed() - self._began > seconds * _SECOND
