"""Metrics of lists: was what came among the first k, how far up, and how much of the catalogue is ever shown?

A prediction is a row of item ids, the likeliest first, NaN where the list is shorter; the answer is the item that came,
NaN where none did. With one right item a list, NDCG is ``1 / log2(1 + rank)``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np

from rtml.core.later import pd

_Z = 1.959963984540054
_NAMES = ("recall", "mrr", "ndcg")


def ranks(y, lists) -> np.ndarray:
    """Place of each answer in its list, from 1; 0 where it is not listed, -1 where no answer came.

    Examples
    --------
    >>> ranks([7, 8, 9, np.nan], [[7, 8], [7, 8], [7, 8], [7, 8]])
    array([ 1,  2,  0, -1])
    """
    y, lists = _arrays(y, lists)
    hits = lists == y[:, None]
    found = np.where(hits.any(axis=1), hits.argmax(axis=1) + 1, 0) if lists.shape[1] else np.zeros(len(y), np.int64)
    return np.where(np.isnan(y), -1, found)


def gains(y, lists, k: int) -> np.ndarray:
    """Recall, reciprocal rank and NDCG of each question among its first ``k``, shape (m, 3); NaN without an answer.

    Examples
    --------
    >>> gains([7, 8], [[7, 8], [7, 8]], k=2).round(3).tolist()
    [[1.0, 1.0, 1.0], [1.0, 0.5, 0.631]]
    """
    if k < 1:
        raise ValueError(f"a list is judged by its first k items, at least one, got k={k}")
    rank = ranks(y, np.asarray(lists, float)[:, :k])
    listed = rank > 0
    safe = np.where(listed, rank, 1)
    columns = np.stack([np.ones(len(rank)), 1.0 / safe, 1.0 / np.log2(1.0 + safe)], axis=1)
    columns[~listed] = 0.0
    columns[rank < 0] = np.nan
    return columns


def value(y, lists, k: int = 20) -> dict[str, float]:
    """Recall@k, MRR@k and NDCG@k of all answered questions, coverage and popularity bias.

    Examples
    --------
    >>> {name: round(v, 2) for name, v in value([7, 8, 7], [[7, 8], [7, 8], [8, 7]], k=1).items()}
    {'recall': 0.33, 'mrr': 0.33, 'ndcg': 0.33, 'coverage': 1.0, 'popularity_bias': 1.0, 'answered': 3, 'asked': 3}
    """
    return RankingScore(k).update(y, lists).get()


class RankingScore:
    """A running score of lists; any cutting of the stream into updates gives the same bits.

    ``coverage`` is the share of the items seen, clicked or listed, that were ever listed. ``popularity_bias`` is how
    often the items listed were clicked in the same stretch, a mean over what was listed, relative to the same mean over
    the clicks themselves: 1 shows items as popular as those that are clicked, more shows more popular ones.

    Examples
    --------
    >>> score = RankingScore(k=2).update([7.0], [[8.0, 7.0]])
    >>> score.update([np.nan], [[8.0, 9.0]]).get()["mrr"]
    0.5
    """

    def __init__(self, k: int = 20) -> None:
        if k < 1:
            raise ValueError(f"a list is judged by its first k items, at least one, got k={k}")
        self.k = k
        self._sums = np.zeros(5)  # asked, answered, recall, reciprocal rank, NDCG
        self._clicked: Counter[float] = Counter()
        self._listed: Counter[float] = Counter()

    def update(self, y, lists) -> RankingScore:
        """Add answers and the lists given before they came."""
        y, lists = _arrays(np.atleast_1d(y), np.atleast_2d(lists))
        gained, known = gains(y, lists, self.k), ~np.isnan(y)
        rows = np.column_stack([np.ones(len(y)), known, np.where(known[:, None], gained, 0.0)]).T
        # accumulate, not sum: it adds from left to right, so where the stream is cut changes no bit
        self._sums = np.add.accumulate(np.column_stack([self._sums, rows]), axis=1)[:, -1].copy()
        for counter, items in ((self._clicked, y), (self._listed, lists[:, : self.k].ravel())):
            ids, times = np.unique(items[~np.isnan(items)], return_counts=True)
            counter.update(dict(zip(ids.tolist(), times.tolist(), strict=True)))
        return self

    def get(self) -> dict[str, float]:
        """Metrics so far; NaN for those nothing is known of."""
        asked, answered, *sums = self._sums.tolist()
        found = {name: total / answered if answered else np.nan for name, total in zip(_NAMES, sums, strict=True)}
        seen, bias = self._clicked.keys() | self._listed.keys(), _bias(self._listed, self._clicked)
        found |= {"coverage": len(self._listed) / len(seen) if seen else np.nan, "popularity_bias": bias}
        return found | {"answered": int(answered), "asked": int(asked)}

    @property
    def state(self) -> dict:
        """Sums and counts, for a checkpoint."""
        counts = {"clicked": self._clicked, "listed": self._listed}
        arrays = {name: np.array(sorted(c.items()), float).reshape(-1, 2) for name, c in counts.items()}
        return {"sums": self._sums.copy()} | arrays

    def load(self, state: dict) -> RankingScore:
        """Go on from a checkpoint."""
        self._sums = np.array(state["sums"], float)
        self._clicked, self._listed = (
            Counter({item: int(n) for item, n in state[name].tolist()}) for name in ("clicked", "listed")
        )
        return self


def interval(y, lists, session, k: int = 20) -> pd.DataFrame:
    """Metrics with their 95 % interval, as if whole sessions had been drawn: the clicks of one share its difficulty.

    One row a metric: ``value``, ``low``, ``high``. The variance is that of a ratio of sums over sessions (Cochran,
    "Sampling Techniques", 1977, chapter 6).

    Examples
    --------
    >>> interval([7, 8, 7, 9], [[7], [7], [7], [7]], session=[1, 1, 2, 3], k=1).round(2).loc["recall"].tolist()
    [0.5, 0.08, 0.92]
    """
    return _clustered(gains(y, lists, k), session)


def difference(y, a, b, session, k: int = 20) -> pd.DataFrame:
    """How much better lists ``a`` are than ``b`` on the same questions, with a 95 % interval over sessions.

    Examples
    --------
    >>> difference([7, 8], [[7], [8]], [[7], [7]], session=[1, 2], k=1)["value"].tolist()
    [0.5, 0.5, 0.5]
    """
    return _clustered(gains(y, a, k) - gains(y, b, k), session)


def by_segment(y, lists, segments: Mapping[str, np.ndarray], session, k: int = 20) -> pd.DataFrame:
    """Recall and MRR of parts of the questions, each a mask: short sessions, new items, new visitors.

    Examples
    --------
    >>> masks = {"first click": np.array([True, False])}
    >>> by_segment([7, 8], [[7], [7]], masks, session=[1, 1], k=1)["recall"].tolist()
    [1.0]
    """
    gained = gains(y, lists, k)
    session = np.asarray(session)
    rows = {}
    for name, mask in segments.items():
        found = _clustered(gained[mask], session[mask])
        answered = int((~np.isnan(gained[mask][:, 0])).sum())
        row = found.loc["recall"].add_prefix("recall_").rename({"recall_value": "recall"})
        rows[name] = {"answered": answered, **row, "mrr": found.loc["mrr", "value"]}
    return pd.DataFrame.from_dict(rows, orient="index").rename_axis("questions")


def _clustered(values: np.ndarray, session) -> pd.DataFrame:
    """Means of columns with intervals over clusters."""
    known = ~np.isnan(values[:, 0])
    values, cluster = values[known], np.unique(np.asarray(session)[known], return_inverse=True)[1]
    n = len(values)
    if not n:
        return pd.DataFrame(np.nan, index=_NAMES, columns=["value", "low", "high"]).rename_axis("metric")
    mean = values.mean(axis=0)
    sums = np.stack([np.bincount(cluster, column) for column in (values - mean).T])
    g = sums.shape[1]
    half = _Z * np.sqrt(g / max(g - 1, 1) * (sums**2).sum(axis=1)) / n if g > 1 else np.full(len(mean), np.inf)
    table = {"value": mean, "low": mean - half, "high": mean + half}
    return pd.DataFrame(table, index=_NAMES).rename_axis("metric")


def _bias(listed: Mapping[float, int], clicked: Mapping[float, int]) -> float:
    shown, came = sum(listed.values()), sum(clicked.values())
    if not shown or not came:
        return np.nan
    of_list = sum(n * clicked.get(item, 0) for item, n in listed.items()) / shown
    return of_list / (sum(n * n for n in clicked.values()) / came)


def _arrays(y, lists) -> tuple[np.ndarray, np.ndarray]:
    y, lists = np.asarray(y, float), np.asarray(lists, float)
    if y.ndim != 1 or lists.ndim != 2 or len(lists) != len(y):
        raise ValueError(f"answers must be (m,) and lists (m, k), got {y.shape} and {lists.shape}")
    return y, lists
