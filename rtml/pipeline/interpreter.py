"""The kernel of a notebook: the interpreter of the pipeline, started ahead of its turn.

A kernel needs a few seconds until it has imported what every notebook imports. One process imports it once, each
kernel is a fork of it; started while the notebook before it still runs, it is ready when its turn comes.
"""

from __future__ import annotations

import atexit
import os
import sys
from importlib.metadata import EntryPoint
from multiprocessing import get_context, set_start_method
from multiprocessing.util import Finalize
from pathlib import Path
from subprocess import TimeoutExpired
from typing import Any

import zmq
from ipykernel.kernelspec import get_kernel_dict
from jupyter_client import AsyncKernelManager
from jupyter_client.connect import KernelConnectionInfo
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.provisioning import KernelProvisionerFactory
from jupyter_client.provisioning.local_provisioner import LocalProvisioner
from jupyter_core.utils import run_sync
from traitlets import default

WARM = (
    "pandas",
    "scipy.stats",
    "river.linear_model",
    "river.tree",
    "rtml.evaluation.compare",
    "rtml.training.trainer",
    "rtml.plots.figures",
    "matplotlib.figure",
)  # names only: the pipeline itself stays light
FORKS = get_context("forkserver")
_INLINE = "module://matplotlib_inline.backend_inline"


class ThisInterpreter(AsyncKernelManager):
    """Starts a kernel with the interpreter that runs the pipeline; kernels a user installed do not matter."""

    @default("transport_encryption")
    def _encrypt_where_possible(self) -> str:
        return "auto" if zmq.has("curve") else "disabled"

    @property
    def kernel_spec(self) -> KernelSpec:
        """The one kernel there is."""
        spec = KernelSpec(**get_kernel_dict())
        quiet = ["--HistoryManager.hist_file=:memory:", "--log-level=CRITICAL"]  # an interrupt at the end is no error
        spec.argv = [*spec.argv, *quiet]
        if sys.platform == "linux":  # elsewhere libraries do not bear to be forked
            spec.metadata = spec.metadata | {"kernel_provisioner": {"provisioner_name": "forked"}}
        return spec


def be_kernel(options: list[str], environment: dict[str, str], cwd: str) -> None:
    """Be a kernel, in the forked process, until it is shut down."""
    from ipykernel.kernelapp import launch_new_instance

    set_start_method(None, force=True)  # processes that a cell starts begin as in any kernel
    os.setsid()  # what is typed at the terminal is for the pipeline
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update({"MPLBACKEND": _INLINE} | environment)
    if drawing := sys.modules.get("matplotlib"):  # as if it were imported here
        drawing.rcParams["backend"] = os.environ["MPLBACKEND"]
    if frames := sys.modules.get("pandas"):
        frames.set_option("display.max_columns", 20)  # what it is in a kernel, 0 where it was imported
    try:
        launch_new_instance([*options, f"--IPKernelApp.parent_handle={os.getppid()}"])
    finally:
        atexit._run_exitfuncs()  # a fork ends without


class _Process:
    """A forked process with the methods of ``subprocess.Popen`` that a provisioner calls."""

    stdin = None
    stdout = None
    stderr = None

    def __init__(self, *arguments: Any) -> None:
        self._process = FORKS.Process(target=be_kernel, args=arguments)
        self._process.start()
        Finalize(None, self._process.kill, exitpriority=0)  # a pipeline that is interrupted waits for no kernel
        self.pid = self._process.pid
        self.kill, self.terminate = self._process.kill, self._process.terminate

    def poll(self) -> int | None:
        """Its exit code, None while it runs."""
        return self._process.exitcode

    def wait(self, timeout: float | None = None) -> int | None:
        """Its exit code, once it has ended."""
        self._process.join(timeout)
        if self._process.is_alive():
            raise TimeoutExpired("kernel", timeout or 0.0)
        return self.poll()

    def send_signal(self, number: int) -> None:
        """Send it a signal, unless it has ended."""
        if self._process.is_alive() and self.pid:
            os.kill(self.pid, number)


class Forked(LocalProvisioner):
    """Starts kernels as forks, which takes a tenth of a second where imports take five."""

    async def launch_kernel(self, cmd: list[str], **kwargs: Any) -> KernelConnectionInfo:
        """Fork a kernel with the options of a command ``python -m ipykernel_launcher OPTIONS``."""
        place = str(kwargs.get("cwd") or Path.cwd())
        self.process = _Process(cmd[cmd.index("ipykernel_launcher") + 1 :], dict(kwargs["env"]), place)
        self.pid = self.process.pid
        return self.connection_info


def start(cwd: Path | None = None, environment: dict[str, str] | None = None) -> ThisInterpreter:
    """Start a kernel and return at once; its user waits until it is ready.

    Parameters
    ----------
    cwd
        Its working folder.
    environment
        Variables on top of those of this process.
    """
    FORKS.set_forkserver_preload([__name__, "ipykernel.kernelapp", *WARM])
    KernelProvisionerFactory.instance().provisioners["forked"] = EntryPoint("forked", f"{__name__}:Forked", "")
    manager = ThisInterpreter()
    run_sync(manager.start_kernel)(env=os.environ | (environment or {}), **({"cwd": str(cwd)} if cwd else {}))
    return manager


def stop(manager: ThisInterpreter) -> None:
    """Stop a kernel that was not used."""
    run_sync(manager.shutdown_kernel)(now=True)
