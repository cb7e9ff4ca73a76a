"""Run the notebooks in sequence: strict parameters, one progress bar each, a status that says where a run stopped."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import nbformat
import papermill
import yaml
import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from nbclient.exceptions import DeadKernelError
from traitlets import default

from rtml import report
from rtml.parameters import chosen, declared
from rtml.run import claim, run_folder, shown
from rtml.status import Status, alone, begin

CHECKOUT = Path(__file__).resolve().parents[1]


class ThisInterpreter(AsyncKernelManager):
    """Starts a notebook's kernel with the interpreter that runs the pipeline, whatever kernels a user has installed."""

    @default("transport_encryption")
    def _encrypt_where_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The one kernel there is."""
        return KernelSpec(**get_kernel_dict())


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


def execute(notebook: Path, copy: Path, parameters: Mapping, cwd: Path | None = None) -> None:
    """Execute one notebook into a copy, with a bar on a terminal and plain lines elsewhere."""
    bar = {
        "desc": f"{notebook.stem:<29}",
        "bar_format": "{desc} {bar:26} {n_fmt:>3}/{total_fmt} cells  {elapsed}",
        "disable": not sys.stderr.isatty(),
        "ascii": " -#",
    }
    copy.parent.mkdir(parents=True, exist_ok=True)
    papermill.execute_notebook(
        notebook,
        copy,
        parameters=dict(parameters),
        cwd=cwd,
        progress_bar=bar,
        kernel_name="python3",
        kernel_manager_class=ThisInterpreter,
        record_timing=False,
    )


def sentence(error: BaseException) -> dict:
    """Where a notebook stopped and why: the cell as JupyterLab numbers it, and the error's own sentence."""
    if isinstance(error, papermill.PapermillExecutionError):
        return {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}"}
    if isinstance(error, DeadKernelError):
        return {"cell": None, "error": "the kernel died: usually the machine is out of memory, try a smaller profile"}
    return {"cell": None, "error": f"{type(error).__name__}: {error}"}


def perform(notebook: Path, status: Status, parameters: Mapping) -> bool:
    """Run one notebook into the run's folder; True when it went through."""
    start = status.clock.elapsed()
    copy = status.run.path(f"notebooks/{notebook.name}")
    status.step(notebook.stem, "running")
    try:
        execute(notebook, copy, parameters)
    except KeyboardInterrupt:
        status.step(notebook.stem, "interrupted", seconds=status.since(start))
        print(f"\ninterrupted in {notebook.stem}", file=sys.stderr)
        return False
    except Exception as error:
        why = sentence(error)
        status.step(notebook.stem, "failed", seconds=status.since(start), **why)
        where = f"cell [{why['cell']}] of " if why["cell"] else ""
        print(f"\n{notebook.stem} failed: {why['error']}\nsee {where}{shown(copy)}", file=sys.stderr)
        return False
    status.step(notebook.stem, "done", seconds=status.since(start))
    if not sys.stderr.isatty():
        print(f"{notebook.stem:<29} done in {status.since(start):.1f} s", flush=True)
    return True


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
        every, some = steps(notebooks), steps(notebooks, only)
        if "RUN_DIR" in given:
            raise ValueError(f"RUN_DIR follows from the run, got {given['RUN_DIR']!r}: write RUN=name (--run name)")
        usual = chosen({path.stem: declared(path) for path in every}, profile(name), {})
        asked = chosen({path.stem: declared(path) for path in some}, {}, given)
        folder = run_folder(run)
        values = {path: {**usual[path.stem], **asked[path.stem], "RUN_DIR": shown(folder)} for path in some}
        claim(folder)
        return cls(folder, values, some[0] == every[0], {"profile": name, "given": dict(given)})


def carry_out(plan: Plan) -> bool:
    """Run the planned notebooks one after the other and write the report; True when all went through."""
    status = begin(plan.folder, [path.stem for path in plan.values], plan.whole, plan.asked)
    start = status.clock.elapsed()
    passed = all(perform(path, status, values) for path, values in plan.values.items())
    state = "done" if passed else status.values["state"]
    status.note(state, finished=status.now(), seconds=status.since(start))
    page = report.write(plan.folder)
    print(f"\n{shown(page)}  {page.stat().st_size / 1e3:.0f} kB, {status.since(start):.0f} s", flush=True)
    return passed


def store(notebooks: Path) -> int:
    """Run the notebooks in place with their defaults, so that they are read with figures and numbers."""
    os.environ["RTML_QUIET"] = "1"  # no half-drawn progress bar in the stored outputs
    for path in steps(notebooks):
        copy = path.with_name(f".{path.name}")
        try:
            execute(path, copy, {}, cwd=notebooks)
            nbformat.write(tidy(nbformat.read(copy, as_version=4)), path)
        except papermill.PapermillExecutionError as error:
            print(f"{path.stem} failed at cell [{error.exec_count}]: {sentence(error)['error']}", file=sys.stderr)
            return 1
        finally:
            copy.unlink(missing_ok=True)
    return 0


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Notebook without what differs from run to run and from machine to machine."""
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if cell.metadata.get(key)}
    return notebook


def main(arguments: list[str] | None = None) -> int:
    """Command line: ``python -m rtml.pipeline run|store``."""
    parser = argparse.ArgumentParser(prog="python -m rtml.pipeline", description=__doc__)
    parser.add_argument("--notebooks", type=Path, default=CHECKOUT / "notebooks", help="folder of the notebooks")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("store", help="run the notebooks in place with their defaults")
    runner = commands.add_parser("run", help="run all notebooks, or one, into a run folder")
    runner.add_argument("--run", default="dev", help="name or folder of the run")
    runner.add_argument("--profile", default="demo", help="a profile of profiles.yml")
    runner.add_argument("--only", default="", help="one notebook, by its number such as 03")
    runner.add_argument("-p", dest="given", action="append", default=[], metavar="KEY=VALUE", help="a parameter")
    options = parser.parse_args(arguments)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # a polite kill leaves a status too
    if options.command == "store":
        return store(options.notebooks)
    with ExitStack() as stack:
        try:
            given = dict(split(text) for text in options.given)
            plan = Plan.of(options.run, options.profile, options.only, given, options.notebooks)
            stack.enter_context(alone(plan.folder))
        except (LookupError, ValueError, RuntimeError) as error:
            print(f"nothing was run: {error}", file=sys.stderr)
            return 2
        return 0 if carry_out(plan) else 1


def split(text: str) -> tuple[str, str]:
    """Name and value of ``KEY=VALUE``."""
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"a parameter is given as KEY=VALUE, got {text!r}")
    return name.strip(), value


if __name__ == "__main__":
    sys.exit(main())
