"""Promotion by a rule that looks at the version alone: every one, none, or what a function says."""

from __future__ import annotations

from collections.abc import Callable

from rtml.core.callbacks import TrainingEvent
from rtml.registry.ledger import GATE, RULE, decided_by
from rtml.registry.registry import Registry
from rtml.registry.versions import Version

#: Says why a version shall serve; an empty text means that it shall not. It may look at nothing but the version and
#: the registry, because after a crash it may be asked again.
Rule = Callable[[Version], str]


class PublishPolicy:
    """A watcher that promotes a version when it is saved, as a rule says.

    It does so once: what somebody took back since is not promoted again after a crash. And a rollback by a person is
    not overridden: nothing is promoted until a person promotes something.

    Examples
    --------
    >>> import tempfile
    >>> registry = Registry(tempfile.mkdtemp())
    >>> policy = PublishPolicy(lambda version: "few errors" if version.metrics["mse"] < 1 else "", registry, "eth")
    >>> for mse in (2.0, 0.5):
    ...     version = registry.save("eth", str(mse).encode(), at=10, features="f1", metrics={"mse": mse})
    ...     [event.detail for event in policy.saved(version, "every 10m")]
    []
    [{'version': 'eth@2', 'why': 'few errors'}]
    """

    name = GATE
    state: dict = {}  # noqa: RUF012, it has none

    def __init__(self, rule: Rule, registry: Registry, model: str, by: str = RULE) -> None:
        self._rule = rule
        self._registry = registry
        self._model = model
        self._by = by

    def push(self, outcome) -> list[TrainingEvent]:
        """Nothing: only versions matter."""
        return []

    def saved(self, version: Version, cause: str) -> list[TrainingEvent]:
        """Promote the version where the rule says so; done again after a crash it says what it said."""
        if entered := [act for act in self._registry.acts.entries(self._model) if self._entered(act, version)]:
            return [_promoted(version, entered[0].why)]
        if self._registry.promoted(version) or not (why := self._rule(version)):
            return []
        if held := self._registry.held(self._model):
            return [TrainingEvent(version.at, "held", {"version": version.name, "why": held})]
        self._registry.promote(self._model, version, why, version.at, {"by": self._by})
        return [_promoted(version, why)]

    def load(self, state: dict) -> None:
        """Nothing to go on from."""

    def _entered(self, act, version: Version) -> bool:
        """Whether an entry of the ledger is this rule's promotion of a version."""
        return (act.version, act.action, decided_by(act)) == (version.id, "promote", self._by)


def _promoted(version: Version, why: str) -> TrainingEvent:
    return TrainingEvent(version.at, "promoted", {"version": version.name, "why": why})
