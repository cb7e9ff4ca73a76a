"""Quality of the features that were asked with: what is missing, what was served stale, what has drifted."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from threading import Lock

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
    >>> [(one["name"], one["drifted"], one["missing"]) for one in quality.as_dict({})["features"]]
    [('spread', True, 0.0)]
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._names = tuple(names)
        self._lock = Lock()
        self._whole = 0
        self._newest: deque[np.ndarray] = deque(maxlen=WINDOW)
        self._first: list[np.ndarray] = []  # without a missing value, like those of the window
        self._window: deque[np.ndarray] = deque(maxlen=WINDOW)
        self._reference: dict = {}  # state of the detector that is frozen on the first

    def take(self, X: np.ndarray) -> None:
        """Take rows of features as they were asked with, (m, features)."""
        whole = X[np.isfinite(X).all(axis=1)]
        with self._lock:
            self._first.extend(whole[: max(0, REFERENCE - len(self._first))])
            self._newest.extend(X)
            self._window.extend(whole)
            self._whole += len(whole)

    def as_dict(self, counts: Mapping[tuple[str, str], int]) -> dict:
        """By feature: share missing, mean then and now, drift; ``counts`` says how often each was served stale.

        There is no drift before ``needed`` questions without a missing value; until then ``reference`` is 0.
        """
        with self._lock:
            first, newest, window = (self._rows(rows) for rows in (self._first, self._newest, self._window))
            measured = self._whole >= REFERENCE + WINDOW
        psi, limits = self._drift(first, window) if measured else ([None] * len(self._names),) * 2
        rows = []
        for j, name in enumerate(self._names):
            about = {"missing": float(np.mean(~np.isfinite(newest[:, j]))) if len(newest) else 0.0}
            about |= {"stale": counts.get((name, "stale"), 0), "mean": _mean(newest[:, j])}
            about |= {"mean_before": _mean(first[:, j]), "psi": psi[j], "limit": limits[j]}
            rows.append({"name": name, **about, "drifted": bool(measured and psi[j] > limits[j])})
        sizes = {"reference": REFERENCE if measured else 0, "window": len(newest)}
        return {"features": rows, **sizes, "needed": REFERENCE + WINDOW}

    def _drift(self, first: np.ndarray, window: np.ndarray) -> tuple[list, list]:
        """Distance of every feature, and the distance from which on it has drifted."""
        detector = Psi(reference=REFERENCE, window=WINDOW, every=WINDOW)
        if not self._reference:
            detector.freeze(first)
            self._reference = detector.state
        detector.load(self._reference)
        detector.push(window)
        return detector.scores.tolist(), detector.limits.tolist()

    def _rows(self, rows: Sequence[np.ndarray] | deque[np.ndarray]) -> np.ndarray:
        return np.array(rows, float).reshape(len(rows), len(self._names))


def _mean(column: np.ndarray) -> float | None:
    column = column[np.isfinite(column)]
    return float(column.mean()) if len(column) else None
