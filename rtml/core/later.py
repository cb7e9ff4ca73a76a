"""Modules that take a second to import, imported when a name of theirs is first used."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any


class Later:
    """A module that is imported when it is first asked for a name; a command that never does never waits for it.

    Parameters
    ----------
    name
        Of the module, with its package.

    Examples
    --------
    >>> Later("math").gcd(4, 6)
    2
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):  # what tools ask of every object
            raise AttributeError(name)
        found = getattr(import_module(self._name), name)
        setattr(self, name, found)
        return found


if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.compute as pc
    from scipy import optimize, special, stats
else:
    pa = Later("pyarrow")
    pd = Later("pandas")
    pc = Later("pyarrow.compute")
    optimize = Later("scipy.optimize")
    special = Later("scipy.special")
    stats = Later("scipy.stats")

__all__ = ["Later", "optimize", "pa", "pc", "pd", "special", "stats"]
