"""Where compiled code is kept: its key is the hash of every source that is inlined, not of one file alone.

numba looks at the file of the function that is called. What that one inlines from other modules may have changed, and
the old numbers would go on under the hash of the new code.
"""

from __future__ import annotations

import ast
import hashlib
from functools import cache
from pathlib import Path

from numba import config, njit
from numba.core import caching

__all__ = ["njit"]  # kernels take it from here, so that the rule holds before the first is compiled

_ROOT = Path(__file__).parents[2]


class _Sources:
    """A locator whose stamp is that of a file and of all that it imports from this package, one behind the other."""

    def get_source_stamp(self):
        return super().get_source_stamp(), stamp(Path(self._py_file))


class Provided(_Sources, caching.UserProvidedCacheLocator):
    """The folder of NUMBA_CACHE_DIR."""


class InTree(_Sources, caching.InTreeCacheLocator):
    """The folder beside the source."""


class UserWide(_Sources, caching.UserWideCacheLocator):
    """The user's folder, where that one may not be written."""


def stamp(file: Path, root: Path = _ROOT) -> str:
    """Hash of a file and of all that it imports from the packages of ``root``, whatever the way.

    Examples
    --------
    >>> stamp(Path(__file__)) == stamp(Path(__file__)), len(stamp(Path(__file__)))
    (True, 64)
    """
    seen, found = {}, [file.resolve()]
    while found:
        path = found.pop()
        if path not in seen and path.is_file():
            state = path.stat()
            seen[path], imported = _read(path, root, state.st_mtime_ns, state.st_size)
            found += imported
    return hashlib.sha256("".join(seen[path] for path in sorted(seen)).encode()).hexdigest()


@cache
def _read(path: Path, root: Path, *state: int) -> tuple[str, list[Path]]:
    """Hash of a source as it is now, and the files that its imports may mean."""
    text, names = path.read_bytes(), set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    own = path.relative_to(root).parts[0] if path.is_relative_to(root) else ""
    files = [root.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.partition(".")[0] == own]
    return hashlib.sha256(text).hexdigest(), files


if not config.CACHE_LOCATOR_CLASSES:  # unless the environment names others
    config.CACHE_LOCATOR_CLASSES = ",".join(f"{__name__}.{kind.__name__}" for kind in (Provided, InTree, UserWide))
