"""The follower: a service that shows what a training process commits, with only the stores between them."""

from __future__ import annotations

import logging
import threading
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Self

from rtml.core.clock import Clock
from rtml.core.run_folder import claim
from rtml.core.use_case import title
from rtml.evaluation.paired import verdicts
from rtml.registry.registry import Registry
from rtml.serving.event_writer import EventWriter
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.serving.stream_schemas import Acts, Candidate, CandidateAdded, CandidateRequest, PromoteRequest
from rtml.serving.view import View, view_of
from rtml.store.database import exists
from rtml.store.event_log import EventLog
from rtml.training.candidates import FAILURE, MAIN, add, folders, serving
from rtml.training.run_config import RunConfig

LOOK_S = 0.5  # between two looks at the ledger
PAUSE_S = 0.02  # between two looks at the store: 20 us each
_QUIET_S = 60.0  # a question this old says that something upstream stands still
CANDIDATE = "candidate:"  # how a candidate is named where a version may be
PIPELINE = "pipeline"  # entries of the ledger that are of a whole pipeline
_LOG = logging.getLogger("rtml.serving")


class Follower(Promotions):
    """Reads the checkpoint store and the registry of a run on a thread; either may appear, stop and go on at any time.

    Until there is a question every request is refused with a sentence; whatever fails is said in the status and tried
    again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._clock = Clock()
        self._stop = threading.Event()
        self._stack, self._changing = ExitStack(), threading.RLock()
        claim(folder)
        self.service = Service(folder / "predictions.db", StreamClock())
        self.publisher: Publisher | None = None  #: once there is a training
        self._registry = None
        self._looked = 0
        self._live = False
        self._thread = threading.Thread(target=self._run, name="rtml-follower", daemon=True)

    def lineage(self, version: str) -> list[dict]:
        """A version and its parents, newest first."""
        return self.publisher.lineage(version) if self.publisher else []

    def view(self) -> View | None:
        """What the use case adds to the page; nothing while there is no run yet."""
        path = self.folder / "recipe.json"
        return view_of(RunConfig.read(path)) if path.exists() else None

    def writer(self) -> EventWriter | None:
        """Takes events over HTTP into the log that the training follows; nothing while there is no run yet."""
        if (view := self.view()) is None:
            return None
        log = self._stack.enter_context(EventLog(self.folder / "events.db"))
        return self._stack.enter_context(closing(EventWriter(log, view, lambda: self.service.clock.now())))

    def add(self, request: CandidateRequest) -> CandidateAdded:
        """Add a pipeline with other features, which the training process learns in shadow."""
        view = self.view()
        if view is not None and type(view).open is not View.open:
            raise ValueError("the page of this use case keeps what is of its own pipeline: serve another run instead")
        about = add(self.folder, request.name, request.case)
        names = about.operator().features.names
        before = self.publisher.flow.features.names if self.publisher else ()
        return CandidateAdded(request.name, [name for name in names if name not in before])

    def candidates(self) -> list[Candidate]:
        """Candidates with how each does beside what serves, on the questions that both were asked."""
        served = serving(self.folder)
        found = []
        for name, path in folders(self.folder).items():
            failed = (path / FAILURE).read_text(encoding="utf-8") if (path / FAILURE).exists() else ""
            learned = path != served and not failed and exists(path / "training.db")
            answers = verdicts(served, path) if learned else []
            found.append(Candidate(name, path == served, failed.strip(), answers))
        return found

    def _swap(self, name: str, request: PromoteRequest) -> str:
        """Let a candidate serve in the place of the pipeline that does: made ready beside it, then put in its place."""
        path = self.folder if name == MAIN else folders(self.folder).get(name)
        if path is None or not exists(path / "training.db"):
            raise LookupError(f"no candidate {name!r} that has learned; there are: {', '.join(folders(self.folder))}")
        registry = self._stack.enter_context(closing(Registry(path / "registry")))
        with closing(Service(":memory:", self.service.clock)) as staged:
            publisher = Publisher(staged, registry, RunConfig.read(path / "recipe.json"), path / "training.db")
            if not publisher.begin():
                raise LookupError(f"candidate {name!r} has learned nothing yet")
            publisher.router.close()
            with self._changing:
                before, self.publisher = self.publisher, publisher
                about = {"at": self.service.clock.now(), "why": f"{request.who}: {request.why}"}
                about |= {"action": "promote", "version": name, "evidence": {"who": request.who}}
                own = title(RunConfig.read(self.folder / "recipe.json").use_case)
                with closing(Registry(self.folder / "registry")) as ledger:
                    ledger.acts.enter(own, PIPELINE, **about)
                (self.folder / "candidates" / "serves").write_text("" if name == MAIN else name, encoding="utf-8")
                self.service.take_over(staged)
                publisher.serve_by(self.service)
                self._registry = registry
        before.router.close()
        publisher.router.start()
        return f"{CANDIDATE}{name}"

    def promote(self, request: PromoteRequest) -> str:
        """Let a version serve, or a candidate; its name."""
        if request.version.startswith(CANDIDATE) and self.publisher is not None:
            return self._swap(request.version.removeprefix(CANDIDATE), request)
        return super().promote(request)

    def ledger(self, at_ms: int | None = None) -> Acts:
        """What served, since when and why; nothing as long as there is no training."""
        return Acts([], "") if self.publisher is None else super().ledger(at_ms)

    @property
    def at_work(self) -> Publisher:
        """The publisher, once there is a training."""
        if self.publisher is None:
            raise LookupError(f"there is no training in {self.folder.name} yet: start rtml train RUN --follow")
        return self.publisher

    @property
    def ask(self) -> bool:
        """Whether no further question comes of itself: those of a replay are asked again."""
        return not self._live

    def wait(self, seconds: float) -> bool:
        """Wait until there is something to serve, for so long at most; whether there is."""
        until = self._clock.elapsed() + seconds * 1e9
        while not (ready := self.service.health().ready) and self._clock.elapsed() < until:
            self._stop.wait(PAUSE_S)
        return ready

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join(10)
        with closing(self.service), self._stack:
            if self.publisher is not None:
                self.publisher.router.close()

    def _run(self) -> None:
        message = ""
        while not self._stop.wait(PAUSE_S):
            try:
                with self._changing:
                    if self._ready():
                        self.publisher.follow()
                        message = ""
                if self._clock.elapsed() - self._looked > LOOK_S * 1e9:
                    self._look(message)
            except Exception as error:
                if not message:
                    _LOG.exception("following %s failed", self.folder.name)
                message = f"following failed: {type(error).__name__}: {error}"

    def _ready(self) -> bool:
        """Open what is there by now; whether all is."""
        folder = serving(self.folder)
        if self.publisher is None and all(exists(folder / name) for name in ("recipe.json", "training.db")):
            config = RunConfig.read(folder / "recipe.json")
            self._live = config.live
            if self._live:
                self.service.clock = Clock()
            self._registry = self._stack.enter_context(closing(Registry(folder / "registry")))
            self.publisher = Publisher(self.service, self._registry, config, folder / "training.db")
        return self.publisher is not None

    def _look(self, message: str) -> None:
        """Tell the page how it stands; an act of the ledger may have come without a commit."""
        self._looked = self._clock.elapsed()
        if self.publisher is None:
            about = dict.fromkeys(("source", "version"), "") | {"state": "starting", "since": 0, "trained_up_to": 0}
            about |= {"message": message, "alarms": [message] if message else []}
            self.service.stream.publish(self._clock.now() // 10**6, "status", about)
            return
        self.publisher.refresh(ask=not self._live)
        moment = self.publisher.moment
        quiet = (self.service.clock.now() - moment) / 1e9 if moment else 0.0
        state = "starting" if not moment else "live" if self._live else "replay"
        if self._live and quiet > _QUIET_S:
            state = "reconnecting"
            message = message or f"no question for {quiet:.0f} s: are ingest and training running?"
        self.publisher.report(state, message, alarms=(message,) if message else ())
