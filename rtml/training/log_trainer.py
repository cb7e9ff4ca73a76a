"""Learning from the prediction log, each answer once, and forgetting what may not be kept.

Where nothing may be kept, a prediction is forgotten in the very transaction that keeps what was learned from it.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from rtml.core import state as checkpoint
from rtml.core.clock import NEVER, span
from rtml.models.compiled import compile, restore
from rtml.store import prediction_tables as tables
from rtml.store.label_join import picked, reading
from rtml.store.prediction_tables import Answered


class LogTrainer:
    """A model that learns the answers of a prediction log in the order in which they came, each once.

    What was learned, how far, and what is forgotten is one transaction: a process killed anywhere goes on from there.

    Parameters
    ----------
    model, names
        A river model to begin with, and its features; a learner of that name in the log goes on with its own.
    path
        File of the log; others may write it meanwhile.
    retention
        None keeps every prediction; 0 forgets it, features, prediction and label, once every learner of the log has
        learned it; a span such as "7d" forgets it that long after its answer.
    give_up
        With a retention: forget a prediction that has no answer for so long.
    """

    def __init__(
        self,
        model,
        names: Sequence[str],
        path: str | Path,
        *,
        retention: int | str | None = None,
        give_up: str = "",
        name: str = "learner",
    ) -> None:
        if retention not in (None, 0) and not isinstance(retention, str):
            raise ValueError(f"retention must be None, 0 or a span such as '7d', got {retention!r}")
        self._retention = span(retention) if isinstance(retention, str) else retention
        self._timeouts = span(give_up) if give_up else None
        self.names = tuple(names)
        self._name = name
        self._db = tables.opened(path)
        self._db.execute("pragma secure_delete = on")  # what is deleted is overwritten, not only unlinked
        self.model = compile(model, self.names)
        found = self._db.execute("select place, state from learner where name = ?", (name,)).fetchone()
        if found is None:
            self._db.execute("insert into learner values (?, 0, ?)", (name, checkpoint.dumps(self.model.state)))
        self._place = found[0] if found else 0
        if found is not None:
            self.model = restore(checkpoint.loads(found[1]))

    def learn(self, n: int = 1000) -> int:
        """Learn all answers that came since, at most ``n`` a transaction; how many they were."""
        learned = 0
        while answers := tables.answers(self._db, self._place, n):
            X = picked([a.x for a in answers], [json.dumps(a.names) for a in answers], self.names)
            for x, answer in zip(X, answers, strict=True):
                self._learn(x, answer)
            self._commit(answers[-1].place)
            learned += len(answers)
        if self._retention is not None:
            self._commit(self._place)
            self._db.execute("pragma wal_checkpoint(truncate)").fetchone()
        return learned

    def close(self) -> None:
        """Close the log; what was learned is in it."""
        self._db.close()

    def _learn(self, x: np.ndarray, answer: Answered) -> None:
        if hasattr(self.model, "learn_at"):
            known = max(answer.answered_at, answer.asked_at + 1)
            self.model.learn_at(x, answer.y, answer.prediction, answer.asked_at, known)
        else:
            self.model.learn(x, answer.y)

    def _commit(self, place: int) -> None:
        state = checkpoint.dumps(self.model.state)
        self._db.execute("begin immediate")
        try:
            row = (place, state, self._name, self._place)
            if (
                self._db.execute("update learner set place = ?, state = ? where name = ? and place = ?", row).rowcount
                < 1
            ):
                raise RuntimeError(f"another process learns as {self._name!r} from this log: let one process do it")
            if self._retention is not None:
                self._forget()
            self._db.execute("commit")
        except BaseException:
            self._db.execute("rollback")
            raise
        self._place = place

    def _forget(self) -> None:
        """Delete what every learner has learned, as far as it may go, and what nobody waits for any longer."""
        newest = self._db.execute("select coalesce(max(answered_at), 0) from answer").fetchone()[0]
        newest = max(newest, self._db.execute("select coalesce(max(asked_at), 0) from prediction").fetchone()[0])
        which = "select id from answer where place <= (select min(place) from learner) and answered_at <= ?"
        limit = NEVER if self._retention == 0 else newest - self._retention
        self._db.execute(f"insert or ignore into forgotten {which}", (limit,))
        self._db.execute("delete from prediction where id in (select id from forgotten)")
        self._db.execute("delete from answer where id in (select id from forgotten)")
        if self._timeouts is not None:
            late = "asked_at <= ? and not exists (select 1 from answer where answer.id = prediction.id)"
            given_up = self._db.execute(f"delete from prediction where {late}", (newest - self._timeouts,)).rowcount
            count = "insert into verdict values ('given up', ?) on conflict do update set n = n + excluded.n"
            self._db.execute(count, (given_up,))


@dataclass(frozen=True)
class Kept:
    """What a log still holds of what was served: predictions with a label, without one yet, and traces in its files.

    Examples
    --------
    >>> Kept(answered=0, waiting=3, traces=()).nothing, Kept(0, 3, (("log.db", 41.5),)).nothing
    (True, False)
    """

    answered: int
    waiting: int
    traces: tuple[tuple[str, float], ...]

    @property
    def nothing(self) -> bool:
        """Whether nothing is kept of what was learned; a prediction that waits for its label is."""
        return not self.answered and not self.traces


def kept(path: str | Path, values: Collection[float] = ()) -> Kept:
    """Look for what is kept in a log, and for the bytes of raw values in every file beside it."""
    path = Path(path)
    with reading(path) as database:
        answered = database.execute("select count(*) from answer").fetchone()[0]
        asked = database.execute("select count(*) from prediction").fetchone()[0]
    files = sorted(file for file in path.parent.rglob("*") if file.is_file())
    patterns = [(float(value), order(value)) for value in values for order in (_little, _big)]
    found = [(file.name, value) for file in files for value, bytes_ in patterns if bytes_ in file.read_bytes()]
    return Kept(answered, asked - answered, tuple(found))


def _little(value: float) -> bytes:
    return np.float64(value).tobytes()


def _big(value: float) -> bytes:  # as SQLite stores a number
    return np.float64(value).tobytes()[::-1]
