"""Compile every kernel once, on all cores, so that no command waits in silence for it."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import rtml
from rtml.core.run_folder import progress


def kernels() -> list[str]:
    """Modules that hold compiled code, the largest first.

    Examples
    --------
    >>> {"rtml.kernels.linear", "rtml.usecases.crypto.bar_kernel"} <= set(kernels())
    True
    """
    root = Path(rtml.__file__).parent
    takes = "\nfrom rtml.kernels.cache import"
    found = [path for path in root.rglob("*.py") if takes in path.read_text(encoding="utf-8")]
    found.sort(key=lambda path: path.stat().st_size, reverse=True)
    return [".".join(("rtml", *path.relative_to(root).with_suffix("").parts)) for path in found]


def compiled(name: str) -> str:
    """Import a module, which compiles what is not yet kept beside its source; its name."""
    return import_module(name).__name__


def main() -> None:
    """Compile them all, with a bar."""
    names = kernels()
    with ProcessPoolExecutor() as pool, progress(len(names), "compiling kernels") as bar:
        for _ in pool.map(compiled, names):
            bar.update()


if __name__ == "__main__":
    main()
