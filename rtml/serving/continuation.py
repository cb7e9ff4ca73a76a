"""A run that goes on from copies: the rest of its stream is learned and served, and the run stays as it was."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial

from rtml.core.clock import Clock, span
from rtml.core.process import beside
from rtml.core.run_folder import Run
from rtml.core.use_case import title
from rtml.registry.registry import Registry
from rtml.serving.app import App, make_app
from rtml.serving.event_writer import EventWriter
from rtml.serving.events import Events
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.store.protocols import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

_STEPS_A_SECOND = 20


class Continuation:
    """The training of a run (``training.json``, notebook 04) going on in ``live/``, and the service of what it says.

    Parameters
    ----------
    run, config, log
        Of the notebook that serves; ``log`` holds the whole stream, or what has arrived by now.
    chunk
        Events between two commits, at most; 250 unless the training was told another.
    takes_events
        Whether events come over HTTP, one by one, and are appended to ``log``: answers come from a flow of
        :class:`rtml.serving.events.Events`, and the trainer commits the same in its own time.
    """

    def __init__(
        self, run: Run, config: RunConfig, log: EventLog, chunk: int = 250, takes_events: bool = False
    ) -> None:
        so_far = run.read_json("training.json", {})
        self.log, self.store = log, run.fork("training.db", "live/training.db")
        self.registry = Registry(run.fork("registry", "live/registry"))
        self.service = Service(run.fresh("live/predictions.db"), clock=StreamClock())
        self.publisher = Publisher(self.service, self.registry, config, self.store)
        places = (log, PART, self.store, self.registry, title(config.use_case), span(so_far["every"]))
        how = {"after": so_far["after"], "chunk": so_far.get("chunk", chunk), "publish": "learner"}
        on_outcome = (lambda outcome: None) if takes_events else self.publisher.outcome
        self.trainer = Trainer(config.flow(), *places, **how, on_outcome=on_outcome)
        self.publisher.begin()
        self.events, self.writer = None, None
        if takes_events:
            self.events = Events(self.publisher, log, self.store, durable=False)
            now, post = self.service.clock.now, self.events.post
            self.writer = EventWriter(log, self.publisher.view, now, write=post)

    @property
    def app(self) -> App:
        """The endpoint's app over it."""
        promotions, view = Promotions(self.publisher), self.publisher.view
        taking = {"events": self.events, "writer": self.writer}
        return make_app(self.service, self.publisher.lineage, promotions, view=view, **taking)

    @contextmanager
    def arriving(self, seconds: float) -> Iterator[Publisher]:
        """Let the rest of the log arrive over so many seconds, learned and served by a thread, inside the block.

        Leaving the block waits until all has arrived; what failed in the thread is raised there.
        """
        if seconds <= 0:
            raise ValueError(f"the stream needs some time to arrive, got {seconds} s")
        failed = "training failed while it served; what was published went on serving"
        with beside(partial(self._arrive, seconds), "rtml-stream", failed):
            yield self.publisher

    def _arrive(self, seconds: float) -> None:
        status = self.trainer.status()
        clock = Clock()
        looked = -1
        start = clock.elapsed()
        first = status.offset
        count = status.last - status.offset
        steps, pause = max(1, round(seconds * _STEPS_A_SECOND)), threading.Event()
        try:
            for step in range(1, steps + 1):
                self.trainer.run(first + count * step // steps)
                self.publisher.refresh()
                self.publisher.committed()
                if step // _STEPS_A_SECOND > looked:
                    looked = step // _STEPS_A_SECOND
                    self.publisher.report("replay")
                pause.wait(max(0.0, start / 1e9 + seconds * step / steps - clock.elapsed() / 1e9))
            self.publisher.report("over", "the recording is over; what it learned goes on answering")
        except BaseException as ex:
            what = f"training failed, what was published goes on serving: {type(ex).__name__}: {ex}"
            self.publisher.report("stopped", what, alarms=(what,))
            raise
