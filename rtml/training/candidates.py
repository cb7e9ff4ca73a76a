"""Candidates: pipelines with other features that learn a run's stream in shadow, beside the one that serves."""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import ExitStack, closing
from pathlib import Path

from rtml.core.use_case import SHIPPED, title
from rtml.registry.registry import Registry
from rtml.store.protocols import EventLog
from rtml.training.run_config import PART, RunConfig
from rtml.training.trainer import Trainer

FAILURE = "failure.txt"  # why a candidate learns no more
MAIN = "main"  # the pipeline that the run began with, where a candidate may be named
_NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def folders(run: Path) -> dict[str, Path]:
    """Folders of a run's candidates by name, each a run of its own without a log.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as run:
    ...     for name in ("wide", "half_made"):
    ...         (Path(run) / "candidates" / name).mkdir(parents=True)
    ...     (Path(run) / "candidates" / "wide" / "recipe.json").touch()
    ...     print(list(folders(Path(run))))
    ['wide']
    """
    return {path.parent.name: path.parent for path in sorted((run / "candidates").glob("*/recipe.json"))}


def serving(run: Path) -> Path:
    """Folder of the pipeline that serves: the run's own, or that of a candidate that was promoted.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as run:
    ...     (wide := Path(run) / "candidates" / "wide").mkdir(parents=True)
    ...     (wide / "recipe.json").touch()
    ...     before = serving(Path(run)) == Path(run)
    ...     _ = (Path(run) / "candidates" / "serves").write_text("wide")
    ...     print(before, serving(Path(run)).name)
    True wide
    """
    kept = run / "candidates" / "serves"
    name = kept.read_text(encoding="utf-8").strip() if kept.exists() else ""
    return folders(run)[name] if name else run


def add(run: Path, name: str, attribute: str) -> RunConfig:
    """Add a candidate: the use case of another name in the module or file that the run's own stands in.

    Raises
    ------
    ValueError
        For a name that is taken or no word, or a use case of other events, keys or another first target.
    """
    config = RunConfig.read(run / "recipe.json")
    if not _NAME.fullmatch(name) or name == MAIN or (run / "candidates" / name).exists():
        raise ValueError(f"a candidate needs a name of its own in small letters, got {name!r}")
    place = config.use_case.partition(":")[0]
    place = f"rtml.usecases.{place}.use_case" if place in SHIPPED else place
    options = {n: v for n, v in config.options.items() if n in RunConfig(f"{place}:{attribute}", config.keys).options}
    found = RunConfig(f"{place}:{attribute}", config.keys, config.source, options)
    for what in ("event", "kind"):
        mine, other = (one.case.event if what == "event" else one.target for one in (config, found))
        if mine != other and (what == "event" or (mine.name, mine.kind) != (other.name, other.kind)):
            raise ValueError(f"a candidate answers the same stream, but its {what} differs: {other}, not {mine}")
    path = run / "candidates" / name
    path.mkdir(parents=True)
    return found.write(path / "recipe.json")


class Candidates:
    """Trains every candidate of a run as the log grows; a candidate that fails, fails alone.

    Parameters
    ----------
    run
        Folder of the run.
    log
        Its events.
    every
        Event time between two versions of a candidate, ns.
    say
        Is told what failed.
    """

    def __init__(self, run: Path, log: EventLog, every: int, report: Callable[[str], object] = print) -> None:
        self._run = run
        self._log = log
        self._every = every
        self._report = report
        self._trainers: dict[str, Trainer] = {}
        self._stack = ExitStack()

    def run(self) -> None:
        """Let each candidate learn what the log holds; one that was just added begins with its first event."""
        for name, path in folders(self._run).items():
            if (path / FAILURE).exists():
                continue
            try:
                if name not in self._trainers:
                    self._trainers[name] = self._opened(path)
                self._trainers[name].run()
            except Exception as ex:
                (path / FAILURE).write_text(f"{type(ex).__name__}: {ex}\n", encoding="utf-8")
                self._report(f"candidate {name} failed: {ex}")

    def close(self) -> None:
        """Close what was opened."""
        self._stack.close()

    def _opened(self, path: Path) -> Trainer:
        config = RunConfig.read(path / "recipe.json")
        registry = self._stack.enter_context(closing(Registry(path / "registry")))
        places = (self._log, PART, path / "training.db", registry, title(config.use_case), self._every)
        return self._stack.enter_context(closing(Trainer(config.flow(), *places, publish="learner")))
