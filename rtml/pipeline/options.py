"""Opening a run for a stream: which source, what it is of, and that a restart goes on with the same."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from rtml.core import digests
from rtml.core.run_folder import Run, claim, run_folder, shown
from rtml.core.use_case import load_use_case
from rtml.sources.catalogue import open_source
from rtml.sources.ingestor import Open
from rtml.sources.posted import HTTP
from rtml.sources.protocol import Source
from rtml.training.run_config import RunConfig

_TRAINED = "04_online_train"
_KEPT = {"events.db": "01_ingest", "training.json": _TRAINED, "training.db": _TRAINED, "registry": _TRAINED}


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
    behind
        Folder of a finished run to go on from: a new run begins with a copy of its events, models and registry.
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
    behind: Path | None = None
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
    client_options: str = "{}", symbols: str = "", inputs: str = "", challengers: str = "", behind: str = "", **values
) -> SourceOptions:
    """The options as a command line gives them: names comma separated, the client's options as JSON.

    Examples
    --------
    >>> source_options('{"retries": 3}', symbols="ETH-USD, BTC-USD", source="fixture").keys
    ('ETH-USD', 'BTC-USD')
    >>> source_options("retries=3")
    Traceback (most recent call last):
    ValueError: --client-options must be a JSON object, got 'retries=3': Expecting value: line 1 column 1 (char 0)
    """
    values["behind"] = run_folder(behind) if behind else None
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

    A new folder gets the configuration, or that of the run it goes on from, with a copy of what that run knows; one
    that follows something else already is refused.
    """
    claim(folder)
    path = folder / "recipe.json"
    begun = Run(folder if path.exists() or what.behind is None else what.behind)
    known = RunConfig.read(begun.need("recipe.json", "01_ingest")) if path.exists() or what.behind else None
    if known is not None:
        what = _configured(what, known)
    source = what.open()
    config = what.config(source)
    if known is not None:
        config = _same(known if path.exists() else replace(known, source=source.name), config, begun.folder)
    if not path.exists():
        if known is not None:
            _copy(begun, folder)
        partial = path.with_name(f"{path.name}.{os.getpid()}.part")  # others may wait for it: whole or not at all
        config.write(partial)
        os.replace(partial, path)
        digests.add(folder, [path.name])
    live = hasattr(source, "arrivals")
    return config, what.open if live else lambda after: source


def _configured(what: SourceOptions, known: RunConfig) -> SourceOptions:
    """What to follow, where the run says the rest: its use case if another is gone on from, and what may be posted."""
    if what.behind is not None:
        what = replace(what, use_case=known.use_case)
    if what.source != HTTP:
        return what
    return replace(what, keys=what.keys or known.keys, inputs=what.inputs or known.options.get("inputs", ()))


def _same(known: RunConfig, config: RunConfig, folder: Path) -> RunConfig:
    """What a run was begun with, where the source and the challengers that are asked for are the same."""
    if (known.use_case, known.source, known.keys) != (config.use_case, config.source, config.keys):
        theirs, mine = (
            f"{one.source} of {', '.join(one.keys[:3])}" if known.source == config.source else one.source
            for one in (known, config)
        )
        raise ValueError(f"{shown(folder)} follows {theirs}, not {mine}: name another RUN")
    if config.challengers and known.challengers != config.challengers:
        there = ", ".join(known.challengers) or "no challenger"
        raise ValueError(f"{shown(folder)} was begun with {there}: name another RUN for other challengers")
    return known


def _copy(run: Run, folder: Path) -> None:
    """Begin a folder with the events, the training and the registry of a finished run, all of them files."""
    if urls := [path for place in (run.folder, folder) for path in sorted(place.glob("*.url"))]:
        message = f"{shown(urls[0])} says that a server keeps part of it, which is not copied"
        raise ValueError(f"{message}: go on from a run of files in a new RUN, without --log and --stores")
    for name, made_by in _KEPT.items():
        run.need(name, made_by)
        run.fork(name, str(folder.absolute() / name))
