"""Processes forked from one that has imported what they need, so that one more to kill costs milliseconds."""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import signal
import subprocess
import sys
import traceback
from pathlib import Path

TESTS = Path(__file__).parents[1]
PACKAGE = str(TESTS.parent / "rtml")


class Workers:
    """Starts functions of a test file in processes of their own."""

    def __init__(self, file: str):
        command = [sys.executable, __file__, file]
        self._parent = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def start(self, function: str, *arguments) -> int:
        """Process id of a new worker that runs the function."""
        return self._ask("start", function, *arguments)

    def wait(self, worker: int) -> int:
        """Exit code of a worker, minus the signal when it was killed."""
        return self._ask("wait", worker)

    def run(self, function: str, *arguments) -> int:
        """Exit code of the function run in a worker."""
        return self.wait(self.start(function, *arguments))

    def kill(self, worker: int) -> int:
        """Kill a worker where it stands."""
        os.kill(worker, signal.SIGKILL)
        return self.wait(worker)

    def _ask(self, *command) -> int:
        print(json.dumps(command), file=self._parent.stdin, flush=True)
        return int(self._parent.stdout.readline())

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_) -> None:
        self._parent.stdin.close()
        self._parent.wait()
        self._parent.stdout.close()


def die_at_line(count: int, *parts: str) -> None:
    """Kill this process by SIGKILL before the package, or some parts of it, runs its ``count``-th line from now on."""
    left, watched = count, tuple(os.path.join(PACKAGE, part) for part in parts or ("",))
    missing = [part for part in watched if not (os.path.exists(part) or os.path.exists(f"{part}.py"))]
    if missing:
        raise FileNotFoundError(f"no such part of the package, so nothing would be killed there: {missing}")

    def trace(frame, event, _):
        nonlocal left
        if not frame.f_code.co_filename.startswith(watched):
            return None
        left -= event == "line"
        if left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return trace

    sys.settrace(trace)


def _work(module, function: str, arguments: list) -> None:
    os.dup2(2, 1)
    try:
        getattr(module, function)(*arguments)
        os._exit(0)
    except BaseException:
        traceback.print_exc()
        os._exit(1)


def _serve(module) -> None:
    importlib.import_module("sqlalchemy.dialects.sqlite")  # else every worker would, when it opens its first database
    gc.freeze()  # a worker's collector then leaves what it shares with this process alone, which would be copied
    for line in sys.stdin:
        what, *arguments = json.loads(line)
        if what == "start":
            if not (answer := os.fork()):
                _work(module, arguments[0], arguments[1:])
        else:
            answer = os.waitstatus_to_exitcode(os.waitpid(arguments[0], 0)[1])
        print(answer, flush=True)


def _loaded(file: Path):
    sys.path.append(str(TESTS))  # as pytest has it: a test file may take from another
    spec = importlib.util.spec_from_file_location(file.stem, file)
    module = sys.modules[file.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    _serve(_loaded(Path(sys.argv[1])))
