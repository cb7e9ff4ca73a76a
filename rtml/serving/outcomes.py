"""Outcomes of a flow as its checkpoint store keeps them, and outcomes cut by moment."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from json import loads
from pathlib import Path

import numpy as np

from rtml.core.operator import NOTHING
from rtml.core.target import Target
from rtml.registry.learners import LEARNER, SERVES
from rtml.store.checkpoint_store import CheckpointReader
from rtml.training.flow import Flow, Outcome

_AT_ONCE = 5000  # rows of the store read at once
_NEVER_YET = -(2**63)


class Committed:
    """Reads on in the checkpoint store of a training, whichever process writes it.

    Parameters
    ----------
    store
        The training's.
    flow
        The run's, empty, for the shape of its rows.
    targets
        What is predicted; answers bear the place of their target as ``label``, and what it learned as ``y``.
    event
        Record of an event.
    """

    def __init__(self, store: Path, flow: Flow, targets: Sequence[Target], event: np.dtype) -> None:
        self.reader = CheckpointReader(store)
        self._targets = tuple(targets)
        self._width = len(flow.features.names)
        self._closed = flow.operator.push(np.empty(0, event)).closed
        self.seq = 0
        self._known = 0
        self._end = 0
        self._challenged = flow.challenged
        self._event = 0
        self._swaps = [(_NEVER_YET, LEARNER)]

    def outcomes(self) -> Iterator[Outcome]:
        """What the store holds behind what was read, in the order asked.

        All of it is of one commit: answers of a later one would come before the questions of their own time.
        """
        with self.reader.at_one_commit():
            found = list(self._read())
            if self._challenged:
                self._read_swaps()
        for outcome in found:
            yield from self._by_lineage(outcome) if len(self._swaps) > 1 else [outcome]

    def _read_swaps(self) -> None:
        """Moments behind which another lineage served."""
        for seq, at, _, _, kind, detail in self.reader.history(self._event):
            self._event = seq
            if kind == SERVES:
                self._swaps.append((at, loads(detail)["lineage"]))

    def _by_lineage(self, outcome: Outcome) -> Iterator[Outcome]:
        """An outcome cut where another lineage began to serve."""
        ends = [at for at, _ in self._swaps[1:]]
        places = np.searchsorted(outcome.moment, ends, side="right").tolist()
        learned = np.searchsorted(outcome.known, ends, side="right").tolist()
        starts, stops = ((0, *places), (0, *learned)), ((*places, len(outcome.id)), (*learned, len(outcome.answered)))
        for (_, lineage), a, b, c, d in zip(self._swaps, starts[0], stops[0], starts[1], stops[1], strict=True):
            if a < b or c < d:
                yield replace(outcome.part(slice(a, b), slice(c, d)), lineage=lineage)

    def _read(self) -> Iterator[Outcome]:
        while asked := self.reader.questions(self.seq, _AT_ONCE):
            self.seq = asked[-1].seq
            yield self._outcome(asked, *self._known_up_to(asked[-1].moment, len(asked) == _AT_ONCE))
        answers, closed = self._known_up_to(2**63 - 1, more=False)
        if answers:
            yield self._outcome([], answers, closed)

    def _known_up_to(self, moment: int, more: bool) -> tuple[list, list]:
        """Answers before a moment behind which more is read, and records up to it; or all.

        Those of the last time are read again: more of it may have been committed since.
        """
        answers, self._known = _up_to(self.reader.answers, self._known, lambda one: one.known, moment - 1, more)
        closed, self._end = _up_to(self.reader.closed, self._end, lambda one: one[0], moment, more)
        return answers, closed

    def _outcome(self, asked: list, answers: list, closed: list) -> Outcome:
        """Rows of the store as an outcome with an answer for each target."""
        X = np.frombuffer(b"".join(one.x for one in asked)).reshape(-1, self._width)
        predictions = {target.name: _predictions(asked, target) for target in self._targets}
        place = {target.name: number for number, target in enumerate(self._targets)}
        columns = [[getattr(one, name) for one in asked] for name in ("id", "key", "moment")]
        id, key, moment = (np.array(column, np.int64) for column in columns)
        y = np.array([np.nan if one.y is None else one.y for one in answers])
        ids, known = (np.array([getattr(one, name) for one in answers], np.int64) for name in ("id", "known"))
        label = np.array([place[one.target] for one in answers], np.int8)
        return Outcome(self._records(closed), id, key, moment, X, predictions, ids, y, known, label)

    def _records(self, closed: list[tuple[int, bytes]]) -> np.ndarray:
        """Records as the operator closed them."""
        shape, dtype = self._closed.shape[1:], self._closed.dtype
        if not closed or dtype.names is None:
            return NOTHING
        return np.frombuffer(b"".join(row for _, row in closed), dtype).reshape(len(closed), *shape)


def _up_to(read: Callable, seen: int, time: Callable, last: int, more: bool) -> tuple[list, int]:
    """Rows from the last time seen on, up to a last one where more is read later; and the time seen then."""
    rows, after = [], seen - 1
    while found := read(after, _AT_ONCE):
        inside = [one for one in found if not more or time(one) <= last]
        rows += inside
        after = seen = time(inside[-1]) if inside else seen
        if len(inside) < len(found):
            break
    return rows, seen


def slices(outcome: Outcome) -> Iterator[Outcome]:
    """An outcome moment by moment: the questions of each, and the answers known up to it; then the answers left.

    Examples
    --------
    >>> from rtml.training.flow import Outcome
    >>> none, asked = np.empty(0, np.int64), np.array([1, 2])
    >>> about = ({"demand": np.array([0.5, 0.6])}, np.array([1]), np.array([3.0]), np.array([15]), np.array([0]))
    >>> outcome = Outcome(none, asked, 0 * asked, np.array([10, 20]), np.ones((2, 1)), *about)
    >>> [(part.id.tolist(), part.y.tolist()) for part in slices(outcome)]
    [([1], []), ([2], [3.0])]
    """
    moments, first = np.unique(outcome.moment, return_index=True)
    starts, done = [*first.tolist(), len(outcome.moment)], 0
    ends = _ends(outcome.closed)
    for place, moment in enumerate(moments.tolist()):
        stop = int(np.searchsorted(outcome.known, moment, side="right"))
        part = outcome.part(slice(starts[place], starts[place + 1]), slice(done, stop))
        yield replace(part, closed=outcome.closed[ends == moment])
        done = stop
    if done < len(outcome.answered):
        yield outcome.part(slice(len(outcome.id), None), slice(done, None))


def newest(outcomes: list[Outcome], n: int) -> Iterator[tuple[Outcome, bool]]:
    """Outcomes with the newest ``n`` questions moment by moment, and what came before in few parts; which it is.

    Examples
    --------
    >>> from rtml.training.flow import Outcome
    >>> none, asked = np.empty(0, np.int64), np.array([1, 2, 3])
    >>> outcome = Outcome(none, asked, 0 * asked, 10 * asked, np.ones((3, 1)), {}, none, none, none, none)
    >>> [(part.id.tolist(), new) for part, new in newest([outcome], 1)]
    [([1, 2], False), ([3], True)]
    """
    left = sum(len(outcome.id) for outcome in outcomes)
    for outcome in outcomes:
        m, left = len(outcome.id), left - len(outcome.id)
        start = int(np.searchsorted(outcome.moment, outcome.moment[max(0, m + left - n)])) if left < n and m else m
        stop = int(np.searchsorted(outcome.known, outcome.moment[start - 1], side="right")) if start else 0
        yield outcome.part(slice(0, start), slice(0, stop)), False
        yield from ((part, left < n) for part in slices(outcome.part(slice(start, m), slice(stop, None))))


def ends_of(closed: np.ndarray) -> dict[int, int]:
    """Place of each record by its end.

    Examples
    --------
    >>> ends_of(np.array([(10,), (20,)], dtype=[("end", "i8")]))
    {10: 0, 20: 1}
    """
    return {end: i for i, end in enumerate(_ends(closed).tolist())}


def _ends(closed: np.ndarray) -> np.ndarray:
    return closed["end"].reshape(len(closed), -1)[:, 0] if closed.size else np.empty(0, np.int64)


def _predictions(asked: list, target) -> np.ndarray:
    cells = [one.predictions[target.name] for one in asked]
    if target.outputs == 1:
        return np.array(cells, np.float64)
    return np.frombuffer(b"".join(cells)).reshape(-1, target.outputs)
