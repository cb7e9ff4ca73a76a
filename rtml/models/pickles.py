"""Pickled models: unpickling runs code, so it is done for what this process made and for what its user asked for."""

from __future__ import annotations

import io
import os
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from rtml.core.state import digest

ALLOW = "RTML_PICKLES"  # 1: whatever a registry holds is trusted
_MOST = 10_000
_made: dict[str, None] = {}
_flat: ContextVar[bool] = ContextVar("flat", default=False)
_ASKED = "RTML_PICKLES_ASKED"  # set where this process, or the one that started it, was told to build such a model


def ask() -> None:
    """A model that can only be pickled was built by name or from an object: versions that hold one may be loaded."""
    os.environ[_ASKED] = "1"


@contextmanager
def flat(only: bool = True) -> Iterator[None]:
    """Load no pickle at all inside the block: what it reads is declared to hold none.

    Examples
    --------
    >>> blob = made(pickle.dumps("trusted"))
    >>> loads(blob)
    'trusted'
    >>> with flat():
    ...     try:
    ...         loads(blob)
    ...     except ValueError as error:
    ...         print(str(error)[:34])
    the version holds a pickled model,
    """
    before = _flat.set(only)
    try:
        yield
    finally:
        _flat.reset(before)


def holds(state: object) -> bool:
    """Whether a state of a model holds a pickle, in whatever it is wrapped.

    Examples
    --------
    >>> holds({"kind": "compiled", "names": ["a"]}), holds({"served": {"kind": "river", "pickle": b""}})
    (False, True)
    """
    if isinstance(state, dict):
        return "pickle" in state or state.get("twin") == "refit" or any(map(holds, state.values()))
    return isinstance(state, list | tuple) and any(map(holds, state))


def made(blob: bytes) -> bytes:
    """The bytes, which this process may load again.

    Examples
    --------
    >>> blob = made(pickle.dumps([1, 2]))
    >>> checked(blob) == blob
    True
    """
    _made[digest(blob)] = None
    if len(_made) > _MOST:
        del _made[next(iter(_made))]
    return blob


def checked(blob: bytes) -> bytes:
    """The bytes, where they may be loaded; ValueError where nobody asked for it."""
    allowed = "1" in (os.environ.get(ALLOW), os.environ.get(_ASKED)) or digest(blob) in _made
    if blob and (_flat.get() or not allowed):
        raise ValueError(
            "the version holds a pickled model, which runs code when it is loaded, and it is declared flat or another "
            f"process made it: set {ALLOW}=1 where you trust who wrote the registry, or name that model in MODELS"
        )
    return blob


def loads(blob: bytes):
    """What was pickled, where it may be loaded.

    Examples
    --------
    >>> loads(made(pickle.dumps({"weights": [0.5]})))
    {'weights': [0.5]}
    """
    return pickle.load(io.BytesIO(checked(blob)))
