"""The router: which version answers a request, by the route in the ledger, and what the answers decide."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field
from functools import partial

import numpy as np

from rtml.registry.learners import FROM_THE_START, is_learner, learner_version
from rtml.registry.ledger import ROUTER, RUN, decided_by
from rtml.registry.registry import Registry
from rtml.registry.routing import bandit
from rtml.registry.routing.assignment import assigned
from rtml.registry.routing.experiment import Decision, Experiment
from rtml.registry.routing.route import BANDIT, KEY, Route, Routes, restored
from rtml.serving.answers import finite
from rtml.serving.arms import begun, figures, fold
from rtml.serving.schemas import invalid
from rtml.serving.snapshot import Question, Snapshot

PAUSE_S = 0.25  # between two looks at the ledger and at the answers
_LOG = logging.getLogger("rtml.serving")


def enter_first(registry: Registry, publisher) -> None:
    """Enter that the learner served from the first question on, where a ledger is empty."""
    if not registry.acts.entries(publisher.model):
        about = (learner_version(publisher.model), FROM_THE_START, publisher.since, {"by": RUN})
        registry.promote(publisher.model, *about)


@dataclass(slots=True)
class Choice:
    """An arm that answers one request; without a ``snapshot`` it is what serves.

    Examples
    --------
    >>> route = Route()
    >>> Choice(None, route, "champion", "user 7", 1.0, None).answer(17, "ETH-USD", 10, b"") is None
    True
    """

    router: Router
    route: Route
    arm: str
    unit: str
    propensity: float
    snapshot: Snapshot | None

    @property
    def routed(self) -> tuple[str, str, str]:
        """Route, arm and unit, for the log."""
        return self.route.label, self.arm, self.unit

    def answer(self, id: int | None, key: str, moment: int, x: bytes) -> Question | None:
        """A question as the arm answers it; None where what serves shall answer, since it is the arm or this failed."""
        if self.snapshot is None:
            return None
        try:
            return self.router.asked(self.snapshot, id, key, moment, x)
        except Exception as ex:
            self.fail(f"{type(ex).__name__}: {ex}")
            return None

    def took(self, ns: int) -> None:
        """Count a request that took too long."""
        if ns > self.route.latency_ms * 1e6:
            self.fail(f"it took {ns / 1e6:.0f} ms")

    def fail(self, why: str) -> None:
        """Count a failure of the arm."""
        self.router.failed(self.routed, self.propensity, why)


@dataclass(frozen=True)
class _Active:
    """A route with the snapshots of its arms; replaced as one, so that no request sees half of a change."""

    route: Route = field(default_factory=Route)
    snapshots: dict[str, Snapshot | None] = field(default_factory=dict)
    weights: dict[str, float] = field(default_factory=dict)


class Router:
    """Chooses the arm of every request, and acts on what a test has shown.

    The route is what the ledger says: whoever enters one, in this process or another, it is in force here within a
    quarter of a second, and at once where it came over HTTP.

    Parameters
    ----------
    registry
        Whose ledger holds the routes.
    publisher
        Publishes what serves; it makes the snapshots of versions, and its service logs what was given.
    """

    def __init__(self, registry: Registry, publisher) -> None:
        self._registry = registry
        self._publisher = publisher
        self._service = publisher.service
        self.routes = Routes(registry, publisher.model)
        self.advice = ""
        self.error = ""
        self._active, self.experiment = _Active(), None
        self._places = [0, 0, 0]  # in the log: of requests, failures and answers
        self._asked: dict[tuple[str, str], Question] = {}
        self._rng = np.random.default_rng()
        self._folding = threading.Lock()
        self._stop = threading.Event()
        self._thread = None

    @property
    def route(self) -> Route:
        """What is in force."""
        return self._active.route

    def start(self) -> None:
        """Look at ledger and answers from now on, on a thread."""
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="rtml-router", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Look no more."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def choose(self, request) -> Choice | None:
        """The arm of a request; None where it takes no part in any test."""
        active = self._active
        route = active.route
        if not route.arms:
            return None
        unit = request.unit or ""
        if route.kind == BANDIT:
            draw, arm = self._rng.random(), route.arms[-1]
            for arm in route.arms:
                draw -= active.weights[arm]
                if draw < 0:
                    break
        else:
            name = "key" if route.by == KEY else "unit"
            key = request.symbol if request.key is None else request.key
            unit = key if route.by == KEY else request.unit or None
            if unit is None:
                raise invalid(name, f"is required while {route.sentence()} runs: it says which arm answers", None)
            arm = assigned(route.test, unit, route.cut, route.coverage)
        return Choice(self, route, arm, unit, active.weights[arm], active.snapshots[arm]) if arm else None

    def change(self, kind: str, arms: dict[str, float], who: str, why: str, **about) -> str:
        """Enter another route into the ledger and follow it; in words. See :meth:`Routes.change`."""
        with self._publisher.changing:
            at = self._service.clock.now()
            route = self.routes.change(kind, arms, who, why, at, check=self._snapshots, **about)
            self.refresh()
        return route.sentence()

    def refresh(self) -> None:
        """Follow the ledger."""
        with self._publisher.changing:
            route, before = self.routes.now(), self._active
            learns = [arm for arm in route.arms[1:] if is_learner(arm)]
            if route == before.route and not learns:
                return
            snapshots = self._snapshots(route)
            if route.test != before.route.test:
                self._places, self.advice = [0, 0, 0], ""
                self.experiment = begun(
                    self.routes, route, self._publisher.scores.targets[0], self._publisher.flow.segments
                )
            elif self.experiment is not None and route != before.route:
                self.experiment.follow(route)
            same = route.kind == BANDIT and route.test == before.route.test
            self._active = _Active(route, snapshots, before.weights if same else route.weights)
            self._asked = {}

    def learn(self) -> None:
        """Take what the log holds that is new, and act on what is settled by it."""
        with self._folding:
            experiment, places = self.experiment, self._places
            if experiment is None:
                return
            more = True
            while more:
                with self._service.log.reading() as database:
                    more = fold(database, experiment, places)
            if experiment is not self.experiment:
                return
            self._rebalance(experiment)
            decision = experiment.decision()
        if decision is not None:
            self._act(decision)

    def asked(self, snapshot: Snapshot, id: int | None, key: str, moment: int, x: bytes) -> Question:
        """A question as a snapshot answers it; that of the stream is answered once."""
        kept = self._asked.get((snapshot.version, key))
        if id is not None and kept is not None and (kept.id, kept.moment) == (id, moment):
            return kept
        predictions = snapshot.predict(np.frombuffer(x))
        if not all(map(finite, predictions.values())):
            raise ValueError(f"a prediction is not finite: {predictions}")
        question = Question(snapshot.version, snapshot.learned[0], id, key, moment, x, snapshot.horizon)
        self._publisher.extend(question, question.answered(snapshot.targets, predictions), key)
        if id is not None:
            self._asked[snapshot.version, key] = question
        return question

    def failed(self, routed: tuple[str, str, str], propensity: float, why: str) -> None:
        """Keep a failure in the log."""
        self._service.log.fail(*routed, propensity, why[:400], self._service.clock.now())

    def as_dict(self) -> dict:
        """The route, its arms with what they answered and how well, and the last entries of the ledger."""
        route, experiment = self.route, self.experiment
        about = {"kind": route.kind, "route": route.sentence(), "test": route.test, "coverage": route.coverage}
        about |= {"by": route.by, "steps": list(route.steps), "advice": self.error or self.advice}
        about["mismatch"] = 0.0 if experiment is None else min(experiment.mismatch, 700.0)
        rows = []
        if experiment is not None:
            with self._service.log.reading() as database:
                rows = figures(database, experiment, self._publisher.scores.targets[0])
        entries = [
            {"at": one.at // 10**6, "by": decided_by(one), "why": one.why, "kind": one.action}
            | {"route": restored(one.evidence["route"]).sentence()}
            for one in self.routes.entries()[-20:]
        ]
        return about | {
            "arms": [row | {"share": self._active.weights.get(row["arm"], 0.0)} for row in rows],
            "entries": entries,
        }

    def counts(self) -> list[tuple]:
        """Arm, share, requests, answered units, failures and mean loss of each, for the metrics."""
        active, experiment = self._active, self.experiment
        if experiment is None:
            return []
        rows = []
        for arm, (n, total) in experiment.losses.items():
            counts = (float(experiment.asked[arm]), float(n), float(experiment.failures[arm]))
            rows.append((arm, active.weights.get(arm, 0.0), *counts, total / n if n else float("nan")))
        return rows

    def _snapshots(self, route: Route) -> dict[str, Snapshot | None]:
        """Snapshots of a route's arms, None of what serves; an arm that cannot answer the same requests is refused."""
        snapshots: dict[str, Snapshot | None] = dict.fromkeys(route.arms[:1])
        for arm in route.arms[1:]:
            snapshot = self._active.snapshots.get(arm)
            if snapshot is None or is_learner(arm):
                snapshot = self._publisher.snapshot_of(arm)
            serving = self._service.snapshot
            if serving is not None and snapshot.names != serving.names:
                raise ValueError(f"{arm} takes other features than {serving.version}: compare them in shadow")
            self._service.define(snapshot)
            snapshots[arm] = snapshot
        return snapshots

    def _rebalance(self, experiment: Experiment) -> None:
        """Choose the chances of a bandit anew."""
        if experiment.route.kind != BANDIT:
            return
        chances = bandit.chances(experiment.route.policy, experiment.state, self._rng).tolist()
        with self._publisher.changing:
            if self.route.test == experiment.route.test:
                weights = dict(zip(self.route.arms, chances, strict=True))
                self._active = _Active(self.route, self._active.snapshots, weights)

    def _act(self, decision: Decision) -> None:
        """Do what follows: stop an arm, let a canary grow, promote what is better, or advise to."""
        route, arm = self.route, decision.arm
        entry = partial(self.routes.enter, who="", at=self._service.clock.now(), evidence=decision.evidence)
        with self._publisher.changing:
            if self.routes.now() != route:  # somebody changed it meanwhile
                return
            if decision.what == "worse":
                entry(route.stopped(arm), why=decision.why)
            elif decision.what == "next":
                entry(route.grown(), why=decision.why)
            elif route.promote and not self._registry.held(self._publisher.model):
                about = (arm, decision.why, self._service.clock.now(), {"by": ROUTER, **decision.evidence})
                enter_first(self._registry, self._publisher)
                self._registry.promote(self._publisher.model, *about)
                self._publisher.refresh()
            else:
                self.advice = f"{decision.why}: promote it"
            self.refresh()

    def _run(self) -> None:
        while not self._stop.wait(PAUSE_S):
            try:
                self.refresh()
                self.learn()
                self.error = ""
            except Exception as error:
                if not self.error:
                    _LOG.exception("the router failed")
                self.error = f"the router failed, what serves answers on: {type(error).__name__}: {error}"
