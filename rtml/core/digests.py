"""Files that are written whole or not at all, and digests of a folder's files by which a change is found."""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterable
from pathlib import Path

from rtml.core.state import digest

NAME = "_digests.txt"  # with a mark by which Delta Lake knows that it is no part of a table
PART = ".part"
_LIVING = (".db", ".db-wal", ".db-shm", ".lock", ".log", PART)  # written on, and checked in other ways or not at all


def write(path: Path, content: bytes) -> None:
    """Replace a file durably: whoever reads it, also after a power cut, finds the old content or the new.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     write(Path(folder, "a.json"), b"old")
    ...     write(Path(folder, "a.json"), b"new")
    ...     print([(path.name, path.read_bytes()) for path in Path(folder).iterdir()])
    [('a.json', b'new')]
    """
    part = path.with_name(f"{path.name}.{os.getpid()}{PART}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with open(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def seal(folder: Path, again: bool = False) -> None:
    """Keep the digests of a folder's files; of those known already only where it is done ``again``.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> _ = (folder / "a").write_text("x"); seal(folder); broken(folder)
    []
    >>> _ = (folder / "a").write_text("y"); broken(folder)
    ['a is not what was written']
    """
    known = {} if again else _known(folder)
    kept = {name: known.get(name) or digest(path.read_bytes()) for name, path in _files(folder).items()}
    if kept != known or again:
        write(folder / NAME, b"".join(_line(name, told) for name, told in sorted(kept.items())))


def add(folder: Path, names: Iterable[str]) -> None:
    """Keep the digests of files that were just written, beside those known.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     count = Path(folder, "a").write_bytes(b"1")
    ...     add(Path(folder), ["a"])
    ...     print(broken(Path(folder)))
    []
    """
    lines = b"".join(_line(name, digest((folder / name).read_bytes())) for name in names)
    with open(folder / NAME, "ab") as file:
        file.write(lines)
        file.flush()
        os.fsync(file.fileno())


def broken(folder: Path, only: Iterable[str] | None = None) -> list[str]:
    """What of a sealed folder is not what was written, or of ``only`` some files; later files are not known.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     count = Path(folder, "a").write_bytes(b"1")
    ...     add(Path(folder), ["a"])
    ...     count = Path(folder, "a").write_bytes(b"2")
    ...     print(broken(Path(folder)))
    ['a is not what was written']
    """
    try:
        known = _known(folder)
    except ValueError as ex:
        return [str(ex)]
    wrong = []
    for name in known if only is None else known.keys() & set(only):
        path = folder / name
        if not path.is_file():
            wrong.append(f"{name} is missing")
        elif digest(path.read_bytes()) != known[name]:
            wrong.append(f"{name} is not what was written")
    return wrong


def _line(name: str, told: str) -> bytes:
    line = f"{told} {name}"
    return f"{line}\t{zlib.crc32(line.encode()):08x}\n".encode()


def _known(folder: Path) -> dict[str, str]:
    """Digests as they were kept, empty where nothing was; a torn last line is of a killed writer."""
    path, known = folder / NAME, {}
    lines = path.read_bytes().split(b"\n") if path.exists() else []
    for line in lines[:-1]:
        told, _, check = line.rpartition(b"\t")
        if b"%08x" % zlib.crc32(told) != check:
            raise ValueError(f"{NAME} is not what was written: restore {path} from a backup")
        value, _, name = told.decode().partition(" ")
        known[name] = value
    return known


def _files(folder: Path) -> dict[str, Path]:
    """Files that stay as they were written, by name; folders with digests of their own are left out."""
    found = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir() and not path.is_symlink() and not (path / NAME).exists():
            found |= {f"{path.name}/{name}": file for name, file in _files(path).items()}
        elif path.is_file() and path.name != NAME and not path.name.endswith(_LIVING):
            found[path.name] = path
    return found
