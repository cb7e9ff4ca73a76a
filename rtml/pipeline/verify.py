"""Verify a run: is every file, row and version what was written?"""

from __future__ import annotations

import zlib
from pathlib import Path

from rtml.core import digests
from rtml.core.run_folder import shown
from rtml.core.state import digest
from rtml.store import database


def verify(run: Path) -> int:
    """Print what is not what was written in the folder of a run; 1 where anything is not, 0 where all is sound."""
    if not run.is_dir():
        raise FileNotFoundError(f"no run in {run}: rtml runs lists those there are")
    wrong, looked = damages(run)
    for path, what in wrong:
        print(f"{path}: {what}")
    result = f"{len(wrong)} are not what was written" if wrong else "all are what was written"
    print(f"{shown(run)}: {looked} files looked at, {result}")
    return int(bool(wrong))


def damages(run: Path) -> tuple[list[tuple[str, str]], int]:
    """File and what is wrong with it, of everything below a folder that is not what was written; files looked at.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     (Path(folder) / "blobs").mkdir()
    ...     _ = (Path(folder) / "blobs" / digest(b"model")).write_bytes(b"another")
    ...     [(path, what)], looked = damages(Path(folder))
    >>> what, looked
    ('its content does not hash to its name', 1)
    """
    wrong, looked = [], 0
    for path in sorted([run, *run.rglob("*")]):
        if path.is_symlink() or path.suffix in (".db-wal", ".db-shm"):
            continue
        looked += path.is_file()
        found = _damages(path)
        wrong += [(str(path.relative_to(run)), what) for what in found]
    return wrong, looked


def _damages(path: Path) -> list[str]:
    if path.is_dir():
        return digests.broken(path)
    if path.suffix == ".db":
        return database.damages(path)
    if path.parent.name == "blobs":
        return [] if digest(path.read_bytes()) == path.name else ["its content does not hash to its name"]
    if path.suffix == ".state" and path.parent.name == "features":
        blob = path.read_bytes()
        return [] if digest(blob[64:]).encode() == blob[:64] else ["it is computed again when it is needed"]
    if path.suffix == ".gz":
        return _unpacks(path)
    return []


def _unpacks(path: Path) -> list[str]:
    import gzip

    try:
        with gzip.open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except (OSError, EOFError, zlib.error) as ex:
        return [str(ex)]
    return []
