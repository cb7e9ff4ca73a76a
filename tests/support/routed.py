"""A service whose router chooses among versions of fixed weights, with a real ledger and log behind it."""

from __future__ import annotations

import threading
import time
from contextlib import closing, contextmanager
from types import SimpleNamespace

import numpy as np
from published import Weighted, ask, snapshot

from rtml.core.clock import Clock
from rtml.core.target import Target
from rtml.registry.registry import Registry
from rtml.serving.router import Router
from rtml.serving.service import Service

FRAUD = Target("rise", "probability")


class Broken:
    """A model that fails for some rows."""

    def __init__(self, share: float = 1.0) -> None:
        self.share = share

    def predict(self, x: np.ndarray) -> float:
        if x[1] < self.share:
            raise RuntimeError("no such feature")
        return 0.5


class Several:
    """A publisher of versions: crypto@1 serves until another is promoted."""

    model, learner_name, since = "crypto", "crypto@learner", 5

    def __init__(self, registry: Registry, service: Service, models: dict, target: Target) -> None:
        self.registry, self.service, self.models, self.changing = registry, service, models, threading.RLock()
        self.scores, self._target = SimpleNamespace(targets=(target,)), target
        self.flow = SimpleNamespace(segments=())
        self.router = service.router = Router(registry, self)
        self.refresh()

    def snapshot_of(self, name: str):
        return snapshot(name, models={self._target.name: self.models[name]}, targets=(self._target,), horizon=0)

    def refresh(self, ask: bool = False) -> None:
        self.service.publish(self.snapshot_of(self.registry.champion("crypto").name), check=False)
        ask_all(self.service)
        self.router.refresh()

    def extend(self, question, told, key, closed=None) -> None: ...


def ask_all(service: Service) -> None:
    """A question of each key."""
    for key in service.snapshot.keys:
        ask(service, time.time_ns(), [0.5, 0.5], key)


@contextmanager
def several(folder, models: dict | None = None, target: Target = FRAUD, log: str = ":memory:"):
    """A publisher of versions crypto@1 .. crypto@n, each a model; the first serves."""
    models = models or {f"crypto@{n}": Weighted(n / 10, 0.0) for n in (1, 2, 3)}
    with closing(Registry(folder)) as registry, closing(Service(log, clock=Clock())) as service:
        for n, name in enumerate(models, 1):
            version = registry.save("crypto", name.encode(), at=n * 10, features="f")
            if n == 1:
                registry.promote("crypto", version, "first", at=10)
        yield Several(registry, service, models, target)
