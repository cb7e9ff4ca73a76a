"""A frozen reference: its sample, the bins that are fixed on it, and how strict a test against it must be."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from rtml.core.arrays import plain
from rtml.core.later import special, stats
from rtml.kernels.distance import encode

BLOCKS = 20  # stretches of the reference by which its dependence in time is judged


@dataclass(frozen=True, eq=False)
class Bins:
    """Bins of every column, fixed on a reference: its ``edges`` (infinite where it has fewer) and their ``shares``.

    Edges are the reference's deciles. A value that is many of them, such as a zero, gets a bin of its own. To each bin
    half a value is added, so that no share is zero.

    Examples
    --------
    >>> bins = Bins.of(np.arange(100.0).reshape(-1, 1))
    >>> bins.edges[0, :2].round(1).tolist(), bins.codes(np.array([[-5.0], [12.0], [500.0]])).ravel().tolist()
    ([9.9, 19.8], [0, 1, 9])
    """

    edges: np.ndarray
    shares: np.ndarray

    @classmethod
    def of(cls, reference: np.ndarray, number: int = 10) -> Bins:
        """Bins of a reference, rows of finite numbers."""
        cuts = [_cuts(column, number) for column in np.ascontiguousarray(reference, dtype=np.float64).T]
        edges = np.full((len(cuts), max(map(len, cuts))), np.inf)
        for row, cut in zip(edges, cuts, strict=True):
            row[: len(cut)] = cut
        bins = cls(edges, np.zeros((len(edges), edges.shape[1] + 1)))
        return cls(edges, bins.smoothed(bins.counts(bins.codes(reference))))

    def codes(self, X: np.ndarray) -> np.ndarray:
        """Bin of every value."""
        codes = np.empty(X.shape, dtype=np.uint8)
        encode(plain(X, np.float64), self.edges, codes)
        return codes

    def counts(self, codes: np.ndarray) -> np.ndarray:
        """Values by column and bin."""
        return np.stack([np.bincount(column, minlength=self.shares.shape[1]) for column in codes.T]).astype(np.int64)

    def smoothed(self, counts: np.ndarray) -> np.ndarray:
        """Shares of counts, half a value added to each bin; 0 where a column has no such bin."""
        has = np.arange(counts.shape[1]) <= np.isfinite(self.edges).sum(1)[:, None]
        return np.where(has, (counts + 0.5) / (counts.sum(1) + 0.5 * has.sum(1))[:, None], 0.0)

    @property
    def scores(self) -> np.ndarray:
        """The normal score of every bin's middle by column: values without their unit."""
        middle = np.cumsum(self.shares, axis=1) - 0.5 * self.shares
        return np.where(self.shares > 0, special.ndtri(np.clip(middle, 1e-9, 1 - 1e-9)), 0.0)


def persistence(rows: np.ndarray) -> np.ndarray:
    """By how much more the mean of each column varies than that of independent rows would; 1 where it does not.

    Features such as windows move slowly, so a thousand of their rows hold less information than a thousand independent
    ones: the design effect (Kish, Survey Sampling, 1965) of blocks in time. Counts only where it is beyond chance.

    Examples
    --------
    >>> rows = np.random.default_rng(7).normal(size=1000)
    >>> persistence(np.c_[rows, rows.cumsum()]) > 1
    array([False,  True])
    """
    size = len(rows) // BLOCKS
    blocks = rows[: size * BLOCKS].reshape(BLOCKS, size, -1)
    spread = blocks.reshape(size * BLOCKS, -1).var(axis=0)
    found = size * blocks.mean(axis=1).var(axis=0, ddof=1) / np.where(spread > 0, spread, 1.0)
    return np.where(found > stats.chi2.isf(0.001, BLOCKS - 1) / (BLOCKS - 1), np.maximum(found, 1.0), 1.0)


def _cuts(column: np.ndarray, number: int) -> np.ndarray:
    if not np.isfinite(column).all():
        raise ValueError(
            f"a reference holds finite numbers, got {column[~np.isfinite(column)][0]}: leave such rows out"
        )
    deciles = np.quantile(column, np.arange(1, number) / number)
    values, times = np.unique(deciles, return_counts=True)
    tied = values[(times > 1) | np.isin(values, [column.min(), column.max()])]
    return np.unique(np.concatenate([values, np.nextafter(tied, np.inf)]))
