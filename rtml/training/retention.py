"""Retention: how long what a run stores is kept; the process that trains lets go of the rest and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path

from rtml.core.clock import Clock, span
from rtml.registry.registry import Registry
from rtml.store import database, event_log
from rtml.store.protocols import EventLog

NAME = "retention.json"
_BATCH = 20_000  # rows deleted in one transaction, so that nobody waits long


@dataclass
class Retention:
    """How long each kind of row is kept, in event time behind the newest event, and when it is looked after.

    What is in ``retention.json`` of a run takes the place of the defaults; ``forever`` keeps all of a kind, which is so
    for events and questions unless a rule is written: everything else is built again from them. Events that no training
    has committed yet are kept however old. Versions beyond the newest so many go, unless they ever served.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as run:
    ...     _ = (Path(run) / NAME).write_text('{"predictions": "7d"}')
    ...     print(Retention.of(Path(run)))
    predictions 7d, questions forever, events forever, versions 200, every 10m
    """

    folder: Path
    predictions: str = "30d"
    questions: str = "forever"
    events: str = "forever"
    versions: int = 200
    every: str = "10m"
    _clock: Clock = field(default_factory=Clock)
    _looked: int = 0

    @classmethod
    def of(cls, folder: Path) -> Retention:
        """The rules of a run; a file that is there is read, one that is not is written with the defaults."""
        path = folder / NAME
        own = [one.name for one in fields(cls) if one.name != "folder" and not one.name.startswith("_")]
        given = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
        if other := sorted(set(given) - set(own)):
            raise ValueError(f"{path} has {', '.join(other)}; a rule is one of {', '.join(own)}")
        rules = cls(folder, **given)
        for name in ("predictions", "questions", "events", "every"):
            if getattr(rules, name) != "forever":
                span(getattr(rules, name))
        if not path.exists():
            path.write_text(json.dumps({name: getattr(rules, name) for name in own}, indent=1) + "\n", encoding="utf-8")
        return rules

    def due(self, log: EventLog, registry: Registry, report: Callable[[str], object]) -> None:
        """Let go of what is older, once in ``every`` of the machine's time; what went is said."""
        now = self._clock.elapsed()
        if now - self._looked >= span(self.every):
            self._looked = now
            gone = {name: number for name, number in self.apply(log, registry).items() if number}
            if gone:
                report("retention let go of " + ", ".join(f"{number:,} {name}" for name, number in gone.items()))

    def apply(self, log: EventLog, registry: Registry) -> dict[str, int]:
        """Let go of what is older than the rules say; how many rows of each kind."""
        now = max((newest(log, part) for part in log.parts()), default=0)
        done = {"predictions": self._predictions(now), "questions": self._questions(now)}
        done["events"] = self._events(log, now)
        done["versions"] = sum(len(registry.collect(model, self.versions)) for model in registry.models())
        return done

    def _cut(self, rule: str, now: int) -> int:
        return 0 if rule == "forever" else now - span(rule)

    def _predictions(self, now: int) -> int:
        """Of the endpoint's log: an answer that comes later is one of an unknown prediction."""
        asked = ("select id from prediction where moment < ? limit ?", self._cut(self.predictions, now))
        return self._delete("predictions.db", asked, ("answer", "prediction"))

    def _questions(self, now: int) -> int:
        """Of the training store, with their predictions, answers and what was closed then."""
        cut = self._cut(self.questions, now)
        gone = self._delete("training.db", ("select id from question where moment < ? limit ?", cut), _OF_TRAINING)
        path = self.folder / "training.db"
        if database.exists(path):
            with database.explained(path), closing(database.opened(path)) as db:
                db.execute("delete from closed where end < ?", (cut,))
        return gone

    def _delete(self, name: str, old: tuple[str, int], tables: tuple[str, ...]) -> int:
        """Delete the rows with the ids that a query gives, a batch at a time; how many ids."""
        path, gone = self.folder / name, 0
        if not database.exists(path):
            return 0
        with database.explained(path), closing(database.opened(path)) as db:
            while ids := db.execute(old[0], (old[1], _BATCH)).fetchall():
                with database.transaction(db):
                    for table in tables:
                        db.executemany(f"delete from {table} where id = ?", ids)
                gone += len(ids)
        return gone

    def _events(self, log: EventLog, now: int) -> int:
        """Of the log, those that every training of this run has committed; a server lets go of its own."""
        path = self.folder / "training.db"
        if not database.exists(path) or not isinstance(log, event_log.EventLog):
            return 0
        with database.explained(path), closing(database.reading(path)) as db:
            found = db.execute("select offset from progress").fetchone()
        done = found[0] if found else 0
        return sum(log.trim(part, self._cut(self.events, now), done) for part in log.parts())

    def __str__(self) -> str:
        rules = {name: value for name, value in asdict(self).items() if name != "folder" and not name.startswith("_")}
        return ", ".join(f"{name} {value}" for name, value in rules.items())


_OF_TRAINING = ("prediction", "question")


def newest(log: EventLog, part: str) -> int:
    """Time (ns) of the newest event of a part, 0 when it has none."""
    rows = log.read(part, max(0, log.last(part) - 1), 1)[1]
    return int(rows["time"][0]) if len(rows) and "time" in (rows.dtype.names or ()) else 0
