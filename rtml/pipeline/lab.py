"""JupyterLab at the root of the checkout, on copies of the notebooks, so that saving changes no tracked file."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from rtml.core.run_folder import home, run_folder
from rtml.pipeline.runner import NOTEBOOKS, run_notebooks
from rtml.pipeline.runs import state

FIRST = "01_ingest.ipynb"
OPTIONS = (
    "--LabApp.news_url=None",
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
    "--MappingKernelManager.transport_encryption=auto",
)


def copies(notebooks: Path, folder: Path) -> None:
    """Bring the copies of the notebooks up to date.

    A copy is taken where there is none, or where the notebook is newer; what a user made of the old copy is kept
    beside it as ``NAME.previous.ipynb``.

    Parameters
    ----------
    notebooks
        Folder of the tracked notebooks and of what they import.
    folder
        Folder of the copies.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as top:
    ...     (source := Path(top) / "notebooks").mkdir()
    ...     _ = (source / "01_ingest.ipynb").write_text("{}")
    ...     copies(source, Path(top) / "copies")
    ...     print(sorted(path.name for path in (Path(top) / "copies").iterdir()))
    ['01_ingest.ipynb']
    """
    for source in sorted(path for path in notebooks.rglob("[!.]*") if path.suffix in (".ipynb", ".py")):
        copy = folder / source.relative_to(notebooks)
        if copy.exists() and copy.stat().st_mtime >= source.stat().st_mtime:
            continue
        copy.parent.mkdir(parents=True, exist_ok=True)
        if copy.exists():
            os.replace(copy, copy.with_name(f"{copy.stem}.previous{copy.suffix}"))
        shutil.copy2(source, copy)


def lab(options: Sequence[str] = ()) -> int:
    """Open JupyterLab in place of this process, after a first demo run so that each notebook works by itself.

    Parameters
    ----------
    options
        Handed to JupyterLab.

    Returns
    -------
    The exit code of the demo run where it failed; otherwise the function does not return.
    """
    if state(run_folder("dev")) != "done":
        code = run_notebooks("dev")
        if code:
            return code
    root = home()
    copies(NOTEBOOKS, root / "lab")
    os.environ["JUPYTER_PREFER_ENV_PATH"] = "1"
    command = [sys.executable, "-m", "jupyterlab", f"--ServerApp.root_dir={root}", *OPTIONS, *options]
    os.execv(sys.executable, [*command, str(root / "lab" / FIRST)])
