"""What happened to a training and when: drift, triggers, versions, contests and promotions in one list."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol

from rtml.core.later import pd


class TrainingEvent(NamedTuple):
    """Something worth an entry: at an event time (ns), a kind in one word, and details that JSON can hold.

    Examples
    --------
    >>> event = TrainingEvent(0, "trigger", {"why": "the loss rose"})
    >>> event.kind, event.detail["why"]
    ('trigger', 'the loss rose')
    """

    at: int
    kind: str
    detail: dict


class Callback(Protocol):
    """Looks at every outcome of a training and says what happened.

    Chunk-invariant like everything else: any cutting of the stream gives the same events and the same state. A
    watcher may also have ``saved(version, cause)``, which is told of every version when it is saved and gives
    events too.

    Examples
    --------
    >>> class EveryHour:
    ...     name = "hour"
    ...     def push(self, outcome):
    ...         return [TrainingEvent(at, "hour", {}) for at in outcome if at % 3_600_000_000_000 == 0]
    >>> [event.at for event in EveryHour().push([0, 5, 3_600_000_000_000])]
    [0, 3600000000000]
    """

    name: str

    def push(self, outcome) -> list[TrainingEvent]:
        """Take what a chunk of events led to, a :class:`rtml.training.flow.Outcome`."""

    @property
    def state(self) -> dict:
        """Everything the next outcome depends on."""

    def load(self, state: dict) -> None:
        """Continue from a state."""


class Callbacks:
    """Several watchers as one; what they say becomes rows of the journal: at, place, name, kind, detail.

    Examples
    --------
    >>> Callbacks([]).push(None)
    []
    >>> twice = type("Twice", (), {"name": "twice"})()
    >>> Callbacks([twice, twice])
    Traceback (most recent call last):
    ValueError: two watchers are called 'twice': give each a name of its own
    """

    def __init__(self, callbacks: Sequence[Callback]) -> None:
        names = [callback.name for callback in callbacks]
        for name in names:
            if names.count(name) > 1:
                raise ValueError(f"two watchers are called {name!r}: give each a name of its own")
        self._all = tuple(callbacks)

    def push(self, outcome) -> list[tuple]:
        """What every watcher says of an outcome, as rows."""
        return self._rows((place, callback.name, callback.push(outcome)) for place, callback in self._placed())

    def saved(self, version, cause: str) -> list[tuple]:
        """The saving of a version, and what every watcher that wants to know of it says, as rows."""
        made = TrainingEvent(version.at, "version", {"version": version.name, "cause": cause})
        told = [(place, callback) for place, callback in self._placed() if hasattr(callback, "saved")]
        return self._rows(
            [(0, "trainer", [made]), *((place, w.name, w.saved(version, cause)) for place, w in told)],
        )

    @property
    def state(self) -> dict:
        """Of every watcher, by name."""
        return {callback.name: callback.state for callback in self._all}

    def load(self, state: dict) -> None:
        """Go on from a state; a watcher that is new in it begins."""
        for callback in self._all:
            if callback.name in state:
                callback.load(state[callback.name])

    def _placed(self) -> Iterable[tuple[int, Callback]]:
        return enumerate(self._all, start=1)

    def _rows(self, said: Iterable[tuple[int, str, list[TrainingEvent]]]) -> list[tuple]:
        return [
            (int(at), place, name, kind, json.dumps(detail, sort_keys=True))
            for place, name, new_events in said
            for at, kind, detail in new_events
        ]


def frame(rows: Iterable[tuple]) -> pd.DataFrame:
    """Rows of the journal as a table: at (UTC), who said it, kind, and a column a detail; in order of event time.

    Examples
    --------
    >>> frame([(10**18, 1, "monitor", "drift", '{"feature": "spread"}')]).iloc[0].to_dict()["feature"]
    'spread'
    """
    rows = sorted(rows, key=lambda row: row[:2])  # stable: what one watcher says at one time stays in its order
    found = [
        {"at": pd.Timestamp(at, tz="UTC"), "who": who, "kind": kind, **json.loads(d)} for at, _, who, kind, d in rows
    ]
    return pd.DataFrame(found, columns=None if found else ["at", "who", "kind"])
