"""Hard ground: full and failing disks, kills, flipped bits, idle connections; one table of figures at the end.

``python tests/deep/hard_ground.py [--storms 20] [--kills 50] [--flips 500] [--idle 3000]``, run by ``make test-deep``.
A live run on a synthetic stream is disturbed and has to come to the very tables of one that nobody disturbed.
"""

from __future__ import annotations

import argparse
import errno
import os
import re
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import httpx
import numpy as np

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))

from stored_files import flip_storm  # noqa: E402, tests/support is no package

from rtml.pipeline.verify import damages  # noqa: E402
from rtml.store.event_log import EventLog  # noqa: E402

HOURS = 2.0
TABLES = {
    "training.db": (
        "select id, key, moment, x from question order by seq",
        "select target, id, prediction, y, known from prediction order by target, id",
        "select end, record from closed order by end",
    ),
    "registry/registry.db": ("select id, number from version order by number",),
}


def command(folder: Path, speed: float, port: int = -1) -> list[str]:
    """A live run of a synthetic stream from its beginning, or from where it was."""
    words = [sys.executable, "-m", "rtml", "live", str(folder), "--source", "synthetic", "--hours", str(HOURS)]
    return [*words, "--speed", str(speed), "--every", "10m", "--port", str(port), "--once"]


def start(folder: Path, speed: float = 0.0, port: int = -1, **environment: str) -> subprocess.Popen:
    """The process; what it prints goes to a file beside its folder."""
    said = open(folder.with_suffix(".out"), "ab")  # noqa: SIM115, it lives as long as the process
    about = os.environ | {"RTML_HOME": str(folder.parent)} | environment
    return subprocess.Popen(command(folder, speed, port), stdout=said, stderr=said, env=about)


def ended(process: subprocess.Popen, limit: float = 900.0) -> int:
    """Exit code of a process that ends by itself."""
    return process.wait(limit)


def held(folder: Path) -> dict[str, list]:
    """What a run came to: every table, and all events, that have to be the same."""
    with EventLog(folder / "events.db") as log:  # whose rows are cut as they came
        found = {"events.db": [log.read(part, log.first(part) - 1, 10**9)[1].tobytes() for part in log.parts()]}
    for name, queries in TABLES.items():
        with closing(sqlite3.connect(f"file:{folder / name}?mode=ro", uri=True)) as db:
            found[name] = [db.execute(query).fetchall() for query in queries]
    return found


def port_of(folder: Path, limit: float = 120.0) -> str:
    """The address that a run says it listens on."""
    until = time.monotonic() + limit
    while time.monotonic() < until:
        text = folder.with_suffix(".out").read_text(errors="replace") if folder.with_suffix(".out").exists() else ""
        if found := re.findall(r"http://127\.0\.0\.1:\d+", text):
            return found[-1]
        time.sleep(0.1)
    raise TimeoutError(f"{folder} says no address within {limit:g} s")


def disk_storms(work: Path, quiet: dict, n: int, rng: np.random.Generator) -> dict:
    """ENOSPC and EIO for a while, again and again: it serves all the time, says so, and comes to the same tables."""
    shim, mark, folder = work / "full_disk.so", work / "fault", work / "stormy"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", shim, HERE / "full_disk.c", "-ldl"], check=True)
    about = {"LD_PRELOAD": str(shim), "RTML_FAULT": str(mark), "RTML_FAULT_BELOW": str(folder)}
    process = start(folder, HOURS * 3600 / (3.0 * n + 10), 0, **about)
    asked = served = said = 0
    try:
        url = port_of(folder)
        while httpx.get(f"{url}/health", timeout=10).status_code != 200 and process.poll() is None:
            time.sleep(0.2)
        for storm in range(n):
            mark.write_text(str([errno.ENOSPC, errno.EIO][storm % 2]))
            until = time.monotonic() + rng.uniform(0.3, 2.5)
            while time.monotonic() < until and process.poll() is None:
                asked += 1
                served += httpx.get(f"{url}/predict?key=ETH-USD", timeout=10).status_code == 200
                time.sleep(0.05)
            status = httpx.get(f"{url}/questions?n=1", timeout=10).json()["status"] or {}
            said += bool(status.get("alarms")) or httpx.get(f"{url}/health", timeout=10).status_code == 503
            mark.unlink()
            time.sleep(rng.uniform(0.3, 1.5))
        code = ended(process)
    finally:
        process.kill()
    same = held(folder) == quiet
    return {"storms": n, "asked meanwhile": asked, "answered": served, "storms said": said, "exit": code, "same": same}


def kills(work: Path, quiet: dict, n: int, rng: np.random.Generator) -> dict:
    """Kill -9 at random moments, and start again, until it comes to its end: the same tables."""
    folder, done, limit = work / "killed", 0, 6.0
    while True:
        process = start(folder)
        try:
            ended(process, rng.uniform(1.5, limit) if done < n else 900.0)
            break
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.wait()
            done += 1
    return {"kills": done, "exit": process.returncode, "same": held(folder) == quiet}


def flips(folder: Path, n: int) -> dict:
    """Bits flipped in every file of a run."""
    found, silent = flip_storm(folder, n, 11, damages)
    return {"flips": n, "found": found, "changed nothing": n - found - len(silent), "silent": len(silent)}


def idle(work: Path, n: int) -> dict:
    """Connections that say nothing: how long somebody who asks then waits."""
    folder = work / "idle"
    process = start(folder, 60.0, 0)
    try:
        url = port_of(folder)
        host, port = url.removeprefix("http://").split(":")
        silent = [socket.create_connection((host, int(port)), timeout=10) for _ in range(n)]
        waits = []
        for _ in range(50):
            began = time.perf_counter()
            httpx.get(f"{url}/health", timeout=10)
            waits.append(time.perf_counter() - began)
        for one in silent:
            one.close()
        return {"idle": n, "alive": process.poll() is None, "slowest /health, ms": round(1e3 * max(waits))}
    finally:
        process.kill()
        process.wait()


def shown(row: dict) -> dict:
    """The row, printed as soon as it is there."""
    print(" | ".join(f"{name} {value}" for name, value in row.items()), flush=True)
    return row


def main() -> int:
    """Disturb, compare, print the table; 0 where everything held."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("storms", 20), ("kills", 50), ("flips", 500), ("idle", 900)):
        parser.add_argument(f"--{name}", type=int, default=default)
    chosen, rng = parser.parse_args(), np.random.default_rng(7)
    work = Path(tempfile.mkdtemp(prefix="ground-"))
    try:
        quiet = work / "quiet"
        assert ended(start(quiet)) == 0, quiet.with_suffix(".out").read_text()[-2000:]
        true = held(quiet)
        rows = [
            shown(disk_storms(work, true, chosen.storms, rng)),
            shown(kills(work, true, chosen.kills, rng)),
            shown(flips(quiet, chosen.flips)),
            shown(idle(work, chosen.idle)),
        ]
    finally:
        shutil.rmtree(work, ignore_errors=True)
    storm, kill, flip, still = rows
    held_up = (
        storm["same"] and storm["asked meanwhile"] == storm["answered"] and storm["storms said"] and not storm["exit"]
    )
    return int(not (held_up and kill["same"] and not flip["silent"] and still["alive"]))


if __name__ == "__main__":
    sys.exit(main())
