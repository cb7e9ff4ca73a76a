"""The feed: a learner's newest features and promoted versions, handed to the service while the stream arrives."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd

from rtml.core.clock import Clock, utc
from rtml.core.state import loads
from rtml.evaluation.dataset import Dataset
from rtml.models.compiled import restore
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.serving.service import Service
from rtml.serving.snapshot import Snapshot, StreamClock
from rtml.serving.timeline import History
from rtml.training.run_config import RunConfig
from rtml.training.trainer import Trainer

MODEL = "champion"  # the name that the notebooks register versions under
_STEPS_A_SECOND = 40


def snapshot_of(registry: Registry, version: Version, config: RunConfig) -> Snapshot:
    """A registered version, ready to serve; its bytes are checked against their hash first."""
    state = loads(registry.load(version))
    models = {target: restore(model) for target, model in state["models"].items()}
    names, target = tuple(state["names"]), config.target
    about = dict(
        horizon=state["horizon"], trained_up_to=version.at, sign=models.get("sign"), kind=models["return"].kind
    )
    return Snapshot(version.name, models["return"], names, (target,), target, features=state["features"], **about)


class Publisher:
    """Keeps a service at what the learner has come to.

    The learner writes, the service reads: a version reaches it by one assignment, features by another, and no request
    waits for either. With the ``journal`` of a training the page is told what happened there, not the ledger alone.
    """

    def __init__(
        self,
        service: Service,
        registry: Registry,
        config: RunConfig,
        trainer: Trainer | None = None,
        journal: Path | None = None,
    ) -> None:
        self._history = History(registry, MODEL, journal)
        self._service, self._registry, self._config, self._trainer = service, registry, config, trainer
        self._error: BaseException | None = None
        self._shown = ("", 0)  # version that the page was told of, and since when

    def refresh(self) -> None:
        """Publish the champion when it is another one, and the newest features."""
        champion, serving = self._registry.champion(MODEL), self._service.snapshot
        if serving is None or serving.version != champion.name:
            self._service.publish(snapshot_of(self._registry, champion, self._config))
        newest = self._trainer.newest if self._trainer else None
        if newest is not None:
            close = float(newest.bars["close"][-1, 0])
            self._tell(int(newest.moment[-1]))
            self._service.update_features(self._config.target, int(newest.moment[-1]), newest.X[-1], close)

    def _tell(self, moment: int) -> None:
        """A replayed stream has its own time: ages are those of the market, not of the machine."""
        if isinstance(self._service.clock, StreamClock):
            self._service.clock.tell(moment)

    def show(self, data: Dataset, offset: int = 0) -> None:
        """Hand over the newest features that a dataset has, or had when the log was read up to an offset."""
        asked = int(np.searchsorted(data.offset, offset, side="right")) if offset else len(data)
        if asked:
            last = data.questions[asked - 1 : asked]
            close = float(data.bars["close"].loc[pd.Timestamp(int(last.moment[0]), tz="UTC")])
            self._tell(int(last.moment[0]))
            self._service.update_features(self._config.target, int(last.moment[0]), last.X[0], close)

    def lineage(self, version: str) -> list[dict]:
        """A version and its parents, newest first, as the endpoint tells it."""
        chain = self._registry.lineage(version)
        return [{"version": v.name, "id": v.id, "trained_up_to": utc(v.at).isoformat()} for v in chain]

    def history(self) -> dict:
        """What serves and why, and what happened: the part of a status that the stores tell; alarms among it."""
        self._history.read()
        told = {"serving": self._history.serving, "happened": self._history.newest()}
        return msgspec.to_builtins(told) | {"alarms": self._history.alarms(self._service.clock.now())}

    @contextmanager
    def arriving(self, seconds: float) -> Iterator[Publisher]:
        """Let the rest of the log arrive over so many seconds, learned and published by a thread, inside the block.

        Leaving the block waits until all has arrived; what failed in the thread is raised there.
        """
        if seconds <= 0:
            raise ValueError(f"the stream needs some time to arrive, got {seconds} s")
        self.refresh()
        thread = threading.Thread(target=self._arrive, args=(seconds,), name="rtml-feed", daemon=True)
        thread.start()
        try:
            yield self
        finally:
            thread.join()
        if self._error is not None:
            raise RuntimeError("training failed while it served; the last snapshot went on serving") from self._error

    def _arrive(self, seconds: float) -> None:
        status, clock, looked = self._trainer.status(), Clock(), -1
        start, first, count = clock.elapsed(), status.offset, status.last - status.offset
        steps, pause = max(1, round(seconds * _STEPS_A_SECOND)), threading.Event()
        try:
            for step in range(1, steps + 1):
                self._trainer.run(first + count * step // steps)
                self.refresh()
                if step // _STEPS_A_SECOND > looked:
                    looked = step // _STEPS_A_SECOND
                    self.look("replay")
                pause.wait(max(0.0, start / 1e9 + seconds * step / steps - clock.elapsed() / 1e9))
            self.look("stopped", "the recording is over; the last version goes on answering")
        except BaseException as ex:
            self._error = ex
            self.look("stopped", f"training failed, the last version goes on serving: {type(ex).__name__}: {ex}")

    def look(self, state: str, message: str = "") -> None:
        """Tell the page how it stands; ``state`` is one of those of :mod:`rtml.serving.stream_schemas`."""
        snapshot, now = self._service.snapshot, Clock().now() // 10**6
        if snapshot is not None and snapshot.version != self._shown[0]:
            self._shown = (snapshot.version, now)
        (version, since), learned = self._shown, snapshot.trained_up_to // 10**6 if snapshot else 0
        status = {"state": state, "source": self._config.source, "message": message}
        status |= {"version": version, "since": since, "trained_up_to": learned, **self.history()}
        self._service.stream.publish(now, "status", status)
