"""A JupyterLab of its own for a test: on a folder, on this machine, with nothing of the user's settings."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

OPTIONS = (
    *("--no-browser", "--ip=127.0.0.1", "--IdentityProvider.token=", "--expose-app-in-browser"),
    *("--ServerApp.port_retries=0", "--LabApp.news_url=None", "--LabApp.extension_manager=readonly"),
    "--LabApp.check_for_updates_class=jupyterlab.NeverCheckForUpdate",
)
PATIENCE_S = 60  # a limit for a broken server, never reached by a slow machine


@contextmanager
def lab(folder: Path, home: Path) -> Iterator[str]:
    """Address of a JupyterLab that shows a folder; its kernels take ``home`` as the place of their runs."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    own = {f"JUPYTER_{name}_DIR": str(folder / name.lower()) for name in ("CONFIG", "DATA", "RUNTIME")}
    own |= {"RTML_HOME": str(home), "RTML_QUIET": "1", "JUPYTER_PREFER_ENV_PATH": "1"}
    root = ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    command = [sys.executable, "-m", "jupyterlab", f"--port={port}", f"--ServerApp.root_dir={folder}", *OPTIONS, *root]
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("PYTEST_", "JPY_"))}
    with open(folder / "lab.log", "wb") as log:
        process = subprocess.Popen(command, cwd=folder, env={**clean, **own}, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + PATIENCE_S
        while not _answers(f"http://127.0.0.1:{port}/api"):
            assert time.monotonic() < deadline, (folder / "lab.log").read_text()[-3000:]
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()  # with its kernels
        process.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).status_code == 200
    except httpx.TransportError:
        return False
