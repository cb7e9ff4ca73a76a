"""Spark: the same transition functions on many machines, over tables and over streams, with the bits of one process.

Rows are grouped by a column, such as the declared partition of their key. A group is taken in its own order by one
state, so each row is answered as in one process. Over a stream the states are kept by Spark, in RocksDB, and committed
with the offsets of its source. Nothing here imports Spark before it is asked for.
"""

from __future__ import annotations

import ctypes
import json
import os
import secrets
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import numpy as np
import pandas as pd
import pyarrow as pa

from rtml.core.state import dumps, loads
from rtml.features import keys
from rtml.integrations.spark_stages import Columns, Stage

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

PARTITION = "partition"  # the column of the declared partition of a key
ROWS = "rows"  # the column of packed rows
_START_S = 90.0  # a cluster may take so long until its workers are there
_ROCKSDB = "org.apache.spark.sql.execution.streaming.state.RocksDBStateStoreProvider"


def pack(batches: Iterable[pa.RecordBatch], by: str, partitions: int = 0) -> Iterator[pa.RecordBatch]:
    """Rows of a group put together as one row of bytes, so that an engine of rows moves few of them.

    Spark's own way to a stateful function costs 10 microseconds a row; a packed one costs that for thousands.

    Parameters
    ----------
    by
        Column of the group; it comes first in what comes out, or :data:`PARTITION` where
    partitions
        are given: then rows are grouped by the declared partition of the key in ``by``.

    Examples
    --------
    >>> rows = pa.RecordBatch.from_pydict({"symbol": ["a", "b", "a"], "x": [1, 2, 3]})
    >>> [batch.column(0).to_pylist() for batch in pack([rows], "symbol")]
    [['a', 'b']]
    """
    for batch in batches:
        group = batch.column(by)
        if partitions:
            group = pa.array(keys.partition(group.to_numpy(zero_copy_only=False), partitions).astype(np.int32))
        coded = group.dictionary_encode(null_encoding="encode")
        code = coded.indices.to_numpy()
        rows = batch.take(pa.array(np.argsort(code, kind="stable")))
        ends = np.cumsum(np.bincount(code, minlength=len(coded.dictionary))).tolist()
        packed = [_bytes(rows.slice(first, end - first)) for first, end in zip([0, *ends], ends, strict=False)]
        names = [PARTITION if partitions else by, ROWS]
        yield pa.RecordBatch.from_arrays([coded.dictionary, pa.array(packed, pa.binary())], names)


def unpack(packed: Iterable[bytes]) -> Columns:
    """Columns of packed rows; a moment as Spark has it becomes ns UTC.

    Examples
    --------
    >>> rows = pa.RecordBatch.from_pydict({"symbol": ["a", "b", "a"], "x": [1, 2, 3]})
    >>> packed = next(pack([rows], "symbol"))
    >>> unpack([packed.column(ROWS)[0].as_py()])["x"]
    array([1, 3])
    """
    table = pa.concat_tables(pa.ipc.open_stream(piece).read_all() for piece in packed)
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            column = column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
        columns[name] = column.to_numpy()
    return columns


def _bytes(rows: pa.RecordBatch) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_batch(rows)
    return sink.getvalue().to_pybytes()


def step(make: Callable[[], Stage], state: bytes | None, packed: Iterable[bytes], order: str) -> tuple[bytes, Columns]:
    """One micro-batch of one group: the state behind it as bytes, and what its rows give.

    Parameters
    ----------
    make
        Gives the stage with empty state.
    state
        Bytes of the group's state, None before its first row.
    packed
        The rows, in any order.
    order
        Column of integers that grow from row to row of a group, also from one micro-batch to the next.

    Examples
    --------
    >>> class Count:
    ...     state = {}
    ...     load = lambda self, state: None
    ...     push = lambda self, columns: {"n": np.array([len(columns["x"])])}
    >>> rows = pa.RecordBatch.from_pydict({"symbol": ["a", "a"], "at": [2, 1], "x": [1.0, 2.0]})
    >>> piece = next(pack([rows], "symbol")).column(ROWS)[0].as_py()
    >>> step(Count, None, [piece], "at")[1]
    {'n': array([2])}
    """
    stage, last = make(), None
    if state is not None:
        kept = loads(state)
        last = kept["last"]
        stage.load(kept["stage"])
    columns = in_order(unpack(packed), order, last)
    out = stage.push(columns)
    return dumps({"last": int(columns[order][-1]), "stage": stage.state}), out


