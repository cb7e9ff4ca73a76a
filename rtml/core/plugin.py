"""Plug-ins: a use case, model, detector, metric, source or store by a built-in name, a module or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from importlib import import_module
from importlib.metadata import entry_points
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType


def load(name: str, kind: str, attribute: str = "", known: Iterable[str] = ()) -> object:
    """What ``module:attribute`` or ``path/to/file.py:attribute`` names, or an installed entry point of ``rtml.<kind>``.

    Parameters
    ----------
    name
        Names the thing; without ``:attribute`` the default ``attribute`` of the module is taken.
    kind
        What is looked for, one word, such as ``"use_case"``: for the error, and the group of entry points.
    attribute
        Taken where the name brings none.
    known
        Built-in names, for the error alone: the caller looks there first.

    Raises
    ------
    LookupError
        Where there is no such module, file, attribute or entry point.

    Examples
    --------
    >>> load("math:floor", "metric")(2.5)
    2
    >>> load("nothing", "model", known=["rls", "tree"])
    Traceback (most recent call last):
    LookupError: no model 'nothing'; known: rls, tree; or your own: 'module:attribute' or 'path/to/file.py:attribute'
    """
    place, _, own = name.rpartition(":") if ":" in name else (name, "", "")
    if place.endswith(".py"):
        module = _of_file(Path(place), kind)
    elif own:
        module = _of_module(place, kind)
    else:
        found = next(iter(entry_points(group=f"rtml.{kind}", name=name)), None)
        if found is not None:
            return found.load()
        listed = f"known: {', '.join(sorted(known))}; or " if known else ""
        raise LookupError(f"no {kind} {name!r}; {listed}your own: 'module:attribute' or 'path/to/file.py:attribute'")
    if not hasattr(module, own or attribute):
        raise LookupError(f"{place} has no attribute {own or attribute!r}, which should be a {kind.replace('_', ' ')}")
    return getattr(module, own or attribute)


def _of_module(name: str, kind: str) -> ModuleType:
    try:
        return import_module(name)
    except ModuleNotFoundError as ex:
        if ex.name and not (name == ex.name or name.startswith(f"{ex.name}.")):
            raise
        raise LookupError(f"no module {name!r}, named for a {kind.replace('_', ' ')}: is it installed here?") from ex


def _of_file(path: Path, kind: str) -> ModuleType:
    """Module of a file, loaded once a process; what lies beside the file can be imported by it."""
    path = path.expanduser().resolve()
    if not path.exists():
        raise LookupError(
            f"there is no file {path.name!r} in {path.parent.name}/, named for a {kind.replace('_', ' ')}"
        )
    name = f"rtml_plugin_{path.stem}_{abs(hash(str(path))):x}"
    if name not in sys.modules:
        spec = spec_from_file_location(name, path)
        module = module_from_spec(spec)
        sys.modules[name] = module
        sys.path.append(str(path.parent))
        try:
            spec.loader.exec_module(module)
        except BaseException:
            del sys.modules[name]
            raise
        finally:
            sys.path.remove(str(path.parent))
    return sys.modules[name]
