"""Run the notebooks in sequence: strict parameters, one progress bar each, a status that says where a run stopped."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Collection, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from rtml.core import digests
from rtml.core.run_folder import claim, run_folder, shown
from rtml.core.use_case import load_use_case, title, whole_name
from rtml.pipeline import interpreter, report
from rtml.pipeline.parameters import chosen, declared
from rtml.pipeline.status import Status, alone, begin, data_range, point

CHECKOUT = Path(__file__).resolve().parents[2]
NOTEBOOKS = CHECKOUT / "notebooks"
GENERIC = "generic"  # the five that take any use case
_VALUE = r"""(?:"(?:\\.|[^"\\])*"|'[^']*'|(?!\s+[A-Z][A-Z0-9_]*=)[\s\S])*"""  # quoted pieces, or up to the next KEY=
_PARAMETER = re.compile(rf"\s*(\w+)\s*=({_VALUE})")
_FILE = re.compile(  # a file by an ordinary path, SYMBOL= before it or not: no pattern, no address
    r"(?:[\w:/-]{2,24}=)?([^:*?\[\]=]+\.(?:csv|tsv|parquet|pq|feather|json|jsonl|ndjson)(?:\.(?:gz|zip|bz2|xz|zst))?)"
)
_QUOTED = re.compile(r"""^(["'])([\s\S]*)\1$""")


def profile(name: str, file: Path = CHECKOUT / "profiles.yml") -> dict:
    """Parameters of a named profile.

    Examples
    --------
    >>> profile("fast")
    Traceback (most recent call last):
    LookupError: no profile 'fast' in profiles.yml; there are: demo, small, huobi, fraud-small, sessions-small
    """
    profiles = yaml.safe_load(file.read_text(encoding="utf-8"))
    if name not in profiles:
        raise LookupError(f"no profile {name!r} in {file.name}; there are: {', '.join(profiles)}")
    return profiles[name] or {}


def steps(notebooks: Path, only: str = "") -> list[Path]:
    """Notebooks to run, in order; ``only`` is a name or its number, such as ``03``.

    The generic ones take from the top what fits every use case as it is.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     for name in ("02_features.ipynb", "01_ingest.ipynb", "notes.ipynb"):
    ...         (Path(folder) / name).touch()
    ...     every, one = steps(Path(folder)), steps(Path(folder), only="02")
    >>> [path.stem for path in every], [path.stem for path in one]
    (['01_ingest', '02_features'], ['02_features'])
    """
    places = (notebooks.parent, notebooks) if notebooks.name == GENERIC else (notebooks,)
    every = list({path.stem: path for place in places for path in sorted(place.glob("[0-9][0-9]_*.ipynb"))}.values())
    some = [path for path in every if path.stem.startswith(only)]
    if not some:
        names = ", ".join(path.stem for path in every) or "none"
        raise LookupError(f"no notebook {only!r} in {shown(notebooks)}; there are: {names}")
    return some


def folder_of(notebooks: Path, run: str | Path, given: dict, usual: dict, only: str = "") -> Path:
    """Folder of a use case's notebooks: its own where it has some, else the generic five.

    Parameters
    ----------
    notebooks
        Folder of the notebooks of ``crypto``; a folder in it is named after its use case, or ``generic``.
    run
        Name or folder of the run, which remembers its use case.
    given, usual
        Parameters given, and those of the profile. ``USE_CASE`` is taken out where it chooses a folder.
    only
        One notebook alone goes on with the use case of the run.

    Raises
    ------
    LookupError
        Where there is no such use case.
    """
    config = run_folder(run) / "recipe.json"
    begun = json.loads(config.read_text(encoding="utf-8"))["use_case"] if only and config.exists() else ""
    name = given.get("USE_CASE") or usual.get("USE_CASE") or begun
    if not name:
        return notebooks
    own = name if (notebooks / name).is_dir() else load_use_case(name).notebooks
    if own and own != GENERIC:
        for values in (given, usual):
            values.pop("USE_CASE", None)
    elif "USE_CASE" in given:
        given["USE_CASE"] = whole_name(name)
    return notebooks / own


