"""The offline store: tables of facts on Delta Lake that grow only, and can be read as of any version or moment.

A commit holds rows and the transport's offset together, so what is appended twice is there once. A commit costs some
10 ms: append in batches, never on the path of a request.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from deltalake.transaction import AddAction

from rtml.core import digests
from rtml.core.clock import NEVER, utc
from rtml.core.later import pc, pd
from rtml.store.database import Damaged
from rtml.store.facts import Facts, keys_of

_HEAD = ("key", "happened", "known", "seq", "definition", "deleted")
_ROWS, _SEALED = "rtml:rows", "rtml:sealed"
_TRIES = 20  # other writers may come first so often


@dataclass(frozen=True)
class Reading:
    """What a table held at a version, as far as it was known at a moment.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     table = FeatureTable(Path(folder) / "cards", ("spend",))
    ...     _ = table.append(Facts([7, 7], [10, 10], [10, 30], [[5.0], [6.0]], table.names, "v1"), sealed=30)
    ...     [table.as_of(moment).features()["spend"].tolist() for moment in (20, 30)]
    [[5.0], [6.0]]
    """

    delta: DeltaTable
    names: tuple[str, ...]
    until: int = NEVER

    def facts(self, keys: Sequence | None = None, start: int | None = None, end: int | None = None) -> Facts:
        """Every fact of some keys that happened in ``[start, end)``, with those corrected or taken back later."""
        wanted = pc.field("known") <= self.until
        if keys is not None:
            wanted &= pc.field("key").isin(keys_of(keys).tolist())
        if start is not None:
            wanted &= pc.field("happened") >= start
        if end is not None:
            wanted &= pc.field("happened") < end
        folder = Path(unquote(urlsplit(self.delta.table_uri).path))
        if wrong := digests.broken(folder, [Path(unquote(uri)).name for uri in self.delta.file_uris()]):
            raise Damaged(f"{folder}: {', '.join(wrong)}: remove the folder and materialise again")
        table = self.delta.to_pyarrow_table(filters=wanted)
        column = {name: table[name].to_numpy() for name in table.column_names}
        order = np.lexsort([column[name] for name in ("seq", "known", "happened", "key")])
        values = np.column_stack([column[name] for name in self.names]) if len(order) else np.empty((0, 0))
        head = (column["key"][order], column["happened"][order], column["known"][order], values[order])
        return Facts(*head, self.names, column["definition"][order].astype(str), column["deleted"][order].astype(bool))

    def features(self, keys: Sequence | None = None, start: int | None = None, end: int | None = None) -> pd.DataFrame:
        """The values that stood: one row a key and event time, in that order."""
        return self.facts(keys, start, end).newest().frame().drop(columns="deleted")


class FeatureTable:
    """One table of facts in a folder, for one writer at a time and any number of readers.

    Parameters
    ----------
    path
        The folder; a new table is begun where there is none.
    names
        The features of a new table; those of an old one must be the same, or may be left out.
    key
        ``int`` or ``str``, for a new table.

    Examples
    --------
    >>> import tempfile
    >>> table = FeatureTable(Path(tempfile.mkdtemp()) / "cards", ("spend_24h",))
    >>> table.append(Facts([7, 8], [10, 20], [10, 20], [[5.0], [9.0]], table.names, "v1"), "log", offset=2)
    2
    >>> table.append(Facts([7, 8], [10, 20], [10, 20], [[5.0], [9.0]], table.names, "v1"), "log", offset=2)
    0
    >>> table.features(keys=[7])[["key", "happened", "spend_24h"]].values.tolist(), table.offset("log"), table.sealed
    ([[7.0, 10.0, 5.0]], 2, 19)
    """

    def __init__(self, path: str | Path, names: Sequence[str] | None = None, key: type = int) -> None:
        self.path = Path(path)
        try:
            self._delta = _opened(self.path)
        except TableNotFoundError:
            if names is None:
                raise FileNotFoundError(f"{path} is no feature table: name its features to begin one") from None
            self._delta = _created(self.path, tuple(names), key)
        about = json.loads(self._delta.metadata().description)
        self.names, self.key = tuple(about["names"]), {"int": int, "str": str}[about["key"]]
        if names is not None and tuple(names) != self.names:
            raise ValueError(f"{path} holds {', '.join(self.names)}, got {', '.join(names)}: take another folder")

    @property
    def rows(self) -> int:
        """Number of facts, those corrected or taken back later included."""
        return self._number(_ROWS, 0)

    @property
    def sealed(self) -> int:
        """All that was known up to this moment is here: what is appended later was known later."""
        return self._number(_SEALED, -1)

    @property
    def version(self) -> int:
        """Number of the newest commit."""
        self._delta.update_incremental()
        return self._delta.version()

    def offset(self, source: str) -> int:
        """Offset up to which a source was appended, 0 when it never was."""
        return self._number(f"source:{source}", 0)

    def append(self, facts: Facts, source: str = "", offset: int | None = None, sealed: int | None = None) -> int:
        """Append facts in one commit; the number of rows written, 0 when the source's offset was here before.

        Parameters
        ----------
        facts : none of them known at or before ``self.sealed``.
        source, offset : what the rows were made of, committed with them.
        sealed : the moment up to which everything is known now; by default all but the newest moment of these facts.
        """
        for _ in range(_TRIES):
            self._delta.update_incremental()  # once: what the commit says must fit what was looked at
            if offset is not None and offset <= self._seen(f"source:{source}", 0):
                return 0
            commit = self._commit(facts, source, offset, sealed)
            try:
                write_deltalake(self._delta, self._table(facts), mode="append", commit_properties=commit)
                self._seal()
                return len(facts)
            except CommitFailedError:  # somebody else was first: nothing is written, look again
                self._delta = _opened(self.path)
        raise TimeoutError(f"{self.path} is written by others all the time: let one process at a time write it")

    def features(
        self, keys: Sequence | None = None, start: int | None = None, end: int | None = None, as_of: int | None = None
    ) -> pd.DataFrame:
        """Newest values of some keys in ``[start, end)``; those of ``as_of`` are the same whenever they are read."""
        return self.as_of(as_of).features(keys, start, end)

    def history(self, keys: Sequence | None = None, start: int | None = None, end: int | None = None) -> pd.DataFrame:
        """Every fact of some keys that happened in ``[start, end)``, corrections and deletes too."""
        return self.as_of().facts(keys, start, end).frame()

    def as_of(self, moment: int | None = None, version: int | None = None) -> Reading:
        """The table at a version (all there is, if not given), as far as it was known at a moment."""
        delta = _opened(self.path, version)
        sealed = delta.transaction_version(_SEALED)
        if moment is not None and (sealed is None or moment > sealed):
            until = "nothing" if sealed is None else f"all that was known up to {utc(sealed)}"
            raise ValueError(
                f"{self.path.name} holds {until}, more may come that was known at {utc(moment)}: ask for an earlier "
                "moment, or for no moment to read what is here now"
            )
        return Reading(delta, self.names, NEVER if moment is None else moment)

    def compact(self) -> tuple[int, int]:
        """Put small files together; their number before and after. What is read does not change by a bit."""
        before = len(DeltaTable(self.path).file_uris())
        DeltaTable(self.path).optimize.compact()
        digests.seal(self.path)
        return before, len(DeltaTable(self.path).file_uris())

    def vacuum(self, keep_hours: int, dry_run: bool = False) -> Vacuumed:
        """Remove files that compaction replaced, or a killed writer left, more than so many hours ago."""
        delta = DeltaTable(self.path)
        options = {"retention_hours": keep_hours, "enforce_retention_duration": False, "full": True}
        gone = delta.vacuum(dry_run=True, **options)
        oldest = self._first_without(set(gone))
        if not dry_run:
            delta.vacuum(dry_run=False, **options)
            digests.seal(self.path)
        return Vacuumed(len(gone), oldest, dry_run)

    def _seal(self) -> None:
        """Keep the digests of what the last commit wrote."""
        log = f"_delta_log/{self.version:020d}.json"
        actions = (json.loads(line) for line in (self.path / log).read_text().splitlines())
        digests.add(self.path, [log, *(unquote(action["add"]["path"]) for action in actions if "add" in action)])

    def _first_without(self, gone: set[str]) -> int:
        """The version since which no file of a set is part of the table."""
        log = self.path / "_delta_log"
        for commit in sorted(log.glob("[0-9]*.json"), reverse=True):
            actions = (json.loads(line) for line in commit.read_text().splitlines())
            if any(action.get("remove", {}).get("path") in gone for action in actions):
                return int(commit.stem)
        return 0

    def _number(self, name: str, default: int) -> int:
        self._delta.update_incremental()
        return self._seen(name, default)

    def _seen(self, name: str, default: int) -> int:
        found = self._delta.transaction_version(name)
        return default if found is None else found

    def _commit(self, facts: Facts, source: str, offset: int | None, sealed: int | None) -> CommitProperties:
        self._check(facts)
        newest = int(facts.known.max()) - 1 if len(facts) else -1
        numbers = {_ROWS: self._seen(_ROWS, 0) + len(facts)}
        numbers[_SEALED] = max(self._seen(_SEALED, -1), newest if sealed is None else int(sealed))
        if offset is not None:
            numbers[f"source:{source}"] = int(offset)
        return CommitProperties(app_transactions=[Transaction(name, number) for name, number in numbers.items()])

    def _check(self, facts: Facts) -> None:
        if facts.names != self.names:
            raise ValueError(f"{self.path.name} holds {', '.join(self.names)}, got {', '.join(facts.names)}")
        if len(facts) and (facts.key.dtype.kind == "i") != (self.key is int):
            raise ValueError(f"keys of {self.path.name} are {self.key.__name__}, got {facts.key.dtype}")
        sealed = self._seen(_SEALED, -1)
        late = np.flatnonzero(facts.known <= sealed)
        if len(late):
            raise ValueError(
                f"row {late[0]} (key {facts.key[late[0]]!s}) says it was known at {utc(facts.known[late[0]])}, but all "
                f"that was known up to {utc(sealed)} is here: what is learned late is known late"
            )

    def _table(self, facts: Facts) -> pa.Table:
        first = self._seen(_ROWS, 0)
        head = [facts.key, facts.happened, facts.known, np.arange(first, first + len(facts)), facts.definition]
        columns = [*head, facts.deleted, *facts.values.T]
        schema = _schema(self.names, self.key)
        return pa.Table.from_arrays([pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)], schema=schema)


def begin(folder: str | Path, schema: pa.Schema, source: str) -> int | None:
    """Begin a plain table where there is none; the newest number that a source added files with, None if it never did.

    Raises
    ------
    ValueError
        Where there is a table of other columns.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     new = begin(folder, pa.schema([("price", pa.float64())]), "log")
    ...     new, [field.name for field in DeltaTable(folder).schema().fields]
    (None, ['price'])
    """
    table = DeltaTable.create(folder, schema, mode="ignore")
    if (held := pa.schema(table.schema().to_arrow())).names != schema.names:
        raise ValueError(f"{folder} holds {', '.join(held.names)}, got {', '.join(schema.names)}: take another folder")
    return table.transaction_version(source)


def add_files(folder: str | Path, names: Sequence[str], source: str, number: int) -> bool:
    """Make Parquet files that lie in a plain table's folder part of it, all or none; whether this was news.

    ``number`` grows with every call of a ``source``: what comes again is there already.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> from pyarrow.parquet import write_table
    >>> with TemporaryDirectory() as folder:
    ...     trades = pa.table({"price": [1.5, 2.5]})
    ...     _ = begin(folder, trades.schema, "log")
    ...     write_table(trades, Path(folder) / "one.parquet")
    ...     first, again = (add_files(folder, ["one.parquet"], "log", number=2) for _ in range(2))
    ...     first, again, DeltaTable(folder).to_pyarrow_table()["price"].to_pylist()
    (True, False, [1.5, 2.5])
    """
    table = DeltaTable(folder)
    done = table.transaction_version(source)
    if done is not None and number <= done:
        return False
    files = [(name, (Path(folder) / name).stat()) for name in names]
    added = [AddAction(name, about.st_size, {}, about.st_mtime_ns // 10**6, True, "{}") for name, about in files]
    commit = CommitProperties(app_transactions=[Transaction(source, number)])
    table.create_write_transaction(added, "append", table.schema(), commit_properties=commit)
    return True


@dataclass(frozen=True)
class Vacuumed:
    """How many files went, and the oldest version that can still be read.

    Examples
    --------
    >>> print(Vacuumed(files=3, oldest=12))
    3 files removed, versions before 12 can no longer be read; reading as of a moment is as before
    """

    files: int
    oldest: int
    dry_run: bool = False

    def __str__(self) -> str:
        done = "would be removed" if self.dry_run else "removed"
        ends = f"versions before {self.oldest} can no longer be read" if self.oldest else "every version can be read"
        return f"{self.files} files {done}, {ends}; reading as of a moment is as before"


def _opened(path: Path, version: int | None = None) -> DeltaTable:
    """The table; a newest commit that is torn, by a power cut, is put aside: its rows are appended again."""
    try:
        return DeltaTable(path, version=version)
    except TableNotFoundError:
        raise
    except (DeltaError, OSError, ValueError) as ex:
        commits = sorted((path / "_delta_log").glob("[0-9]*.json"))
        if not commits or _whole(commits[-1]):
            raise Damaged(f"{path} is no sound feature table ({ex}): remove the folder and materialise again") from ex
        commits[-1].rename(commits[-1].with_suffix(".torn"))
        return _opened(path, version)


def _whole(commit: Path) -> bool:
    try:
        return bool([json.loads(line) for line in commit.read_bytes().splitlines()])
    except ValueError:
        return False


def _schema(names: tuple[str, ...], key: type) -> pa.Schema:
    types = (pa.int64() if key is int else pa.string(), *[pa.int64()] * 3, pa.string(), pa.bool_())
    head = [pa.field(name, type, nullable=False) for name, type in zip(_HEAD, types, strict=True)]
    return pa.schema(head + [pa.field(name, pa.float64()) for name in names])


def _created(path: Path, names: tuple[str, ...], key: type) -> DeltaTable:
    taken = sorted(set(names) & set(_HEAD))
    if taken or not names or len(set(names)) < len(names) or key not in (int, str):
        raise ValueError(f"a table needs features of different names other than {', '.join(_HEAD)}, got {names}")
    path.parent.mkdir(parents=True, exist_ok=True)
    about = json.dumps({"names": names, "key": key.__name__})
    table = DeltaTable.create(path, _schema(names, key), mode="ignore", name=path.name, description=about)
    digests.seal(path)
    return table
