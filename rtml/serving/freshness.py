"""How old each group of features is when it is served, which are too old, and what stands in for them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import NamedTuple

from rtml.core.clock import span, span_text
from rtml.features.declarations import DEFAULT, LAST, REFUSE
from rtml.features.feature_set import FeatureSet
from rtml.features.formulas import kind_of, parts


class Served(NamedTuple):
    """What a response says of its features: age of each group in seconds, the stale ones, those filled in.

    Examples
    --------
    >>> Served({"batch 1d": 7200.0}, stale=("spend",)).stale
    ('spend',)
    """

    ages_s: dict[str, float]
    stale: tuple[str, ...] = ()
    filled: tuple[str, ...] = ()


class Freshness:
    """Ages and policies of a feature set.

    A group is what is brought up to date together: ``request`` and ``streaming`` features are as old as the question,
    a ``batch`` feature is as old as the tick that it has been held since (``Formula.held``).

    Parameters
    ----------
    features
        Declared with ``ttl`` and ``policy`` where a feature has them.

    Examples
    --------
    >>> from rtml.features.feature_set import Feature, column
    >>> spend = Feature("spend", column("amount").over("1h", "sum").held("1d"), "EUR", "spent", ttl="30h")
    >>> fresh = Freshness(FeatureSet([spend], columns=["amount"]))
    >>> fresh.at(span("25h"), span("26h")), fresh.at(span("25h"), span("60h")).stale
    (Served(ages_s={'batch 1d': 7200.0}, stale=(), filled=()), ('spend',))
    """

    def __init__(self, features: FeatureSet) -> None:
        self._groups: dict[str, int] = {}
        self._limits: list[tuple[str, int, int]] = []  # feature, interval of its group or 0, TTL
        self.policies = {f.name: f.policy for f in features.features}
        self.defaults = {f.name: f.default for f in features.features}
        self.counts: Counter[tuple[str, str]] = Counter()  #: by feature and what became of it
        for f in features.features:
            formula = features.resolved[f.name]
            every = max((int(part.value) for part in parts(formula) if part.op == "held"), default=0)
            self._groups[f"batch {span_text(every)}" if every else kind_of(formula)] = every
            if f.ttl:
                self._limits.append((f.name, every, span(f.ttl)))

    def at(self, moment: int, now: int) -> Served:
        """Ages and stale features of a question of a moment that is served now, both ns."""
        ages = {group: (now - _since(moment, every)) / 1e9 for group, every in self._groups.items()}
        stale = [name for name, every, ttl in self._limits if now - _since(moment, every) > ttl]
        for name in stale:
            self.counts[name, "stale"] += 1
        return Served(ages, tuple(stale))

    def replaced(self, stale: tuple[str, ...]) -> dict[str, float]:
        """Defaults of those stale features whose policy it is.

        Raises
        ------
        LookupError
            For one that must not be served stale, with its name.
        """
        for name in stale:
            if self.policies[name] == REFUSE:
                self.counts[name, "refused"] += 1
                raise LookupError(f"feature {name!r} is older than its TTL, and its policy is to refuse")
        return self._counted({n: self.defaults[n] for n in stale if self.policies[n] == DEFAULT}, DEFAULT)

    def filled(self, absent: list[str], last: Mapping[str, float]) -> dict[str, float] | None:
        """What stands in for features that a request did not bring; None where one of them may not be missing."""
        values = {name: self.defaults[name] for name in absent if self.policies.get(name) == DEFAULT}
        kept = {name: last[name] for name in absent if self.policies.get(name) == LAST and name in last}
        if len(values) + len(kept) < len(absent):
            return None
        return self._counted(values, DEFAULT) | self._counted(kept, LAST)

    def _counted(self, values: dict[str, float], what: str) -> dict[str, float]:
        self.counts.update((name, what) for name in values)
        return values


def _since(moment: int, every: int) -> int:
    """When a value of a moment was computed: then, or at the tick before."""
    return moment - moment % every if every else moment
