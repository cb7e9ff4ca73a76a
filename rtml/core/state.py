"""A checkpoint: named state as bytes and back, bit by bit, without pickle."""

from __future__ import annotations

import hashlib

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
