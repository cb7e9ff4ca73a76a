"""Opening a run for a stream: which source, what it is of, and that a restart goes on with the same."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from rtml.core import digests
from rtml.core.run_folder import claim, shown
from rtml.core.use_case import load_use_case
from rtml.sources.catalogue import open_source
from rtml.sources.ingestor import Open
from rtml.sources.protocol import Source
from rtml.training.run_config import RunConfig


@dataclass(frozen=True)
class SourceOptions:
    """What to follow, and what is asked of it.

    Parameters
    ----------
    source
        A source of the use case; the one it usually follows unless given.
    keys, inputs
        Keys that are asked, and symbols that are only read beside them; all keys of the source when empty.
    use_case
        One that ships, or ``module:attribute`` or ``path/to/file.py``.
    backfill, hours
        How much of an exchange's past to begin with, and the length of a synthetic stream.
    speed
        Of a recording, 1 as it happened; 0: as fast as possible.
    challengers
        Models for the first target that learn in shadow.
    record
        A file that gets everything that an exchange sends.
    """

    source: str = ""
    keys: tuple[str, ...] = ()
    use_case: str = "crypto"
    inputs: tuple[str, ...] = ()
    backfill: str = "1h"
    speed: float = 1.0
    hours: float = 24.0
    challengers: tuple[str, ...] = ()
    record: str = ""
    client_options: dict = field(default_factory=dict)

    def open(self, after: dict[str, tuple[int, int]] | None = None) -> Source:
        """The source; an exchange goes on behind the trades that are held already."""
        about = {"symbols": (*self.keys, *self.inputs), "backfill": self.backfill, "hours": self.hours}
        about |= {"record": self.record, "client_options": self.client_options, "after": after or {}}
        case = load_use_case(self.use_case)
        if not (name := self.source or case.usual):
            raise ValueError(f"use case {self.use_case!r} follows no source of its own: name one with --source")
        source = open_source(name, case, **about)
        if self.record and not hasattr(source, "arrivals"):
            raise ValueError(f"only what an exchange sends is recorded, and {source.name} is none: leave out --record")
        return source

    def config(self, source: Source) -> RunConfig:
        """The configuration of a run that follows an opened source."""
        inputs: dict[str, object] = {"inputs": self.inputs} if self.inputs else {}
        keys = tuple(key for key in source.symbols if key not in self.inputs)
        return RunConfig(self.use_case, keys, source.name, inputs, challengers=self.challengers)


def source_options(
    client_options: str = "{}", symbols: str = "", inputs: str = "", challengers: str = "", **values
) -> SourceOptions:
    """The options as a command line gives them: names comma separated, the client's options as JSON."""
    try:
        options = json.loads(client_options)
    except json.JSONDecodeError as ex:
        raise ValueError(f"--client-options must be a JSON object, got {client_options!r}: {ex}") from ex
    listed = {"keys": names(symbols), "inputs": names(inputs), "challengers": names(challengers)}
    return SourceOptions(**listed, client_options=options, **values)


def names(text: str) -> tuple[str, ...]:
    """Names of a comma separated list.

    Examples
    --------
    >>> names("blend, rls: stateful every 1h")
    ('blend', 'rls: stateful every 1h')
    """
    return tuple(name.strip() for name in text.split(",") if name.strip())


def opened(folder: Path, what: SourceOptions) -> tuple[RunConfig, Open]:
    """The configuration of a run folder, and what opens its source behind a place in it.

    A new folder gets the configuration; one that follows something else already is refused.
    """
    claim(folder)
    source = what.open()
    config, path = what.config(source), folder / "recipe.json"
    if path.exists():
        before = RunConfig.read(path)
        if (before.use_case, before.source, before.keys) != (config.use_case, config.source, config.keys):
            raise ValueError(f"{shown(folder)} follows {before.source}, not {source.name}: name another RUN")
        if what.challengers and before.challengers != config.challengers:
            there = ", ".join(before.challengers) or "no challenger"
            raise ValueError(f"{shown(folder)} was begun with {there}: name another RUN for other challengers")
        config = before
    else:
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # others may wait for it: whole or not at all
        config.write(partial)
        os.replace(partial, path)
        digests.add(folder, [path.name])
    live = hasattr(source, "arrivals")
    return config, what.open if live else lambda after: source
