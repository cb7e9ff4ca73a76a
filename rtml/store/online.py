"""The online store: the latest values of every key, a dict in front of one SQLite file.

Newer is never overwritten by older, whoever writes in whatever order. What was written survives ``kill -9``; a power
cut may take back the last commits, and the offline store fills them in again.
"""

from __future__ import annotations

import json
import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from rtml.core.clock import NEVER, span
from rtml.core.later import pd
from rtml.store import database
from rtml.store.database import explained
from rtml.store.facts import keys_of

_TABLES = (
    "create table if not exists grp (name text primary key, about text not null)",
    "create table if not exists latest (grp text, key, moment integer not null, known integer not null, "
    "definition text not null, x blob, primary key (grp, key)) without rowid",
    "create table if not exists progress (source text primary key, offset integer not null)",
)
_PUT = """
insert into latest values (?, ?, ?, ?, ?, ?) on conflict do update set
    moment = excluded.moment, known = excluded.known, definition = excluded.definition, x = excluded.x
    where (excluded.moment, excluded.known) >= (moment, known)
"""
_PROGRESS = "insert into progress values (?, ?) on conflict do update set offset = max(offset, excluded.offset)"
_SOUND = "sound(crc, grp, key, moment, known, definition, x)"
_GET = f"select moment, definition, x, {_SOUND} from latest where grp = ? and key = ?"
_GONE = (NEVER, "", None)


@dataclass(frozen=True)
class Group:
    """Features that are stored together: their names, when each is stale, and what stands where there is none.

    ``ttl`` and ``defaults`` are one a feature, ttl in ns; ``missing`` is "default" or "refuse".

    Examples
    --------
    >>> card = group_of("card", ["spend"], "1h", [0.0], "v1", "default")
    >>> Group.read(json.dumps(asdict(card))) == card
    True
    >>> try:
    ...     card.check(group_of("card", ["spend"], "1h", [0.0], "v2", "default"))
    ... except ValueError as error:
    ...     print(str(error).partition(":")[0])
    group 'card' holds spend of definition 'v1', got spend of 'v2'
    """

    name: str
    names: tuple[str, ...]
    ttl: tuple[int, ...]
    defaults: tuple[float, ...]
    definition: str = ""
    missing: str = "default"

    @classmethod
    def read(cls, text: str | bytes) -> Group:
        """A group from the JSON of its fields."""
        about = json.loads(text)
        return cls(**{name: tuple(value) if isinstance(value, list) else value for name, value in about.items()})

    def check(self, made: Group) -> None:
        """Refuse another declaration of the same name with other features or another definition."""
        if (self.names, self.definition) != (made.names, made.definition):
            raise ValueError(
                f"group {self.name!r} holds {', '.join(self.names)} of definition {self.definition!r}, got "
                f"{', '.join(made.names)} of {made.definition!r}: store another definition under another name"
            )

    def latest(
        self, moment: int, definition: str, values: np.ndarray | None, key: int | str, now: int, counters
    ) -> Latest:
        """What is served of a key, of which there are these values or none; counted."""
        counters[self.name, "get"] += 1
        if values is None:
            counters[self.name, "missing"] += 1
            if self.missing == "refuse":
                raise LookupError(f"no {self.name} {key!r}: nothing was stored for it, and the group has no default")
            ages = (NEVER,) * len(self.names)
            return Latest(self.names, np.array(self.defaults), ages, (), self.names, self.definition)
        age, stale = now - moment, ()
        if age > min(self.ttl):
            stale = tuple(name for name, ttl in zip(self.names, self.ttl, strict=True) if age > ttl)
            counters[self.name, "stale"] += 1
            counters.update((name, "stale") for name in stale)
        return Latest(self.names, values, (age,) * len(self.names), stale, (), definition)


