"""A run and its folder: what the five notebooks write, read and tell the report.

Layout of ``runs/<id>/``: ``metrics.json``, ``parameters.json``, ``contents.json`` (what the report shows, in order),
``figures/`` and ``tables/`` by notebook, the notebooks' own artefacts, and what the runner adds (``status.json``,
``notebooks/``, ``report.html``).
"""

from __future__ import annotations

import difflib
import json
import math
import os
import shutil
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
from tqdm import tqdm

from rtml.core import digests

MARK = ".rtml-run"  # only a folder with this file in it is ever emptied
KEPT = {MARK, "status.json", "notebooks"}  # belong to the runner, which writes them before notebook 01 opens the run


def home() -> Path:
    """Folder that relative run folders stand in: ``RTML_HOME``, or the checkout this package was installed from.

    Examples
    --------
    >>> home().is_absolute()
    True
    """
    if os.environ.get("RTML_HOME"):
        return Path(os.environ["RTML_HOME"]).resolve()
    checkout = Path(__file__).resolve().parents[2]
    if (checkout / "pyproject.toml").exists():
        return checkout
    raise FileNotFoundError(
        f"no pyproject.toml in {checkout}: set RTML_HOME to the folder that shall hold runs/, or install with pip -e ."
    )


def run_folder(run: str | Path) -> Path:
    """Folder of a run given by name (``dev``, ``latest``) or by path (``runs/dev``), whatever the current folder is.

    Examples
    --------
    >>> run_folder("dev") == home() / "runs" / "dev" == run_folder("runs/dev")
    True
    >>> run_folder("../dev")
    Traceback (most recent call last):
        ...
    ValueError: a run is a name such as 'dev' or a folder such as 'runs/dev', got '../dev'
    """
    path = Path(run)
    if not str(run).strip() or ".." in path.parts:
        raise ValueError(f"a run is a name such as 'dev' or a folder such as 'runs/dev', got {str(run)!r}")
    folder = home() / ("runs" if len(path.parts) == 1 and not path.is_absolute() else "") / path
    return folder.resolve() if folder.is_symlink() else folder


def check_run(folder: Path) -> None:
    """Refuse the folder of no run, with the names of those that there are, the most similar first.

    Examples
    --------
    >>> check_run(Path("/no/run"))  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    FileNotFoundError: there is no run /no/run; runs: ...; rtml run NAME makes one
    """
    if folder.exists():
        return
    runs = sorted(path.name for path in (home() / "runs").glob("*") if (path / MARK).exists())
    near = difflib.get_close_matches(folder.name, runs)
    there = ", ".join([*near, *(name for name in runs if name not in near and name != "latest")]) or "none yet"
    raise FileNotFoundError(f"there is no run {shown(folder)}; runs: {there}; rtml run NAME makes one")


def open_run(run_dir: str | Path, *, notebook: str, **parameters) -> Run:
    """Open a run folder for one notebook and remember the notebook's parameters.

    Notebook 01 starts the run clean: whatever an earlier run wrote there goes. Any other notebook takes back only what
    it told the report before, so that "Run All" may be pressed twice.

    Parameters
    ----------
    run_dir : name or folder of the run; a relative one stands in the checkout, or in ``RTML_HOME``.
    notebook : name of the notebook that opens it, such as ``"03_backtest_progressive_eval"``.
    parameters : what the notebook was run with; shown in the report.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     run = open_run(f"{folder}/dev", notebook="01_ingest", SEED=7)
    ...     print(json.loads((run.folder / "parameters.json").read_text()))
    {'01_ingest': {'SEED': 7}}
    """
    run = Run(folder=run_folder(run_dir), notebook=notebook)
    claim(run.folder)
    (run.folder / digests.NAME).unlink(missing_ok=True)  # what was written is about to change
    if notebook.startswith("01"):
        empty(run.folder)
    run._forget()
    run._merge("parameters.json", parameters)
    return run


def claim(folder: Path) -> None:
    """Make a folder a run folder; one that holds something else is refused, because a run empties its folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     claim(Path(folder, "dev"))
    ...     print([path.name == MARK for path in Path(folder, "dev").iterdir()])
    [True]
    """
    if folder == home() / "runs" / "latest" and not folder.exists():
        raise ValueError("latest names the newest run, and there is none yet: name this one, such as RUN=dev")
    if folder.exists() and not (folder / MARK).exists() and any(folder.iterdir()):
        raise ValueError(
            f"{shown(folder)} holds files that no run wrote: name another RUN_DIR, "
            "because a run empties its folder when it starts"
        )
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MARK).touch()


def empty(folder: Path, kept: Iterable[str] = KEPT) -> None:
    """Remove what earlier runs wrote into a run folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("kept", "old"):
    ...         Path(folder, name).touch()
    ...     empty(Path(folder), kept=["kept"])
    ...     print([path.name for path in Path(folder).iterdir()])
    ['kept']
    """
    for path in folder.iterdir():
        if path.name not in kept:
            remove(path)


def remove(path: Path) -> None:
    """Remove a file or a folder; nothing happens where there is none.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     Path(folder, "a").mkdir()
    ...     remove(Path(folder, "a"))
    ...     remove(Path(folder, "a"))
    ...     print(list(Path(folder).iterdir()))
    []
    """
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def shown(path: Path) -> str:
    """Path as a reader sees it: below the home folder without the part that differs between machines.

    Examples
    --------
    >>> shown(home() / "runs" / "dev"), shown(Path("/elsewhere/dev"))
    ('runs/dev', '/elsewhere/dev')
    """
    return str(path.relative_to(home())) if path.is_relative_to(home()) else str(path)


