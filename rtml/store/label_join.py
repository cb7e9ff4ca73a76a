"""Log and wait: models trained from the log of what was served, the labels joined by id whenever they come.

The features of a prediction are frozen in the log when it is given, so training reads them and recomputes nothing: it
learns from what the model saw, not from what one believes later that it saw.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtml.core.clock import NEVER, span, span_text
from rtml.core.later import pd
from rtml.core.questions import Questions
from rtml.store import database as files
from rtml.store import prediction_tables as tables
from rtml.store.prediction_log import PredictionLog

_SERVED = """
select prediction.id, asked_at, x, names, y, answered_at from prediction join definition using (version)
left join answer using (id) order by asked_at, prediction.id
"""


def questions(log: PredictionLog | str | Path, names: Sequence[str] | None = None) -> Questions:
    """Every prediction of a log as a question with its frozen features, in the order asked; labels as far as they are.

    ``names`` picks features; by default all must have been asked with the same. An answer is known when it was told;
    one told at the moment of its question, by a clock that stood still, counts as known right behind it.

    Examples
    --------
    >>> log = PredictionLog(":memory:")
    >>> log.define("v1", ("a", "b"))
    >>> id = log.append(10, 10, "north", "v1", 0, None, np.array([1.0, 2.0]).tobytes(), 0.5, None, 900)
    >>> log.answer(tables.id_number(id), 0.7, at=60).result()
    'joined'
    >>> asked = questions(log, names=["b"])
    >>> asked.X.tolist(), asked.y.tolist(), asked.known.tolist()
    ([[2.0]], [0.7], [60])
    >>> log.close()
    """
    with reading(log) as database:
        rows = database.execute(_SERVED).fetchall()
    names = _columns({row[3] for row in rows}, names)
    id, moment = (np.array([row[k] for row in rows], np.int64) for k in (0, 1))
    X = picked([np.frombuffer(row[2]) for row in rows], [row[3] for row in rows], names)
    y = np.array([np.nan if row[4] is None else row[4] for row in rows], np.float64)
    known = np.array([NEVER if row[5] is None else row[5] for row in rows], np.int64)
    return Questions(id, moment, X, y, np.maximum(known, moment + 1), names)


@dataclass(frozen=True)
class LabelJoin:
    """What became of the labels: how many predictions were asked, answered, wait, or will never be answered.

    ``never`` wait longer than was agreed; ``forgotten`` were learned and let go of. ``unknown``, ``repeated`` and
    ``contradicting`` answers changed nothing. ``delays`` has one row a class of delay, with its upper end.
    """

    asked: int
    answered: int
    waiting: int
    never: int
    forgotten: int
    unknown: int
    repeated: int
    contradicting: int
    delays: pd.DataFrame


def waiting(log: PredictionLog | str | Path, now: int, timeouts: str) -> LabelJoin:
    """How the labels of a log come in; one that is not here ``timeouts`` after its question is taken never to come.

    Examples
    --------
    >>> log = PredictionLog(":memory:")
    >>> log.define("v1", ("a",))
    >>> for moment in (0, 10**9):
    ...     _ = log.append(moment, moment, "north", "v1", 0, None, np.zeros(1).tobytes(), 0.5, None, 900)
    >>> labels = waiting(log, now=2 * 10**9, timeouts="2s")
    >>> labels.asked, labels.answered, labels.waiting, labels.never
    (2, 0, 1, 1)
    >>> log.close()
    """
    with reading(log) as database:
        (asked, answered), (open_, old) = (
            database.execute("select count(*), count(y) from prediction left join answer using (id)").fetchone(),
            database.execute(
                "select count(*), count(*) filter (where asked_at <= ?) from prediction left join answer using (id) "
                "where y is null",
                (now - span(timeouts),),
            ).fetchone(),
        )
        forgotten = database.execute("select count(*) from forgotten").fetchone()[0]
        verdicts = dict(database.execute("select name, n from verdict"))
        delays = database.execute("select below, n from delay order by below").fetchall()
    rows = [("more" if below == NEVER else f"< {span_text(below)}", n) for below, n in delays]
    gone = forgotten + verdicts.get("given up", 0)
    return LabelJoin(
        asked=asked + gone,
        answered=answered + forgotten,
        waiting=open_ - old,
        never=old + verdicts.get("given up", 0),
        forgotten=forgotten,
        **{name: verdicts.get(name, 0) for name in ("unknown", "repeated", "contradicting")},
        delays=pd.DataFrame(rows, columns=["delay", "answers"]).set_index("delay"),
    )


@contextmanager
def reading(log: PredictionLog | str | Path) -> Iterator[sqlite3.Connection]:
    """The database of a log, to read.

    Examples
    --------
    >>> with reading("no/such/predictions.db") as database:
    ...     pass
    Traceback (most recent call last):
    ...
    FileNotFoundError: no/such/predictions.db is missing: predictions are logged by the endpoint, run 05_serve first
    """
    if isinstance(log, PredictionLog):
        with log.reading() as database:
            yield database
        return
    if not files.exists(log):
        raise FileNotFoundError(f"{log} is missing: predictions are logged by the endpoint, run 05_serve first")
    with closing(tables.opened(log)) as database:  # which adds what a file of an older version lacks
        yield database


def _columns(definitions: set[str], names: Sequence[str] | None) -> tuple[str, ...]:
    if names is None and len(definitions) > 1:
        shared = [set(json.loads(text)) for text in sorted(definitions)]
        raise ValueError(
            f"versions with {len(definitions)} sets of features were served: name those to learn from, "
            f"such as {', '.join(sorted(set.intersection(*shared))) or 'none: they share no feature'}"
        )
    return tuple(json.loads(next(iter(definitions), "[]")) if names is None else names)


def picked(rows: list[np.ndarray], definitions: list[str], names: tuple[str, ...]) -> np.ndarray:
    """The features of each row by name.

    Examples
    --------
    >>> rows = [np.array([1.0, 2.0]), np.array([3.0, 4.0])]
    >>> picked(rows, ['["a", "b"]', '["b", "a"]'], ("a",)).tolist()
    [[1.0], [4.0]]
    """
    picked = np.empty((len(rows), len(names)))
    places: dict[str, list[int]] = {}
    for k, (x, text) in enumerate(zip(rows, definitions, strict=True)):
        if text not in places:
            had = json.loads(text)
            if lacking := [name for name in names if name not in had]:
                raise LookupError(f"no feature {lacking[0]!r} in what was served; there were: {', '.join(had)}")
            places[text] = [had.index(name) for name in names]
        picked[k] = x[places[text]]
    return picked
