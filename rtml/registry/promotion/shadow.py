"""Shadow: versions of a registry that are asked what the champion is asked, each restored once."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import Clock
from rtml.registry.lineage import models
from rtml.registry.promotion.comparison import LineageComparison
from rtml.registry.promotion.sequential_test import SequentialTest, Terms
from rtml.registry.registry import Registry

_TRIES = 9  # predictions of which the median says what one takes


class Shadow:
    """Makes comparisons out of versions.

    Parameters
    ----------
    registry
        Where the versions are.
    terms
        What is compared.
    width
        Number of features.
    clock
        Measures how long a prediction takes.
    """

    def __init__(self, registry: Registry, terms: Terms, width: int, clock: Clock) -> None:
        self._registry = registry
        self._terms = terms
        self._clock = clock
        self._x = np.zeros(width)
        self._cache = {}
        self._names = {}

    def begin(self, number: int, invested: float, version: str, against: str, cause: str = "", lineage: str = ""):
        """A comparison of two versions from the next question on; of a lineage its predictions come as numbers."""
        self._cache = {id: models for id, models in self._cache.items() if id in self._kept(version, against)}
        about = (number, version, against, cause, invested, SequentialTest(self._terms))
        return LineageComparison(*about, self._both(version, against, lineage), lineage)

    def join(self, comparison: LineageComparison, version: str) -> None:
        """Let a newer version take the challenger's side of a comparison; a learner only has a newer version now."""
        comparison.version = version
        if not comparison.lineage:
            comparison.models = self._both(version, comparison.against, "")
            comparison.sequential_test.renew()

    def again(self, state: dict) -> LineageComparison:
        """A comparison as it stood."""
        about = {name: state[name] for name in ("number", "version", "against", "cause", "invested", "lineage")}
        models = self._both(state["version"], state["against"], state["lineage"])
        comparison = LineageComparison(**about, sequential_test=SequentialTest(self._terms), models=models)
        comparison.sequential_test.load(state["test"])
        return comparison

    def name(self, version: str) -> str:
        """What to call a version of an id."""
        if version not in self._names:
            self._names[version] = self._registry.get(version).name
        return self._names[version]

    def latency_ms(self, version: str) -> float:
        """What all predictions of a version for one question take, the median of a few."""
        took = []
        for _ in range(_TRIES):
            start = self._clock.elapsed()
            for model in self._models(version):
                model.predict(self._x)
            took.append(self._clock.elapsed() - start)
        return sorted(took)[_TRIES // 2] / 1e6

    def _both(self, version: str, against: str, lineage: str) -> tuple[list, list]:
        return ([], []) if lineage else (self._models(against), self._models(version))

    def _models(self, version: str) -> list:
        """Models of a version, a target each, checked against their hash; they do not learn, so they are kept."""
        if version not in self._cache:
            found = models(self._registry, version)
            self._cache[version] = [found[target] for target in self._terms.targets]
        return self._cache[version]

    def _kept(self, *used: str) -> set[str]:
        """Those in use, and the newest few."""
        return {*used, *list(self._cache)[-4:]}
