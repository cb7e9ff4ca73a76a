"""The recipe of a run: which problem, which symbols, which models; enough to build its flow anywhere again."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, replace
from importlib import import_module
from pathlib import Path
from pkgutil import iter_modules
from types import ModuleType

from rtml import usecases
from rtml.core.operator import Operator
from rtml.training.flow import Flow
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

PART = "events"  # the part of the event log that a run's stream is in


def use_case(name: str) -> ModuleType:
    """Module of a use case: a file in ``rtml/usecases`` with NAME, QUESTION, EVENT, MODELS, TARGETS and operator."""
    known = sorted(found.name for found in iter_modules(usecases.__path__) if not found.name.startswith("_"))
    if name not in known:
        raise LookupError(f"no use case {name!r}; known: {', '.join(known)}")
    module = import_module(f"rtml.usecases.{name}")
    return import_module(f"rtml.usecases.{name}.use_case") if hasattr(module, "__path__") else module


@dataclass(frozen=True)
class RunConfig:
    """What a process needs to know to do the same as another: written by notebook 01, read by all others.

    A model may bring a schedule of :mod:`rtml.training.retraining.schedule`: ``"rls: stateful every 1h"``.

    Examples
    --------
    >>> config = RunConfig("crypto", ("ETH-USD", "BTC-USD"), source="synthetic")
    >>> config.question
    'Where is the price of ETH-USD in 10s?'
    >>> config.flow().learners["return"].model.kind
    'compiled'
    """

    use_case: str
    symbols: tuple[str, ...]
    source: str
    bar: str = "10s"
    lateness: str = "1s"
    horizon: str = "10s"
    market: dict = field(default_factory=dict)  # options of the synthetic source, whose truth is known
    models: dict[str, str] = field(default_factory=dict)  # of the zoo, by target; those of the use case unless given

    def __post_init__(self) -> None:
        object.__setattr__(self, "models", dict(self.models or use_case(self.use_case).MODELS))

    @property
    def target(self) -> str:
        """The symbol that is asked for."""
        return self.symbols[0]

    @property
    def served(self) -> str:
        """What is served of it: the first of the use case's targets."""
        return next(iter(self.models))

    @property
    def question(self) -> str:
        """What is asked, as a sentence."""
        return use_case(self.use_case).QUESTION.format(symbol=self.target, horizon=self.horizon)

    def operator(self) -> Operator:
        """What turns this stream's events into questions and answers, with empty state."""
        return use_case(self.use_case).operator(self)

    def flow(self, learning: bool = True) -> Flow:
        """The run's flow with empty state; without learners it computes questions and answers only."""
        operator, chosen = self.operator(), self.models.items() if learning else ()
        names = operator.features.names
        learners = {target: Learner(build(name, names), names) for target, name in chosen}
        return Flow(operator, learners, use_case(self.use_case).TARGETS)

    def with_champion(self, name: str) -> RunConfig:
        """The same with another model for what is served."""
        return replace(self, models=self.models | {self.served: name})

    def write(self, path: Path) -> RunConfig:
        """Write it as JSON, and hand it back."""
        path.write_text(json.dumps(asdict(self), indent=1) + "\n", encoding="utf-8")
        return self

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """RunConfig of :meth:`write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values | {"symbols": tuple(values["symbols"])})
