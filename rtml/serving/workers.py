"""Several serving processes on one port: started, watched, replaced one by one without a failed request.

Each has a listening socket of its own on the same port (SO_REUSEPORT: the kernel spreads connections over them), which
this process opens and keeps. So a connection that waits in the queue of a process that ends, or is killed, is taken up
by the one that follows it.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path

from rtml.core.process import stopping
from rtml.serving.auth import Access, check_host

_BACKLOG = 2048
_LONGEST_S = 10.0  # between two starts of a process that ends at once


def listening(host: str, port: int, n: int) -> list[socket.socket]:
    """Sockets that listen on one port; 0: a free one.

    Examples
    --------
    >>> sockets = listening("127.0.0.1", 0, 3)
    >>> len({one.getsockname() for one in sockets})
    1
    >>> [one.close() for one in sockets]
    [None, None, None]
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    found: list[socket.socket] = []
    for _ in range(n):
        one = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)  # with it asyncio turns Nagle's delay off
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        try:
            one.bind((host, found[0].getsockname()[1] if found else port))
        except OSError as ex:
            raise RuntimeError(f"{host}:{port} cannot be listened on: {ex.strerror}; take another port") from ex
        one.listen(_BACKLOG)
        found.append(one)
    return found


def serve_by(
    run: Path, workers: int, *, port: int, host: str, report: Callable[[str], None] = print, grpc: int = -1
) -> None:
    """Keep so many processes serving a run until Ctrl-C or SIGTERM; SIGHUP replaces them one by one.

    Parameters
    ----------
    run
        Folder of the run, which each process follows.
    workers, port, host
        How many, and where.
    told
        Called with a line once all are up, and after each time they were replaced.
    grpc
        Port of the same over gRPC, which all share; -1: none.
    """
    if grpc == 0:
        raise ValueError("several processes share one port: name that of gRPC, 0 would be another one in each")
    check_host(host, Access.from_environment().guarded)
    sockets, again = listening(host, port, workers), threading.Event()
    before = signal.signal(signal.SIGHUP, lambda *_: again.set())
    with stopping() as stop, tempfile.TemporaryDirectory(prefix="rtml-counts-") as counts:
        slots = [Slot(run, one, Path(counts), host, grpc) for one in sockets]
        try:
            _all_up(slots, stop)
            report(
                f"serving on http://{host}:{sockets[0].getsockname()[1]} with {workers} processes; SIGHUP replaces them"
            )
            while not stop.wait(0.2):
                for slot in slots:
                    slot.watch(stop)
                if again.is_set():
                    again.clear()
                    _replace(slots, report)
        finally:
            _ended(slots)
            signal.signal(signal.SIGHUP, before)


class Slot:
    """A listening socket, and the process that serves it."""

    def __init__(self, run: Path, one: socket.socket, counts: Path, host: str, grpc: int = -1) -> None:
        self.socket = one
        self._command = [sys.executable, "-m", "rtml", "serve", str(run), "--follow", "--listen", str(one.fileno())]
        self._command += ["--counts", str(counts), "--host", host, "--grpc", str(grpc)]
        self._pause_s = 0.2
        self.process = self._started()

    def _started(self) -> subprocess.Popen:
        quiet = {"stdout": subprocess.PIPE, "text": True, "start_new_session": True}  # Ctrl-C is passed on by us
        return subprocess.Popen(self._command, pass_fds=[self.socket.fileno()], **quiet)

    def up(self) -> bool:
        """Wait until the process serves; False where it ended."""
        return bool(self.process.stdout.readline())

    def watch(self, stop: threading.Event) -> None:
        """Start the process again where it ended, after a pause that grows while that does not help."""
        if self.process.poll() is None:
            return
        self.process.communicate()
        stop.wait(self._pause_s)
        self._pause_s = min(2 * self._pause_s, _LONGEST_S)
        self.process = self._started()
        if self.up():
            self._pause_s = 0.2

    def replace(self) -> None:
        """Let a new process serve beside the old one, then let the old one finish and go."""
        old, self.process = self.process, self._started()
        if not self.up():  # it could not start: the old one stays
            self.process.communicate()
            self.process = old
            return
        old.send_signal(signal.SIGTERM)
        old.communicate()


def _replace(slots: list[Slot], report: Callable[[str], None]) -> None:
    for slot in slots:
        slot.replace()
    report("all processes were replaced")


def _ended(slots: list[Slot]) -> None:
    for slot in slots:
        slot.process.terminate()
    for slot in slots:
        slot.process.communicate()
        slot.socket.close()


def _all_up(slots: list[Slot], stop: threading.Event) -> None:
    for slot in slots:
        if not slot.up() and not stop.is_set():
            raise RuntimeError(f"a serving process ended with code {slot.process.wait()}: its error stands above")


def inherited(listen: int) -> socket.socket:
    """The listening socket that :func:`serve_by` handed to this process.

    Examples
    --------
    >>> with socket.create_server(("127.0.0.1", 0)) as given:
    ...     with inherited(os.dup(given.fileno())) as taken:
    ...         print(taken.getsockname() == given.getsockname())
    True
    """
    os.set_inheritable(listen, False)
    return socket.socket(fileno=listen)
