"""A process that runs until it is told to stop: signals, sentences instead of traces, lines of a log."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any

from rtml.core.clock import Clock, utc

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@contextmanager
def alone(mark: Path, taken: str) -> Iterator[None]:
    """Keep a second process out while this one works: a lock on a file, which goes with the process however it ends.

    ``taken`` is the sentence of the error where another process holds it.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, alone(Path(folder, "lock"), "taken"):
    ...     with alone(Path(folder, "lock"), "another process works here"):
    ...         print("never reached")
    Traceback (most recent call last):
        ...
    RuntimeError: another process works here
    """
    with open(_appended(mark), "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as ex:
            raise RuntimeError(taken) from ex
        yield


class Logbook:
    """Structured lines of a file: one JSON object a line, with the moment and what happened.

    Examples
    --------
    >>> import tempfile
    >>> book = Logbook(Path(tempfile.mkdtemp()) / "live.log")
    >>> book.say("started", source="kraken")
    >>> json.loads(book.path.read_text())["event"]
    'started'
    """

    def __init__(self, path: Path, process: str = "") -> None:
        if path.is_symlink():
            raise ValueError(f"{path} is a link: a log is written to a file of its own, remove the link")
        self.path = path
        self._process = process
        self._clock = Clock()
        self._lock = threading.Lock()
        self.lost = 0  #: lines that the disk did not take

    def say(self, event: str, **about) -> None:
        """Write a line; what JSON does not know is written as text. A disk that is full stops nobody."""
        line = {"at": utc(self._clock.now()).isoformat(timespec="milliseconds"), "event": event}
        line |= {"process": self._process} if self._process else {}
        line |= {"lines_lost": self.lost} if self.lost else {}
        try:
            with self._lock, open(_appended(self.path), "a", encoding="utf-8") as file:
                file.write(json.dumps(line | about, default=str) + "\n")
            self.lost = 0
        except OSError:
            self.lost += 1


def _appended(path: Path) -> int:
    """A file to append to that only its user may read; no link is followed."""
    return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)


def tell(text: object) -> None:
    """Print a line at once; where it goes may be full or gone, which stops nobody.

    Examples
    --------
    >>> tell("ready at port 8000")
    ready at port 8000
    """
    with suppress(OSError):
        print(text, flush=True)


def insist(work: Callable[[], object], stop: threading.Event, pause_s: float, longest_s: float = 60.0) -> None:
    """Do some work again and again until ``stop``; where the disk or a file fails, later and later again.

    Examples
    --------
    >>> stop, tries = threading.Event(), []
    >>> def work():
    ...     tries.append(1)
    ...     stop.set() if len(tries) == 2 else open("/no/such/folder")
    >>> insist(work, stop, 0.001)
    FileNotFoundError: [Errno 2] No such file or directory: '/no/such/folder': trying again in 0.002 s
    """
    pause = pause_s
    while not stop.wait(pause):
        try:
            work()
            pause = pause_s
        except OSError as error:
            pause = min(2 * pause, longest_s)
            tell(f"{type(error).__name__}: {error}: trying again in {pause:g} s")


@contextmanager
def stopping() -> Iterator[threading.Event]:
    """An event that Ctrl-C and SIGTERM set; a second one ends the process at once.

    Examples
    --------
    >>> with stopping() as stop:
    ...     signal.raise_signal(signal.SIGTERM)
    ...     print(stop.is_set())
    True
    """
    stop = threading.Event()
    if threading.current_thread() is not threading.main_thread():  # only the main thread may take signals
        yield stop
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}

    def told(number: int, _) -> None:
        stop.set()
        signal.signal(number, before[number] or signal.SIG_DFL)

    for number in _SIGNALS:
        signal.signal(number, told)
    try:
        yield stop
    finally:
        for number, action in before.items():
            signal.signal(number, action or signal.SIG_DFL)


class _Noted:
    """A stream whose watch is told when something is written to it."""

    def __init__(self, stream: Any, watch: _Watch) -> None:
        self._stream, self._watch = stream, watch

    def write(self, text: Any) -> Any:
        """Write it."""
        self._watch.written()
        return self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


class _Watch(threading.Thread):
    """Says that a command is at work whenever it has said nothing for a while; once only, where it goes on."""

    def __init__(self, program: str, goes_on: bool, patience_s: float) -> None:
        super().__init__(daemon=True)
        self._program, self._terminal = program, sys.stderr
        self._goes_on, self._patience = goes_on, patience_s * 1e9
        self._clock, self.done = Clock(), threading.Event()
        self._begun = self._last = self._clock.elapsed()

    def written(self) -> None:
        """The command said something."""
        self._last = self._clock.elapsed()
        if self._goes_on:
            self.done.set()

    def run(self) -> None:
        """Look four times a second."""
        while not self.done.wait(0.25):
            if (now := self._clock.elapsed()) - self._last >= self._patience:
                self._last = now
                print(f"{self._program}: at work, {(now - self._begun) / 1e9:.0f} s", file=self._terminal, flush=True)


@contextmanager
def at_work(program: str, goes_on: bool = False, patience_s: float = 4.0) -> Iterator[None]:
    """Say at once that a command has begun, and on a terminal that it is still at work whenever it says nothing.

    Parameters
    ----------
    program
        The command as it was typed.
    goes_on
        Whether it is up with its first line and waits for work from then on, in silence.
    patience_s
        How long it may say nothing, seconds.

    Examples
    --------
    >>> with redirect_stderr(sys.stdout), at_work("rtml serve"):
    ...     print("up")
    rtml serve: starting
    up
    """
    if not os.environ.get("RTML_QUIET"):
        print(f"{program}: starting", file=sys.stderr, flush=True)
    if not sys.stderr.isatty():
        yield
        return
    watch = _Watch(program, goes_on, patience_s)
    watch.start()
    out: Any = _Noted(sys.stdout, watch)
    err: Any = _Noted(sys.stderr, watch)
    try:
        with redirect_stdout(out), redirect_stderr(err):
            yield
    finally:
        watch.done.set()


def news(out: Callable[[str], object], again_s: float) -> Callable[[str], None]:
    """Hand on a line that says something else than the last one; one that says the same after so many seconds.

    Examples
    --------
    >>> say = news(print, 60.0)
    >>> for line in ("3 events", "3 events", "4 events"):
    ...     say(line)
    3 events
    4 events
    """
    clock, last = Clock(), ("", 0)

    def say(line: str) -> None:
        nonlocal last
        now = clock.elapsed()
        if line != last[0] or now - last[1] >= again_s * 1e9:
            last = line, now
            out(line)

    return say


@contextmanager
def quitting(program: str) -> Iterator[None]:
    """End the process with code 1 and the sentence of an error that has one, without a trace.

    Examples
    --------
    >>> try:
    ...     with quitting("rtml"):
    ...         raise LookupError("no run 'dev'")
    ... except SystemExit as ended:
    ...     print(ended.code)
    1
    """
    try:
        yield
    except (LookupError, ValueError, OSError, RuntimeError) as ex:
        print(f"{program}: {ex.args[0] if len(ex.args) == 1 else ex}", file=sys.stderr, flush=True)
        sys.exit(1)


@contextmanager
def beside(work: Callable[[], object], name: str, failed: str) -> Iterator[None]:
    """Let a thread work while the block runs, and wait for it; where it failed, that is raised with this sentence.

    Examples
    --------
    >>> done = []
    >>> with beside(lambda: done.append(1), "example", "the work failed"):
    ...     pass
    >>> done
    [1]
    """
    with ThreadPoolExecutor(1, thread_name_prefix=name) as pool:
        future = pool.submit(work)
        yield
    if (error := future.exception()) is not None:
        raise RuntimeError(failed) from error


def awaited(path: Path, stop: threading.Event, pause_s: float = 0.1) -> Path:
    """The path, once there is a file; a process that writes it may start later than one that reads it.

    Examples
    --------
    >>> awaited(Path(__file__), threading.Event()).name
    'process.py'
    """
    if not path.exists():
        print(f"rtml: waiting for {path.name} in {path.parent.name}", file=sys.stderr, flush=True)
    while not path.exists():
        if stop.wait(pause_s):
            raise RuntimeError(f"stopped before there was a {path.name}")
    return path