def group_of(
    name: str,
    names: Sequence[str],
    ttl: str | Mapping[str, str],
    defaults: Sequence[float] | None,
    definition: str,
    missing: str,
) -> Group:
    """A group from what a user declares: spans as text, NaN where no default is given.

    Examples
    --------
    >>> card = group_of("card", ["spend", "count"], {"spend": "1h", "count": "1m"}, None, "v1", "default")
    >>> card.ttl, card.defaults
    ((3600000000000, 60000000000), (nan, nan))
    """
    spans = [span(ttl if isinstance(ttl, str) else ttl[feature]) for feature in names]
    defaults = [float("nan")] * len(spans) if defaults is None else [float(value) for value in defaults]
    made = Group(name, tuple(names), tuple(spans), tuple(defaults), definition, missing)
    if len(defaults) != len(spans) or missing not in ("default", "refuse"):
        raise ValueError(f"{name} needs a default a feature and missing 'default' or 'refuse', got {made}")
    return made


class Latest:
    """The values of a key as they are served, with the age of each in ns (``NEVER`` where there is none).

    ``stale`` and ``missing`` name the features that are older than their TTL, and those that are defaults.

    Examples
    --------
    >>> card = Latest(("spend",), np.array([12.5]), (10**9,), (), (), "v1")
    >>> terminal = Latest(("risk",), np.array([0.0]), (NEVER,), (), ("risk",), "v2")
    >>> both = (card + terminal).response()
    >>> both["values"], both["age_s"], both["missing"]
    ({'spend': 12.5, 'risk': 0.0}, {'spend': 1.0, 'risk': None}, ['risk'])
    """

    __slots__ = ("ages", "definition", "missing", "names", "stale", "values")

    def __init__(self, names, values, ages, stale, missing, definition) -> None:
        self.names = names
        self.values = values
        self.ages = ages
        self.stale = stale
        self.missing = missing
        self.definition = definition

    def response(self) -> dict:
        """What a response holds: values, ages in seconds, what is stale, what is missing, the definition."""
        ages = [None if age == NEVER else age / 1e9 for age in self.ages]
        return {
            "values": dict(zip(self.names, self.values.tolist(), strict=True)),
            "age_s": dict(zip(self.names, ages, strict=True)),
            "stale": list(self.stale),
            "missing": list(self.missing),
            "definition": self.definition,
        }

    def __add__(self, other: Latest) -> Latest:
        values = np.concatenate([self.values, other.values])
        lists = [getattr(self, name) + getattr(other, name) for name in ("ages", "stale", "missing")]
        definition = " ".join(filter(None, (self.definition, other.definition)))
        return Latest(self.names + other.names, values, *lists, definition)


