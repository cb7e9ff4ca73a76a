"""Streams of facts: what declared features make of events, ready to be stored."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import numpy as np

from rtml.core.operator import Asked, Operator
from rtml.features.feature_set import FeatureSet
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


class FeatureStream:
    """A feature set over some rows of the events; a row is known when it arrived, in the stream's own time.

    Parameters
    ----------
    features
        What is stored.
    rows
        Gives the time (ns), key and columns of the rows that an array of events holds, in order of arrival.
    """

    def __init__(self, features: FeatureSet, rows: Callable[[np.ndarray], tuple]) -> None:
        self.features = features
        self._rows = rows
        self.now = -1
        self.names, self.definition = tuple(features.names), features.definition

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
        self.names, self.definition = tuple(operator.features.names), operator.features.definition

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
