"""Execute notebooks: into a copy for a run, or in place so that they are read with their outputs."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import nbformat
import papermill
from nbclient.exceptions import DeadKernelError
from papermill.clientwrap import PapermillNotebookClient
from papermill.engines import Engine, NotebookExecutionManager, papermill_engines

from rtml.pipeline.interpreter import ThisInterpreter, start


class Started(Engine):
    """Runs a notebook on a kernel that has been started already."""

    @classmethod
    def execute_managed_notebook(cls, nb_man: NotebookExecutionManager, kernel_name: str, **options: Any) -> None:
        """Run the cells and stop the kernel."""
        how = {"km": options["manager"], "kernel_name": kernel_name, "startup_timeout": options["start_timeout"]}
        PapermillNotebookClient(nb_man, **how).execute(cleanup_kc=True)


papermill_engines.register("started", Started)


def execute(notebook: Path, copy: Path, parameters: Mapping, manager: ThisInterpreter, cwd: Path | None = None) -> None:
    """Execute one notebook into a copy, with a bar on a terminal."""
    bar = {
        "desc": f"{notebook.stem:<29}",
        "bar_format": "{desc} {bar:26} {n_fmt:>3}/{total_fmt} cells  {elapsed}",
        "disable": not sys.stderr.isatty(),
        "ascii": " -#",
    }
    papermill.execute_notebook(
        notebook,
        copy,
        parameters=dict(parameters),
        cwd=cwd,
        progress_bar=bar,
        kernel_name="python3",
        engine_name="started",
        manager=manager,
    )


def sentence(error: BaseException) -> dict:
    """Where a notebook stopped and why: the cell as JupyterLab numbers it, and the error's own sentence.

    Examples
    --------
    >>> sentence(ValueError("no events: run 01_ingest first"))
    {'cell': None, 'error': 'ValueError: no events: run 01_ingest first'}
    """
    if isinstance(error, papermill.PapermillExecutionError):
        return {"cell": error.exec_count, "error": f"{error.ename}: {error.evalue}"}
    if isinstance(error, DeadKernelError):
        return {"cell": None, "error": "the kernel died: usually the machine is out of memory, try a smaller profile"}
    return {"cell": None, "error": f"{type(error).__name__}: {error}"}


def store(notebooks: Iterable[Path]) -> bool:
    """Run notebooks in place with their defaults, so that they are read with figures and numbers; True if all went."""
    quiet = {"RTML_QUIET": "1"}  # no half-drawn progress bar in the stored outputs
    for path in notebooks:
        copy = path.with_name(f".{path.name}")
        try:
            execute(path, copy, {}, start(cwd=path.parent, environment=quiet), cwd=path.parent)
            executed: Any = nbformat.read(copy, as_version=4)
            nbformat.write(tidy(executed), path)
        except Exception as error:
            why = sentence(error)
            print(f"{path.stem} failed at cell [{why['cell']}]: {why['error']}", file=sys.stderr)
            return False
        finally:
            copy.unlink(missing_ok=True)
    return True


def tidy(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Notebook without what differs from run to run and from machine to machine.

    Examples
    --------
    >>> cell = nbformat.v4.new_code_cell("1 + 1", metadata={"tags": ["parameters"], "execution": {"iopub": "12:00"}})
    >>> tidy(nbformat.v4.new_notebook(cells=[cell])).cells[0].metadata
    {'tags': ['parameters']}
    """
    kernel = {"display_name": "Python 3 (ipykernel)", "language": "python", "name": "python3"}
    notebook.metadata = {"kernelspec": kernel, "language_info": {"name": "python"}}
    for cell in notebook.cells:
        cell.metadata = {key: cell.metadata[key] for key in ("tags",) if cell.metadata.get(key)}
        if cell.cell_type == "code":  # a frame shows a server that no longer runs when this is read
            cell.outputs = [out for out in cell.outputs if "<iframe" not in str(out.get("data", {}).get("text/html"))]
    return notebook
