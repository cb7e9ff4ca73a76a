"""The configuration of a run: which problem, which keys, which models; enough to build its flow anywhere again."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from rtml.core.operator import Operator
from rtml.core.target import Target
from rtml.core.use_case import UseCase, load_use_case, whole_name
from rtml.training.flow import Flow
from rtml.training.learner import Learner
from rtml.training.retraining.strategy import build

PART = "events"  # the part of the event log that a run's stream is in


@dataclass(frozen=True)
class RunConfig:
    """What a process needs to know to do the same as another: written by notebook 01, read by all others.

    Parameters
    ----------
    use_case
        One that ships, or one of your own: ``module:attribute`` or ``path/to/file.py``.
    keys
        What is asked for: symbols, stations, nothing in particular (one key without a name).
    source
        Where the events come from, for the reader.
    options
        Those of the use case; the ones that are left out have its defaults.
    models
        Models of the catalogue by target, with a schedule where one is wanted (``"rls: stateful every 1h"``); those of
        the use case where none is named.
    challengers
        Models for the first target that learn in shadow and serve once the gate finds them better; a lineage is named
        after its model.

    Raises
    ------
    LookupError
        For a use case, option or target that does not exist.
    ValueError
        For a challenger named twice, or that serves already.

    Examples
    --------
    >>> config = RunConfig.of("crypto", ("ETH-USD",), source="synthetic", horizon="30s")
    >>> config.question
    'Where is the price of ETH-USD in 30s?'
    >>> config.flow().learners[config.target.name].model.kind
    'guarded'
    """

    use_case: str
    keys: tuple[str, ...]
    source: str = ""
    options: dict = field(default_factory=dict)
    models: dict[str, str] = field(default_factory=dict)
    challengers: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "use_case", whole_name(self.use_case))
        case = self.case
        unknown = set(self.options) - set(case.options)
        if unknown:
            listed = ", ".join(case.options) or "none"
            raise LookupError(f"{self.use_case} has no option {', '.join(sorted(unknown))}; there are: {listed}")
        object.__setattr__(self, "keys", tuple(self.keys) or case.keys)
        options = dict(case.options) | dict(self.options)
        options = {
            name: list(one) if isinstance(one, tuple) else one for name, one in options.items()
        }  # as JSON has it
        object.__setattr__(self, "options", options)
        models = dict(self.models) or case.models_for(self.options)
        if wrong := set(models) - {target.name for target in self.targets}:
            raise LookupError(f"{self.use_case} has no target {', '.join(sorted(wrong))}")
        object.__setattr__(self, "models", models)
        self._check_challengers()

    @classmethod
    def of(
        cls, use_case: str, keys: tuple[str, ...], source: str = "", models: Mapping[str, str] = {}, **options: object
    ) -> RunConfig:
        """The same with the options as keywords."""
        return cls(use_case, tuple(keys), source, dict(options), dict(models))

    @property
    def case(self) -> UseCase:
        """The use case."""
        return load_use_case(self.use_case)

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is predicted, the first of them for the headline."""
        return self.case.targets_for(self.options)

    @property
    def live(self) -> bool:
        """Whether events come as they happen, and not from a recording with a time of its own."""
        return self.source == "http" or self.source.startswith("exchange:")

    @property
    def symbols(self) -> tuple[str, ...]:
        """Keys of the events, in the order of their numbers: those asked for, then those that are only read."""
        return (*self.keys, *self.options.get("inputs", ()))

    @property
    def target(self) -> Target:
        """The first target: the one of the headline."""
        return self.targets[0]

    @property
    def question(self) -> str:
        """What is asked, as a sentence."""
        return self.case.question.format(key=" and ".join(self.keys), **self.options)

    def operator(self) -> Operator:
        """What turns this stream's events into questions and answers, with empty state."""
        return self.case.operator(self)

    def flow(self, learning: bool = True) -> Flow:
        """The run's flow with empty state; without learners it computes questions and answers only."""
        operator = self.operator()
        names = operator.features.names
        chosen = self.models.items() if learning else ()
        classes = {target.name: target.classes for target in self.targets}
        learners = {name: Learner(build(model, names, classes=classes[name]), names) for name, model in chosen}
        first = self.target.name
        shadows = {
            model: {first: Learner(build(model, names, classes=classes[first]), names)}
            for model in (self.challengers if learning else ())
        }
        return Flow(operator, learners, self.targets, shadows, self.case.segments)

    def with_champion(self, name: str) -> RunConfig:
        """The same with another model for the first target."""
        return replace(self, models=self.models | {self.target.name: name})

    def with_challengers(self, names: Iterable[str]) -> RunConfig:
        """The same with these models in shadow."""
        return replace(self, challengers=tuple(names))

    def write(self, path: Path) -> RunConfig:
        """Write it as JSON, and hand it back."""
        values = asdict(self)
        if not self.challengers:  # as it was written before there were any
            del values["challengers"]
        path.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        return self

    @classmethod
    def read(cls, path: Path) -> RunConfig:
        """Configuration of :meth:`write`."""
        values = json.loads(path.read_text(encoding="utf-8"))
        return cls(**values | {name: tuple(values.get(name, ())) for name in ("keys", "challengers")})

    def _check_challengers(self) -> None:
        object.__setattr__(self, "challengers", tuple(self.challengers))
        champion = self.models.get(self.target.name, "")
        for name in self.challengers:
            if name == champion or self.challengers.count(name) > 1:
                raise ValueError(f"{name!r} is compared with itself: name challengers once, and not the champion")
