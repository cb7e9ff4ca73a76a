"""Facts: feature values of keys, each with two times, when it happened and when we knew."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.clock import NEVER, utc
from rtml.core.later import pd
from rtml.core.state import digest

_NAT = -(2**63)


@dataclass(frozen=True, eq=False)
class Facts:
    """Values of keys in columns; a correction or a delete is a later fact of the same key and event time.

    A row without a key, without an event time or without a definition is refused, and so is one that was known before
    it happened.

    Parameters
    ----------
    key
        Whole numbers or texts.
    happened
        Event time, ns UTC: the value holds from then on.
    known
        When we knew it, ns UTC, not before it happened.
    values
        One row of float64 a fact, NaN where a value is missing.
    names
        Names of the columns of ``values``.
    definition
        Hash of what computed the values, one for all or one a row.
    deleted
        True where the fact takes back what was known of its key and event time.

    Examples
    --------
    >>> spend = Facts([7, 7, 7], [10, 20, 10], [11, 20, 30], [[1.0], [2.0], [1.5]], ("spend",), "v1")
    >>> spend.newest().values.ravel(), spend.newest(as_of=29).values.ravel()
    (array([1.5, 2. ]), array([1., 2.]))
    """

    key: np.ndarray
    happened: np.ndarray
    known: np.ndarray
    values: np.ndarray
    names: tuple[str, ...]
    definition: np.ndarray | str
    deleted: np.ndarray | None = None

    def __post_init__(self) -> None:
        put, names = object.__setattr__, tuple(self.names)
        put(self, "names", names)
        put(self, "key", keys_of(self.key))
        n = len(self.key)
        for name, meaning in (("happened", "event time"), ("known", "time when it was known")):
            put(self, name, _moments(getattr(self, name), meaning))
        put(self, "values", np.ascontiguousarray(self.values, np.float64).reshape(-1, len(names)))
        put(self, "deleted", np.zeros(n, bool) if self.deleted is None else np.asarray(self.deleted, bool))
        definition = np.asarray(self.definition)
        put(self, "definition", np.full(n, definition) if definition.ndim == 0 else definition)
        self._check(n)

    def __len__(self) -> int:
        return len(self.key)

    def __getitem__(self, part) -> Facts:
        columns = (self.key, self.happened, self.known, self.values)
        rows = (column[part] for column in columns)
        return Facts(*rows, self.names, self.definition[part], self.deleted[part])

    def newest(self, as_of: int = NEVER) -> Facts:
        """What was known at a moment: of each key and event time the fact known last, in order, deletes left out.

        Of facts that became known at the same time the one further down stands.
        """
        seen = np.flatnonzero(self.known <= as_of)
        order = seen[np.lexsort((seen, self.known[seen], self.happened[seen], self.key[seen]))]
        key, happened = self.key[order], self.happened[order]
        last = np.ones(len(order), bool)
        last[:-1] = (key[1:] != key[:-1]) | (happened[1:] != happened[:-1])
        order = order[last]
        return self[order[~self.deleted[order]]]

    def frame(self) -> pd.DataFrame:
        """As a table: key, happened, known, definition, deleted, then the values by name."""
        head = {name: getattr(self, name) for name in ("key", "happened", "known", "definition", "deleted")}
        return pd.DataFrame(head | {name: self.values[:, j] for j, name in enumerate(self.names)})

    @property
    def digest(self) -> str:
        """Hash of every byte: equal facts in equal order have an equal one."""
        columns = (self.key, self.definition, self.happened, self.known, self.deleted, self.values)
        texts = ["\n".join(column.astype(str)).encode() for column in columns[:2]]
        return digest(b"\0".join([*texts, *(column.tobytes() for column in columns[2:]), repr(self.names).encode()]))

    def _check(self, n: int) -> None:
        for name in ("happened", "known", "values", "definition", "deleted"):
            if len(getattr(self, name)) != n:
                raise ValueError(f"{name} must have one row a fact ({n}), got {len(getattr(self, name))}")
        if n and not np.char.str_len(self.definition.astype(str)).all():
            row = np.flatnonzero(np.char.str_len(self.definition.astype(str)) == 0)[0]
            raise ValueError(f"row {row} has no definition: give the hash of the features that computed it")
        early = np.flatnonzero(self.known < self.happened)
        if len(early):
            row = early[0]
            raise ValueError(
                f"row {row} (key {self.key[row]!s}) was known at {utc(self.known[row])}, before it happened at "
                f"{utc(self.happened[row])}: a value is known when its last event is"
            )


def keys_of(key) -> np.ndarray:
    """Keys as int64 or as texts; a row without one is refused.

    Examples
    --------
    >>> keys_of([3, 4]), keys_of(["card 3"])
    (array([3, 4]), array(['card 3'], dtype='<U6'))
    """
    array = np.asarray(key)
    if array.size == 0 and array.dtype.kind == "f":
        array = array.astype(np.int64)
    if array.dtype.kind in "iu":
        return np.ascontiguousarray(array, np.int64)
    if array.dtype.kind in "OU":
        for row, value in enumerate(array.tolist()):
            if not isinstance(value, str) or not value:
                raise ValueError(f"row {row} has no key: it must be a text or a whole number, got {value!r}")
        return array.astype(str)
    raise ValueError(f"keys must be whole numbers or texts, got {array.dtype}: say which key a row belongs to")


def _moments(values, meaning: str) -> np.ndarray:
    array = np.asarray(values)
    missing = np.zeros(array.shape, bool)
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    elif array.dtype.kind == "O":
        missing = np.array([value is None or value != value for value in array.tolist()], bool)
    elif array.dtype.kind in "iu":
        missing = (array == _NAT) | (array == NEVER)
    if missing.any():
        raise ValueError(f"row {np.flatnonzero(missing)[0]} has no {meaning}: every stored row carries its times")
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"the {meaning} must be whole ns UTC, got {array.dtype}")
    return np.ascontiguousarray(array, np.int64)
