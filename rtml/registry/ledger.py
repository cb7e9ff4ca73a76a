"""The ledger of what served: promotions, rollbacks and acts of the guard in the order of decision, never changed."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence

import sqlalchemy as sa

from rtml.core.clock import Clock
from rtml.registry.learners import learner_version
from rtml.registry.tables import PROMOTION, SOUND, Tables

CHAMPION, ROUTE = "champion", "route"  # what an entry is of
GATE = "gate"  # who decided, where it was no person
GUARD = "guard"
ALWAYS = "always"
RULE = "rule"
ROUTER = "router"
RUN = "run"  # a notebook or command that begins with what serves
AUTOMATIC = frozenset({GATE, GUARD, ALWAYS, RULE, ROUTER, RUN})
RESERVED = AUTOMATIC | {"learner", "trainer", "monitor", "champion", "aperson", "rtml"}  # for no person


class Ledger:
    """Entries of the ``promotion`` table; versions are ids here.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> ledger = Ledger(Tables(Path(tempfile.mkdtemp()) / "registry.db"))
    >>> ledger.promote("eth", "v1", at=10, why="first", evidence={"by": GATE})
    True
    >>> ledger.promote("eth", "v1", at=15, why="again", evidence={"by": GATE})
    False
    >>> ledger.promote("eth", "v2", at=20, why="better", evidence={"by": GATE})
    True
    >>> ledger.serving("eth"), ledger.serving("eth", time=19), ledger.rollback("eth", at=30, why="worse", evidence={})
    ('v2', 'v1', 'v1')
    """

    def __init__(self, tables: Tables):
        self._tables = tables

    def entries(self, model: str) -> Sequence[sa.Row]:
        """Every entry of a model, oldest first."""
        with self._tables.read() as connection:
            return _entries(connection, model)

    def serving(self, model: str, time: int | None = None) -> str | None:
        """Version that serves, or that served at an event time: of the entries in force by then the last."""
        inside = [entry for entry in self.entries(model) if time is None or entry.at <= time]
        return inside[-1].version if inside else None

    def behind(self, model: str, seq: int, alias: str = CHAMPION) -> Sequence[sa.Row]:
        """Entries of a model behind a number."""
        with self._tables.read() as connection:
            return _entries(connection, model, PROMOTION.c.seq > seq, alias=alias)

    def enter(self, model: str, alias: str, **entry) -> None:
        """Add an entry of another kind than what serves, such as a route."""
        with self._tables.write() as connection:
            _enter(connection, alias, model=model, **entry)

    def entered(self, model: str, **entry) -> bool:
        """Whether there is an entry with these values."""
        where = [PROMOTION.c[name] == value for name, value in entry.items()]
        with self._tables.read() as connection:
            return bool(_entries(connection, model, *where))

    def promoted(self, version: str) -> bool:
        """Whether a version was ever promoted."""
        asked = sa.select(PROMOTION.c.seq).where(PROMOTION.c.version == version, PROMOTION.c.action == "promote")
        with self._tables.read() as connection:
            return connection.scalar(asked.limit(1)) is not None

    def promote(self, model: str, version: str, **entry) -> bool:
        """Let a version serve; False, and no entry, when it does already."""
        with self._tables.write() as connection:
            entries = _entries(connection, model)
            if entries and entries[-1].version == version:
                return False
            _enter(connection, model=model, action="promote", version=version, **entry)
        return True

    def rollback(self, model: str, **entry) -> str | None:
        """Let the champion before serve again and return it; None, and no entry, when there was none."""
        with self._tables.write() as connection:
            reachable = _reachable(_entries(connection, model))
            if len(reachable) < 2:
                return None
            _enter(connection, model=model, action="rollback", version=reachable[-2], **entry)
        return reachable[-2]

    def note(self, model: str, action: str, at: int, why: str, evidence: dict) -> bool:
        """Enter what the guard did inside the version that serves; False, and no entry, when it stands there already.

        What serves stays the same: a guarded model answers from its checkpoint or its baseline itself. Where the ledger
        is empty it is the learner.
        """
        with self._tables.write() as connection:
            entries = _entries(connection, model)
            same = (action, int(at), why, evidence)
            if any((e.action, e.at, e.why, e.evidence) == same for e in entries):
                return False
            serves = entries[-1].version if entries else learner_version(model)
            about = {"version": serves, "at": int(at), "why": why, "evidence": evidence}
            _enter(connection, model=model, action=action, **about)
        return True


def decided_by(entry: sa.Row) -> str:
    """Who decided an entry: one of :data:`AUTOMATIC`, a person by name, or "a person".

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> ledger = Ledger(Tables(Path(tempfile.mkdtemp()) / "registry.db"))
    >>> for version, evidence in (("v1", {"by": GATE}), ("v2", {"who": "Ada"}), ("v3", {})):
    ...     _ = ledger.promote("eth", version, at=10, why="better", evidence=evidence)
    >>> [decided_by(entry) for entry in ledger.entries("eth")]
    ['gate', 'Ada', 'a person']
    """
    return entry.evidence.get("by") or entry.evidence.get("who") or "a person"


def _entries(connection: sa.Connection, model: str, *where, alias: str = CHAMPION) -> Sequence[sa.Row]:
    sound = [SOUND] if connection.dialect.name == "sqlite" else []  # a server checks its own pages
    asked = sa.select(PROMOTION, *sound).where(PROMOTION.c.model == model, PROMOTION.c.alias == alias, *where)
    return connection.execute(asked.order_by(PROMOTION.c.seq)).all()


def _enter(connection: sa.Connection, alias: str = CHAMPION, **entry) -> None:
    who = str(entry["evidence"].get("who") or "")
    letters = "".join(filter(str.isalnum, unicodedata.normalize("NFKC", who))).casefold()
    if letters in RESERVED or (who and not letters) or not who.isprintable():
        raise ValueError(f"who decided must be a person, got {who!r}: this name stands for a decision by the program")
    connection.execute(PROMOTION.insert().values(alias=alias, entered=Clock().now(), **entry))


def _reachable(entries: Sequence[sa.Row]) -> list[str]:
    """Champions on the way back, the present one last: a rollback leaves what it took back behind for good."""
    served: list[str] = []
    for entry in entries:
        if entry.action == "rollback":
            served.pop()
        elif entry.action == "promote":
            served.append(entry.version)
    return served
