"""Promotions, rollbacks and the ledger over HTTP: entered with who and why, then served, and told to who asks."""

from __future__ import annotations

from collections.abc import Callable

from rtml.core.clock import Clock
from rtml.registry.ledger import decided_by
from rtml.registry.registry import Registry
from rtml.serving.stream_schemas import Act, Acts, PromoteRequest, RollbackRequest


class Promotions:
    """Lets a version of a registry serve, or the one before it.

    ``serve`` is called afterwards, such as :meth:`rtml.serving.publisher.Publisher.refresh`; ``clock`` says at which
    event time.
    """

    def __init__(self, registry: Registry, model: str, clock: Clock, serve: Callable[[], object]) -> None:
        self._registry, self._model, self._clock, self._serve = registry, model, clock, serve

    def promote(self, request: PromoteRequest) -> str:
        """Let a version serve; its name."""
        by = f"{request.who}: {request.why}"
        chosen = self._registry.promote(self._model, request.version, by, self._clock.now(), {"who": request.who})
        self._serve()
        return chosen.name

    def rollback(self, request: RollbackRequest) -> str:
        """Let the champion before serve again; its name."""
        before = self._registry.rollback(
            self._model, f"{request.who}: {request.why}", self._clock.now(), {"who": request.who}
        )
        self._serve()
        return before.name

    def ledger(self, at_ms: int | None = None) -> Acts:
        """What served, since when and why; of one event time (ms) what was in force then, nothing before the first."""
        rows, names, before = [], {}, ""
        for act in self._registry.acts.entries(self._model):
            name = names.get(act.version) or names.setdefault(act.version, self._registry.get(act.version).name)
            evidence = {key: value for key, value in act.evidence.items() if key not in ("by", "who")}
            rows.append(Act(act.at // 10**6, act.action, name, before, decided_by(act), act.why, evidence))
            before = name
        if at_ms is not None:
            rows = [row for row in rows if row.at <= at_ms][-1:]
        return Acts(rows, self._registry.held(self._model))
