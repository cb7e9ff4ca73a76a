"""Questions in columns: when each was asked, with what features, what the answer is and when it becomes known."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.arrays import plain
from rtml.core.clock import NEVER, utc


@dataclass(frozen=True, eq=False)
class Questions:
    """A stretch of questions in the order in which they are asked, each with the answer that comes later.

    Parameters
    ----------
    id
        One integer a question, different for every question.
    moment
        When it is asked, ns UTC, never going back.
    X
        The features as they were known at that moment, one row a question.
    y
        The answer; NaN where it will never be known.
    known
        When the answer becomes known, ns UTC, after the moment; ``NEVER`` where it does not come.
    names
        Names of the columns of ``X``.

    Examples
    --------
    >>> asked = Questions([1, 2], [10, 20], [[0.5], [0.7]], [3.0, float("nan")], [20, 30], ("return_1",))
    >>> len(asked), asked[1:].id
    (2, array([2]))
    """

    id: np.ndarray
    moment: np.ndarray
    X: np.ndarray
    y: np.ndarray
    known: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        for name in ("id", "moment", "known"):
            object.__setattr__(self, name, _whole(getattr(self, name), name))
        for name in ("X", "y"):
            object.__setattr__(self, name, plain(getattr(self, name), np.float64))
        object.__setattr__(self, "names", tuple(self.names))
        self._check_shapes()
        self._check_numbers()
        self._check_times()

    def __len__(self) -> int:
        return len(self.id)

    def __getitem__(self, part: slice) -> Questions:
        columns = (self.id, self.moment, self.X, self.y, self.known)
        return Questions(*(column[part] for column in columns), self.names)

    @property
    def overlap(self) -> int:
        """How many questions are asked while one waits for its answer: their losses overlap.

        Examples
        --------
        >>> Questions([1, 2, 3], [10, 20, 30], [[0.0]] * 3, [1.0] * 3, [40, 50, 60], ("a",)).overlap
        3
        >>> Questions([1, 2, 3, 4], [10, 10, 20, 20], [[0.0]] * 4, [1.0] * 4, [20, 20, 30, 30], ("a",)).overlap
        2
        """
        waits = (self.known - self.moment)[self.known < NEVER]
        moments = self.moment[np.append(True, self.moment[1:] > self.moment[:-1])] if len(self) else self.moment
        if len(moments) < 2 or not len(waits):
            return 1
        at_once = len(self) / len(moments)  # several keys are asked at one moment
        return max(1, round(float(np.median(waits) / np.median(np.diff(moments)) * at_once)))

    def _check_shapes(self) -> None:
        n = len(self.id)
        if self.X.shape != (n, len(self.names)):
            raise ValueError(
                f"X must have {n} rows of {len(self.names)} columns ({', '.join(self.names)}), got shape {self.X.shape}"
            )
        for name in ("moment", "y", "known"):
            if getattr(self, name).shape != (n,):
                raise ValueError(f"{name} must have one value a question ({n}), got shape {getattr(self, name).shape}")

    def _check_numbers(self) -> None:
        with np.errstate(over="ignore", invalid="ignore"):
            fine = np.isfinite(self.X.sum())  # one pass; a huge sum only means a second look
        if not fine and not np.isfinite(self.X).all():
            row, column = np.argwhere(~np.isfinite(self.X))[0]
            raise ValueError(
                f"feature {self.names[column]!r} of question {self.id[row]} must be a finite number, "
                f"got {self.X[row, column]}: say what missing means upstream"
            )
        if np.isinf(self.y).any():
            row = np.flatnonzero(np.isinf(self.y))[0]
            raise ValueError(f"the answer of question {self.id[row]} must be finite or NaN, got {self.y[row]}")

    def _check_times(self) -> None:
        back = np.flatnonzero(self.moment[1:] < self.moment[:-1]) + 1
        if len(back):
            row = back[0]
            raise ValueError(
                f"questions must be in the order of their moments: question {self.id[row]} at "
                f"{utc(int(self.moment[row]))} follows {utc(int(self.moment[row - 1]))}; "
                "sort the event log or raise the lateness"
            )
        early = np.flatnonzero(self.known <= self.moment)
        if len(early):
            row = early[0]
            raise ValueError(
                f"an answer must become known after its question: question {self.id[row]} is asked at "
                f"{utc(int(self.moment[row]))} and its answer known at {utc(int(self.known[row]))}; a label looks ahead"
            )
        if (~np.isnan(self.y) & (self.known == NEVER)).any():
            row = np.flatnonzero(~np.isnan(self.y) & (self.known == NEVER))[0]
            raise ValueError(f"question {self.id[row]} has an answer, {self.y[row]}, but no time when it becomes known")


def _whole(values, name: str) -> np.ndarray:
    array = np.asarray(values)
    if array.size and array.dtype.kind not in "iu":
        raise ValueError(f"{name} must be whole numbers (ns UTC for times), got {array.dtype}")
    return plain(array, np.int64)
