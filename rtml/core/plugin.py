"""Bring your own: what is named by a built-in name, by a module or file, or by an installed package."""

from __future__ import annotations

import importlib
import importlib.util
import sys
import zlib
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from rtml.core.run_folder import home

PREFIX = "rtml_file_"  # of the names under which files are imported


def load(name: str, builtin: Mapping[str, Any], group: str) -> Any:
    """What a name stands for: a built-in, ``module:attribute``, ``path/to/file.py:attribute``, or an entry point.

    Parameters
    ----------
    name
        A key of ``builtin``; or an importable module, or a file ending in ``.py`` relative to the working directory,
        with an attribute (dots go deeper) behind a colon; or the name of an entry point of an installed package.
    builtin
        What the package brings itself, by name.
    group
        Kind of plug-in, such as ``"models"``: entry points are those of the group ``rtml.models``.

    Returns
    -------
    The object itself: it is neither called nor copied.

    Raises
    ------
    LookupError
        Where nothing has this name; the message lists what is known.

    Examples
    --------
    >>> load("mean", {"mean": max}, "metrics") is max, load("math:pi", {}, "metrics")
    (True, 3.141592653589793)
    >>> load("median", {"mean": max}, "metrics")
    Traceback (most recent call last):
    LookupError: no metric 'median'; there are: mean; or name your own: module:attribute, path/to/file.py:attribute
    """
    if name in builtin:
        return builtin[name]
    if is_reference(name):
        return _attribute(name, group)
    installed = {entry.name: entry for entry in metadata.entry_points(group=f"rtml.{group}")}
    if name in installed:
        return installed[name].load()
    known = ", ".join([*builtin, *installed]) or "none"
    own = "or name your own: module:attribute, path/to/file.py:attribute"
    raise LookupError(f"no {group.removesuffix('s').replace('_', ' ')} {name!r}; there are: {known}; {own}")


def is_reference(name: str) -> bool:
    """Whether a name is ``module:attribute`` or ``file.py:attribute``: a colon with no blank around it.

    Examples
    --------
    >>> is_reference("my/bikes.py:Model"), is_reference("rls: stateful every 1h"), is_reference("rls")
    (True, False, False)
    """
    module, colon, attribute = name.rpartition(":")
    return bool(colon and module) and all(part.isidentifier() for part in attribute.split("."))


def _attribute(name: str, group: str) -> Any:
    where, _, path = name.rpartition(":")
    found: Any = _file(Path(where)) if where.endswith(".py") else _module(where, name)
    for part in path.split("."):
        if not hasattr(found, part):
            public = ", ".join(n for n in dir(found) if not n.startswith("_")) or "nothing"
            kind = group.removesuffix("s")
            raise LookupError(f"no {kind} {name!r}: {where} has no {path!r}; it has: {public}")
        found = getattr(found, part)
    return found


def _module(where: str, name: str) -> ModuleType:
    try:
        return importlib.import_module(where)
    except ModuleNotFoundError as ex:
        if ex.name and not f"{where}.".startswith(f"{ex.name}."):
            raise  # the module is there; what it imports is not
        raise LookupError(f"no module {where!r} for {name!r}: install it, or give the path of a file.py") from ex


def located(path: Path) -> Path:
    """A file named from the current folder, or else from the one that holds ``runs/``.

    Examples
    --------
    >>> located(Path("/my/bikes.py")).name, located(Path("no/such.py")).is_absolute()
    ('bikes.py', True)
    """
    path = path.expanduser()
    if path.is_absolute() or path.exists():
        return path.resolve()
    return (home() / path).resolve()


def _file(path: Path) -> ModuleType:
    """A file as a module, imported once in a process, under a name by which what it defines can be pickled."""
    path = located(path)
    name = PREFIX + path.stem
    if name in sys.modules and sys.modules[name].__file__ != str(path):  # another file of the same name
        name += f"_{zlib.crc32(str(path).encode()):08x}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise LookupError(f"there is no file {path.name!r} in {path.parent.name}/: name it from the current folder")
    spec = importlib.util.spec_from_file_location(name, path)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
