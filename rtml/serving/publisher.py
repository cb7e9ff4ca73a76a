"""The publisher: a flow's predictions, scores and newest state, handed to the service as the stream arrives."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import msgspec
import numpy as np
from msgspec import UNSET, Raw

from rtml.core.clock import Clock, utc
from rtml.core.use_case import title
from rtml.features.feature_set import FeatureSet
from rtml.registry.learners import LEARNER, is_learner, learner_version, lineage_of
from rtml.registry.lineage import models as models_of_version
from rtml.registry.registry import Registry
from rtml.registry.versions import Version
from rtml.serving.answers import Band, by_target
from rtml.serving.download import served
from rtml.serving.freshness import Freshness
from rtml.serving.outcomes import Committed, ends_of, newest, slices
from rtml.serving.quality import FeatureQuality
from rtml.serving.router import Router
from rtml.serving.schemas import encode, without_paths
from rtml.serving.scores import Scores, plain
from rtml.serving.service import Service
from rtml.serving.snapshot import Question, Snapshot, StreamClock, models_of, scoreboard_of, serving_of
from rtml.serving.timeline import History
from rtml.serving.view import view_of
from rtml.store.database import exists
from rtml.training.flow import Outcome
from rtml.training.run_config import RunConfig

SHOWN = 1000  # questions that an opened page begins with
_SEEN = 50_000  # questions that are known to have been told


class Publisher:
    """Keeps a service at what a run has come to: the one place where predictions become what is served.

    A question is asked once, and its prediction is what is served: the flow's, to the last bit, as the checkpoint store
    keeps it; or, while a frozen version serves, that version's. Outcomes come from a flow in this process
    (:meth:`outcome`) or from the checkpoint store of another one (:meth:`follow`); both lead to the same.

    Parameters
    ----------
    service
        What is published to.
    registry
        Whose ledger says what serves; the learner, unless it names a frozen version.
    config
        Of the run.
    store
        Checkpoint store of its training; it may appear later.
    """

    def __init__(self, service: Service, registry: Registry, config: RunConfig, store: Path) -> None:
        self.service, self.config, self.model = service, config, title(config.use_case)
        self.view, self.observe = view_of(config), float  #: is told each latency in seconds
        flow = config.flow()
        self.scores, self.flow = Scores(config, flow), flow
        self.registry, self.store = registry, Path(store)
        self._stored: Committed | None = None
        self._history, self._clock, self._lock = History(registry, self.model, self.store), Clock(), threading.RLock()
        self._outputs = [(target.name, target.outputs) for target in self.scores.targets]
        self._bands: dict[tuple[str, int], Band] = {}
        self._open: dict[tuple[int, int], tuple] = {}  # place of the target, question: key, prediction
        self._seen: dict[int, None] = {}
        self._frozen: Snapshot | None = None
        self._act, self._step, self._offset = 0, -1, 0
        self._lineage = LEARNER  # of what the flow predicts
        self._followed = -1  # the last commit that was looked at
        self._freshness = Freshness(self.flow.features) if isinstance(self.flow.features, FeatureSet) else None
        self.questions, self.lag_s, self.moment, self.since = 0, None, 0, 0
        self.view.open(self)
        self._features = FeatureQuality(flow.features.names)
        self.serve_by(service)

    def serve_by(self, service: Service) -> None:
        """Publish to this service from now on."""
        self.service = service
        service.gauges, service.quality = lambda: self.scores.gauges(self.version), self._quality
        service.table = partial(served, self)
        self.router = service.router = Router(self.registry, self)

    @property
    def folder(self) -> Path:
        """Of the training that is served."""
        return self.store.parent

    @property
    def version(self) -> str:
        """What serves, by name."""
        return self._frozen.version if self._frozen else learner_version(self.model, self._lineage)

    def begin(self) -> bool:
        """Begin with what was committed so far: its score, and its last questions for a page; whether there is any."""
        self.router.start()
        if not exists(self.store):
            return False
        with self._lock:
            kept, stored = self.service.log.served(), self._opened()
            step, self._offset, blob = stored.reader.progress()
            self._followed = step
            for part, new in newest(list(stored.outcomes()), SHOWN):
                self._take(part, show=new, kept=kept)
            if stored.reader.step() == step and self.questions:  # the same sums in the very order of the trainer
                (self.scores.learner or self.scores.served).load(scoreboard_of(blob))
                self.service.headline = self.scores.headline()
            self.refresh()
            self.committed()
        return self.questions > 0

    def outcome(self, outcome: Outcome, arrived: int | None = None) -> None:
        """Serve what a chunk of events led to; what was told before, or comes again after a crash, is known.

        ``arrived`` is when its first event came in (``Clock.elapsed``, ns).
        """
        with self._lock:
            fresh = np.array([id not in self._seen for id in outcome.id.tolist()], bool)
            if not fresh.all():
                outcome = outcome.part(fresh)
            for part in slices(self.scores.by_target(outcome)):
                self._take(part, arrived)

    def follow(self) -> bool:
        """Serve what another process has committed since; whether that was anything."""
        if self._stored is None:
            return self.begin()
        step = self._stored.reader.step()  # before the reading: what is committed meanwhile is read the next time
        if step == self._followed:
            return False
        self._followed = step
        with self._lock:
            self.refresh()
            for outcome in self._stored.outcomes():
                for part in slices(outcome):
                    self._take(part)
            self.committed()
        return True

    def committed(self) -> None:
        """Publish the newest state that is committed, for requests with features of their own."""
        with self._lock:
            if not exists(self.store) or (done := self._opened().reader.done()) == (self._step, self._offset):
                return
            self._step, self._offset = done
            if self.flow.challenged:
                self._lineage = serving_of(self._stored.reader.progress()[2])
            if self._frozen is None:
                self.service.publish(self._learner(), check=False)

    def refresh(self, ask: bool = False) -> None:
        """Serve what the ledger names, from the next question on; with ``ask`` the newest ones are asked again."""
        with self._lock:
            acts = self.registry.acts.behind(self.model, self._act)
            if acts:
                self._act = acts[-1].seq
                version = self.registry.get(acts[-1].version)
                self._frozen = None if version.number == 0 else self.frozen(version)
                self.since = self.service.clock.now()
            if acts or self.service.snapshot is None:
                self.service.publish(self._frozen or self._learner(), check=self._frozen is not None)
            if acts and ask:
                self._again()
            self.router.refresh()

    def extend(self, question: Question, predictions: dict[str, dict], key: str, closed=None) -> None:
        """Add to a question's answer what the use case adds to it."""
        if extra := self.view.extend(predictions, self.config.keys.index(key), closed):
            question.extra = Raw(encode(extra))

    def snapshot_of(self, name: str) -> Snapshot:
        """A version by name, ready to answer: a learner as it is now, or one of the registry."""
        if lineage := lineage_of(name):
            return self._learner(lineage)
        return self.frozen(self.registry.get(name))

    def frozen(self, version: Version) -> Snapshot:
        """A version of the registry, ready to serve; its bytes are checked against their hash."""
        models = models_of_version(self.registry, version)
        offset = int(version.data.get("last_offset", 0))
        return self._snapshot(version.name, lambda: (offset, models), version.at, offset)

    def lineage(self, version: str = "") -> list[dict]:
        """A version and its parents, newest first, as the endpoint tells it; of the learner its newest version's."""
        newest = self.registry.all(self.model)
        if is_learner(version):
            version = newest[-1].id if newest else ""
        chain = self.registry.lineage(version) if version else []
        return [{"version": v.name, "id": v.id, "trained_up_to": utc(v.at).isoformat()} for v in chain]

    def status(self, state: str, source: str = "", message: str = "", alarms: tuple[str, ...] = ()) -> dict:
        """How it stands, as the page is told: the one assembly of it; ``state`` is one of ``STATES``."""
        with self._lock:
            alarms = (*alarms, *self._history.read())
            now = self.service.clock.now()
            serving = self._history.serving or self._history.learner(self.version, self.since)
            newest = {"serving": serving, "happened": self._history.newest(), "headline": self.scores.headline()}
            about = {"state": state, "source": source or self.config.source, "message": message}
            about |= {"alarms": [*alarms, *self._history.alarms(now)], "version": self.version, "offset": self._offset}
            about |= {"since": self.since // 10**6, "trained_up_to": self.moment // 10**6}
            about |= {"question": self.config.question, "keys": self.config.keys, "scores": self.scores.as_dict()}
            return about | msgspec.to_builtins(newest)

    def report(self, state: str, message: str = "", **about) -> dict:
        """Tell the page how it stands."""
        about["alarms"] = tuple(without_paths(text) for text in about.get("alarms", ()))
        status = self.status(state, message=without_paths(message), **about)
        self.service.stream.publish(self._clock.now() // 10**6, "status", status)
        return status

    def line(self, state: str, offset: int, waiting: int = 0, message: str = "") -> str:
        """One line of progress for a console."""
        events = f"{offset:,} events{f' ({waiting:,} wait)' if waiting else ''}"
        lag = "-" if (s := self.lag_s) is None else f"{s:.1f} s" if s < 1e5 else f"{s / 86400:,.0f} days"
        parts = [state, events, f"{self.questions:,} questions", f"lag {lag}", self.scores.headline().text]
        return " | ".join([*parts, self.version, *([message] if message else [])])

    def _quality(self) -> dict:
        """Accuracy of what was served, and the quality of its features."""
        counts = self._freshness.counts if self._freshness else {}
        with self._lock:
            return {"scores": self.scores.as_dict(), **self._features.as_dict(counts)}

    @property
    def changing(self) -> threading.RLock:
        """Held while what serves is changed, so that no question falls between a decision and its time."""
        return self._lock

    def _take(self, outcome: Outcome, arrived: int | None = None, show: bool = True, kept: dict | None = None) -> None:
        """Serve and score what one moment led to, or, with nothing to show, many of them."""
        self._lineage, learned = outcome.lineage, self._asked_here(outcome)
        self._features.take(outcome.X)
        served, frozen = self._as_served(learned, kept or {})
        self.scores.take(served, learned, frozen)
        if show:
            self.service.headline = self.scores.headline()
        answers, bounds = self._steer(served)
        self._seen |= dict.fromkeys(outcome.id.tolist())
        while len(self._seen) > _SEEN:
            del self._seen[next(iter(self._seen))]
        if len(outcome.id):
            self.questions += len(outcome.id)
            self.moment = int(outcome.moment[-1])
            self.since = self.since or int(outcome.moment[0])
            if isinstance(self.service.clock, StreamClock):  # a replayed stream has its own time
                self.service.clock.advance(self.moment)
        self._answer(served, bounds, answers if show else None, arrived)
        self.view.served(served, self.version)

    def _asked_here(self, outcome: Outcome) -> Outcome:
        """Without answers to questions that were asked before the training began, or are answered already."""
        now = set(outcome.id.tolist())
        rows = zip(outcome.label.tolist(), outcome.answered.tolist(), strict=True)
        mine = np.array([id in now or (place, id) in self._open for place, id in rows], bool)
        return outcome if mine.all() else outcome.part(answered=mine)

    def _as_served(self, outcome: Outcome, kept: dict[int, tuple[str, bytes]]) -> tuple[Outcome, np.ndarray]:
        """The outcome with the predictions that are served, and which of them a frozen version gave: those are kept."""
        frozen = np.zeros(len(outcome.id), bool)
        if self._frozen is None and not kept:
            return outcome, frozen
        predictions, rows = {name: p.copy() for name, p in outcome.predictions.items()}, []
        for i, (id, x) in enumerate(zip(outcome.id.tolist(), outcome.X, strict=True)):
            if id in kept:
                found = by_target(np.frombuffer(kept[id][1]), self._outputs)
            elif self._frozen is not None:
                found = self._frozen.predict(x)
                rows.append((id, self.version, np.hstack([found[name] for name, _ in self._outputs]).tobytes()))
            else:
                continue
            frozen[i] = True
            for name, prediction in found.items():
                predictions[name][i] = prediction
        self.service.log.keep_served(rows)
        return replace(outcome, predictions=predictions), frozen

    def _steer(self, outcome: Outcome) -> tuple[list[tuple], list[dict]]:
        """What was answered (key, target, y, prediction), and the bounds around each question's predictions.

        Every answer known before a question steers its bounds; at equal times the question comes first.
        """
        answered, bounds, a, targets = [], [], 0, self.scores.targets
        rows = zip(outcome.id.tolist(), outcome.key.tolist(), outcome.moment.tolist(), strict=True)
        for i, (id, key, moment) in enumerate(rows):
            a = self._answers(outcome, a, moment, answered)
            found = {}
            for place, target in enumerate(targets):
                prediction = outcome.predictions[target.name][i]
                band = self._bands.get((target.name, key)) or self._bands.setdefault((target.name, key), Band(target))
                self._open[place, id] = (key, prediction)
                found[target.name] = band.ask(id, float(prediction)) if target.outputs == 1 else ()
            bounds.append(found)
        self._answers(outcome, a, 2**63 - 1, answered)
        return answered, bounds

    def _answers(self, outcome: Outcome, start: int, before: int, answered: list[tuple]) -> int:
        """Take the answers known before a moment; the place behind them."""
        stop = int(np.searchsorted(outcome.known, before))
        part = slice(start, stop)
        rows = zip(outcome.answered[part].tolist(), outcome.label[part].tolist(), outcome.y[part].tolist(), strict=True)
        for id, place, y in rows:
            if (place, id) in self._open:
                key, prediction = self._open.pop((place, id))
                target = self.scores.targets[place]
                self._bands[target.name, key].learn(id, y)
                answered.append((key, target.name, y, prediction))
        return max(start, stop)

    def _answer(self, outcome: Outcome, bounds: list[dict], answers: list[tuple] | None, arrived: int | None) -> None:
        """Let the service answer with these questions, and tell the page of each, unless ``answers`` is None."""
        last = {key: i for i, key in enumerate(outcome.key.tolist())}
        ends = ends_of(outcome.closed)
        for i in range(len(outcome.id)) if answers is not None else sorted(last.values()):
            id, key, moment = int(outcome.id[i]), int(outcome.key[i]), int(outcome.moment[i])
            closed = outcome.closed[ends[moment]] if moment in ends else None
            x, name = outcome.X[i].tobytes(), self.config.keys[key]
            question = Question(self.version, self._offset, id, name, moment, x, self.flow.horizon)
            cells = {target.name: _cells(outcome.predictions[target.name][i]) for target in self.scores.targets}
            predictions = question.answered(self.scores.targets, cells, bounds[i])
            self.extend(question, predictions, name, closed)
            if self.service.snapshot is None:
                self.service.publish(self._frozen or self._learner(), check=False)
            self.service.answered(question)
            if answers is not None:
                self._show(question, key, predictions, closed, [row for row in answers if row[0] == key], arrived)

    def _show(self, question: Question, key: int, predictions: dict, closed, answers: list[tuple], arrived) -> None:
        """Tell the page of a question with its predictions, the answers that came to its key, and the score."""
        live = not isinstance(self.service.clock, StreamClock)
        self.lag_s = (self._clock.now() - question.moment) / 1e9 if live else None
        latency = None if arrived is None else (self._clock.elapsed() - arrived) / 1e9
        about = {
            "at": question.moment // 10**6,
            "key": question.key,
            "version": question.version,
            "predictions": predictions,
        }
        about["answers"] = {t: {"y": _plain(y), "predicted": _plain(p)} for _, t, y, p in answers}
        about |= {"score": self.service.headline, "lag_s": self.lag_s}
        about["latency_ms"] = None if latency is None else latency * 1e3
        about["closed"] = {} if closed is None else plain(self.view.columns(closed, key))
        about["extra"] = None if question.extra is UNSET else question.extra
        if (scores := self.scores.baseline) is not None:
            headline = self.service.headline
            about["baseline"] = _plain(self.scores.figures(scores)[headline.target][headline.metric])
        self.service.stream.publish(about["at"], "question", about)
        if latency is not None:
            self.observe(latency)

    def _again(self) -> None:
        """Ask the newest question of every key again, of what serves now: where no further one comes."""
        for key in self.config.keys:
            before = self.service.newest(key)
            if before is None or self.service.snapshot is None:
                continue
            about = (self.service.snapshot.version, self.service.snapshot.offset, before.id, key)
            question = Question(*about, before.moment, before.x, self.flow.horizon)
            predictions = question.answered(self.scores.targets, self.service.snapshot.predict(np.frombuffer(before.x)))
            self.extend(question, predictions, key)
            self.service.answered(question)

    def _opened(self) -> Committed:
        if self._stored is None:
            self._stored = Committed(self.store, self.flow, self.scores.targets, self.config.case.event)
        return self._stored

    def _learner(self, lineage: str = "") -> Snapshot:
        lineage = lineage or self._lineage
        load, name = partial(self._newest, lineage), learner_version(self.model, lineage)
        return self._snapshot(name, load, self.moment, self._offset)

    def _newest(self, lineage: str) -> tuple[int, dict]:
        """Models of a lineage at the newest commit, and its offset."""
        if self._stored is None:
            return 0, {name: learner.model for name, learner in self.config.flow().learners.items()}
        _, offset, blob = self._stored.reader.progress()
        return offset, models_of(blob, lineage)

    def _snapshot(self, version: str, load: Callable, trained_up_to: int, offset: int) -> Snapshot:
        features = self.flow.features
        about = (tuple(features.names), self.config.keys, self.scores.targets, self.flow.horizon, trained_up_to)
        return Snapshot(version, load, *about, offset, features.definition, self._freshness)


def _cells(prediction) -> float | np.ndarray:
    return float(prediction) if np.ndim(prediction) == 0 else np.asarray(prediction, float)


def _plain(value) -> float | list | None:
    return np.asarray(value).tolist() if np.ndim(value) else float(value) if np.isfinite(value) else None
