"""Promotions, rollbacks and the ledger over HTTP: entered with who and why, then served, and told to who asks."""

from __future__ import annotations

from rtml.registry.learners import lineage_of
from rtml.registry.ledger import decided_by
from rtml.registry.registry import Registry
from rtml.serving.publisher import Publisher
from rtml.serving.router import enter_first
from rtml.serving.stream_schemas import Act, Acts, PromoteRequest, RollbackRequest, Routed, RouteRequest

VERSIONS = 100  # that the ledger names


class Promotions:
    """Lets a frozen version of a registry serve, the learner, or what served before.

    Parameters
    ----------
    registry
        Whose ledger the acts are entered in, at the event time of the publisher's service.
    publisher
        Serves it from the next question on.
    ask
        Whether the newest questions are asked again, because no further one comes.
    """

    def __init__(self, registry: Registry, publisher: Publisher, ask: bool = False) -> None:
        self._registry = registry
        self._publisher = publisher
        self._ask = ask
        self._model = publisher.model

    def promote(self, request: PromoteRequest) -> str:
        """Let a version serve, or a learner (``<use case>@learner``, ``<use case>@learner:<lineage>``); its name.

        A challenger serves once the training has come to it, from its next event on.
        """
        if (lineage := lineage_of(request.version)) and lineage not in self._publisher.flow.lineages.names:
            raise LookupError(self._publisher.flow.lineages.failure(lineage))
        why, about = f"{request.who}: {request.why}", {"who": request.who}
        with self._publisher.changing:
            enter_first(self._registry, self._publisher)
            at = self._publisher.service.clock.now()
            chosen = self._registry.promote(self._model, request.version, why, at, about)
            self._publisher.refresh(self._ask)
        return chosen.name

    def rollback(self, request: RollbackRequest) -> str:
        """Let what served before serve again; its name."""
        with self._publisher.changing:
            at = self._publisher.service.clock.now()
            why = f"{request.who}: {request.why}"
            before = self._registry.rollback(self._model, why, at, {"who": request.who})
            self._publisher.refresh(self._ask)
        return before.name

    def route(self, request: RouteRequest) -> str:
        """Let other versions answer, or other shares of the requests; in words."""
        return self._publisher.router.change(request.kind, request.arms, request.who, request.why, **request.about())

    def routes(self) -> Routed:
        """Which versions answer whom, and how well."""
        return Routed(**self._publisher.router.told())

    def ledger(self, at_ms: int | None = None) -> Acts:
        """What served, since when and why; of one event time (ms) what was in force then, nothing before the first."""
        rows, before = [], ""
        for act in self._registry.acts.entries(self._model):
            name = self._registry.get(act.version).name
            evidence = {key: value for key, value in act.evidence.items() if key not in ("by", "who")}
            entered = act.entered and act.entered // 10**6
            rows.append(Act(act.at // 10**6, act.action, name, before, decided_by(act), act.why, evidence, entered))
            before = name
        if at_ms is not None:
            rows = [row for row in rows if row.at <= at_ms][-1:]
        versions = self._registry.all(self._model) if at_ms is None else []
        names = {one.id: one.name for one in versions}
        tree = [
            {"version": one.name, "parent": names.get(one.parent or "", ""), "at": one.at // 10**6}
            for one in versions[-VERSIONS:]
        ]
        return Acts(rows, self._registry.held(self._model), tree)
