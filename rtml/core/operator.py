"""Operators: what a use case is made of, one transition function from raw events to questions and answers."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import numpy as np


class Leak(ValueError):
    """Something was known before its time."""


class Asked(NamedTuple):
    """What a chunk of events asks and answers.

    Question ``id[i]`` (int64, its own) is asked at ``moment[i]`` (ns, never going back) with features ``X[i]``, shape
    (m, d). ``answered`` are ids of questions, now or earlier, whose ``y`` (NaN where it stays unknown) became known at
    ``known`` (ns, never going back). ``bars`` is what a market closed, shape (n, symbols); empty elsewhere.
    """

    bars: np.ndarray
    id: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    answered: np.ndarray
    y: np.ndarray
    known: np.ndarray


class Operator(Protocol):
    """The transition function of a use case; any cutting of the events gives the same questions and answers.

    At equal times the question comes first: an answer known at ``t`` leaves only when no question of ``t`` can come any
    more, that is with an event behind ``t``; and a question that arrives late is asked when it arrived. The operator
    sees to both, because what it has sent cannot be taken back.
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
