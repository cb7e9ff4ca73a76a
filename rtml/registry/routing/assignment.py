"""Who gets which arm: a pure function of a salt, the key of a unit, and shares of the arms.

The hash of salt and key is a place on a line of a million parts. A cut of that line says which arm a part belongs to;
that of a new test is its weights, one piece an arm. When weights change the line is cut anew such that every arm keeps
what it may keep, so just the share moves that has to. Cutting by the running sum of the weights, or hashing every arm
by itself, moves up to twice as much with three arms or more. A second place, independent of the first, says who takes
part at all: raising the coverage moves nobody who did.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Mapping

PARTS = 1_000_000  # of the line: a share is a whole number of millionths
Cut = tuple[tuple[str, int], ...]  #: pieces of the line in order: arm and length; an arm may have several


def cut_of(weights: Mapping[str, float]) -> Cut:
    """The line cut by weights, which add up to 1.

    Examples
    --------
    >>> cut_of({"eth@1": 0.9, "eth@2": 0.1})
    (('eth@1', 900000), ('eth@2', 100000))
    >>> cut_of({"eth@1": 0.9, "eth@2": 0.2})
    Traceback (most recent call last):
    ValueError: weights must add up to 1, got eth@1 0.9 and eth@2 0.2, which are 1.1
    """
    return recut((("", PARTS),), weights)


def recut(cut: Cut, weights: Mapping[str, float]) -> Cut:
    """The line cut by other weights, with as little of it in other hands as can be.

    Examples
    --------
    >>> recut(cut_of({"a": 0.5, "b": 0.3, "c": 0.2}), {"a": 0.4, "b": 0.3, "c": 0.3})
    (('a', 400000), ('c', 100000), ('b', 300000), ('c', 200000))
    """
    left = _lengths(weights)
    kept = []
    for arm, length in cut:
        stays = min(length, left.get(arm, 0))
        left[arm] = left.get(arm, 0) - stays
        kept += [(arm, stays), ("", length - stays)]
    pieces: list[tuple[str, int]] = []
    for arm, length in kept:
        given = [(arm, length)] if arm else _taken(left, length)
        for arm, length in given:
            if pieces and pieces[-1][0] == arm:
                length += pieces.pop()[1]
            pieces += [(arm, length)] if length else []
    return tuple(pieces)


def shares(cut: Cut) -> dict[str, float]:
    """Share of each arm of a cut.

    Examples
    --------
    >>> shares((("a", 400_000), ("c", 100_000), ("b", 300_000), ("c", 200_000)))
    {'a': 0.4, 'c': 0.3, 'b': 0.3}
    """
    found: dict[str, int] = {}
    for arm, length in cut:
        found[arm] = found.get(arm, 0) + length
    return {arm: length / PARTS for arm, length in found.items()}


def assigned(salt: str, key: str, cut: Cut, coverage: float = 1.0) -> str:
    """Arm of a key; empty where it takes no part.

    Examples
    --------
    >>> cut = cut_of({"a": 0.5, "b": 0.5})
    >>> [assigned("test 1", f"card {i}", cut, coverage=0.5) for i in range(6)]
    ['', 'a', '', '', 'b', 'a']
    """
    digest = hashlib.blake2b(key.encode(), key=salt.encode()[:64], digest_size=16).digest()
    inside, place = (int.from_bytes(part) * PARTS >> 64 for part in (digest[:8], digest[8:]))
    if inside >= round(coverage * PARTS):
        return ""
    for arm, length in cut:
        place -= length
        if place < 0:
            return arm
    raise ValueError(f"the cut {cut} does not cover the line: it must be {PARTS} long")


def _lengths(weights: Mapping[str, float]) -> dict[str, int]:
    """Millionths of each arm, which add up to a million."""
    shown = " and ".join(f"{arm} {weight:g}" for arm, weight in weights.items())
    if not weights or not all(0 <= weight <= 1 for weight in weights.values()):
        raise ValueError(f"weights are shares between 0 and 1, got {shown or 'none'}")
    if not math.isclose(total := math.fsum(weights.values()), 1.0, abs_tol=1e-9):
        raise ValueError(f"weights must add up to 1, got {shown}, which are {total:.6g}")
    lengths: dict[str, int] = {}
    done = 0
    so_far = 0.0
    for arm, weight in weights.items():
        so_far += weight
        lengths[arm] = round(so_far * PARTS) - done
        done += lengths[arm]
    return lengths


def _taken(left: dict[str, int], length: int) -> list[tuple[str, int]]:
    """Pieces of a freed stretch for the arms that have less than is due to them."""
    pieces = []
    for arm, due in left.items():
        part = min(due, length)
        left[arm] -= part
        length -= part
        pieces.append((arm, part))
    return pieces
