"""Promotions and rollbacks asked for over HTTP: entered in the ledger with who and why, then served."""

from __future__ import annotations

from collections.abc import Callable

from rtml.clock import Clock
from rtml.registry import Registry
from rtml.serving.live_messages import PromoteRequest, RollbackRequest


class Promotions:
    """Lets a version of a registry serve, or the one before it.

    ``serve`` is called afterwards, such as :meth:`rtml.serving.feed.Feed.refresh`; ``clock`` says at which event time.
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
        before = self._registry.rollback(self._model, f"{request.who}: {request.why}", self._clock.now())
        self._serve()
        return before.name
