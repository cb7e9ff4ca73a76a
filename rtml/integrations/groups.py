"""Consumer groups: processes share the parts of a log, and what one that dies leaves is taken over by the others.

A group only says who consumes what. That every event counts once does not rest on it: the offset of a part is committed
in the transaction of its state, and a consumer that was taken for dead is refused there.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import IO

import numpy as np

from rtml.store.checkpoint_store import CheckpointStore
from rtml.store.protocols import EventLog

TTL_S = 10.0  # how long a lease outlives a member that says nothing, on servers that keep leases
_SLOTS = 64  # members of a group at most


class Membership:
    """Divides parts by leases: a member takes a slot, and of the parts those whose turn it is among the slots taken."""

    _slot = ""

    def take(self, name: str) -> bool:
        """Take a lease, or keep it; False where another member has it."""
        raise NotImplementedError

    def give_back(self, name: str) -> None:
        """End a lease of this member."""
        raise NotImplementedError

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of the leases that some member has now."""
        raise NotImplementedError

    def close(self) -> None:
        """Leave the group."""
        raise NotImplementedError

    def share(self, parts: Sequence[str]) -> list[str]:
        """The parts that this member is to consume until it asks again, which it does several times in a lease's time.

        Parameters
        ----------
        parts
            All parts, the same for every member.
        """
        slots = [f"member-{k}" for k in range(_SLOTS)]
        if not self._slot or not self.take(self._slot):
            self._slot = next((slot for slot in slots if self.take(slot)), "")
        members = sorted(self.taken(slots) | {self._slot}, key=slots.index) if self._slot else []
        mine, others = [], []
        for k, part in enumerate(parts):
            (mine if members and members[k % len(members)] == self._slot else others).append(part)
        for part in others:
            self.give_back(part)
        return [part for part in mine if self.take(part)]


class Leases(Membership):
    """Leases between processes of one machine: locks on files of a folder, which end with their process.

    Examples
    --------
    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> one, two = Leases(folder), Leases(folder)
    >>> one.share(["a", "b"]), two.share(["a", "b"])
    (['a', 'b'], [])
    >>> one.share(["a", "b"]), two.share(["a", "b"])  # the first has seen the second, and leaves it a part
    (['a'], ['b'])
    >>> one.close(), two.share(["a", "b"]), two.close()
    (None, ['a', 'b'], None)
    """

    def __init__(self, url: str | Path, group: str = "group", ttl_s: float = TTL_S) -> None:
        folder = Path(url)
        self._folder = folder / group if folder.is_dir() else folder.with_name(f"{folder.name}.{group}")
        self._folder.mkdir(parents=True, exist_ok=True)
        self._held: dict[str, IO] = {}

    def take(self, name: str) -> bool:
        """Take a lease, or keep it; False where another member has it."""
        if name not in self._held:
            file = open(self._folder / f"{name}.lock", "a")  # noqa: SIM115 - the lock is held as long as it is open
            if not _locked(file, fcntl.LOCK_EX):
                return False
            self._held[name] = file
        return True

    def give_back(self, name: str) -> None:
        """End a lease of this member."""
        if name in self._held:
            self._held.pop(name).close()

    def taken(self, names: Sequence[str]) -> set[str]:
        """Those of the leases that some member has now."""
        return {name for name in names if name in self._held or self._elsewhere(name)}

    def _elsewhere(self, name: str) -> bool:
        path = self._folder / f"{name}.lock"
        if not path.exists():
            return False
        with open(path, "a") as file:
            return not _locked(file, fcntl.LOCK_SH)

    def close(self) -> None:
        """Leave the group."""
        for name in list(self._held):
            self.give_back(name)


class Consumer:
    """A member of a group at work: state and offset of each part of its own are committed as one.

    Parameters
    ----------
    log, group, parts
        What is read, who reads it, and all parts of it.
    opens
        Opens the checkpoint store of a part, which every member can reach.
    step
        New state of a part from its state and the next rows; the first state is ``b""``.
    """

    def __init__(
        self,
        log: EventLog,
        group: Membership,
        parts: Sequence[str],
        opens: Callable[[str], CheckpointStore],
        step: Callable[[str, bytes, np.ndarray], bytes],
    ) -> None:
        self._log, self._group, self._parts, self._opens, self._step = log, group, tuple(parts), opens, step
        self._stores: dict[str, CheckpointStore] = {}

    def consume(self, n: int = 50_000) -> int:
        """At most ``n`` rows of each part that is this member's now; how many were there."""
        mine, done = self._group.share(self._parts), 0
        self._let_go(set(self._stores) - set(mine))
        for part in mine:
            if part not in self._stores:
                self._stores[part] = self._opens(part)
                self._stores[part].begin(0, b"")
            store = self._stores[part]
            offsets, rows = self._log.read(part, store.offset, n)
            if not len(rows):
                continue
            try:
                store.commit(int(offsets[-1]), self._step(part, store.state, rows), (), ())
                done += len(rows)
            except RuntimeError:  # another member went on meanwhile: what it committed stands
                self._let_go([part])
        return done

    def _let_go(self, parts: Iterable[str]) -> None:
        for part in parts:
            self._stores.pop(part).close()

    def close(self) -> None:
        """Leave the group; what was committed stays."""
        self._let_go(list(self._stores))
        self._group.close()


def member() -> str:
    """A name that no other member has.

    Examples
    --------
    >>> member() != member()
    True
    """
    return f"{os.getpid()}-{os.urandom(6).hex()}"


def _locked(file: IO, how: int) -> bool:
    """Whether a file could be locked; it is closed where not."""
    try:
        fcntl.flock(file, how | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        return False
    return True
