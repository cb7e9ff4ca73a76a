"""A live session: everything that the loop needs, opened in a run folder and closed in order."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import Self

from rtml.core.clock import span
from rtml.core.process import Logbook
from rtml.core.run_folder import Run, shown
from rtml.core.use_case import title
from rtml.monitoring.alert_trigger import monitoring_callbacks
from rtml.pipeline.options import SourceOptions, opened
from rtml.registry.registry import Registry
from rtml.serving.app import make_app
from rtml.serving.auth import Access
from rtml.serving.endpoint import Endpoint
from rtml.serving.event_writer import EventWriter
from rtml.serving.events import Events
from rtml.serving.live.loop import Loop
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.sources.ingestor import Ingestor, Open, alone
from rtml.sources.posted import HTTP
from rtml.store.protocols import run_log
from rtml.training.retention import Retention
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer


class Live:
    """A run folder being lived in: source, log, training, registry, service and, with a port, the endpoint.

    Opened again in the same folder it goes on where it was, however it ended.

    Parameters
    ----------
    folder
        Where the run is kept; a new one is made.
    what
        The source to follow.
    every
        Event time between two versions.
    publish
        What serves, the learner or some of them, see :func:`rtml.registry.promotion.gate.gate`.
    port
        Of the endpoint, 0 for a free one; None: nothing is served.
    host
        Where it listens; another host than this machine is refused without a token in the environment.
    log
        URL of the event log; that of the run unless given.
    out
        Gets a line a second.
    """

    def __init__(
        self,
        folder: Path,
        what: SourceOptions,
        *,
        every: str = "10m",
        publish: str = "learner",
        port: int | None = 0,
        host: str = "127.0.0.1",
        log: str = "",
        out: Callable[[str], object] = print,
    ) -> None:
        self.config, opens = opened(folder, what)
        self.folder, self._out, self._report = folder, out, Logbook(folder / "live.log").say
        with ExitStack() as stack:
            stack.enter_context(alone(folder, "ingest"))
            self.log = stack.enter_context(run_log(folder, log))
            self.registry = stack.enter_context(closing(Registry(folder / "registry")))
            self.service = stack.enter_context(closing(Service(folder / "predictions.db", self._clock())))
            self.ingestor = self._ingestor(opens, what.speed)
            self.trainer = stack.enter_context(closing(self._trainer(every, publish)))
            self.publisher = self._publisher(folder / "training.db")
            self.loop = self._loop(Retention.of(folder))
            self.url = stack.enter_context(self._endpoint(port, host, stack)).url if port is not None else ""
            self._stack = stack.pop_all()

    def run(self, stop: threading.Event, *, seconds: float = 0.0, once: bool = False) -> None:
        """Go on until ``stop``, for so many seconds of a stream (0: for ever), or ``once`` through a recording."""
        if self.url:
            self._out(f"{self.config.question} {self.url}")
        self._report("started", source=self.config.source, keys=self.config.keys, folder=shown(self.folder))
        with _prompt():
            self.loop.run(stop, seconds=seconds, once=once, report=self._report, out=self._out)
        self._report("stopped", **self.publisher.status("stopped"))

    def close(self) -> None:
        """Close the endpoint, then the stores."""
        self._stack.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_) -> None:
        self.close()

    def _clock(self) -> StreamClock | None:
        """A replayed stream has its own time, an exchange that of the machine."""
        return None if self.config.live else StreamClock()

    def _ingestor(self, opens: Open, speed: float) -> Ingestor:
        keys = (*self.config.keys, *self.config.options.get("inputs", ()))
        return Ingestor(opens, self.log, PART, keys, speed=speed, durable=False, on_event=self._report)

    @property
    def _posted(self) -> bool:
        """Whether every event comes over HTTP, and is answered by the flow before the trainer has it."""
        return self.config.source == HTTP

    def _trainer(self, every: str, publish: str) -> Trainer:
        flow, model = self.config.flow(), title(self.config.use_case)
        before = Run(self.folder).read_json("training.json", {})  # of the run that this one goes on from
        if before.get("every", every) != every:
            self._out(f"a version every {before['every']}, as in the run that this one goes on from, not {every}")
        places = (self.log, PART, self.folder / "training.db", self.registry, model, span(before.get("every", every)))
        how = {"publish": publish, "callbacks": monitoring_callbacks(flow)}
        how |= {name: before[name] for name in ("after", "chunk") if name in before}
        on_outcome = (lambda outcome: None) if self._posted else (lambda outcome: self.loop.take(outcome))
        return Trainer(flow, *places, **how, on_outcome=on_outcome)

    def _publisher(self, store: Path) -> Publisher:
        publisher = Publisher(self.service, self.registry, self.config, store)
        publisher.begin()
        self.events = Events(publisher, self.log, store) if self._posted else None
        return publisher

    def _loop(self, rules: Retention) -> Loop:
        loop = Loop(self.ingestor, self.trainer, self.publisher)
        loop.retain = lambda: rules.due(self.log, self.registry, report=self._out)
        if self.events is not None:
            loop.trained = lambda: self.events.follow(self.trainer)
        self.service.ignored = self.trainer.ignored
        self._report("retention", rules=str(rules))
        return loop

    def _endpoint(self, port: int, host: str, stack: ExitStack) -> Endpoint:
        publisher, view = self.publisher, self.publisher.view
        now, wake = (lambda: self.service.clock.now()), self.ingestor.news.set
        write = None if self.events is None else self.events.post
        writer = stack.enter_context(closing(EventWriter(self.log, view, now, write=write, on_written=wake)))
        promotions = Promotions(publisher)
        access = Access.from_environment(host=host)
        app = make_app(self.service, publisher.lineage, promotions, access, view, events=self.events, writer=writer)
        publisher.observe = app.counters.observe_event
        return Endpoint(app, port=port, host=host)


@contextmanager
def _prompt() -> Iterator[None]:
    """Let a thread that has something to do wait 0.5 ms for its turn at most, not the 5 ms of Python's default."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0005)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
