"""When code is compiled and where it is kept: at the first call, under the hash of every source that is inlined.

numba compiles a signature where it stands, so that an import waits for kernels nobody calls, and looks at the file of
the function alone: what that one inlines from other modules may have changed, and the old numbers would go on under
the hash of the new code.
"""

from __future__ import annotations

import ast
import fcntl
import hashlib
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext, suppress
from functools import cache, partial
from pathlib import Path
from types import FunctionType
from typing import Any

import numba
from numba import config
from numba.core import caching, event
from numba.core.compiler_lock import global_compiler_lock

_HERE = Path(__file__).resolve()
_ROOT = _HERE.parents[2]
KERNELS: dict[str, Callable[[], None]] = {}  #: by name, what makes a kernel ready to be called


def njit(*signature: Any, **options: Any) -> Any:
    """numba's ``njit``, but a kernel with a signature is loaded, or compiled, when it is first called.

    Examples
    --------
    >>> @njit("int64(int64)")
    ... def doubled(n):
    ...     return 2 * n
    >>> len(doubled.signatures), doubled(4), len(doubled.signatures)
    (0, 8, 1)
    """
    if not signature or isinstance(signature[0], FunctionType):
        return numba.njit(*signature, **options)
    return partial(_declared, signature[0], options.pop("cache", False), options)


def _declared(signature: Any, kept: bool, options: dict, function: FunctionType) -> Any:
    """A kernel that becomes ready for its one signature when Python calls it, or another kernel is compiled on it."""
    kernel = numba.njit(**options)(function)

    def ready() -> None:
        with global_compiler_lock:
            if kernel._compiling_counter or not kernel._can_compile:  # calls itself, or was waited for
                return
            with _kept(kernel) if kept else nullcontext():
                kernel.compile(signature)
            kernel.disable_compile()
            del kernel._compile_for_args, kernel.get_call_template

    def call(*args: Any) -> Any:
        ready()
        return kernel  # which numba calls with them

    def template(*types: Any) -> Any:
        ready()
        return type(kernel).get_call_template(kernel, *types)

    kernel._compile_for_args, kernel.get_call_template = call, template
    KERNELS[f"{function.__module__}.{function.__name__}"] = ready
    return kernel


@contextmanager
def _kept(kernel: Any) -> Iterator[None]:
    """Keep what is compiled, and other processes from compiling the same meanwhile: they find it."""
    try:
        kernel.enable_caching()
    except RuntimeError as ex:
        raise RuntimeError(f"{ex}: set NUMBA_CACHE_DIR to a folder for compiled code") from ex
    with ExitStack() as stack:
        with suppress(OSError):  # where nothing may be written, nothing is waited for
            file = stack.enter_context(open(f"{kernel._cache._cache_file._index_path}.lock", "w"))
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class _Announcer(event.Listener):
    """Prints which kernel is being compiled, since that takes seconds."""

    def on_start(self, begun: event.Event) -> None:
        kernel = begun.data["dispatcher"]
        name = f"{kernel.__module__}.{kernel.__name__}"
        if name in KERNELS and not os.environ.get("RTML_QUIET"):
            print(f"rtml: compiling {name.removeprefix('rtml.')}, once", file=sys.__stderr__, flush=True)

    def on_end(self, ended: event.Event) -> None:
        """Nothing is printed."""


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
    """Hash of a file and of all that it imports from its package of ``root``, or this one, but for this module.

    Examples
    --------
    >>> stamp(Path(__file__)) == stamp(Path(__file__)), len(stamp(Path(__file__)))
    (True, 64)
    """
    seen, found = {}, [file.resolve()]
    while found:
        path = found.pop()
        if path not in seen and path.is_file() and (path != _HERE or not seen):
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
    files = [
        root.joinpath(*name.split(".")).with_suffix(".py") for name in names if name.partition(".")[0] in (own, "rtml")
    ]
    return hashlib.sha256(text).hexdigest(), files


if not config.CACHE_LOCATOR_CLASSES:  # unless the environment names others
    config.CACHE_LOCATOR_CLASSES = ",".join(f"{__name__}.{kind.__name__}" for kind in (Provided, InTree, UserWide))
event.register("numba:compile", _Announcer())
