"""The recipe of a run: which problem, which symbols, which models; enough to build its flow anywhere again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rtml.flow import Flow
from rtml.learner import Learner
from rtml.models import zoo
from rtml.usecases import crypto

USE_CASES = {crypto.NAME: crypto}
PART = "events"  # the part of the event log that a run's stream is in


@dataclass(frozen=True)
class Recipe:
    """What a process needs to know to do the same as another: written by notebook 01, read by all others.

    Examples
    --------
    >>> recipe = Recipe("crypto", ("ETH-USD", "BTC-USD"), source="synthetic")
    >>> recipe.question
    'Where is the price of ETH-USD in 10s?'
    >>> recipe.flow().learners["return"].model.kind
    'compiled'
    """

    use_case: str
    symbols: tuple[str, ...]
    source: str
    bar: str = "10s"
    lateness: str = "1s"
    horizon: str = "10s"
    market: dict = field(default_factory=dict)  # options of the synthetic market, whose truth is known
    models: dict[str, str] = field(default_factory=lambda: {"return": "rls", "sign": "logistic", "volatility": "rls"})

    def __post_init__(self) -> None:
        if self.use_case not in USE_CASES:
            raise LookupError(f"no use case {self.use_case!r}; known: {', '.join(USE_CASES)}")

    @property
    def target(self) -> str:
        """The symbol that is asked for."""
        return self.symbols[0]

    @property
    def question(self) -> str:
        """What is asked, as a sentence."""
        return USE_CASES[self.use_case].QUESTION.format(symbol=self.target, horizon=self.horizon)

    def operators(self) -> tuple:
        """Bars, features and labels with empty state."""
        return USE_CASES[self.use_case].operators(self.symbols, self.bar, self.lateness, self.horizon)

    def flow(self, learning: bool = True) -> Flow:
        """The run's flow with empty state; without learners it computes questions and answers only."""
        bars, features, labels = self.operators()
        chosen = self.models.items() if learning else ()
        learners = {t: Learner(zoo.build(name), features.names) for t, name in chosen}
        return Flow(bars, features, labels, USE_CASES[self.use_case].rows, learners)

    def with_champion(self, name: str) -> Recipe:
        """The same with another model for the return."""
        return replace(self, models=self.models | {"return": name})

    def write(self, path: Path) -> Recipe:
        """Write it as JSON, and hand it back."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return self

    @classmethod
    def read(cls, path: Path) -> Recipe:
        """Recipe of :meth:`write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values | {"symbols": tuple(values["symbols"])})
