"""Small files of each kind that a run stores, what they hold, and bits flipped in them."""

from __future__ import annotations

from contextlib import closing

import numpy as np

from rtml.store import database
from rtml.store.checkpoint_store import CheckpointStore
from rtml.store.event_log import EventLog
from rtml.store.prediction_log import PredictionLog
from rtml.usecases.crypto.trades import events


def write(folder) -> None:
    """A small file of each kind, every table with rows."""
    with EventLog(folder / "events.db") as log:
        log.append("trades", events(np.arange(1, 301), id=np.arange(300), price=np.linspace(1, 2, 300), size=1.0))
    x = np.arange(4.0).tobytes()
    with closing(CheckpointStore(folder / "training.db", {"part": "trades"})) as store:
        store.begin(0, b"fresh")
        asked = [("demand", i, i / 3) for i in range(200)]
        questions = [(i, 0, 10 * i, x) for i in range(200)]
        answered = [(i / 7, 10 * i + 5, "demand", i) for i in range(150)]
        new_events = [(i, 1, "monitor", "drift", "{}") for i in range(20)]
        store.commit(9, b"wiser", asked, answered, questions, [(i, x) for i in range(50)], new_events)
    with closing(PredictionLog(folder / "predictions.db")) as log:
        log.define("v1", ("a", "b"))
        for i in range(100):
            log.append(i, i, "ada", "v1", i, i, x[:16], i / 9, None, 900)
        for number in range(60):
            log.answer(2**32 + number + 1, number / 5, at=number)
        log.keep_served((i, "v1", x) for i in range(30))


def rows(path) -> dict[str, list[tuple]]:
    """Everything that a file holds, table by table; what SQLite notes for itself, the last number given, is none."""
    own = "select name from sqlite_master where type = 'table' and name not like 'sqlite_%' order by name"
    with closing(database.reading(path)) as db:
        names = [name for (name,) in db.execute(own)]
        return {name: db.execute(f"select * from {name}").fetchall() for name in names}


def flipped(blob: bytes, bit: int) -> bytes:
    """The bytes with one bit the other way round."""
    changed = bytearray(blob)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def everything(folder) -> dict:
    """What a run says: rows of its databases, bytes of all else but its log and rules."""
    return {
        str(path.relative_to(folder)): rows(path) if path.suffix == ".db" else path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.endswith(("-wal", "-shm", ".log", "retention.json"))
    }


def flip_storm(folder, n: int, seed: int, damages) -> tuple[int, list]:
    """Flip a bit in one file after the other and put it back; how many were found, which changed something unsaid."""
    before, silent, found, rng = everything(folder), [], 0, np.random.default_rng(seed)
    files = [folder / name for name in before if (folder / name).stat().st_size]
    for turn in range(n):
        path = files[turn % len(files)]
        blob = path.read_bytes()
        bit = int(rng.integers(0, 8 * len(blob)))
        path.write_bytes(flipped(blob, bit))
        wrong = damages(folder)[0]
        found += bool(wrong)
        if not wrong and everything(folder) != before:
            silent.append((path.name, bit))
        path.write_bytes(blob)
    return found, silent
