"""Quality of the features that were asked with: what is missing, what was served stale, what has drifted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence

import numpy as np

from rtml.monitoring.drift.distance import Psi

REFERENCE, WINDOW = 500, 500  # questions: the first of the run, and the newest


class FeatureQuality:
    """Features of the newest questions beside those of the first ones, by the monitor's own population stability index.

    Parameters
    ----------
    names
        Of the features, in the order of their columns.

    Examples
    --------
    >>> quality, rng = FeatureQuality(["spread"]), np.random.default_rng(7)
    >>> quality.take(rng.normal(0, 1, (500, 1)))
    >>> quality.take(rng.normal(2, 1, (500, 1)))
    >>> [(one["name"], one["drifted"], one["missing"]) for one in quality.told({})["features"]]
    [('spread', True, 0.0)]
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._first: list[np.ndarray] = []
        self._newest: deque[np.ndarray] = deque(maxlen=WINDOW)

    def take(self, X: np.ndarray) -> None:
        """Take rows of features as they were asked with, (m, features)."""
        self._first.extend(X[: max(0, REFERENCE - len(self._first))])
        self._newest.extend(X)

    def told(self, counts: Mapping[tuple[str, str], int]) -> dict:
        """By feature: share missing, mean then and now, drift; ``counts`` says how often each was served stale.

        There is no drift before ``needed`` questions; until then ``reference`` is 0.
        """
        first, newest = self._rows(self._first), self._rows(self._newest)
        psi, limits, measured = self._drift(first, newest)
        rows = []
        for j, name in enumerate(self._names):
            about = {"missing": float(np.mean(~np.isfinite(newest[:, j]))) if len(newest) else 0.0}
            about |= {"stale": counts.get((name, "stale"), 0), "mean": _mean(newest[:, j])}
            about |= {"mean_before": _mean(first[:, j]), "psi": psi[j], "limit": limits[j]}
            rows.append({"name": name, **about, "drifted": bool(measured and psi[j] > limits[j])})
        sizes = {"reference": len(first) if measured else 0, "window": len(newest)}
        return {"features": rows, **sizes, "needed": REFERENCE + WINDOW}

    def _drift(self, first: np.ndarray, newest: np.ndarray) -> tuple[list, list, bool]:
        """Distance and limit of every feature, whether they were measured: rows with a missing value are left out."""
        first, newest = (rows[np.isfinite(rows).all(axis=1)] for rows in (first, newest))
        if len(first) < REFERENCE // 2 or len(newest) < WINDOW // 2 or len(self._newest) < WINDOW:
            return [None] * len(self._names), [None] * len(self._names), False
        detector = Psi(reference=len(first), window=len(newest), every=len(newest))
        detector.freeze(first)
        detector.push(newest)
        return detector.scores.tolist(), detector.limits.tolist(), True

    def _rows(self, rows: Sequence[np.ndarray] | deque[np.ndarray]) -> np.ndarray:
        return np.array(rows, float).reshape(len(rows), len(self._names))


def _mean(column: np.ndarray) -> float | None:
    column = column[np.isfinite(column)]
    return float(column.mean()) if len(column) else None
