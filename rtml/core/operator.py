"""Operators: what a use case is made of, one transition function from raw events to questions and answers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Leak(ValueError):
    """Something was known before its time.

    Examples
    --------
    >>> try:
    ...     raise Leak("the answer of question 3 was learned before it was known")
    ... except ValueError as leak:
    ...     print(leak)
    the answer of question 3 was learned before it was known
    """


class Asked(NamedTuple):
    """What a chunk of events asks and answers.

    Question ``id[i]`` (int64, its own) of key ``key[i]`` (place in the run's keys) is asked at ``moment[i]`` (ns, never
    going back) with features ``X[i]``, shape (m, d). ``answered`` are ids of questions, now or earlier, whose ``y``
    (NaN where it stays unknown) became known at ``known`` (ns, never going back); ``label`` says which of the
    operator's ``labels`` it is, where there are several. ``closed`` holds records of the use case's own, such as the
    bars of a market: they are stored and shown by its view, and mean nothing to anything else.

    Examples
    --------
    >>> n = np.arange(2)
    >>> asked = Asked(n[:0], id=n, moment=n, X=np.ones((2, 3)), answered=n[:1], y=np.ones(1), known=n[1:])
    >>> asked.keys()
    array([0, 0], dtype=int32)
    """

    closed: np.ndarray
    id: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    answered: np.ndarray
    y: np.ndarray
    known: np.ndarray
    key: np.ndarray | None = None
    label: np.ndarray | None = None

    def keys(self) -> np.ndarray:
        """Key of every question, int32; the first one where the operator has a single key."""
        return np.zeros(len(self.id), np.int32) if self.key is None else self.key

    def labels(self) -> np.ndarray:
        """Label of every answer, int8; the first one where the operator has a single label."""
        return np.zeros(len(self.answered), np.int8) if self.label is None else self.label


#: ``closed`` of an operator that closes nothing.
NOTHING = np.empty((0, 0))


class Operator(Protocol):
    """The transition function of a use case; any cutting of the events gives the same questions and answers.

    At equal times the question comes first: an answer known at ``t`` leaves only when no question of ``t`` can come any
    more, that is with an event behind ``t``; and a question that arrives late is asked when it arrived. The operator
    sees to both, because what it has sent cannot be taken back. An operator of several labels (several horizons) has
    ``labels``, their names in the order of their numbers.
    """

    features: object  #: has ``names``, ``definition`` (their hash) and ``catalogue()``
    horizon: int  #: how far ahead an answer looks, ns; 0 where answers come at a time of their own

    def push(self, events: np.ndarray) -> Asked:
        """Take events in order of arrival."""

    def check(self, asked: Asked) -> str:
        """Recompute every answer by another way; say what was checked, or raise :class:`Leak`."""

    @property
    def state(self) -> dict:
        """Everything the next event depends on."""

    def load(self, state: dict) -> None:
        """Continue from a state."""
