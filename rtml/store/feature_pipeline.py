"""Streams of facts: what declared features make of events, ready to be stored."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path
from typing import Protocol

import numpy as np

from rtml.core.operator import Asked, Operator
from rtml.features.feature_set import FeatureSet
from rtml.kernels.cache import stamp
from rtml.store.facts import Facts


class Stream(Protocol):
    """Events in, facts out: a transition function that gives the same facts however the events are cut."""

    names: tuple[str, ...]
    definition: str
    now: int  #: the stream's own time: every fact that is known before is out

    def push(self, events: np.ndarray) -> Facts:
        """Take events in order of arrival."""

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""

    def load(self, state: dict) -> None:
        """Continue from a state."""


def versioned(definition: str, *made_by: type) -> str:
    """Version of a feature pipeline: what its features are declared to be, and the code that computes them.

    The code is that of the classes' files and of everything they import from their package, and of the feature set.

    Examples
    --------
    >>> versioned("27a71ed10df4", FeatureSet).startswith("27a71ed10df4-")
    True
    """
    files = sorted({inspect.getfile(one) for one in (FeatureSet, *made_by)})
    code = sha256("".join(stamp(Path(file)) for file in files).encode())
    return f"{definition}-{code.hexdigest()[:8]}"


class FeatureStream:
    """A feature set over some rows of the events; a row is known when it arrived, in the stream's own time.

    Parameters
    ----------
    features
        What is stored.
    rows
        Gives the time (ns), key and columns of the rows that an array of events holds, in order of arrival.

    Examples
    --------
    >>> from rtml.features.declarations import Feature
    >>> from rtml.features.formulas import column
    >>> features = FeatureSet([Feature("twice", column("x") * 2.0, "1", "of x")], ["x"])
    >>> events = np.array([(10, 1.0), (30, 2.0), (20, 4.0)], [("time", "<i8"), ("x", "<f8")])
    >>> stream = FeatureStream(features, lambda e: (e["time"], np.zeros(len(e), np.int64), e["x"][:, None]))
    >>> facts = stream.push(events)
    >>> facts.values.ravel().tolist(), facts.happened.tolist(), facts.known.tolist()
    ([2.0, 4.0, 8.0], [10, 30, 20], [10, 30, 30])
    """

    def __init__(self, features: FeatureSet, rows: Callable[[np.ndarray], tuple]) -> None:
        self.features = features
        self._rows = rows
        self.now = -1
        self.names = tuple(features.names)
        self.definition = versioned(features.definition)

    def push(self, events: np.ndarray) -> Facts:
        """Facts of the rows of these events, one a row, in their order."""
        time, key, columns = self._rows(events)
        time = np.asarray(time, np.int64)
        known = np.maximum(np.maximum.accumulate(time), self.now) if time.size else time
        values = self.features.push(time, columns, key)
        self.now = int(known[-1]) if time.size else self.now
        return Facts(key, time, known, values, self.names, self.definition)

    def at(self, moment: int) -> Facts:
        """What the features of every key are at a moment, read without a row: what expired is out."""
        keys = self.features.keys()
        when = np.full(len(keys), moment, np.int64)
        return Facts(keys, when, when, self.features.read(when, keys), self.names, self.definition)

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        return {"now": self.now, "features": self.features.state}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self.now = state["now"]
        self.features.load(state["features"])


class QuestionStream:
    """What a use case's questions are asked with; the key is the question's id unless ``key(asked)`` gives another."""

    def __init__(self, operator: Operator, key: Callable[[Asked], np.ndarray] = lambda asked: asked.id) -> None:
        self.operator = operator
        self._key = key
        self.now = -1
        self.names = tuple(operator.features.names)
        self.definition = versioned(operator.features.definition, type(operator))

    def push(self, events: np.ndarray) -> Facts:
        """Facts of the questions that these events lead to, each known at its moment."""
        asked = self.operator.push(events)
        self.now = int(asked.moment[-1]) if len(asked.moment) else self.now
        return Facts(self._key(asked), asked.moment, asked.moment, asked.X, self.names, self.definition)

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""
        return {"now": self.now, "operator": self.operator.state}

    def load(self, state: dict) -> None:
        """Continue from a state."""
        self.now = state["now"]
        self.operator.load(state["operator"])