def perform(notebook: Path, status: Status, values: Mapping, manager: interpreter.ThisInterpreter) -> bool:
    """Run one notebook into the run's folder; True when it went through."""
    from rtml.pipeline import notebooks  # papermill takes seconds to import: the first kernel starts meanwhile

    begun = status.clock.elapsed()
    name = notebook.stem
    copy = status.run.path(f"notebooks/{notebook.name}")
    status.step(name, "running")
    try:
        notebooks.execute(notebook, copy, values, manager)
    except KeyboardInterrupt:
        status.step(name, "interrupted", seconds=status.since(begun))
        print(f"\ninterrupted in {name}", file=sys.stderr)
        return False
    except Exception as error:
        why = notebooks.sentence(error)
        status.step(name, "failed", seconds=status.since(begun), **why)
        where = f"cell [{why['cell']}] of " if why["cell"] else ""
        print(f"\n{name} failed: {why['error']}\nsee {where}{shown(copy)}", file=sys.stderr)
        return False
    status.step(name, "done", seconds=status.since(begun))
    if not sys.stderr.isatty():
        print(f"{name:<29} done in {status.since(begun):.1f} s", flush=True)
    return True


def in_sequence(plan: Plan, status: Status) -> bool:
    """Run the planned notebooks one after the other, each kernel started a notebook ahead; stop where one fails."""
    todo = list(plan.values.items())
    waiting = [interpreter.start()]
    try:
        for place, (path, values) in enumerate(todo):
            manager = waiting.pop()
            waiting += [interpreter.start()] if place + 1 < len(todo) else []
            if not perform(path, status, values, manager):
                return False
        return True
    finally:
        for manager in waiting:
            interpreter.stop(manager)


@dataclass(frozen=True)
class Plan:
    """What is to be run: checked as a whole before anything is touched.

    Parameters
    ----------
    folder
        Of the run.
    values
        Parameters of each notebook to be run, in order.
    every
        Names of all notebooks of the run.
    about
        What the status says of it: profile and given parameters.
    """

    folder: Path
    values: dict[Path, dict]
    every: list[str]
    about: dict

    @property
    def whole(self) -> bool:
        """Whether it begins with the first notebook, in an empty folder."""
        return next(iter(self.values)).stem == self.every[0]

    @classmethod
    def of(cls, run: str | Path, name: str, only: str, given: Mapping[str, str], notebooks: Path) -> Plan:
        """Plan of a run.

        Parameters
        ----------
        run
            Name or folder; if empty, the run is named after its use case.
        name
            Of the profile.
        only
            One notebook, by its number.
        given
            Parameters that were given, as text.
        notebooks
            Folder of the notebooks.
        """
        given = dict(given)
        values = dict(profile(name))
        run = run or title(given.get("USE_CASE") or values.get("USE_CASE") or "dev")
        notebooks = folder_of(notebooks, run, given, values, only)
        every = steps(notebooks)
        some = steps(notebooks, only)
        if "RUN_DIR" in given:
            raise ValueError(f"RUN_DIR follows from the run, got {given['RUN_DIR']!r}: write RUN=name (rtml run name)")
        usual = chosen({path.stem: declared(path) for path in every}, values, {})
        asked = chosen({path.stem: declared(path) for path in some}, {}, given)
        folder = run_folder(run)
        if gone := missing(given.get("SOURCE", "")):
            are = "are" if len(gone) > 1 else "is"
            raise FileNotFoundError(
                f"SOURCE names {' and '.join(gone)}, which {are} not there: write the path from {Path.cwd()} or in full"
            )
        values = {path: {**usual[path.stem], **asked[path.stem], "RUN_DIR": shown(folder)} for path in some}
        claim(folder)
        return cls(folder, values, [path.stem for path in every], {"profile": name, "given": given})


def missing(source: str) -> list[str]:
    """Files that a source names by an ordinary path and that are neither here nor in the folder of runs.

    Examples
    --------
    >>> missing("no/such/rides.csv"), missing("kafka://localhost/rides"), missing("fixture")
    (['no/such/rides.csv'], [], [])
    """
    named = [found[1] for piece in source.split(",") if (found := _FILE.fullmatch(piece.strip()))]
    roots = Path.cwd(), Path(os.environ.get("RTML_HOME", CHECKOUT))
    return [path for path in named if not any((root / Path(path).expanduser()).exists() for root in roots)]


