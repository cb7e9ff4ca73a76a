"""Many rows a request: a JSON list of requests, or a table of features as an Arrow IPC stream.

A list is answered item by item as single requests are, and each answer is logged. A table is for scoring: columns come
in and go out, the bits are those of single requests, and nothing of it is logged, so no answer can be told of it.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import msgspec
import numpy as np

from rtml.core.target import Target
from rtml.models.rows import predictions
from rtml.serving.schemas import Refused, encode, invalid
from rtml.serving.service import NO_MODEL, Service

if TYPE_CHECKING:
    import pyarrow as pa

    from rtml.serving.snapshot import Serving, Snapshot

ARROW = b"\xff\xff\xff\xff"  # how a message of an Arrow IPC stream begins
_AT_ONCE = 4096  # rows between two looks at other requests
_items = msgspec.json.Decoder(list[msgspec.Raw])


async def predict_list(service: Service, body: bytes) -> bytes:
    """Answer each request of a JSON list: a prediction, or the refusal of that one."""
    try:
        items = _items.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as ex:
        raise invalid("body", f"must be a JSON list of requests: {ex}", body[:80].decode("utf-8", "replace")) from ex
    if not items:
        return encode(service.ask_json(body))  # which says that nothing was asked
    answers = []
    for k, item in enumerate(items):
        if k % 256 == 255:
            await asyncio.sleep(0)
        try:
            answers.append(encode(service.ask_json(bytes(item))))
        except Refused as ex:
            answers.append(encode(ex.refusal))
    return b"[" + b",".join(answers) + b"]"


async def predict_table(service: Service, body: bytes) -> bytes:
    """Predictions of a table as one of the same length: a column for each number of each target.

    A column ``key`` may name the key of each row; where there is one key it may be left out. Version and offset are in
    the metadata of the schema.
    """
    import pyarrow as pa

    serving = service._serving
    if serving is None:
        raise Refused(503, NO_MODEL)
    try:
        table = pa.ipc.open_stream(body).read_all()
    except (pa.ArrowInvalid, OSError) as ex:
        raise invalid("body", f"must be an Arrow IPC stream: {ex}", len(body)) from ex
    X = _rows(serving, table)
    snapshot, pieces = serving.snapshot, []
    for start in range(0, len(X), _AT_ONCE):
        pieces.append(_predicted(snapshot, X[start : start + _AT_ONCE], start))
        await asyncio.sleep(0)
    names = [name for target in snapshot.targets for name in columns_of(target)]
    values = np.concatenate(pieces, axis=1) if pieces else np.empty((len(names), 0))
    about = {"version": snapshot.version, "offset": str(snapshot.learned[0])}
    answer = pa.table(dict(zip(names, values, strict=True))).replace_schema_metadata(about)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, answer.schema) as writer:
        writer.write_table(answer)
    return sink.getvalue().to_pybytes()


def _rows(serving: Serving, table: pa.Table) -> np.ndarray:
    """Rows as the models take them, or why the table has none."""
    names, asked = table.column_names, serving.asked
    for name in asked:
        if name not in names:
            raise invalid(name, f"is a column that is required; the models take {', '.join(asked)}", names)
    for name in names:
        if name not in (*asked, "key") or names.count(name) > 1:
            raise invalid(name, f"is no feature, or twice; the models take {', '.join(asked)}", names)
    X = np.empty((table.num_rows, len(serving.snapshot.names)))
    for j, name in enumerate(asked):
        column = table.column(name)
        try:
            X[:, j] = column.cast("float64").to_numpy()
        except (ValueError, NotImplementedError) as ex:
            raise invalid(name, f"must be numbers: {ex}", str(column.type)) from ex
        if column.null_count or not np.isfinite(X[:, j]).all():
            row = int(np.argmax(~np.isfinite(X[:, j])))
            raise invalid(name, f"must be finite numbers; row {row} is not", str(column[row].as_py()))
    if len(asked) < X.shape[1]:
        X[:, -1] = _places(serving, table)
    return X


def _places(serving: Serving, table: pa.Table) -> np.ndarray:
    """Number of the key of each row."""
    keys = serving.snapshot.keys
    if "key" not in table.column_names:
        if len(keys) > 1:
            raise invalid("key", "is a column that is required where there are several keys", table.column_names)
        return np.zeros(table.num_rows)
    column = table.column("key").combine_chunks().dictionary_encode()
    known = {key: place for place, key in enumerate(keys)}
    named = column.dictionary.to_pylist()
    if unknown := [key for key in named if key not in known] or [None] * column.null_count:
        raise invalid("key", f"must be one of {', '.join(keys[:50])}", unknown[0])
    return np.array([known[key] for key in named] or [0.0])[column.indices.to_numpy()]


def columns_of(target: Target) -> list[str]:
    """Columns of a target: its name, or that with the class or place behind it.

    Examples
    --------
    >>> columns_of(Target("sky", "classes", classes=("sun", "rain"))), columns_of(Target("demand", "number"))
    (['sky.sun', 'sky.rain'], ['demand'])
    """
    if target.outputs == 1:
        return [target.name]
    return [f"{target.name}.{each}" for each in target.classes or range(target.outputs)]


def _predicted(snapshot: Snapshot, X: np.ndarray, start: int) -> np.ndarray:
    """Predictions of rows, shape (numbers of all targets, rows)."""
    columns = []
    for target in snapshot.targets:
        values = predictions(snapshot.learned[1][target.name], X)
        columns.append(np.asarray(values, float).reshape(len(X), -1)[:, : target.outputs].T)
    found = np.concatenate(columns)
    if not np.isfinite(found).all():
        row = int(np.argmax(~np.isfinite(found).all(axis=0)))
        raise invalid("features", f"must be of a size for which the prediction is finite; row {start + row} is not", "")
    return found
