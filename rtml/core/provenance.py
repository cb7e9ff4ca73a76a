"""Which code and which libraries made a result."""

from __future__ import annotations

import hashlib
import platform
import subprocess
from functools import cache
from importlib.metadata import version
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
LIBRARIES = ("numba", "numpy", "river", "rtml")


@cache
def code() -> str:
    """Hash of the package's own source and, in a checkout, its git commit.

    The commit says where to look, the hash says whether that is what really ran: a changed file changes it.

    Examples
    --------
    >>> code().startswith("sha256:")
    True
    """
    commit = _commit()
    return source(PACKAGE) + (f" git:{commit}" if commit else "")


def source(package: Path) -> str:
    """Hash of the Python files of a folder, by name and content.

    Examples
    --------
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder:
    ...     count = Path(folder, "a.py").write_text("x = 1")
    ...     print(source(Path(folder)))
    sha256:db6c345bfe9fde14
    """
    found = hashlib.sha256()
    for path in sorted(package.rglob("*.py")):
        found.update(path.relative_to(package).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return f"sha256:{found.hexdigest()[:16]}"


@cache
def libraries() -> dict[str, str]:
    """Versions of the interpreter and of the libraries that a model's numbers depend on.

    Examples
    --------
    >>> sorted(libraries())
    ['numba', 'numpy', 'python', 'river', 'rtml']
    """
    return {"python": platform.python_version()} | {name: version(name) for name in LIBRARIES}


def _commit() -> str:
    """Commit of the checkout the package lies in; empty when it is installed, be it below somebody's repository."""
    if not (PACKAGE.parent / ".git").exists():
        return ""
    try:
        asked = subprocess.run(
            ["git", "-C", str(PACKAGE.parent), "rev-parse", "HEAD"], capture_output=True, text=True, timeout=10
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return asked.stdout.strip()[:16] if asked.returncode == 0 else ""
