"""Promotions, rollbacks and the ledger over HTTP: entered with who and why, then served, and told to who asks."""

from __future__ import annotations

from rtml.registry.learners import lineage_of
from rtml.registry.ledger import decided_by
from rtml.serving.publisher import Publisher
from rtml.serving.router import enter_first
from rtml.serving.stream_schemas import Act, Acts, PromoteRequest, RollbackRequest, Routed, RouteRequest

VERSIONS = 100  # that the ledger names


class Promotions:
    """Lets a frozen version of a registry serve, the learner, or what served before.

    Parameters
    ----------
    publisher
        Publishes what serves; its registry's ledger is where acts are entered, at the event time of its service.
    ask
        Whether the newest questions are asked again, because no further one comes.
    """

    def __init__(self, publisher: Publisher, ask: bool = False) -> None:
        self.publisher, self.ask = publisher, ask

    @property
    def at_work(self) -> Publisher:
        """The publisher that acts are for."""
        return self.publisher

    def promote(self, request: PromoteRequest) -> str:
        """Let a version serve, or a learner (``<use case>@learner``, ``<use case>@learner:<lineage>``); its name.

        A challenger serves once the training has come to it, from its next event on.
        """
        publisher = self.at_work
        if (lineage := lineage_of(request.version)) and lineage not in publisher.flow.lineages.names:
            raise LookupError(publisher.flow.lineages.failure(lineage))
        with publisher.changing:
            enter_first(publisher.registry, publisher)
            chosen = publisher.registry.promote(publisher.model, request.version, *self._about(request))
            publisher.refresh(self.ask)
        return chosen.name

    def rollback(self, request: RollbackRequest) -> str:
        """Let what served before serve again; its name."""
        publisher = self.at_work
        with publisher.changing:
            before = publisher.registry.rollback(publisher.model, *self._about(request))
            publisher.refresh(self.ask)
        return before.name

    def _about(self, request: PromoteRequest | RollbackRequest) -> tuple[str, int, dict]:
        """Why, when and by whom, as the ledger keeps it."""
        return f"{request.who}: {request.why}", self.at_work.service.clock.now(), {"who": request.who}

    def route(self, request: RouteRequest) -> str:
        """Let other versions answer, or other shares of the requests; in words."""
        return self.at_work.router.change(request.kind, request.arms, request.who, request.why, **request.about())

    def routes(self) -> Routed:
        """Which versions answer whom, and how well."""
        return Routed(**self.at_work.router.as_dict())

    def ledger(self, at_ms: int | None = None) -> Acts:
        """What served, since when and why; of one event time (ms) what was in force then, nothing before the first."""
        registry, model = self.at_work.registry, self.at_work.model
        rows, before = [], ""
        for act in registry.acts.entries(model):
            name = registry.get(act.version).name
            evidence = {key: value for key, value in act.evidence.items() if key not in ("by", "who")}
            entered = act.entered and act.entered // 10**6
            rows.append(Act(act.at // 10**6, act.action, name, before, decided_by(act), act.why, evidence, entered))
            before = name
        if at_ms is not None:
            rows = [row for row in rows if row.at <= at_ms][-1:]
        versions = registry.all(model) if at_ms is None else []
        names = {one.id: one.name for one in versions}
        tree = [
            {"version": one.name, "parent": names.get(one.parent or "", ""), "at": one.at // 10**6}
            for one in versions[-VERSIONS:]
        ]
        return Acts(rows, registry.held(model), tree)