class OnlineStore:
    """Latest values by group and key; for any number of threads and processes.

    Examples
    --------
    >>> store = OnlineStore(":memory:")
    >>> store.declare("card", ["spend_24h"], ttl="1d", defaults=[0.0])
    >>> store.put("card", 7, moment=span("2h"), values=[12.5]), store.put("card", 7, moment=span("1h"), values=[3.0])
    (True, False)
    >>> store.get("card", 7, now=span("3h")).response()["values"], store.get("card", 7, now=span("3d")).stale
    ({'spend_24h': 12.5}, ('spend_24h',))
    >>> store.get("card", 8, now=span("3h")).missing
    ('spend_24h',)
    """

    def __init__(self, path: str | Path, front: int = 1_000_000) -> None:
        if str(path) != ":memory:":
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self.path = path
        self._most = front
        self._lock = threading.RLock()
        self._db = database.opened(path, _TABLES)
        self._groups: dict[str, Group] = {}
        self._front: dict[tuple, tuple] = {}
        self._version = self._age = 0  # of the file as others write it, and of what is in front
        self.counters: Counter[tuple[str, str]] = Counter()  #: by (group, what) and, for stale ones, (feature, "stale")

    def declare(
        self,
        group: str,
        names: Sequence[str],
        *,
        ttl: str | Mapping[str, str],
        defaults: Sequence[float] | None = None,
        definition: str = "",
        missing: str = "default",
    ) -> None:
        """Say what a group holds; what was declared before is refused with other names or another definition."""
        made = group_of(group, names, ttl, defaults, definition, missing)
        with self._lock, explained(self.path), database.transaction(self._db):
            if known := self._stored(group):
                known.check(made)
            self._db.execute("insert or replace into grp values (?, ?)", (group, json.dumps(asdict(made))))
        self._groups[group] = made

    def put(self, group: str, key: int | str, moment: int, values, known: int | None = None) -> bool:
        """Store the values of a key; False when newer ones are there. ``None`` takes back what was known."""
        values = None if values is None else [values]
        return bool(self.put_many(group, [key], [moment], values, None if known is None else [known]))

    def put_many(
        self, group: str, keys, moments, values, known=None, *, definition: str = "", progress: tuple | None = None
    ) -> int:
        """Store many in one commit, with the ``(source, offset)`` they came from; the number that was not older.

        Of rows of one key the one of the newest moment stands, then the one known last, then the one further down.
        """
        held, n = self._group(group), len(keys)
        definition = definition or held.definition
        if values is not None:
            values = np.ascontiguousarray(values, np.float64).reshape(n, len(held.names))
        known = moments if known is None else known
        columns = (keys_of(keys).tolist(), np.asarray(moments, np.int64).tolist(), np.asarray(known).tolist())
        blobs = [None] * n if values is None else [row.tobytes() for row in values]
        rows = [(group, key, moment, at, definition, x) for key, moment, at, x in zip(*columns, blobs, strict=True)]
        with self._lock, explained(self.path), database.transaction(self._db):
            written = max(self._db.executemany(_PUT, rows).rowcount, 0) if rows else 0
            if progress is not None:
                self._db.execute(_PROGRESS, progress)
            for key in columns[0]:
                self._front.pop((group, key), None)
        self.counters[group, "written"] += written
        self.counters[group, "older"] += n - written
        return written

    def get(self, group: str, key: int | str, now: int) -> Latest:
        """The values of a key with their ages; a missing key gives the defaults, or is refused if so declared."""
        held = self._groups.get(group) or self._group(group)
        with self._lock, explained(self.path):
            return held.latest(*self._row(group, key), key, now, self.counters)

    def join(self, keys: Mapping[str, int | str], now: int) -> Latest:
        """The values of several groups side by side, each by its own key: ``{"card": 7, "terminal": 3}``."""
        first, *others = [self.get(group, key, now) for group, key in keys.items()]
        return sum(others, first)

    def table(self, group: str, now: int) -> pd.DataFrame:
        """Every key of a group: moment, age in seconds, whether a value is stale, definition and values."""
        held = self._group(group)
        with self._lock, explained(self.path):
            rows = self._db.execute(
                f"select key, moment, definition, x, {_SOUND} from latest where grp = ? and x is not null order by key",
                (group,),
            ).fetchall()
        values = np.frombuffer(b"".join(row[3] for row in rows)).reshape(len(rows), len(held.names))
        frame = pd.DataFrame([row[:3] for row in rows], columns=["key", "moment", "definition"])
        age = (now - frame["moment"].astype("int64")) / 1e9
        head = {"age_s": age, "stale": age > min(held.ttl) / 1e9}
        return frame.assign(**head, **{name: values[:, j] for j, name in enumerate(held.names)})

    def progress(self, source: str) -> int:
        """Offset up to which a source was stored, 0 when it never was."""
        with self._lock:
            found = self._db.execute("select offset from progress where source = ?", (source,)).fetchone()
        return found[0] if found else 0

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._db.close()

    def _row(self, group: str, key: int | str) -> tuple:
        """Moment, definition and values of a key, from the front while nobody else has written."""
        version = self._db.execute("pragma data_version").fetchone()[0]
        if version != self._version:
            self._version, self._age = version, self._age + 1
        found = self._front.get((group, key))
        if found is not None and found[0] == self._age:
            return found[1]
        row = self._db.execute(_GET, (group, key if isinstance(key, str) else int(key))).fetchone()
        if row is None or row[2] is None:
            return _GONE
        row = (row[0], row[1], np.frombuffer(row[2]))
        if len(self._front) >= self._most:
            del self._front[next(iter(self._front))]
        self._front[group, key] = (self._age, row)
        return row

    def _stored(self, group: str) -> Group | None:
        found = self._db.execute("select about from grp where name = ?", (group,)).fetchone()
        return Group.read(found[0]) if found else None

    def _group(self, group: str) -> Group:
        if group not in self._groups:
            with self._lock:
                if (found := self._stored(group)) is None:
                    raise LookupError(f"no group {group!r} in {self.path}: declare it first")
            self._groups[group] = found
        return self._groups[group]
