"""A checkpoint: named state as bytes and back, bit by bit, without pickle."""

from __future__ import annotations

import hashlib
from typing import ClassVar

import msgspec
import numpy as np

FORMAT = 1  #: of states; a release that writes them in another way writes its number as ``format``
_ARRAY = 1


def dumps(state: dict) -> bytes:
    """Bytes of a nested dict of numpy arrays, numbers, texts, bytes, lists and None.

    The same state gives the same bytes, so their hash names the state.

    Examples
    --------
    >>> state = {"n": 3, "weights": np.array([1.0, -2.0])}
    >>> loads(dumps(state))["weights"]
    array([ 1., -2.])
    """
    return msgspec.msgpack.encode(state, enc_hook=_encode, order="sorted")


def loads(blob: bytes) -> dict:
    """State of :func:`dumps`; arrays are writable copies.

    Raises
    ------
    ValueError
        For a state of a newer release.

    Examples
    --------
    >>> loads(dumps({"n": 3, "s": np.zeros(2)}))
    {'n': 3, 's': array([0., 0.])}
    """
    state = msgspec.msgpack.decode(blob, ext_hook=_decode)
    if isinstance(state, dict) and isinstance(found := state.get("format", FORMAT), int) and found > FORMAT:
        raise ValueError(
            f"the state has format {found}, this release reads up to {FORMAT}: install the release that wrote it, or "
            "let `rtml reproduce RUN VERSION` set up its environment"
        )
    return state


def digest(blob: bytes) -> str:
    """SHA-256 of bytes, in hex: the name of a blob.

    Examples
    --------
    >>> digest(b"state")[:16]
    '4ba69735ca53765e'
    """
    return hashlib.sha256(blob).hexdigest()


class Stateful:
    """What has a state: the attributes that ``kept`` names; their names in it have no underscore before them.

    An attribute is a number, a text or None, an array, of which the state has a copy, something that has a state of its
    own, or several of these.

    Examples
    --------
    >>> class Sums(Stateful):
    ...     kept = ("n", "_sums")
    ...     def __init__(self) -> None:
    ...         self.n, self._sums = 0, np.zeros(2)
    >>> sums = Sums()
    >>> sums.load({"n": 3, "sums": np.array([1.0, 2.0])})
    >>> sums.state
    {'n': 3, 'sums': array([1., 2.])}
    """

    kept: ClassVar[tuple[str, ...]] = ()

    @property
    def state(self) -> dict:
        """Everything that what comes next depends on."""
        return {name.lstrip("_"): _taken(getattr(self, name)) for name in self.kept}

    def load(self, state: dict) -> None:
        """Go on from a state."""
        for name in self.kept:
            setattr(self, name, _given(getattr(self, name), state[name.lstrip("_")]))


def _taken(value):
    if isinstance(value, np.ndarray):
        return value.copy()
    if isinstance(value, list | tuple):
        return [_taken(one) for one in value]
    return value.state if hasattr(value, "load") else value


def _given(part, saved):
    """What an attribute is after loading: the part itself, on from its saved state, or the value that was saved."""
    if isinstance(part, list | tuple):
        return type(part)(_given(*both) for both in zip(part, saved, strict=True))
    if not hasattr(part, "load"):
        return saved.copy() if isinstance(saved, np.ndarray) else saved
    part.load(saved)
    return part


def _encode(value):
    if isinstance(value, np.ndarray):
        descr = value.dtype.descr if value.dtype.names else value.dtype.str
        head = msgspec.msgpack.encode((descr, value.shape))
        return msgspec.msgpack.Ext(_ARRAY, len(head).to_bytes(4, "little") + head + value.tobytes())
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"a checkpoint holds arrays, numbers, texts, bytes, lists and dicts, got {type(value).__name__}")


def _decode(code: int, data: memoryview):
    if code != _ARRAY:
        raise ValueError(f"unknown extension {code} in a checkpoint: written by a newer rtml?")
    cut = 4 + int.from_bytes(data[:4], "little")
    descr, shape = msgspec.msgpack.decode(data[4:cut])
    dtype = np.dtype([tuple(field) for field in descr] if isinstance(descr, list) else descr)
    return np.frombuffer(data[cut:], dtype=dtype).reshape(shape).copy()
