"""A folder of files named by the hash of their content: written whole or not at all, verified when read."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa

from rtml.core.digests import PART, write
from rtml.core.state import digest
from rtml.registry.tables import BLOB, Tables


class Blobs:
    """Content-addressed files.

    Examples
    --------
    >>> import tempfile
    >>> blobs = Blobs(tempfile.mkdtemp())
    >>> blobs.read(blobs.write(b"weights"))
    b'weights'
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.path.mkdir(parents=True, exist_ok=True)

    def write(self, content: bytes) -> str:
        """Keep content durably and return its name; content that is there already is not written again."""
        name = digest(content)
        path = self.path / name
        if not (path.exists() and digest(path.read_bytes()) == name):
            write(path, content)
        return name

    def read(self, name: str) -> bytes:
        """Content of a name, refused when it is not what was written."""
        path = self.path / name
        try:
            content = path.read_bytes()
        except FileNotFoundError as ex:
            raise FileNotFoundError(
                f"{path} is missing: restore it from a backup, or serve another version, or build it again: "
                "rtml rebuild"
            ) from ex
        if (found := digest(content)) != name:
            raise ValueError(
                f"{path} was changed: its content hashes to {found[:16]}, not to its name. It is not loaded: "
                "restore the file from a backup, or roll back to another version"
            )
        return content

    def __contains__(self, name: str) -> bool:
        return (self.path / name).exists()

    def drop(self, name: str) -> None:
        """Remove content that is no longer needed; nothing happens where there is none."""
        (self.path / name).unlink(missing_ok=True)

    def sweep(self) -> int:
        """Remove the partial files of killed writers and return their size; no writer may be active."""
        parts = list(self.path.glob(f"*{PART}"))
        for part in parts:
            part.unlink()
        return len(parts)


class TableBlobs:
    """The same in the table ``blob`` of a server, where several hosts find them.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     blobs = TableBlobs(Tables(Path(folder) / "registry.db"))
    ...     name = blobs.write(b"weights")
    ...     blobs.read(name), name in blobs, "another" in blobs
    (b'weights', True, False)
    """

    def __init__(self, tables: Tables):
        self._tables = tables

    def write(self, content: bytes) -> str:
        """Keep content durably and return its name."""
        name = digest(content)
        with self._tables.read() as connection:  # a transaction of its own: it may be written inside another one
            if connection.scalar(sa.select(BLOB.c.name).where(BLOB.c.name == name)) is None:
                connection.execute(BLOB.insert().values(name=name, content=content))
        return name

    def read(self, name: str) -> bytes:
        """Content of a name, refused when it is not what was written."""
        with self._tables.read() as connection:
            content = connection.scalar(sa.select(BLOB.c.content).where(BLOB.c.name == name))
        if content is None:
            raise FileNotFoundError(f"the state {name[:16]} is missing: serve another version, or rtml rebuild")
        if digest(content) != name:
            raise ValueError(f"the state {name[:16]} was changed: it is not loaded: roll back to another version")
        return content

    def __contains__(self, name: str) -> bool:
        with self._tables.read() as connection:
            return connection.scalar(sa.select(BLOB.c.name).where(BLOB.c.name == name)) is not None

    def drop(self, name: str) -> None:
        """Remove content that is no longer needed."""
        with self._tables.read() as connection:
            connection.execute(BLOB.delete().where(BLOB.c.name == name))

    def sweep(self) -> int:
        """Nothing is ever half written on a server."""
        return 0
