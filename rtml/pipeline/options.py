"""Opening a run for a stream: which source, what it is of, and that a restart goes on with the same."""

from __future__ import annotations

import argparse
import json
import os
from dataclasses import dataclass, field
from pathlib import Path

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
        A source of the use case; one of the catalogue unless it brings its own.
    keys, inputs
        Keys that are asked, and symbols that are only read beside them; all keys of the source when empty.
    use_case
        One that ships, or ``module:attribute`` or ``path/to/file.py``.
    backfill, hours
        How much of an exchange's past to begin with, and the length of a synthetic stream.
    speed
        Of a recording, 1 as it happened; 0: as fast as possible.
    record
        A file that gets everything that an exchange sends.
    """

    source: str = "kraken"
    keys: tuple[str, ...] = ()
    use_case: str = "crypto"
    inputs: tuple[str, ...] = ()
    backfill: str = "1h"
    speed: float = 1.0
    hours: float = 24.0
    record: str = ""
    client_options: dict = field(default_factory=dict)

    def open(self, after: dict[str, tuple[int, int]] | None = None) -> Source:
        """The source; an exchange goes on behind the trades that are held already."""
        own = load_use_case(self.use_case).source
        if own is not None:
            return own(self.source, self, hours=self.hours)
        about = {"symbols": (*self.keys, *self.inputs), "backfill": self.backfill, "hours": self.hours}
        about |= {"record": self.record, "client_options": self.client_options}
        source = open_source(self.source, **about, after=after or {})
        if self.record and not hasattr(source, "arrivals"):
            raise ValueError(f"only what an exchange sends is recorded, and {source.name} is none: leave out --record")
        return source

    def config(self, source: Source) -> RunConfig:
        """The configuration of a run that follows an opened source."""
        inputs = {"inputs": self.inputs} if self.inputs else {}
        keys = tuple(key for key in getattr(source, "symbols", self.keys) if key not in self.inputs)
        return RunConfig.of(self.use_case, keys, source.name, **inputs)


def add_options(parser: argparse.ArgumentParser) -> None:
    """The options of :class:`SourceOptions`, for a command line."""
    default = SourceOptions()
    parser.add_argument("--source", default=default.source, help="kraken, coinbase, a recording, synthetic ...")
    parser.add_argument("--use-case", default=default.use_case, help="crypto, fraud, ... or path/to/file.py")
    parser.add_argument("--keys", "--symbols", default="", help="comma separated, all of them asked; the source's own")
    parser.add_argument("--inputs", default="", help="symbols that are only read, comma separated")
    parser.add_argument("--backfill", default=default.backfill, help="how much of an exchange's past to begin with")
    parser.add_argument("--speed", type=float, default=default.speed, help="of a recording; 0: as fast as possible")
    parser.add_argument("--record", default="", help="file for all that an exchange sends; a source of the same later")
    parser.add_argument("--hours", type=float, default=default.hours, help="length of a synthetic stream")
    parser.add_argument("--client-options", default="{}", help="JSON, laid over the options of an exchange's client")


def source_options(chosen: argparse.Namespace) -> SourceOptions:
    """What a command line asks for."""
    try:
        options = json.loads(chosen.client_options)
    except json.JSONDecodeError as ex:
        raise ValueError(f"--client-options must be a JSON object, got {chosen.client_options!r}: {ex}") from ex
    keys, inputs = (tuple(k.strip() for k in text.split(",") if k.strip()) for text in (chosen.keys, chosen.inputs))
    how = {"backfill": chosen.backfill, "speed": chosen.speed, "hours": chosen.hours, "record": chosen.record}
    return SourceOptions(chosen.source, keys, chosen.use_case, inputs, **how, client_options=options)


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
        config = before
    else:
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # others may wait for it: whole or not at all
        config.write(partial)
        os.replace(partial, path)
    live = hasattr(source, "arrivals")
    return config, what.open if live else lambda after: source
