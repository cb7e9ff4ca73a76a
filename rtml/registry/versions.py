"""Versions as rows and blobs: saved whole or not at all, named by the hash of what they are and come from."""

from __future__ import annotations

from dataclasses import dataclass, field

import sqlalchemy as sa

from rtml.core import provenance
from rtml.core.run_folder import plain
from rtml.core.state import digest, dumps
from rtml.registry.blobs import Blobs, TableBlobs
from rtml.registry.tables import EDGE, VERSION, Tables

_MADE = ("model", "at", "format", "features", "data", "blob", "parent")


@dataclass(frozen=True)
class Version:
    """One saved state of a model and where it came from.

    ``id`` is the hash of model, time, format, features, data, state and parent. The fields behind ``data`` are
    recorded beside it, as they were when it was first saved.

    Examples
    --------
    >>> data = {"table": "cards", "version": 3}
    >>> version = Version("1f0a", "eth", 2, 20, None, "ab", "flat", "f1", data, {}, {}, "", {})
    >>> version.name, version.learned
    ('eth@2', 'delta:cards@3')
    """

    id: str
    model: str
    number: int  # counts from 1 within the model; 0 stands for its learner
    at: int  # event time, ns UTC
    parent: str | None  # id of the version it was trained on from
    blob: str  # SHA-256 of the state
    format: str  # "flat": arrays only; "pickle": holds pickled objects
    features: str  # hash of the feature definitions
    data: dict = field(hash=False)  # part, offsets and times of what was learned since the parent
    metrics: dict = field(compare=False)
    describe: dict = field(compare=False)
    code: str = field(compare=False)
    libraries: dict = field(compare=False)

    @property
    def name(self) -> str:
        """What to call it: ``model@number``."""
        return f"{self.model}@{self.number}" if self.number else self.id

    @property
    def learned(self) -> str:
        """What was learned since the parent, as text: ``log:<part>@<first>-<last>`` or ``delta:<table>@<version>``."""
        return _reference(self.data)

    @property
    def fingerprint(self) -> str:
        """Hash of its predictions on the probe; empty where it was saved without."""
        return self.describe.get("fingerprint", "")


class Versions:
    """The ``version`` and ``edge`` tables and the folder of states.

    Examples
    --------
    >>> import tempfile
    >>> from pathlib import Path
    >>> folder = Path(tempfile.mkdtemp())
    >>> versions = Versions(Tables(folder / "registry.db"), Blobs(folder / "blobs"))
    >>> beside = {"metrics": {}, "describe": {}}
    >>> made = {"model": "eth", "format": "flat", "features": "f1", "data": {}}
    >>> first = versions.add(b"weights", beside, at=10, parent=None, **made)
    >>> second = versions.add(b"better weights", beside, at=20, parent=first, **made)
    >>> [version.name for version in versions.lineage(second)], versions.newest()
    (['eth@2', 'eth@1'], {'eth': 2})
    """

    def __init__(self, tables: Tables, blobs: Blobs | TableBlobs):
        self._tables, self._blobs = tables, blobs
        with tables.write():  # no other writer is active: a partial file is a killed writer's
            self._blobs.sweep()

    def add(self, state: bytes, beside: dict, **made) -> str:
        """Save a version and return its id; one that is there already stays as it is."""
        made |= {"data": plain(made["data"]), "blob": digest(state)}
        id = _identity(made)
        with self._tables.write() as connection:
            self._blobs.write(state)  # durable before any row names it
            if connection.scalar(sa.select(VERSION.c.id).where(VERSION.c.id == id)) is None:
                _insert(connection, id, made, plain(beside))
        return id

    def find(self, *where, order=VERSION.c.number) -> list[Version]:
        """Versions of which the conditions are true."""
        above = sa.and_(EDGE.c.child == VERSION.c.id, EDGE.c.kind == "parent")
        asked = sa.select(VERSION, EDGE.c.ref.label("parent")).outerjoin_from(VERSION, EDGE, above)
        with self._tables.read() as connection:
            rows = connection.execute(asked.where(*where).order_by(order)).mappings()
            return [Version(**{str(name): row[name] for name in row}) for row in rows]

    def lineage(self, id: str) -> list[Version]:
        """A version, its parent, and so on up to the root."""
        start = sa.select(sa.literal(id, sa.Text).label("id"), sa.literal(0).label("depth"))
        chain = start.cte("chain", recursive=True)
        above = sa.select(EDGE.c.ref, chain.c.depth + 1).where(EDGE.c.child == chain.c.id, EDGE.c.kind == "parent")
        chain = chain.union_all(above)
        return self.find(VERSION.c.id == chain.c.id, order=chain.c.depth)

    def kept(self, version: Version) -> bool:
        """Whether the state of a version is still there."""
        return version.blob in self._blobs

    def drop(self, models: list[Version]) -> None:
        """Remove the states of versions, but not their rows; one that another version shares stays."""
        with self._tables.write() as connection:
            gone = [version.id for version in models]
            used = set(connection.scalars(sa.select(VERSION.c.blob).where(VERSION.c.id.not_in(gone))))
            for blob in {version.blob for version in models} - used:
                self._blobs.drop(blob)

    def put_back(self, version: Version, state: bytes) -> None:
        """Keep the state of a version again; another state than its own is refused."""
        if digest(state) != version.blob:
            raise ValueError(f"this is not the state of {version.name}: it hashes to {digest(state)[:16]}")
        self._blobs.write(state)

    def newest(self) -> dict[str, int]:
        """Highest number of every model."""
        asked = sa.select(VERSION.c.model, sa.func.max(VERSION.c.number)).group_by(VERSION.c.model)
        with self._tables.read() as connection:
            return {model: number for model, number in connection.execute(asked.order_by(VERSION.c.model))}

    def state(self, version: Version) -> bytes:
        """State of a version, refused when the state or the row is not what was saved."""
        if _identity({name: getattr(version, name) for name in _MADE}) != version.id:
            raise ValueError(
                f"the row of {version.name} was changed: it does not hash to its id {version.id}. It is not loaded: "
                "restore the registry from a backup, or roll back to another version"
            )
        return self._blobs.read(version.blob)


def _identity(made: dict) -> str:
    return digest(dumps({name: made[name] for name in _MADE}))[:16]


def _insert(connection: sa.Connection, id: str, made: dict, beside: dict) -> None:
    newest = connection.scalar(sa.select(sa.func.max(VERSION.c.number)).where(VERSION.c.model == made["model"]))
    row = {name: made[name] for name in _MADE if name != "parent"} | beside
    row |= {"id": id, "number": (newest or 0) + 1, "code": provenance.code(), "libraries": provenance.libraries()}
    connection.execute(VERSION.insert().values(row))
    edges = {"parent": made["parent"], "data": _reference(made["data"])}
    for kind, ref in edges.items():
        if ref:
            connection.execute(EDGE.insert().values(child=id, kind=kind, ref=ref))


def _reference(data: dict) -> str:
    if "table" in data:
        return "delta:{table}@{version}".format(**data)
    return "log:{part}@{first_offset}-{last_offset}".format(**data) if data else ""