def in_order(columns: Columns, order: str, last: int | None = None) -> Columns:
    """The same rows by their place in the order; a place that is taken, or behind the last one, is refused.

    Examples
    --------
    >>> in_order({"seq": np.array([5, 3]), "x": np.array([0.1, 0.2])}, "seq")["x"].tolist()
    [0.2, 0.1]
    >>> in_order({"seq": np.array([5, 3])}, "seq", last=3)
    Traceback (most recent call last):
    ValueError: row 3 of 'seq' comes again, or after row 3 was taken: name a column that numbers the rows of a group, \
and let its files arrive in that order
    """
    places = columns[order]
    if len(places) > 1 and not (places[1:] > places[:-1]).all():
        by = np.argsort(places, kind="stable")
        columns = {name: values[by] for name, values in columns.items()}
        places = columns[order]
    wrong = places[:1][places[:1] <= last] if last is not None else places[:0]
    wrong = np.r_[wrong, places[1:][places[1:] == places[:-1]]]
    if len(wrong):
        raise ValueError(
            f"row {wrong[0]} of {order!r} comes again, or after row {wrong[0] if last is None else last} was taken: "
            "name a column that numbers the rows of a group, and let its files arrive in that order"
        )
    return columns


class Keyed:
    """What Spark calls for each group of a micro-batch: packed rows in, rows out, the state kept in between."""

    def __init__(self, make: Callable[[], Stage], by: str, order: str) -> None:
        self._make, self._by, self._order = make, by, order

    def init(self, handle: Any) -> None:
        """Open the state of the groups that this task holds."""
        self._state = handle.getValueState("rtml", "state binary")

    def handleInputRows(self, key: tuple, rows: Iterator[pd.DataFrame], timers: Any = None) -> Iterator[pd.DataFrame]:
        """Take the rows of one group."""
        before = bytes(self._state.get()[0]) if self._state.exists() else None
        packed = (bytes(piece) for table in rows for piece in table[ROWS])
        after, out = step(self._make, before, packed, self._order)
        self._state.update((after,))
        yield pd.DataFrame({self._by: [key[0]] * _length(out)} | out)

    def close(self) -> None:
        """Nothing is left open."""


def grouped(
    frame: DataFrame, function: Callable[[Columns], Columns], schema: str, by: str, order: str, partitions: int = 0
) -> DataFrame:
    """A function of all rows of a group, in order: a score of each key, for example. Of a table, not of a stream.

    A group must fit into the memory of one process; its column comes first in what comes out. Otherwise as
    :func:`computed`.
    """
    name, whole, rows = _gathered(frame, by, partitions, schema)

    def called(key: tuple, table: pa.Table) -> pa.Table:
        out = function(in_order(unpack(piece.as_py() for piece in table[ROWS]), order))
        return pa.table({name: pa.repeat(key[0], _length(out))} | out)

    return rows.groupBy(name).applyInArrow(called, whole)


def computed(frame: DataFrame, make: Callable[[], Stage], by: str, order: str, partitions: int = 0) -> DataFrame:
    """What a stage gives for each row of a table or of a stream, a state for each group.

    Parameters
    ----------
    frame
        A table, or a stream: then the state is kept between micro-batches.
    make
        Gives the stage with empty state; it is called on the workers.
    by
        Column of the group, such as a symbol; it comes first in what comes out.
    order
        Column of integers that grow from row to row of a group, such as the offset of the event log.
    partitions
        Those that the feature set declares: then ``by`` is its key, a group is all keys of a partition, and its number
        comes out as :data:`PARTITION`.
    """
    if not frame.isStreaming:
        return grouped(frame, lambda columns: make().push(columns), make().schema, by, order, partitions)
    from pyspark.sql.streaming import StatefulProcessor

    name, whole, rows = _gathered(frame, by, partitions, make().schema)
    processor = like(StatefulProcessor, Keyed)(make, name, order)
    return rows.groupBy(name).transformWithStateInPandas(processor, whole, "append", "none")


def _gathered(frame: DataFrame, by: str, partitions: int, schema: str) -> tuple[str, str, DataFrame]:
    """Name of the group's column, the schema of what comes out, and the packed rows."""
    name, type = (PARTITION, "int") if partitions else (by, frame.schema[by].dataType.simpleString())
    rows = frame.mapInArrow(lambda batches: pack(batches, by, partitions), f"{name} {type}, {ROWS} binary")
    return name, f"{name} {type}, {schema}", rows


def _length(columns: Columns) -> int:
    return len(next(iter(columns.values())))


def like(base: type, own: type, *others: type) -> type:
    """A class of Spark's with our methods: what it hands over is ours, and nothing of ours needs Spark before.

    Examples
    --------
    >>> class Base:
    ...     kind = "stream"
    >>> class Own:
    ...     name = "rtml"
    >>> made = like(Base, Own)
    >>> made.__name__, made.kind, made.name
    ('SparkOwn', 'stream', 'rtml')
    """
    return type(f"Spark{own.__name__}", (own, base, *others), {})


