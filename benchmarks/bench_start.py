"""What a user waits for: seconds to a command's first line, its longest silence on a terminal, and what it used.

``python benchmarks/bench_start.py [RUN]`` needs a finished run, ``dev`` unless given. A command that goes on is stopped
once it is up. Nothing is changed in the run: each works on a copy.
"""

from __future__ import annotations

import contextlib
import os
import pty
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from rtml.core.run_folder import run_folder

COMMANDS = (
    "serve --help",
    "runs",
    "report {run}",
    "check {run}",
    "verify {run}",
    "materialize {run}",
    "retention {run}",
    "batch {run}",
    "explain {run} 1-1",
    "ingest new --source synthetic --hours 2 --speed 0",
    "inspect {file}",
    "train new",
    "serve {run} --port 0",
    "live new2 --source synthetic --speed 100 --port 0",
)
UP = b"http://"


def measured(words: list[str], environment: dict[str, str]) -> tuple[float, float, float, int]:
    """Seconds to the first line, longest silence, CPU seconds, and the exit code of a command on a terminal."""
    ours, theirs = pty.openpty()
    used = os.times()
    began = last = time.monotonic()
    process = subprocess.Popen([sys.executable, "-m", "rtml", *words], stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    first, longest, said, up = 0.0, 0.0, b"", False
    with contextlib.suppress(OSError):  # Linux's word for the end of a terminal
        while part := os.read(ours, 65_536):
            now, said = time.monotonic(), said + part
            first = first or now - began
            longest, last = max(longest, now - last), now
            if words[0] in ("serve", "live") and UP in said and not up:
                up = True
                process.send_signal(signal.SIGINT)
    code = process.wait()
    spent = os.times()
    cpu = spent.children_user + spent.children_system - used.children_user - used.children_system
    os.close(ours)
    return first, longest, cpu, code


def main() -> None:
    """Print a line a command."""
    run = run_folder(sys.argv[1] if len(sys.argv) > 1 else "dev")
    with tempfile.TemporaryDirectory() as home:
        shutil.copytree(run, Path(home) / "runs" / "copy")
        file = Path(home) / "ETH-USD.csv"
        file.write_text("time,price,size,side,id\n" + "".join(f"{10**12 + k},1.5,2,buy,{k}\n" for k in range(1000)))
        print(f"{'command':52} {'first':>7} {'silence':>8} {'CPU':>7}   load {os.getloadavg()[0]:.1f}")
        for command in COMMANDS:
            words = command.format(run="copy", file=file).split()
            first, longest, cpu, code = measured(words, os.environ | {"RTML_HOME": home})
            told = f"exit {code}" if code else ""
            told += " MISSED" if first > 1 or longest > 5 else ""
            shown = command.format(run="RUN", file="FILE")
            print(f"{shown:52} {first:5.2f} s {longest:6.2f} s {cpu:5.1f} s {told}".rstrip(), flush=True)


if __name__ == "__main__":
    main()
