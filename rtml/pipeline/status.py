"""The status of a run: what waits, runs, is done or failed where, and that one pipeline at a time works in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from rtml.core import process, provenance
from rtml.core.clock import Clock, utc
from rtml.core.run_folder import MARK, Run, empty, home, shown
from rtml.pipeline.runs import newest_finished, result


@dataclass
class Status:
    """``status.json`` of a run: what is running, what is done, what failed where.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     status = Status(Run(Path(folder), notebook="pipeline"), {"notebooks": {}})
    ...     status.step("01_ingest", "done", seconds=1.5)
    ...     print(status.finished(["01_ingest"]), status.finished(["01_ingest", "02_features"]))
    True False
    """

    run: Run
    values: dict
    clock: Clock = field(default_factory=Clock)

    def note(self, state: str, **values) -> None:
        """State of the whole run."""
        self.values |= {"state": state, **values}
        self.run.write_json("status.json", self.values)

    def step(self, name: str, state: str, **values) -> None:
        """State of one notebook."""
        self.values["notebooks"][name] = {"state": state, **values}
        self.note("running" if state in ("running", "done") else state)

    def finished(self, names: Iterable[str]) -> bool:
        """Whether each of these notebooks went through."""
        return all(self.values["notebooks"].get(name, {}).get("state") == "done" for name in names)

    def now(self) -> str:
        """Wall clock as ISO text, to the second."""
        return utc(self.clock.now()).isoformat(timespec="seconds")

    def since(self, start: int) -> float:
        """Seconds since a moment of ``clock.elapsed()``."""
        return round((self.clock.elapsed() - start) / 1e9, 2)


def alone(folder: Path) -> AbstractContextManager[None]:
    """Keep a second pipeline out of a run folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, alone(Path(folder)):
    ...     print(sorted(path.name for path in Path(folder).iterdir()) == [MARK])
    True
    """
    return process.alone(
        folder / MARK, f"another pipeline is at work in {shown(folder)}: wait for it, or name another RUN"
    )


def begin(folder: Path, names: list[str], whole: bool, values: Mapping) -> Status:
    """Status of a run that starts.

    Parameters
    ----------
    folder
        Of the run; emptied when the run starts from the first notebook.
    names
        Of the notebooks to be run.
    whole
        Whether it starts from the first notebook.
    values
        Further values of the status.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as top, patch.dict("os.environ", RTML_HOME=top):
    ...     (folder := Path(top) / "runs" / "dev").mkdir(parents=True)
    ...     status = begin(folder, ["01_ingest"], whole=True, values={"profile": "demo"})
    >>> status.values["state"], status.values["notebooks"], status.values["profile"]
    ('running', {'01_ingest': {'state': 'waiting'}}, 'demo')
    """
    run = Run(folder, notebook="pipeline")
    last = result(folder) if whole else run.read_json("status.json", {}).get("before")
    if whole:
        empty(folder, kept={MARK})
    (folder / "report.html").unlink(missing_ok=True)
    before = run.read_json("status.json", {"notebooks": {}})["notebooks"]
    waiting = {name: {"state": "waiting"} for name in names}
    status = Status(run, {"state": "running", "run": folder.name, "notebooks": before | waiting})
    status.note("running", started=status.now(), finished=None, before=last, **values, **made_by())
    if latest().resolve() == folder.resolve():  # what it pointed to is gone
        point(newest_finished())
    return status


def made_by() -> dict:
    """Code and library versions that a run is made by."""
    return {"code": provenance.code(), "libraries": provenance.libraries()}


def data_range(folder: Path) -> dict[str, int | str]:
    """How many events a run has logged, and the event times of the first and the last that arrived; empty without.

    Examples
    --------
    >>> data_range(Path("nowhere"))
    {}
    """
    from rtml.store.event_log import EventLog
    from rtml.training.run_config import PART

    path = folder / "events.db"
    if not path.exists():
        return {}
    with EventLog(path) as log:
        n = log.last(PART) if PART in log.parts() else 0
        ends = [int(log.read(PART, after, 1)[1]["time"][0]) for after in (0, n - 1)] if n else []
    named = zip(("first", "last"), ends, strict=False)
    return {"events": n} | {name: utc(at).isoformat(timespec="seconds") for name, at in named}


def latest() -> Path:
    """The link to the newest run that finished.

    Examples
    --------
    >>> from unittest.mock import patch
    >>> with patch.dict("os.environ", RTML_HOME="/srv/models"):
    ...     print(latest())
    /srv/models/runs/latest
    """
    return home() / "runs" / "latest"


def point(folder: Path | None) -> None:
    """Let ``runs/latest`` point to a run that finished; None: there is none, and no link.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from unittest.mock import patch
    >>> with TemporaryDirectory() as top, patch.dict("os.environ", RTML_HOME=top):
    ...     point(Path(top) / "runs" / "dev")
    ...     print(os.readlink(latest()))
    ...     point(None)
    ...     print(latest().is_symlink())
    dev
    False
    """
    link = latest()
    if folder is None:
        link.unlink(missing_ok=True)
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    partial = link.with_name(f".latest.{os.getpid()}")
    partial.symlink_to(folder.name if folder.parent == link.parent else folder)
    os.replace(partial, link)
