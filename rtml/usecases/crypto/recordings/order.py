"""The order in which the rows of a file came, and rows whose clock is ahead of those around them."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import span

_WIDE = span("60s")  # a jump that is worth a look
_WIDEST = span("366d")
_LATE = span("1s")
_SEVERAL = 3  # rows that confirm a jump
_EVIDENCE = 20  # rows before the last of a file can be told to have jumped


def arrival(time: np.ndarray) -> tuple[np.ndarray, np.ndarray, str]:
    """Places of rows in order of arrival, whether each of them is ahead, and a sentence when the order was changed.

    A file is in order of arrival unless it is newest first, or far from any order of time (several symbols one after
    the other, days in a wrong order): then it is sorted. A jump ahead is believed when three rows confirm it; one or
    two rows that the next one falls behind are ``ahead``. Rows without a time (not positive) keep their place.

    Examples
    --------
    >>> s = 10**9
    >>> order, ahead, note = arrival(np.array([1, 2, 3, 4000, 4, 5, 6]) * s)
    >>> order.tolist(), ahead.tolist(), note
    ([0, 1, 2, 3, 4, 5, 6], [False, False, False, True, False, False, False], '')
    >>> arrival(np.array([3, 2, 1]) * s)[0].tolist()
    [2, 1, 0]
    """
    order, note = np.arange(len(time)), ""
    step = np.diff(time)
    if len(step) and time[0] > 0 and step.min() >= 0 and step.max() <= _WIDE:  # as nearly all files are
        return order, np.zeros(len(time), bool), note
    step = np.diff(time[time > 0])
    if (step < 0).sum() > 2 * (step > 0).sum() and step.sum() < 0:
        order, note = order[::-1], "the newest row comes first: read from the end"
    known = order[time[order] > 0]
    jumped = _ahead(time[known])
    steady = known[~jumped]
    behind = np.maximum.accumulate(time[steady]) - time[steady] if len(steady) else steady
    few = max(2, 0.01 * len(steady))
    if (behind > _WIDE).sum() > few or (behind > _LATE).sum() > max(2, 0.05 * len(steady)):
        by_time = np.argsort(time[steady], kind="stable")
        order = np.concatenate([steady[by_time], known[jumped], order[time[order] <= 0]])
        note = "the rows are not in order of time: sorted"
    ahead = np.zeros(len(time), bool)
    ahead[known[jumped]] = True
    return order, ahead[order], note


def _ahead(time: np.ndarray) -> np.ndarray:
    """Rows ahead of those around them; none where so many are that the file is simply out of order."""
    marked = np.zeros(len(time), bool)
    for _ in range(20):  # an outlier may hide behind a larger one
        left = np.flatnonzero(~marked)
        found = _jumped(time[left])
        marked[left[found]] = True
        if not found.any():
            break
    return marked if marked.sum() <= max(_SEVERAL - 1, 0.05 * len(time)) else np.zeros(len(time), bool)


def _jumped(time: np.ndarray) -> np.ndarray:
    """Runs of one or two rows, ahead of all rows before, that the next row falls back behind."""
    n = len(time)
    marked = np.zeros(n, bool)
    if n < 2:
        return marked
    step = np.diff(time)
    usual = int(np.median(step[step > 0])) if (step > 0).any() else 0
    wide = min(max(_WIDE, 5 * usual), _WIDEST)
    before = np.r_[-(2**62), np.maximum.accumulate(time)[:-1]]
    up = time - before > wide
    for length in range(1, min(_SEVERAL, n)):
        lowest = np.minimum.reduce([time[k : n - length + k] for k in range(length)])
        falls = np.flatnonzero(up[: n - length] & (time[length:] < lowest - wide))
        for k in range(length):
            marked[falls + k] = True
    for length in range(1, _SEVERAL if n > _EVIDENCE else 0):  # nothing behind the end confirms a jump
        largest = int(np.delete(step, n - 1 - length).max())
        if up[-length] and step[-length] > max(wide, 3 * largest):
            marked[-length:] = True
    return marked
