"""Use cases: what an event is, what is asked of the stream, and what turns one into the other."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from rtml.core import plugin
from rtml.core.operator import Operator
from rtml.core.segments import Segment
from rtml.core.target import Target, by_name

#: The use cases that ship; nothing imports them but by name.
SHIPPED = ("crypto", "fraud", "sessions")


@dataclass(frozen=True)
class UseCase:
    """One problem on a stream: the only thing a user writes to bring a stream of their own.

    Parameters
    ----------
    name
        One word.
    question
        What is asked, as a sentence; ``{key}`` and the use case's options may stand in it.
    event
        Record of an event in the log: a numpy dtype with ``time`` (ns UTC).
    operator
        Makes the transition function of a run's configuration, with empty state.
    targets
        What is predicted; the first one makes the headline. A function of the options where they decide (a target
        for each horizon).
    models
        Which model of the catalogue, or of one's own, learns which target; likewise.
    options
        What a run may set, with defaults, such as ``{"horizon": "6h"}``; the run's configuration holds them.
    keys
        Keys that are asked where a run names none; one without a name unless given.
    source
        Opens a source for notebook 01: ``source(name, config, **how)``; the generic catalogue unless given.
    usual
        The source that is followed where none is named.
    inspect
        What is shown of a recording beside :func:`rtml.sources.profile.profile`, ``module:function``: a function of
        the opened source, and of ``bar`` where one is given, whose result is printed.
    view
        What the live page and the endpoint add for this use case, ``module:attribute``; nothing unless given.
    segments
        Parts of the questions by which comparisons of versions are cut: "better overall, worse for new cards".
    notebooks
        Folder of its notebooks below ``notebooks/``; the generic five unless given.
    """

    name: str
    question: str
    event: np.dtype
    operator: Callable[..., Operator]
    targets: tuple[Target, ...] | Callable[[Mapping], tuple[Target, ...]]
    models: Mapping[str, str] | Callable[[Mapping], Mapping[str, str]]
    options: Mapping[str, object] = field(default_factory=dict)
    keys: tuple[str, ...] = ("",)
    source: Callable | None = None
    usual: str = ""
    inspect: str = ""
    view: str = ""
    notebooks: str = "generic"
    segments: tuple[Segment, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "event", np.dtype(self.event))
        unknown = set(self.models_for({})) - set(by_name(self.targets_for({})))
        if unknown:
            raise LookupError(f"use case {self.name!r} has models for {', '.join(sorted(unknown))}, which is no target")
        if "time" not in (self.event.names or ()):
            raise ValueError(f"an event of use case {self.name!r} needs a field 'time' (ns UTC), got {self.event}")

    def targets_for(self, options: Mapping) -> tuple[Target, ...]:
        """What is predicted with these options."""
        return tuple(self.targets({**self.options, **options}) if callable(self.targets) else self.targets)

    def models_for(self, options: Mapping) -> dict[str, str]:
        """Which model learns which target with these options."""
        return dict(self.models({**self.options, **options}) if callable(self.models) else self.models)

    def target(self, name: str = "") -> Target:
        """A target by name, the first one unless named, with the default options.

        Raises
        ------
        LookupError
            Where there is no such target.
        """
        named = by_name(self.targets_for({}))
        if name and name not in named:
            raise LookupError(f"use case {self.name!r} has no target {name!r}; there are: {', '.join(named)}")
        return named[name] if name else next(iter(named.values()))


def load_use_case(name: str) -> UseCase:
    """A use case that ships, or one of your own by ``module:attribute`` or ``path/to/file.py``.

    Raises
    ------
    LookupError
        Where there is none of that name; the sentence lists those that ship.

    Examples
    --------
    >>> load_use_case("crypto").target().name
    'return'
    """
    if name.endswith(".py"):
        name = f"{name}:use_case"
    if name in SHIPPED and find_spec(f"rtml.usecases.{name}") is not None:
        name = f"rtml.usecases.{name}.use_case:use_case"
    found = plugin.load(name, dict.fromkeys(SHIPPED), "use_cases")
    if not isinstance(found, UseCase):
        raise TypeError(f"{name} is a {type(found).__name__}, not a rtml.core.use_case.UseCase")
    return found


def models_of_use_cases() -> dict[str, object]:
    """Models that the shipped use cases bring, ``MODELS`` of their module ``models``, by name.

    Examples
    --------
    >>> sorted(models_of_use_cases())[:3]
    ['item_vectors', 'markov', 'popular']
    """
    found = [name for name in SHIPPED if find_spec(f"rtml.usecases.{name}.models") is not None]
    return {k: v for name in found for k, v in import_module(f"rtml.usecases.{name}.models").MODELS.items()}


def whole_name(name: str) -> str:
    """The same name, with the whole path of its file: another process finds it from any folder.

    Examples
    --------
    >>> whole_name("fraud"), whole_name("/my/bikes.py:hourly")
    ('fraud', '/my/bikes.py:hourly')
    """
    place, _, attribute = name.partition(":")
    if not place.endswith(".py"):
        return name
    return f"{plugin.located(Path(place))}" + (f":{attribute}" if attribute else "")


def title(name: str) -> str:
    """Short name of a use case for a folder or a heading.

    Examples
    --------
    >>> title("my/bikes.py"), title("fraud"), title("mine.shops:case")
    ('bikes', 'fraud', 'case')
    """
    place, _, attribute = name.partition(":")
    return attribute or (Path(place).stem if place.endswith(".py") else place)
