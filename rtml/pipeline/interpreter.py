"""The kernel of a notebook: the interpreter of the pipeline, started ahead of its turn.

A kernel needs a few seconds until it has imported what every notebook imports. Started while the notebook before it
still runs, it is ready when its turn comes.
"""

from __future__ import annotations

import os
from pathlib import Path

import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec
from jupyter_core.utils import run_sync
from traitlets import Tuple, default

WARM = (
    "rtml.evaluation.compare",
    "rtml.training.trainer",
    "matplotlib.figure",
)  # names only: the pipeline itself stays light


class ThisInterpreter(AsyncKernelManager):
    """Starts a kernel with the interpreter that runs the pipeline; kernels a user installed do not matter."""

    imports = Tuple()

    @default("transport_encryption")
    def _encrypt_where_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The one kernel there is; what it imports ahead leaves no name behind."""
        spec = KernelSpec(**get_kernel_dict())
        ahead = [f"--IPKernelApp.exec_lines=__import__({name!r})" for name in self.imports]
        quiet = ["--HistoryManager.hist_file=:memory:", "--log-level=CRITICAL"]  # an interrupt at the end is no error
        spec.argv = [*spec.argv, *quiet, *ahead]
        return spec


def start(
    imports: tuple[str, ...] = (), cwd: Path | None = None, environment: dict[str, str] | None = None
) -> ThisInterpreter:
    """Start a kernel and return at once; its user waits until it is ready.

    Parameters
    ----------
    imports
        Modules it imports ahead.
    cwd
        Its working folder.
    environment
        Variables on top of those of this process.
    """
    manager = ThisInterpreter(imports=imports)
    run_sync(manager.start_kernel)(env=os.environ | (environment or {}), **({"cwd": str(cwd)} if cwd else {}))
    return manager


def stop(manager: ThisInterpreter) -> None:
    """Stop a kernel that was not used."""
    run_sync(manager.shutdown_kernel)(now=True)
