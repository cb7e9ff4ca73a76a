"""Predictions and alerts of a run out to a Kafka topic, a PostgreSQL table or a folder of Parquet: ``rtml sink``."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import numpy as np
import pyarrow as pa
from pyarrow import parquet

from rtml.core.process import insist, stopping
from rtml.core.run_folder import Run
from rtml.store.checkpoint_store import Asked, CheckpointReader
from rtml.store.protocols import with_password, without_password

_FILE = "sinks.json"
_AT_ONCE = 1000  # questions
_COLUMNS = ("id", "kind", "at", "key", "target", "said")  #: ``said`` is JSON: a number, several, or the alert's details
Row = tuple[str, str, int, int | None, str, str]


def sink(run: Path, to: str, *, follow: bool = False) -> None:
    """Send what a run predicted and which alerts it raised, from where the last call for this address stopped.

    What was sent is noted behind it, so after ``kill -9`` some rows may come again, with the same ``id``: a table keeps
    one of each, a file of the same name is replaced, and a reader of a topic drops what it has seen.

    Parameters
    ----------
    run
        Folder of the run.
    to
        ``kafka://HOST:9092/TOPIC``, ``postgres://USER@HOST:5432/DATABASE?table=NAME`` or ``file:///FOLDER``.
    follow
        Whether to go on with what comes later, until Ctrl-C or SIGTERM; a server that is away is tried again.

    Examples
    --------
    >>> sink(Path("/no/run"), "ftp://host")
    Traceback (most recent call last):
        ...
    FileNotFoundError: /no/run/training.db is missing: start rtml train RUN --follow
    """
    send = partial(send_new, run, to)
    if not follow:
        return print(f"{send()} rows sent")
    with stopping() as stop:
        insist(send, stop, 0.2)


def send_new(run: Path, to: str) -> int:
    """The same once; how many rows were sent.

    Examples
    --------
    >>> send_new(Path("/no/run"), "ftp://host")
    Traceback (most recent call last):
        ...
    FileNotFoundError: /no/run/training.db is missing: start rtml train RUN --follow
    """
    opened, place = Run(run, "sink"), without_password(to)
    sent = 0
    with closing(CheckpointReader(run / "training.db")) as reader, closing(_opened(to)) as out:
        while True:
            kept = opened.read_json(_FILE, {"sent": {}})
            at = kept["sent"].get(place, {"question": 0, "event": 0})
            asked = reader.questions(at["question"], _AT_ONCE)
            events = reader.history(at["event"])
            rows = [row for one in asked for row in _predictions(run.name, one)]
            rows += [_alert(run.name, *event) for event in events if event[4] == "alert"]
            if rows:
                out.write(f"{at['question']:012d}-{at['event']:012d}", rows)
            if not (asked or events):
                return sent
            sent += len(rows)
            reached = {"question": [asked[-1].seq] if asked else [], "event": [events[-1][0]] if events else []}
            kept["sent"][place] = {name: (new or [at[name]])[0] for name, new in reached.items()}
            opened.write_json(_FILE, kept)


def _predictions(run: str, one: Asked) -> list[Row]:
    found: list[Row] = []
    for target, said in sorted(one.predictions.items()):
        value = np.frombuffer(said).tolist() if isinstance(said, bytes) else said
        found.append((f"{run}/{one.id}/{target}", "prediction", one.moment, one.key, target, json.dumps(value)))
    return found


def _alert(run: str, seq: int, at: int, _place: int, _who: str, kind: str, detail: str) -> Row:
    return f"{run}/alert/{seq}", kind, at, None, json.loads(detail).get("target") or "", detail


def _opened(to: str) -> Any:
    kinds: dict[str, Callable[[str], Any]] = {"kafka": _Topic, "postgres": _Table, "file": _Folder}
    scheme = urlsplit(to).scheme
    if scheme not in kinds:
        known = "kafka://HOST:9092/TOPIC, postgres://HOST/DATABASE?table=NAME or file:///FOLDER"
        raise ValueError(
            f"rows go to {known}, got {without_password(to)}; alerts alone by rtml alerts RUN --to https://"
        )
    try:
        return kinds[scheme](to)
    except ModuleNotFoundError as ex:
        raise ModuleNotFoundError(f"{scheme} needs {ex.name}: pip install 'rtml[servers]'", name=ex.name) from ex


class _Topic:
    """Messages of a Kafka topic: the id as key, the row as JSON."""

    def __init__(self, to: str) -> None:
        from confluent_kafka import Producer

        parts = urlsplit(to)
        self._where, self._topic = parts.netloc, parts.path.strip("/")
        if not self._topic:
            raise ValueError(f"a topic is missing: kafka://HOST:9092/TOPIC, got {to}")
        about = {"bootstrap.servers": self._where, "log_level": 0, "message.timeout.ms": 10_000}
        self._producer = Producer(about | {"enable.idempotence": True})

    def write(self, _name: str, rows: list[Row]) -> None:
        """Send rows and wait until all are acknowledged."""
        failed: list[str] = []

        def taken(ex: Any, _message: Any) -> None:
            if ex:
                failed.append(str(ex))

        for row in rows:
            body = json.dumps(dict(zip(_COLUMNS, row, strict=True)))
            self._producer.produce(self._topic, body, row[0], callback=taken)
            self._producer.poll(0)
        if (left := self._producer.flush(15)) or failed:
            told = failed[0] if failed else "no answer"
            raise ConnectionError(f"{len(failed) or left} rows were not taken by kafka://{self._where}: {told}")

    def close(self) -> None:
        """Nothing waits."""


class _Table:
    """Rows of a PostgreSQL table, which is made where it is missing; the id is its key."""

    def __init__(self, to: str) -> None:
        import psycopg
        from psycopg import sql

        parts = urlsplit(with_password(to))
        name = parse_qs(parts.query).get("table", [""])[0]
        if not name:
            raise ValueError(f"a table is missing: postgres://HOST/DATABASE?table=NAME, got {without_password(to)}")
        try:
            self._db = psycopg.connect(parts._replace(query="").geturl(), connect_timeout=5)
        except psycopg.OperationalError as ex:
            away = f"{without_password(to)} was not reached ({' '.join(str(ex).split())})"
            raise ConnectionError(f"{away}: start it, see RTML_PASSWORD") from ex
        table = sql.Identifier(*name.split("."))
        columns = "id text primary key, kind text, at bigint, key bigint, target text, said text"
        self._db.execute(sql.SQL(f"create table if not exists {{}} ({columns})").format(table))
        self._insert = sql.SQL("insert into {} values (%s, %s, %s, %s, %s, %s) on conflict do nothing").format(table)

    def write(self, _name: str, rows: list[Row]) -> None:
        """Insert rows as one; those that are there stay as they are."""
        with self._db.cursor() as cursor:
            cursor.executemany(self._insert, rows)
        self._db.commit()

    def close(self) -> None:
        """Let go of the connection."""
        self._db.close()


class _Folder:
    """Parquet files of a folder, each named by where it begins: sent again, it takes its own place."""

    def __init__(self, to: str) -> None:
        self._folder = Path(urlsplit(to).path)
        self._folder.mkdir(parents=True, exist_ok=True)

    def write(self, name: str, rows: list[Row]) -> None:
        """Write a file, whole or not at all."""
        types = (pa.string(), pa.string(), pa.int64(), pa.int64(), pa.string(), pa.string())
        columns = [pa.array(cells, type_) for cells, type_ in zip(zip(*rows, strict=True), types, strict=True)]
        path = self._folder / f".{name}.{os.getpid()}"
        parquet.write_table(pa.table(columns, list(_COLUMNS)), path)
        os.replace(path, self._folder / f"{name}.parquet")

    def close(self) -> None:
        """Nothing is open."""
