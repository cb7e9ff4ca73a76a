"""What tests publish to a service: models of fixed weights, and questions that they answer."""

from __future__ import annotations

import numpy as np
from msgspec import Raw

from rtml.core.clock import span
from rtml.core.target import Target
from rtml.serving.schemas import encode
from rtml.serving.service import Service
from rtml.serving.snapshot import Question, Snapshot

NAMES = ("return_1", "imbalance_60s")
KEYS = ("ETH-USD", "BTC-USD")
HORIZON = span("10s")


class Weighted:
    """A model that gives the dot product with fixed weights."""

    def __init__(self, *weights: float) -> None:
        self.weights = np.array(weights)

    def predict(self, x: np.ndarray) -> float:
        with np.errstate(over="ignore", invalid="ignore"):
            return float(self.weights @ x)


class Even:
    """A model that expects no change."""

    def predict(self, x: np.ndarray) -> float:
        return 0.0


def snapshot(version: str = "crypto@learner", model=None, names=NAMES, **about) -> Snapshot:
    """A snapshot of one number, the return, and of more where ``models`` and ``targets`` are given."""
    models = about.pop("models", {"return": model or Weighted(1.0, 2.0)})
    about = {"keys": KEYS, "targets": (Target("return", unit="bp"),), "horizon": HORIZON, "trained_up_to": 0} | about
    return Snapshot(version, lambda: (12, models), names, **about)


def ask(service: Service, moment: int, x, key: str = "ETH-USD", id: int = 7, extra: dict | None = None) -> bool:
    """Let a question of a key come that what serves answers; whether the service took it."""
    serving, x = service.snapshot, np.asarray(x, np.float64)
    question = Question(serving.version, 12, id, key, moment, x.tobytes(), serving.horizon)
    question.answered(serving.targets, serving.predict(x), {"return": (-2.0, 4.5)})
    if extra:
        question.extra = Raw(encode(extra))
    return service.answered(question)
