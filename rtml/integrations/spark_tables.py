"""Spark's way in and out: a part of our event log as a stream, and rows of a stream in a Delta table exactly once.

Neither needs a Java package: both are data sources in Python, which hand over Arrow batches.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from rtml.integrations.spark import like
from rtml.integrations.spark_stages import ddl, types
from rtml.store.offline import add_files, begin
from rtml.store.protocols import open_log

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.streaming import StreamingQuery

OFFSET = "offset"  # the column of a log's numbers: the order of its rows
_PIECE = 100_000  # rows of an Arrow batch


class LogSource:
    """A part of an event log as Spark asks for it: by offsets, and no more than ``rows`` a micro-batch.

    Parameters
    ----------
    options
        ``log`` (a path or URL of :func:`rtml.store.protocols.open_log`), ``part`` and ``rows``.

    Examples
    --------
    >>> LogSource({"log": "run/log", "part": "btc", "rows": "100"}).name()
    'rtml_log'
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._log, self._part, self._rows = options["log"], options["part"], int(options["rows"])

    @classmethod
    def name(cls) -> str:
        """What Spark calls it."""
        return "rtml_log"

    def schema(self) -> str:
        """The offset, then the fields of an event."""
        with open_log(self._log) as log:
            dtype = log.dtype(self._part)
        return ddl({OFFSET: "long"} | types(dtype))

    def streamReader(self, schema: Any) -> Any:
        """What reads it: this very object."""
        from pyspark.sql.datasource import DataSourceStreamReader
        from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow

        return like(DataSourceStreamReader, LogReader, SupportsTriggerAvailableNow)(self._log, self._part, self._rows)


class LogReader:
    """Reads a part of a log from offset to offset.

    Examples
    --------
    >>> LogReader("log", "btc", 100).initialOffset()
    {'offset': 0}
    """

    def __init__(self, log: str, part: str, rows: int) -> None:
        self._log, self._part, self._rows = log, part, rows
        self._until: int | None = None

    def initialOffset(self) -> dict[str, int]:
        """Where a new query begins."""
        return {OFFSET: 0}

    def prepareForTriggerAvailableNow(self) -> None:
        """Take what is there now as all there is."""
        self._until = self._last()

    def latestOffset(self, start: dict, limit: Any) -> dict[str, int]:
        """Where the next micro-batch ends."""
        last = self._last() if self._until is None else self._until
        return {OFFSET: max(start[OFFSET], min(last, start[OFFSET] + self._rows))}

    def partitions(self, start: dict, end: dict) -> Sequence[Any]:
        """One task reads it: a log has one order."""
        from pyspark.sql.datasource import InputPartition

        return [InputPartition((start[OFFSET], end[OFFSET]))]

    def read(self, partition: Any) -> Iterator[pa.RecordBatch]:
        """Events behind the first offset, up to the second."""
        after, until = partition.value
        with open_log(self._log) as log:
            while after < until:
                offsets, rows = log.read(self._part, after, min(_PIECE, until - after))
                if not len(offsets):
                    raise LookupError(f"{log.name} has no event behind {after} of {self._part!r}, {until} were there")
                after = int(offsets[-1])
                fields = {name: np.ascontiguousarray(rows[name]) for name in rows.dtype.names or ()}
                yield pa.RecordBatch.from_pydict({OFFSET: offsets} | fields)

    def commit(self, end: dict) -> None:
        """Nothing is taken out of a log."""

    def stop(self) -> None:
        """Nothing is left open."""

    def _last(self) -> int:
        with open_log(self._log) as log:
            return log.last(self._part)


class DeltaSink:
    """Rows of a stream, written by the workers as files and committed by the driver, once for each micro-batch.

    Parameters
    ----------
    options
        ``path`` of the table and ``name`` of the query in it.

    Examples
    --------
    >>> DeltaSink({"path": "table", "name": "query"}).name()
    'rtml_delta'
    """

    def __init__(self, options: Mapping[str, str]) -> None:
        self._folder, self._name = Path(options["path"]), options["name"]

    @classmethod
    def name(cls) -> str:
        """What Spark calls it."""
        return "rtml_delta"

    def streamWriter(self, schema: Any, overwrite: bool) -> Any:
        """What writes it."""
        from pyspark.sql.datasource import DataSourceStreamArrowWriter

        return like(DataSourceStreamArrowWriter, DeltaWriter)(self._folder, self._name)


class DeltaWriter:
    """Writes files beside a Delta table, then names them all in one commit."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder, self._name = folder, name

    def write(self, batches: Iterator[pa.RecordBatch]) -> Any:
        """One task's rows as a file; its name for the driver, or None where there are no rows."""
        from pyspark.sql.datasource import WriterCommitMessage

        held = [batch for batch in batches if len(batch)]
        if not held:
            return None
        message = WriterCommitMessage()
        message.file = f"{uuid.uuid4().hex}.parquet"
        pq.write_table(pa.Table.from_batches(held), self._folder / message.file)
        return message

    def commit(self, messages: Sequence[Any], batch: int) -> None:
        """Name the files of a micro-batch in the table, unless that was done before."""
        add_files(self._folder, _files(messages), self._name, batch)

    def abort(self, messages: Sequence[Any], batch: int) -> None:
        """Remove the files of a micro-batch that failed."""
        for name in _files(messages):
            (self._folder / name).unlink(missing_ok=True)


def log_stream(session: SparkSession, log: str | Path, part: str, rows: int = 500_000) -> DataFrame:
    """A part of an event log as a stream: its offset, then the fields of its events.

    Parameters
    ----------
    log
        Path or URL that every worker can open, see :func:`rtml.store.protocols.open_log`.
    part
        Of the log, such as ``events``.
    rows
        A micro-batch has no more; one costs seconds whatever its size, so let it be large.
    """
    from pyspark.sql.datasource import DataSource

    session.dataSource.register(like(DataSource, LogSource))
    about = {"log": str(log), "part": part, "rows": str(rows)}
    return session.readStream.format(LogSource.name()).options(**about).load()


def to_delta(frame: DataFrame, folder: str | Path, checkpoint: str | Path, **trigger: Any) -> StreamingQuery:
    """Begin a query that appends what a stream gives to a Delta table, each micro-batch once.

    Parameters
    ----------
    folder
        Of the table, where workers and driver can write; begun where there is none.
    checkpoint
        Folder in which Spark keeps offsets and states. It belongs to the table: one cannot begin again without the
        other.
    trigger
        As Spark's, such as ``availableNow=True``.
    """
    from pyspark.sql.datasource import DataSource
    from pyspark.sql.pandas.types import to_arrow_schema

    name, begun = str(Path(checkpoint).resolve()), (Path(checkpoint) / "commits").is_dir()
    done = begin(folder, to_arrow_schema(frame.schema), name)
    if done is not None and not begun:
        raise FileNotFoundError(
            f"{folder} holds what a query with the checkpoint {checkpoint} wrote up to its batch {done}, but that is "
            "gone: put it back, or begin with a new table"
        )
    frame.sparkSession.dataSource.register(like(DataSource, DeltaSink))
    sink = frame.writeStream.format(DeltaSink.name()).option("path", str(folder)).option("name", name)
    return sink.option("checkpointLocation", str(checkpoint)).trigger(**trigger).start()


def _files(messages: Sequence[Any]) -> list[str]:
    return [message.file for message in messages if message is not None]
