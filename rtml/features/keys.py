"""Keys: any ids, numbers or texts, as dense rows of arrays, with freed rows given again."""

from __future__ import annotations

import zlib
from collections.abc import Sequence

import numpy as np

from rtml.core.arrays import plain
from rtml.kernels import interning

_TEXT_BYTES = 150  # of a dict's entry, a text and its reference: for the estimate of its memory


def partition(ids: np.ndarray, n: int) -> np.ndarray:
    """Of each id the partition, 0 to ``n - 1``: by its hash, the same in every process and on every machine.

    Parameters
    ----------
    ids
        Integers (mixed by SplitMix64's finalizer: Steele, Lea and Flood, OOPSLA 2014) or texts (CRC-32 of UTF-8).
    n
        Number of partitions.

    Examples
    --------
    >>> partition(np.array([1, 2, 3, 4]), 3).tolist(), partition(np.array(["card 1", "card 2"], object), 3).tolist()
    ([1, 1, 2, 2], [2, 0])
    """
    if n == 1:
        return np.zeros(len(ids), np.int64)
    if np.asarray(ids).dtype.kind in "OUT":
        mixed = np.array([zlib.crc32(str(text).encode()) for text in ids], np.uint64)
    else:
        mixed = np.asarray(ids, np.int64).view(np.uint64)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
        mixed ^= mixed >> np.uint64(31)
    return (mixed % np.uint64(n)).astype(np.int64)


class Keys:
    """Rows of ids in order of appearance, the same however the ids are cut into calls.

    Integers go through a compiled table (about 10 ns each), texts through a dict. The first ids decide which.

    Examples
    --------
    >>> keys = Keys()
    >>> keys.rows([900, 17, 900]).tolist(), keys.find([17, 5]).tolist()
    ([0, 1, 0], [1, -1])
    >>> keys.release(np.array([0]))
    >>> keys.rows([33, 17]).tolist(), len(keys)
    ([0, 1], 2)
    """

    def __init__(self) -> None:
        self.texts: bool | None = None  # not known before the first ids
        self._named: dict[str, int] = {}
        self.header = np.zeros(3, np.int64)
        self.ids, self.free, self.table = (np.zeros(0, np.int64) for _ in range(3))
        self._names = np.zeros(0, object)
        self._resize(64)

    def __len__(self) -> int:
        """Ids that have a row."""
        return self.given - int(self.header[interning.FREED])

    @property
    def given(self) -> int:
        """Rows ever given: every row is lower."""
        return int(self.header[interning.GIVEN])

    def rows(self, ids: Sequence) -> np.ndarray:
        """Row of each id, int64; an unknown id is given one."""
        ids = self._checked(ids)
        if self.texts:
            return (
                np.array([self._named.get(name, -1) + 1 or self._new(name) + 1 for name in ids.tolist()], np.int64) - 1
            )
        rows, done = np.empty(ids.size, np.int64), 0
        while (done := interning.intern(done, ids, rows, self.table, self.ids, self.free, self.header)) < ids.size:
            self._resize(2 * self.ids.size)
        return rows

    def find(self, ids: Sequence) -> np.ndarray:
        """Row of each id, -1 where it has none."""
        ids = self._checked(ids)
        if self.texts:
            return np.array([self._named.get(name, -1) for name in ids.tolist()], np.int64)
        rows = np.empty(ids.size, np.int64)
        interning.find(ids, rows, self.table, self.ids)
        return rows

    def release(self, rows: np.ndarray) -> None:
        """Forget the ids of these rows; new ids are given them, the last freed first."""
        rows = plain(rows, np.int64)
        if not self.texts:
            interning.release(rows, self.table, self.ids, self.free, self.header)
            return
        freed = self.header[interning.FREED]
        for name in self._names[rows].tolist():
            del self._named[name]
        self._names[rows] = None
        self.free[freed : freed + rows.size] = rows
        self.header[interning.FREED] += rows.size

    def of(self, rows: np.ndarray) -> np.ndarray:
        """Ids of rows that are in use: int64, or texts in an object array."""
        return (self._names if self.texts else self.ids)[rows]

    def in_use(self) -> np.ndarray:
        """Rows that have an id, in order."""
        used = np.ones(self.given, bool)
        used[self.free[: self.header[interning.FREED]]] = False
        return np.flatnonzero(used)

    @property
    def nbytes(self) -> int:
        """Memory of the tables."""
        return self.table.nbytes + self.ids.nbytes + self.free.nbytes + _TEXT_BYTES * len(self._named)

    @property
    def state(self) -> dict:
        """Ids by row (a freed row has 0 or none) and the freed rows, the last freed last."""
        kept = self.of(np.arange(self.given)).copy()
        free = self.free[: self.header[interning.FREED]].copy()
        if not self.texts:
            kept[free] = 0
        return {"texts": self.texts, "ids": kept.tolist() if self.texts else kept, "free": free}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self.__init__()
        ids = state["ids"]
        free = state["free"]
        self.texts = state["texts"]
        self._resize(max(64, 1 << len(ids).bit_length()))
        self.header[: interning.LIMIT] = len(ids), len(free)
        (self._names if self.texts else self.ids)[: len(ids)] = ids
        self.free[: len(free)] = free
        if self.texts:
            self._named = {name: row for row, name in enumerate(ids) if name is not None}
        else:
            interning.rebuild(self.in_use(), self.table, self.ids)

    def _new(self, name: str) -> int:
        """A row for a new text."""
        if len(self) >= self.header[interning.LIMIT]:
            self._resize(2 * self.ids.size)
        if self.header[interning.FREED]:
            self.header[interning.FREED] -= 1
            row = int(self.free[self.header[interning.FREED]])
        else:
            row = self.given
            self.header[interning.GIVEN] += 1
        self._named[name], self._names[row] = row, name
        return row

    def _resize(self, size: int) -> None:
        """Tables for so many ids, a power of two."""
        for name in ("ids", "free", "_names"):
            old = getattr(self, name)
            grown = np.zeros(size, old.dtype)
            grown[: old.size] = old
            setattr(self, name, grown)
        self.table = np.zeros(2 * size, np.int64)
        self.header[interning.LIMIT] = size
        if not self.texts:
            interning.rebuild(self.in_use(), self.table, self.ids)

    def _checked(self, ids: Sequence) -> np.ndarray:
        """Ids as int64, or as texts in an array; the first call decides."""
        ids = np.asarray(ids).reshape(-1)
        texts = ids.dtype.kind in "OUT"
        if ids.size and not texts and ids.dtype.kind not in "iub":
            raise TypeError(f"ids are integers or texts, got {ids.dtype} such as {ids[0]}: turn them into one of both")
        if ids.size and self.texts not in (None, texts):
            raise TypeError(
                f"these keys are {'texts' if self.texts else 'integers'}, got {ids.tolist()[0]!r}: one kind a stream"
            )
        if ids.size:
            self.texts = texts
        return ids if texts else plain(ids, np.int64)
