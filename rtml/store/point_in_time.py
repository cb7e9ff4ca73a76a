"""Point-in-time join: what was known of a key at a moment, never what happened or was learned later."""

from __future__ import annotations

import numpy as np

from rtml.kernels import asof
from rtml.store.facts import Facts, keys_of


def standing(facts: Facts, key, moment, *, before: bool = False, within: int | None = None) -> np.ndarray:
    """Row of the fact that stood for each question, -1 where none did.

    A fact counts when it was known at the moment of the question (and so had happened). Of facts of one event time the
    one known last stands, of those known at once the one further down; one taken back does not count; of those that
    stand the newest event time is taken.

    Parameters
    ----------
    facts
        In any order.
    key, moment
        Of the questions, in any order; moments in ns UTC.
    before
        Take only what was known *before* the moment: for facts made of answers, which at equal times come after the
        question.
    within
        Take no fact that happened this long ago, or longer, ns.

    Examples
    --------
    >>> spend = Facts([7, 7, 7], [10, 20, 10], [11, 20, 30], [[1.0], [2.0], [1.5]], ("spend",), "v1")
    >>> standing(spend, [7, 7, 7, 8], [10, 11, 25, 25])
    array([-1,  0,  1, -1])
    """
    asked, moment = keys_of(key), np.asarray(moment, np.int64)
    if not asked.size:
        return np.empty(0, np.int64)
    if len(facts) and facts.key.dtype.kind != asked.dtype.kind:
        raise ValueError(f"the facts have keys of {facts.key.dtype}, the questions of {asked.dtype}: take one kind")
    n = len(facts)
    code = facts.key
    wanted = asked
    if asked.dtype.kind != "i":  # texts: any numbers of the same order do
        codes = np.unique(np.concatenate([facts.key.astype(str), asked]), return_inverse=True)[1]
        code, wanted = codes[:n], codes[n:]
    rows = _placed(facts, code, wanted, moment - before) if n else np.full(asked.size, -1, np.int64)
    if within is not None and n:
        rows[(rows >= 0) & (moment - facts.happened[rows] >= within)] = -1
    return rows


def _placed(facts: Facts, code: np.ndarray, wanted: np.ndarray, moment: np.ndarray) -> np.ndarray:
    """Row of the fact that stood for each question, keys being whole numbers on both sides."""
    least, codes = int(code.min()), int(code.max()) - int(code.min()) + 1
    if codes <= 4 * (len(code) + len(wanted)) and not facts.deleted.any():  # a table of all keys is not too wide
        by_known, asking = _order(facts.known), _order(moment)
        columns = (code[by_known] - least, facts.happened[by_known], facts.known[by_known])
        questions = (wanted[asking] - least, moment[asking])
        found = asof.latest(*map(np.ascontiguousarray, (*columns, *questions)), codes)
    else:
        by_known, asking = (
            np.lexsort((facts.known, code)),
            np.lexsort((moment, wanted)),
        )  # both keep the order of equals
        columns = (column[by_known] for column in (code, facts.happened, facts.known, facts.deleted))
        found = asof.newest(*columns, wanted[asking], moment[asking])
    rows = np.empty(len(wanted), np.int64)
    rows[asking] = found if isinstance(by_known, slice) else np.where(found >= 0, by_known[found], -1)
    return rows


def _order(times: np.ndarray) -> np.ndarray | slice:
    """What puts times in order; equals stay as they are."""
    return slice(None) if (times[1:] >= times[:-1]).all() else np.argsort(times, kind="stable")


def join(facts: Facts, key, moment, *, default=np.nan, before: bool = False, within: int | None = None) -> np.ndarray:
    """Values that were known at each question, shape (questions, features); ``default`` where none were.

    Examples
    --------
    >>> spend = Facts([7, 7], [10, 20], [11, 20], [[1.0], [2.0]], ("spend",), "v1")
    >>> join(spend, [7, 7], [19, 20], default=0.0).ravel()
    array([1., 2.])
    """
    rows = standing(facts, key, moment, before=before, within=within)
    if not len(facts):
        return np.full((len(rows), len(facts.names)), default, np.float64)
    values = np.take(facts.values, rows, axis=0, mode="clip")
    values[rows < 0] = default
    return values