def carry_out(plan: Plan) -> bool:
    """Run the planned notebooks one after the other and write the report; True when all went through."""
    status = begin(plan.folder, [path.stem for path in plan.values], plan.whole, plan.about)
    start = status.clock.elapsed()
    passed = in_sequence(plan, status)
    state = "done" if passed else status.values["state"]
    status.note(state, finished=status.now(), seconds=status.since(start), data=data_range(plan.folder))
    if status.finished(plan.every):
        point(plan.folder)
    page = report.write(plan.folder)
    digests.seal(plan.folder, again=True)
    print(f"\n{shown(page)}  {page.stat().st_size / 1e3:.0f} kB, {status.since(start):.0f} s", flush=True)
    return passed


def run_notebooks(
    run: str | Path = "",
    given: Iterable[str] = (),
    params: str = "",
    *,
    use_case: str = "",
    source: str = "",
    symbols: str = "",
    profile: str = "demo",
    only: str = "",
    notebooks: Path | None = None,
) -> int:
    """Run all notebooks, or one, into a run folder; the exit code of ``rtml run RUN``.

    Parameters
    ----------
    run
        Name or folder of the run; if empty, it is named after its use case.
    given
        Parameters as ``KEY=VALUE``, each a text of its own.
    params
        More of them in one text, see :func:`split`.
    use_case, source, symbols
        The parameters of these names.
    profile
        A profile of profiles.yml.
    only
        One notebook, by its number such as 03.
    notebooks
        Folder of the notebooks.
    """
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill leaves a status too
    named = {"USE_CASE": use_case, "SOURCE": source, "SYMBOLS": symbols}
    with ExitStack() as stack:
        try:
            values = {name: value for name, value in named.items() if value}
            values |= dict([*split(params), *map(pair, given)])
            plan = Plan.of(run, profile, only, values, notebooks or NOTEBOOKS)
            stack.enter_context(alone(plan.folder))
        except (LookupError, ValueError, RuntimeError, OSError, ImportError) as error:
            print(f"nothing was run: {error}", file=sys.stderr)
            return 2
        return 0 if carry_out(plan) else 1


def store_notebooks(names: Collection[str] = (), notebooks: Path | None = None) -> int:
    """Run notebooks in place with their defaults, all unless some are named; the exit code of ``rtml notebooks``."""
    from rtml.pipeline.notebooks import store

    every = sorted((notebooks or NOTEBOOKS).rglob("[!.]*.ipynb"), key=lambda path: (len(path.parts), path))
    return 0 if store(path for path in every if not names or path.stem in names) else 1


def split(text: str) -> list[tuple[str, str]]:
    """Names and values of ``KEY=VALUE KEY=VALUE ...``; a value may hold blanks, quotes and JSON.

    A value ends where the next ``KEY=`` begins, outside of quotes. Quotes around a whole value are taken off.

    Examples
    --------
    >>> split('HOURS=3 CHAMPION="rls: stateful every 1h"')
    [('HOURS', '3'), ('CHAMPION', 'rls: stateful every 1h')]
    >>> split('COLUMNS={"time": "Open time", "price": "p"} SEED=3')
    [('COLUMNS', '{"time": "Open time", "price": "p"}'), ('SEED', '3')]
    """
    if text.strip():
        pair(text)
    return [(name, _QUOTED.sub(r"\2", value.strip())) for name, value in _PARAMETER.findall(text)]


def pair(text: str) -> tuple[str, str]:
    """Name and value of one ``KEY=VALUE``, the value as it stands.

    Examples
    --------
    >>> pair("SEED=7")
    ('SEED', '7')
    >>> pair("SEED 7")
    Traceback (most recent call last):
    ValueError: a parameter is given as KEY=VALUE, got 'SEED 7'
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip().isidentifier():
        raise ValueError(f"a parameter is given as KEY=VALUE, got {text!r}")
    return name.strip(), value
