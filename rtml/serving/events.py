"""Events over HTTP: into the log, through the very flow that is evaluated, and answered with what it says."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np

from rtml.core.clock import Clock
from rtml.core.process import beside
from rtml.core.state import loads
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import Question, StreamClock
from rtml.store.checkpoint_store import CheckpointReader
from rtml.store.protocols import EventLog
from rtml.training.flow import Outcome
from rtml.training.run_config import PART
from rtml.training.trainer import Trainer

_AT_ONCE = 20_000  # events


class Events:
    """Takes events one by one, and answers from a flow that stands where the log ends.

    The flow learns every answer as it comes, and any cutting of a stream gives the same bits: a trainer that follows
    the log in its own time commits the very predictions that were given here. Where it lets a challenger serve, that
    one answers here once it was committed; what was given until then is scored as it was given.

    Parameters
    ----------
    publisher
        Serves what the flow says; its service logs it.
    log
        Where events are written before they are answered.
    store
        Checkpoint store of the training to go on from; the events behind its offset are pushed here.
    durable
        Whether an answer waits for the disk.
    """

    def __init__(self, publisher: Publisher, log: EventLog, store: Path, durable: bool = True) -> None:
        self.publisher = publisher
        self._log = log
        self._durable = durable
        self._clock = Clock()
        self.flow, self._lock = publisher.config.flow(), threading.Lock()
        reader = CheckpointReader(store)
        _, offset, blob = reader.progress()
        reader.close()
        self.flow.load(loads(blob)["flow"])
        while len(rows := log.read(PART, offset, _AT_ONCE)[1]):
            publisher.outcome(self.flow.push(rows))
            offset += len(rows)

    @property
    def service(self) -> Service:
        """Where what is given is logged."""
        return self.publisher.service

    def post(self, events: np.ndarray, clients: Sequence[tuple[str | None, bytes]]) -> None:
        """Write events that clients posted into the log with their ids, and serve what they lead to."""
        self.take(events, clients)

    def take(self, events: np.ndarray, clients: Sequence[tuple[str | None, bytes]] | None = None) -> Outcome:
        """Write events into the log, and serve what they lead to."""
        arrived = self._clock.elapsed()
        with self._lock:
            if isinstance(self.service.clock, StreamClock):  # a replayed stream has its own time
                self.service.clock.advance(int(events["time"][-1]))
            if clients is None:
                self._log.append(PART, events, durable=self._durable)
            else:
                self._log.append_posted(PART, events, clients)
            outcome = self.flow.push(events)
            self.publisher.outcome(outcome, arrived)
        return outcome

    def answered(self, outcome: Outcome) -> Question | None:
        """The question that an outcome asked last, as it is served; None where it asked none."""
        if not len(outcome.id):
            return None
        return self.service.newest(self.publisher.config.keys[int(outcome.key[-1])])

    @contextmanager
    def learning(self, trainer: Trainer, pause: float = 0.5) -> Iterator[Events]:
        """Let a thread commit what is taken, and publish the newest state, inside the block."""
        stop = threading.Event()
        failed = "training failed while it served; the last state went on serving"
        with beside(partial(self._learn, trainer, stop, pause), "rtml-trainer", failed):
            try:
                yield self
            finally:
                stop.set()

    def follow(self, trainer: Trainer) -> None:
        """Answer from the lineage that serves in the training, from the next event on."""
        with self._lock:
            lineages = self.flow.lineages
            if (serves := trainer.serves) != (lineages.serves, lineages.before):
                lineages.serve(*serves)

    def _learn(self, trainer: Trainer, stop: threading.Event, pause: float) -> None:
        while not stop.wait(pause):
            trainer.run(self._log.last(PART))  # what is there now: more arrives meanwhile
            self.follow(trainer)
            self.publisher.refresh()
            self.publisher.committed()
        trainer.run()
        self.publisher.committed()
