"""Compile every kernel once, on all cores, so that no command waits in silence for it."""

from __future__ import annotations

import os
import re
from concurrent.futures import ProcessPoolExecutor
from importlib import import_module
from pathlib import Path

import rtml
from rtml.core.run_folder import progress
from rtml.kernels.cache import KERNELS


def modules() -> list[str]:
    """Modules that hold compiled code, the largest first.

    Examples
    --------
    >>> {"rtml.kernels.linear", "rtml.usecases.crypto.bar_kernel"} <= set(modules())
    True
    """
    root = Path(rtml.__file__).parent
    takes = re.compile(r"^from rtml\.kernels\.(cache|declared) import", re.MULTILINE)
    found = [path for path in root.rglob("*.py") if takes.search(path.read_text(encoding="utf-8"))]
    found.sort(key=lambda path: path.stat().st_size, reverse=True)
    return [".".join(("rtml", *path.relative_to(root).with_suffix("").parts)) for path in found]


def compiled(name: str) -> str:
    """Make a kernel ready, which compiles what is not yet kept beside its source; its name."""
    import_module(name.rpartition(".")[0])
    KERNELS[name]()
    return name


def main() -> None:
    """Compile them all, with a bar."""
    for module in modules():
        import_module(module)
    quiet = {"initializer": os.environ.update, "initargs": ({"RTML_QUIET": "1"},)}  # the bar says it all
    with ProcessPoolExecutor(**quiet) as pool, progress(len(KERNELS), "compiling kernels") as bar:
        for _ in pool.map(compiled, KERNELS):
            bar.update()


if __name__ == "__main__":
    main()
