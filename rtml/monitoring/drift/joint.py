"""A detector without labels that sees features leave each other although each stays as it is."""

from __future__ import annotations

import numpy as np

from rtml.core.later import stats
from rtml.kernels.distance import correlations
from rtml.monitoring.drift.distance import Reference
from rtml.monitoring.drift.reference import Bins, persistence


class Joint(Reference):
    """The largest change of a rank correlation between any two columns, of a window against the reference.

    Every value counts as the normal score of its bin (van der Waerden), so that no unit, outlier or move of one column
    alone plays a part. What chance can do is judged by the influence of single rows on a correlation (Devlin,
    Gnanadesikan and Kettenring, Biometrika 1975), shared out over all pairs (Bonferroni). It does not see what leaves
    all pairs as they are. The distance in ``raised`` is the change of the correlation; both columns are named.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> a, noise = rng.normal(size=2000), rng.normal(size=2000)
    >>> b = np.where(np.arange(2000) < 1500, noise, 0.8 * a + 0.6 * noise)
    >>> detector = Joint()
    >>> detector.push(np.column_stack([a, b]))
    array([1749])
    >>> [column for _, column, _ in detector.raised]
    [1, 0]
    """

    threshold = 0.2

    def _begun(self, reference: np.ndarray, bins: Bins, size: float, rare: float) -> dict:
        d = reference.shape[1]
        codes, usual = bins.codes(reference), np.zeros((d, d))
        correlations(codes, bins.scores, usual)
        limits = stats.norm.isf(rare / max(d * (d - 1), 1)) * np.sqrt(_doubt(codes, bins.scores, usual) * size)
        ring, armed = np.zeros((self._how["window"], d), dtype=np.uint8), np.ones(1, dtype=np.bool_)
        kept = {"edges": bins.edges, "shares": bins.shares, "usual": usual, "scores": bins.scores, "ring": ring}
        return kept | {"limits": limits, "armed": armed, "score": np.full((d, d), np.nan)}

    def _slide(self, X: np.ndarray) -> list[tuple[int, int, float]]:
        s = self._s
        codes = Bins(self._s["edges"], self._s["shares"]).codes(X)
        found = []
        start = 0
        every, window = self._how["every"], self._how["window"]
        while start < len(codes):
            seen = int(s["head"][0])
            end = min(start + every - seen % every, len(codes))
            s["ring"][np.arange(seen, seen + end - start) % window] = codes[start:end]
            s["head"][0] += end - start
            if s["head"][0] >= window and s["head"][0] % every == 0:
                found += self._look(end - 1)
            start = end
        return found

    def _look(self, row: int) -> list[tuple[int, int, float]]:
        s, now = self._s, np.empty_like(self._s["usual"])
        correlations(s["ring"], s["scores"], now)
        s["score"] = np.abs(now - s["usual"])
        beyond = s["score"] / s["limits"]
        worst = np.unravel_index(int(beyond.argmax()), beyond.shape)
        if beyond[worst] < 0.5:
            s["armed"][0] = True
        if beyond[worst] <= 1.0 or not s["armed"][0]:
            return []
        s["armed"][0] = False
        return [(row, int(column), float(s["score"][worst])) for column in worst]


def _doubt(codes: np.ndarray, scores: np.ndarray, usual: np.ndarray) -> np.ndarray:
    """Variance of every correlation, times the number of rows."""
    z = np.take_along_axis(scores, codes.T.astype(np.int64), axis=1).T
    spread = z.std(axis=0)
    z = (z - z.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    doubt = np.zeros_like(usual)
    for j in range(1, len(usual)):
        influence = z[:, [j]] * z[:, :j] - usual[j, :j] / 2 * (z[:, [j]] ** 2 + z[:, :j] ** 2)
        doubt[j, :j] = influence.var(axis=0) * persistence(influence)
    return doubt
