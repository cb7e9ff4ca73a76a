"""Options of a source, and the opening of a run that follows one: a restart goes on with the same."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path

from rtml.core.run_folder import claim, shown
from rtml.sources.catalogue import open_source
from rtml.sources.ingestor import Open
from rtml.sources.protocol import Source
from rtml.training.run_config import RunConfig


@dataclass(frozen=True)
class SourceOptions:
    """What to follow: a source of the catalogue, its symbols, how much of the past first, how fast a recording.

    ``record`` names a file that gets everything that an exchange sends.
    """

    source: str = "kraken"
    symbols: tuple[str, ...] = ()
    backfill: str = "1h"
    speed: float = 1.0
    hours: float = 24.0
    record: str = ""
    client_options: dict = field(default_factory=dict)

    def open(self, after: dict[str, tuple[int, int]] | None = None) -> Source:
        """The source; an exchange goes on behind the trades that are held already."""
        about = {"symbols": self.symbols, "backfill": self.backfill, "hours": self.hours, "record": self.record}
        source = open_source(self.source, **about, after=after or {}, client_options=self.client_options)
        if self.record and not hasattr(source, "arrivals"):
            raise ValueError(f"only what an exchange sends is recorded, and {source.name} is none: leave out --record")
        return source


def source_options(client_options: str = "{}", symbols: str = "", **values) -> SourceOptions:
    """The options as a command line gives them: symbols comma separated, the client's options as JSON."""
    try:
        options = json.loads(client_options)
    except json.JSONDecodeError as ex:
        raise ValueError(f"--client-options must be a JSON object, got {client_options!r}: {ex}") from ex
    names = tuple(name.strip() for name in symbols.split(",") if name.strip())
    return SourceOptions(symbols=names, client_options=options, **values)


def opened(folder: Path, what: SourceOptions) -> tuple[RunConfig, Open]:
    """The recipe of a run folder, and what opens its source behind a place in it.

    A new folder gets the recipe; one that follows something else already is refused.
    """
    claim(folder)
    source = what.open()
    config = RunConfig("crypto", tuple(source.symbols), source.name)
    path = folder / "recipe.json"
    if path.exists():
        config = RunConfig.read(path)
        if (config.source, config.keys) != (source.name, tuple(source.symbols)):
            raise ValueError(f"{shown(folder)} follows {config.source}, not {source.name}: name another RUN")
    else:
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # others may wait for it: whole or not at all
        config.write(partial)
        os.replace(partial, path)
    live = hasattr(source, "arrivals")
    return config, what.open if live else lambda after: source
