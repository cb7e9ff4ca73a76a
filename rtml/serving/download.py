"""What was served as a table to take away: each question with its predictions and, where it is known, its answer."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import numpy as np

from rtml.registry.learners import learner_version
from rtml.serving.answers import by_target
from rtml.serving.many_rows import columns_of
from rtml.serving.outcomes import Committed

if TYPE_CHECKING:
    import pyarrow as pa

    from rtml.serving.publisher import Publisher

MOST = 100_000  # questions, the newest


def served(publisher: Publisher, n: int = MOST) -> pa.Table:
    """The newest ``n`` questions in the order asked, as the checkpoint store and the prediction log hold them.

    Columns: ``question``, ``at`` (event time, UTC), ``key``, ``version`` that answered, and by target the prediction,
    its answer (``<target>.y``) and when that was known; both are null where no answer came yet.
    """
    import pyarrow as pa

    targets = publisher.scores.targets
    committed = Committed(publisher.store, publisher.config.flow(), targets, publisher.config.case.event)
    with closing(committed.reader):
        committed.seq = max(0, committed.reader.last_question() - n)
        outcomes = list(committed.outcomes())
    asked = [one for one in outcomes if len(one.id)]
    id, key, moment = (_all([getattr(one, name) for one in asked], np.int64) for name in ("id", "key", "moment"))
    version = [learner_version(publisher.model, one.lineage) for one in asked for _ in range(len(one.id))]
    predictions = {
        t.name: _all([one.predictions[t.name] for one in asked], float).reshape(-1, t.outputs) for t in targets
    }
    place = {id: i for i, id in enumerate(id.tolist())}
    _replace(publisher, place, predictions, version)
    keys = pa.array([publisher.config.keys[k] for k in key.tolist()], pa.string())
    columns = {"question": id, "at": pa.array(moment, pa.timestamp("ns", "UTC")), "key": keys}
    columns["version"] = pa.array(version, pa.string())
    for number, target in enumerate(targets):
        columns |= dict(zip(columns_of(target), predictions[target.name].T, strict=True))
        y, known = _answers(outcomes, number, place)
        columns[f"{target.name}.y"] = pa.array(y, mask=known == 0)
        columns[f"{target.name}.known"] = pa.array(known, pa.timestamp("ns", "UTC"), mask=known == 0)
    return pa.table(columns)


def _answers(outcomes: list, number: int, place: dict[int, int]) -> tuple[np.ndarray, np.ndarray]:
    """What a target learned of each question, and when it was known, ns; 0 where it is not."""
    y, known = np.full(len(place), np.nan), np.zeros(len(place), np.int64)
    for one in outcomes:
        mine = one.label == number
        for id, value, at in zip(one.answered[mine].tolist(), one.y[mine], one.known[mine], strict=True):
            if (i := place.get(id)) is not None:
                y[i], known[i] = value, at
    return y, known


def _replace(publisher: Publisher, place: dict[int, int], predictions: dict, version: list[str]) -> None:
    """Put what frozen versions answered in the place of what the learner predicted."""
    for id, (name, cells) in publisher.service.log.served().items():
        if (i := place.get(id)) is None:
            continue
        version[i] = name
        outputs = [(target.name, target.outputs) for target in publisher.scores.targets]
        for target, prediction in by_target(np.frombuffer(cells), outputs).items():
            predictions[target][i] = prediction


def _all(arrays: list[np.ndarray], kind: type) -> np.ndarray:
    return np.concatenate(arrays).astype(kind) if arrays else np.empty(0, kind)


def written(table: pa.Table | None, format: str) -> bytes:
    """A table as the bytes of a file, ``csv`` or ``parquet``; None is one without rows.

    Examples
    --------
    >>> written(None, "csv")
    b'"question","at","key","version"\\n'
    """
    import pyarrow as pa
    from pyarrow import csv, parquet

    if table is None:
        table = pa.table({name: pa.array([], pa.string()) for name in ("question", "at", "key", "version")})
    sink = pa.BufferOutputStream()
    (csv.write_csv if format == "csv" else parquet.write_table)(table, sink)
    return sink.getvalue().to_pybytes()
