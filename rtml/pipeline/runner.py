"""Run the notebooks in sequence: strict parameters, one progress bar each, a status that says where a run stopped."""

from __future__ import annotations

import argparse
import json
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import yaml

from rtml.core.run_folder import claim, run_folder, shown
from rtml.pipeline import interpreter, report
from rtml.pipeline.parameters import chosen, declared
from rtml.pipeline.status import Status, alone, begin

CHECKOUT = Path(__file__).resolve().parents[2]


def profile(name: str, file: Path = CHECKOUT / "profiles.yml") -> dict:
    """Parameters of a named profile."""
    profiles = yaml.safe_load(file.read_text(encoding="utf-8"))
    if name not in profiles:
        raise LookupError(f"no profile {name!r} in {file.name}; there are: {', '.join(profiles)}")
    return profiles[name] or {}


def steps(notebooks: Path, only: str = "") -> list[Path]:
    """Notebooks to run, in order; ``only`` is a name or its number, such as ``03``."""
    every = sorted(notebooks.glob("[0-9][0-9]_*.ipynb"))
    some = [path for path in every if path.stem.startswith(only)]
    if not some:
        names = ", ".join(path.stem for path in every) or "none"
        raise LookupError(f"no notebook {only!r} in {shown(notebooks)}; there are: {names}")
    return some


def folder_of(notebooks: Path, run: str, given: dict, usual: dict, only: str = "") -> Path:
    """Folder of a use case's notebooks: the one named, else that of the profile; for ``only`` one, what was begun.

    The notebooks of ``crypto`` stand at the top, those of any other in a folder of its name. Where that name chooses
    the folder and no notebook asks for it, it is taken out of what is given.
    """
    config = run_folder(run) / "recipe.json"
    begun = json.loads(config.read_text(encoding="utf-8"))["use_case"] if only and config.exists() else ""
    name = given.get("USE_CASE") or usual.get("USE_CASE") or begun
    if not (notebooks / name).is_dir() or not name:
        return notebooks
    for values in (given, usual):
        values.pop("USE_CASE", None)
    return notebooks / name


def perform(notebook: Path, status: Status, values: Mapping, manager: interpreter.ThisInterpreter) -> bool:
    """Run one notebook into the run's folder; True when it went through."""
    from rtml.pipeline import notebooks  # papermill takes seconds to import: the first kernel starts meanwhile

    begun, name = status.clock.elapsed(), notebook.stem
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
    todo, waiting = list(plan.values.items()), [interpreter.start()]
    try:
        for place, (path, values) in enumerate(todo):
            manager = waiting.pop()
            waiting += [interpreter.start(interpreter.WARM)] if place + 1 < len(todo) else []
            if not perform(path, status, values, manager):
                return False
        return True
    finally:
        for manager in waiting:
            interpreter.stop(manager)


@dataclass(frozen=True)
class Plan:
    """What is to be run: checked as a whole before anything is touched."""

    folder: Path
    values: dict[Path, dict]
    whole: bool
    asked: dict

    @classmethod
    def of(cls, run: str, name: str, only: str, given: Mapping[str, str], notebooks: Path) -> Plan:
        """Plan of a run: its folder, its notebooks and the values of their parameters."""
        given, values = dict(given), dict(profile(name))
        notebooks = folder_of(notebooks, run, given, values, only)
        every, some = steps(notebooks), steps(notebooks, only)
        if "RUN_DIR" in given:
            raise ValueError(f"RUN_DIR follows from the run, got {given['RUN_DIR']!r}: write RUN=name (--run name)")
        usual = chosen({path.stem: declared(path) for path in every}, values, {})
        asked = chosen({path.stem: declared(path) for path in some}, {}, given)
        folder = run_folder(run)
        values = {path: {**usual[path.stem], **asked[path.stem], "RUN_DIR": shown(folder)} for path in some}
        claim(folder)
        return cls(folder, values, some[0] == every[0], {"profile": name, "given": dict(given)})


def carry_out(plan: Plan) -> bool:
    """Run the planned notebooks one after the other and write the report; True when all went through."""
    status = begin(plan.folder, [path.stem for path in plan.values], plan.whole, plan.asked)
    start = status.clock.elapsed()
    passed = in_sequence(plan, status)
    state = "done" if passed else status.values["state"]
    status.note(state, finished=status.now(), seconds=status.since(start))
    page = report.write(plan.folder)
    print(f"\n{shown(page)}  {page.stat().st_size / 1e3:.0f} kB, {status.since(start):.0f} s", flush=True)
    return passed


def main(arguments: list[str] | None = None) -> int:
    """Command line: ``python -m rtml.pipeline run|store``."""
    options = _parser().parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill leaves a status too
    if options.command == "store":
        from rtml.pipeline import notebooks

        every = sorted(options.notebooks.rglob("[!.]*.ipynb"), key=lambda path: (len(path.parts), path))
        return 0 if notebooks.store(p for p in every if not options.only or p.stem in options.only) else 1
    with ExitStack() as stack:
        try:
            given = dict(split(text) for text in options.given)
            plan = Plan.of(options.run, options.profile, options.only, given, options.notebooks)
            stack.enter_context(alone(plan.folder))
        except (LookupError, ValueError, RuntimeError) as error:
            print(f"nothing was run: {error}", file=sys.stderr)
            return 2
        return 0 if carry_out(plan) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m rtml.pipeline", description=__doc__)
    parser.add_argument("--notebooks", type=Path, default=CHECKOUT / "notebooks", help="folder of the notebooks")
    commands = parser.add_subparsers(dest="command", required=True)
    storer = commands.add_parser("store", help="run the notebooks in place with their defaults")
    storer.add_argument("only", nargs="*", help="names of some notebooks; every notebook unless given")
    runner = commands.add_parser("run", help="run all notebooks, or one, into a run folder")
    runner.add_argument("--run", default="dev", help="name or folder of the run")
    runner.add_argument("--profile", default="demo", help="a profile of profiles.yml")
    runner.add_argument("--only", default="", help="one notebook, by its number such as 03")
    runner.add_argument("-p", dest="given", action="append", default=[], metavar="KEY=VALUE", help="a parameter")
    return parser


def split(text: str) -> tuple[str, str]:
    """Name and value of ``KEY=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"a parameter is given as KEY=VALUE, got {text!r}")
    return name.strip(), value
