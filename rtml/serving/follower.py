"""The follower: a service that shows what a training process commits, with only the stores between them."""

from __future__ import annotations

import logging
import threading
from pathlib import Path
from typing import Self

from rtml.core.clock import Clock
from rtml.core.run_folder import claim
from rtml.registry.registry import Registry
from rtml.serving.promotions import Promotions
from rtml.serving.publisher import MODEL, Publisher
from rtml.serving.service import Service
from rtml.serving.snapshot import StreamClock
from rtml.serving.stream_schemas import Acts, PromoteRequest, RollbackRequest
from rtml.store.checkpoint_store import CheckpointReader
from rtml.training.run_config import RunConfig
from rtml.usecases.crypto.live_view import LiveView

PAUSE_S = 0.1  # between two looks at the journal
SHOWN = 1000  # bars that an opened page begins with
_QUIET_S = 60.0  # a bar this old says that something upstream stands still
_LOG = logging.getLogger("rtml.serving")


class Follower:
    """Reads the journal and the registry of a run on a thread; either may appear, stop and go on at any time.

    Until there is a champion every prediction is refused with a sentence; whatever fails is said in the status and
    tried again.
    """

    def __init__(self, folder: Path) -> None:
        self.folder, self._clock, self._stop = folder, Clock(), threading.Event()
        claim(folder)
        self._live = False
        self.service = Service(folder / "predictions.db", StreamClock())
        self._feed = self._view = self._reading = self._registry = None
        self._looked, self._version, self._since = 0, "", 0
        self._thread = threading.Thread(target=self._run, name="rtml-follower", daemon=True)

    def lineage(self, version: str) -> list[dict]:
        """A version and its parents, newest first."""
        return self._feed.lineage(version) if self._feed else []

    def promote(self, request: PromoteRequest) -> str:
        """Let a version serve; its name."""
        return self._changes().promote(request)

    def rollback(self, request: RollbackRequest) -> str:
        """Let the champion before serve again; its name."""
        return self._changes().rollback(request)

    def ledger(self, at_ms: int | None = None) -> Acts:
        """What served, since when and why; nothing as long as there is no training."""
        return Acts([], "") if self._feed is None else self._changes().ledger(at_ms)

    def _changes(self) -> Promotions:
        if self._feed is None:
            raise LookupError(f"there is no training in {self.folder.name} yet: start rtml train RUN")
        return Promotions(self._registry, MODEL, self.service.clock, self._refresh)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_) -> None:
        self._stop.set()
        self._thread.join(10)
        for opened in (self._reading, self._registry, self.service):
            if opened is not None:
                opened.close()

    def _run(self) -> None:
        trouble = ""
        while not self._stop.wait(PAUSE_S):
            try:
                if self._ready():
                    self._read()
                    trouble = ""
            except Exception as error:
                if not trouble:
                    _LOG.exception("following %s failed", self.folder.name)
                trouble = f"following failed: {type(error).__name__}: {error}"
            if self._clock.elapsed() - self._looked > 10**9:
                self._look(trouble)

    def _ready(self) -> bool:
        """Open what is there by now; whether all is."""
        if self._reading is None and all((self.folder / name).exists() for name in ("recipe.json", "training.db")):
            config = RunConfig.read(self.folder / "recipe.json")
            self._live = config.source.startswith("exchange:")
            if self._live:
                self.service.clock = Clock()
            market = config.operator()
            self._horizon, self._bar = market.horizon, market.bars.every
            self._registry = Registry(self.folder / "registry")
            self._feed = Publisher(self.service, self._registry, config, journal=self.folder / "training.db")
            self._view = LiveView(self.service, config.target, self._horizon, live=self._live)
            self._source, self._reading = config.source, CheckpointReader(self.folder / "training.db")
        return self._reading is not None

    def _read(self) -> None:
        """Tell of what was committed since; of the far past only the score."""
        rows: list[tuple] = []
        while more := self._reading.since(rows[-1][0] if rows else self._view.end, self._horizon):
            rows += more
        if rows:
            first = rows[-1][0] - SHOWN * self._bar
            self._view.rows(rows, quiet=lambda end: end < first)

    def _look(self, trouble: str) -> None:
        self._looked, told = self._clock.elapsed(), {"alarms": []}
        if self._feed is not None:
            try:
                self._refresh()
                told = self._feed.history()
            except Exception as error:
                trouble = trouble or f"following failed: {type(error).__name__}: {error}"
        now, end = self._clock.now(), self._view.end if self._view else 0
        quiet = (now - end) / 1e9 if end else 0.0
        state = "starting" if not end else "live" if self._live else "replay"
        if self._live and quiet > _QUIET_S:
            state, trouble = "reconnecting", trouble or f"no bar for {quiet:.0f} s: are ingest and training running?"
        snapshot = self.service.snapshot
        status = {"state": state, "source": self._source if self._reading else "", "message": trouble}
        status |= told | {"version": self._version, "since": self._since}
        status["alarms"] = ([trouble] if trouble else []) + told["alarms"]
        status["trained_up_to"] = snapshot.trained_up_to // 10**6 if snapshot else 0
        self.service.stream.publish(now // 10**6, "status", status)

    def _refresh(self) -> None:
        try:
            self._feed.refresh()
        except LookupError:
            return  # no champion yet
        version = self.service.snapshot.version
        if version != self._version:
            self._version, self._since = version, self._clock.now() // 10**6
        self._view.offer()
