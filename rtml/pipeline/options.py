"""Opening a run for a stream: which source, what it is of, and that a restart goes on with the same."""

from __future__ import annotations

import argparse
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


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of :class:`SourceOptions`, for a command line."""
    default = SourceOptions()
    parser.add_argument("--source", default=default.source, help="kraken, coinbase, a recording, synthetic ...")
    parser.add_argument("--symbols", default="", help="comma separated, the target first; the source's own when empty")
    parser.add_argument("--backfill", default=default.backfill, help="how much of an exchange's past to begin with")
    parser.add_argument("--speed", type=float, default=default.speed, help="of a recording; 0: as fast as possible")
    parser.add_argument("--record", default="", help="file for all that an exchange sends; a source of the same later")
    parser.add_argument("--hours", type=float, default=default.hours, help="length of the synthetic market")
    parser.add_argument("--client-options", default="{}", help="JSON, laid over the options of an exchange's client")


def source_options(chosen: argparse.Namespace) -> SourceOptions:
    """What a command line asks for."""
    try:
        options = json.loads(chosen.client_options)
    except json.JSONDecodeError as ex:
        raise ValueError(f"--client-options must be a JSON object, got {chosen.client_options!r}: {ex}") from ex
    symbols = tuple(s.strip() for s in chosen.symbols.split(",") if s.strip())
    return SourceOptions(chosen.source, symbols, chosen.backfill, chosen.speed, chosen.hours, chosen.record, options)


def opened(folder: Path, what: SourceOptions) -> tuple[RunConfig, Open]:
    """The recipe of a run folder, and what opens its source behind a place in it.

    A new folder gets the recipe; one that follows something else already is refused.
    """
    claim(folder)
    source = what.open()
    config, path = RunConfig("crypto", source.symbols, source.name), folder / "recipe.json"
    if path.exists():
        config = RunConfig.read(path)
        if (config.source, config.symbols) != (source.name, source.symbols):
            raise ValueError(f"{shown(folder)} follows {config.source}, not {source.name}: name another RUN")
    else:
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # others may wait for it: whole or not at all
        config.write(partial)
        os.replace(partial, path)
    live = hasattr(source, "arrivals")
    return config, what.open if live else lambda after: source