@dataclass(frozen=True)
class Run:
    """One notebook's view of a run folder.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     path = Run(Path(folder)).path("models/a.json")
    ...     print(path.parent.is_dir(), path.exists())
    True False
    """

    folder: Path
    notebook: str = ""

    def path(self, name: str) -> Path:
        """Path of an artefact; its folder exists afterwards."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def fresh(self, name: str) -> Path:
        """Path of an artefact that this notebook writes from nothing: what stood there is removed."""
        path = self.path(name)
        for ending in ("", "-wal", "-shm", ".names"):  # a database's log, and the texts of the ids in it
            remove(path.with_name(path.name + ending))
        return path

    def fork(self, name: str, to: str) -> Path:
        """Copy of an artefact for this notebook to go on with, so that the original stays as its notebook left it."""
        source, path = self.folder / name, self.fresh(to)
        if source.is_dir():
            shutil.copytree(source, path)
        else:
            for part in source.parent.glob(f"{source.name}*"):  # a database and its write-ahead log
                shutil.copy2(part, path.with_name(path.name + part.name.removeprefix(source.name)))
        return path

    def need(self, name: str, made_by: str) -> Path:
        """Path of an artefact of an earlier notebook, or a sentence that says which one to run."""
        path = self.folder / name
        if not (path.exists() or Path(f"{path}.url").exists()):  # on a server: its URL is beside
            name_of_run = self.folder.name if self.folder == run_folder(self.folder.name) else shown(self.folder)
            other = "" if name_of_run in ("dev", "latest") else f" RUN={name_of_run}"
            raise FileNotFoundError(f"{shown(path)} is missing: run {made_by} first (make run-{made_by[:2]}{other})")
        return path

    def record(self, name: str, **values) -> dict:
        """Merge headline numbers into ``metrics.json`` under this notebook and ``name``; NaN becomes null."""
        numbers = {**self.read_json("metrics.json", {}).get(self.notebook, {}).get(name, {}), **plain(values)}
        self._merge("metrics.json", {name: numbers})
        self._tell("numbers", name)
        return numbers

    def figure(self, name: str, figure, caption: str = ""):
        """Save a figure for the report, the very picture that the notebook shows, and hand it back."""
        path = self.path(f"figures/{self.notebook}/{name}.png")
        picture, size = figure._repr_png_()
        path.write_bytes(picture)
        self._tell("figure", name, file=str(path.relative_to(self.folder)), caption=caption, width=size["width"])
        return figure

    def table(self, name: str, frame, caption: str = ""):
        """Save a DataFrame for the report and hand it back; a named or non-integer index becomes columns."""
        whole = frame if frame.index.name is None and frame.index.dtype.kind in "iu" else frame.reset_index()
        rows = [plain(list(row)) for row in whole.itertuples(index=False, name=None)]
        file = f"tables/{self.notebook}/{name}.json"
        self.write_json(file, {"columns": [str(c) for c in whole.columns], "rows": rows})
        self._tell("table", name, file=file, caption=caption)
        return frame

    def note(self, name: str, text: str) -> str:
        """Give the report a plain sentence, and hand it back."""
        self._tell("note", name, text=text)
        return text

    def write_json(self, name: str, value) -> Path:
        """Write an artefact as JSON, whole or not at all."""
        path = self.path(name)
        partial = path.with_name(path.name + f".{os.getpid()}.part")
        partial.write_text(json.dumps(plain(value), indent=1, allow_nan=False) + "\n", encoding="utf-8")
        os.replace(partial, path)
        return path

    def read_json(self, name: str, default=None):
        """Read a JSON artefact; ``default`` is what a missing one holds, and without it a missing one is an error."""
        path = self.folder / name
        if not path.exists() and default is not None:
            return default
        return json.loads(path.read_text(encoding="utf-8"))

    def _merge(self, name: str, values: dict) -> None:
        whole = self.read_json(name, {})
        whole[self.notebook] = {**whole.get(self.notebook, {}), **values}
        self.write_json(name, whole)

    def _tell(self, kind: str, name: str, **item) -> None:
        contents = self.read_json("contents.json", {})
        items = {(i["kind"], i["name"]): i for i in contents.get(self.notebook, [])}
        items[kind, name] = {"kind": kind, "name": name, **item}
        self.write_json("contents.json", {**contents, self.notebook: list(items.values())})

    def _forget(self) -> None:
        for name in ("metrics.json", "parameters.json", "contents.json"):
            whole = self.read_json(name, {})
            if whole.pop(self.notebook, None) is not None:
                self.write_json(name, whole)
        for kind in ("figures", "tables"):
            remove(self.folder / kind / self.notebook)


def plain(value):
    """Value as JSON holds it: numpy numbers as numbers, not-a-number and infinity as null, moments as ISO text.

    Examples
    --------
    >>> plain({"n": np.int64(3), "r2": float("nan"), "span": (np.float32(0.5), None)})
    {'n': 3, 'r2': None, 'span': [0.5, None]}
    """
    if isinstance(value, dict):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | np.ndarray):
        return [plain(inner) for inner in value]
    value = value.item() if isinstance(value, np.generic) and not isinstance(value, np.datetime64) else value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, bool | int | str):
        return value
    if isinstance(value, date):
        return None if value != value else value.isoformat()  # a missing moment, like NaN, is not equal to itself
    return str(value)


def progress(work: Iterable | int, label: str) -> tqdm:
    """Progress bar around an iterable, or over a total to ``.update()``; silent where ``RTML_QUIET`` is set.

    Examples
    --------
    >>> [n for n in progress(range(3), "count")]
    [0, 1, 2]
    """
    what = {"total": work} if isinstance(work, int) else {"iterable": work}
    return tqdm(**what, desc=label, file=sys.stderr, disable=bool(os.environ.get("RTML_QUIET")), ascii=" -#", ncols=88)