def session(master: str, name: str = "rtml", **settings: str) -> SparkSession:
    """A session with what the stages need: this Python on the workers, states in RocksDB, times in UTC.

    Parameters
    ----------
    master
        Such as ``spark://HOST:7077`` or ``local[2,4]`` (two threads, a task is tried four times).
    name
        Of the application.
    settings
        More settings of Spark, dots written as two underscores.
    """
    from pyspark.sql import SparkSession

    os.environ["PYSPARK_PYTHON"] = sys.executable
    here = str(Path(__file__).parents[2])
    chosen = {
        "spark.executorEnv.PYTHONPATH": os.pathsep.join([here, *filter(None, [os.environ.get("PYTHONPATH")])]),
        "spark.sql.execution.arrow.maxRecordsPerBatch": "200000",
        "spark.sql.session.timeZone": "UTC",
        "spark.sql.streaming.stateStore.providerClass": _ROCKSDB,
        "spark.ui.enabled": "false",
    }
    if master.startswith("local"):
        chosen |= dict.fromkeys(("spark.driver.bindAddress", "spark.driver.host"), "127.0.0.1")
    chosen |= {name.replace("__", "."): value for name, value in settings.items()}
    builder = SparkSession.builder.master(master).appName(name)
    for setting, value in chosen.items():
        builder = builder.config(setting, value)
    return builder.getOrCreate()


@contextmanager
def cluster(workers: int = 2, memory: str = "1g") -> Iterator[str]:
    """A cluster on this machine alone: a master and workers of one core each; its URL for :func:`session`.

    It listens on 127.0.0.1 and asks for a secret that only this user can read. What it started is stopped at the end.
    """
    import pyspark

    home = Path(pyspark.__file__).parent
    port, page = _free_ports(2)
    url = f"spark://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory(prefix="rtml-spark-") as folder:
        _configured(Path(folder))
        about = {"SPARK_CONF_DIR": folder, "SPARK_HOME": str(home), "SPARK_LOCAL_IP": "127.0.0.1"}
        before = {name: os.environ.get(name) for name in about}
        os.environ.update(about)
        place = ["--host", "127.0.0.1"]
        started = [_daemon(home, "master.Master", *place, "--port", str(port), "--webui-port", str(page))]
        held = [*place, "--cores", "1", "--memory", memory, "--work-dir", f"{folder}/work", url]
        try:
            started += [_daemon(home, "worker.Worker", *held) for _ in range(workers)]
            _await(page, workers, started)
            yield url
        finally:
            for process in reversed(started):
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(20)
            for name, value in before.items():
                os.environ.pop(name) if value is None else os.environ.update({name: value})


def _configured(folder: Path) -> None:
    """Settings of master, workers and drivers, in files that only this user may read."""
    settings = {
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(16),
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.driver.host": "127.0.0.1",
        "spark.executor.cores": "1",
        "spark.task.maxFailures": "8",
        "spark.ui.killEnabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    log = ["rootLogger.level = error", "rootLogger.appenderRef.one.ref = console", "appender.console.type = Console"]
    log += ["appender.console.name = console", "appender.console.target = SYSTEM_ERR"]
    log += ["appender.console.layout.type = PatternLayout", "appender.console.layout.pattern = %p %c{1}: %m%n"]
    (folder / "spark-defaults.conf").write_text("\n".join(f"{name} {value}" for name, value in settings.items()))
    (folder / "log4j2.properties").write_text("\n".join(log))


def _daemon(home: Path, what: str, *arguments: str) -> subprocess.Popen:
    command = [str(home / "bin" / "spark-class"), "-Xmx256m", f"org.apache.spark.deploy.{what}", *arguments]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, "start_new_session": True}
    return subprocess.Popen(command, preexec_fn=_end_with_parent, **quiet)


def _end_with_parent() -> None:
    """Have Linux end this process with the one that began it, however that one ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _await(page: int, workers: int, started: list[subprocess.Popen]) -> None:
    """Wait until the master says that its workers are there."""
    for _ in range(int(_START_S / 0.2)):
        if any(process.poll() is not None for process in started):
            break
        with suppress(OSError, ValueError), urlopen(f"http://127.0.0.1:{page}/json/", timeout=5) as answer:
            if json.load(answer)["aliveworkers"] >= workers:
                return
        time.sleep(0.2)
    raise RuntimeError(f"Spark's master and {workers} workers did not start: is Java 17 or newer installed?")


def _free_ports(n: int) -> list[int]:
    """Ports that are free on the loopback now."""
    found = [socket.create_server(("127.0.0.1", 0)) for _ in range(n)]
    ports = [each.getsockname()[1] for each in found]
    for each in found:
        each.close()
    return ports
