"""Detectors that see a distribution leave its frozen reference: PSI, Jensen-Shannon, Kolmogorov-Smirnov."""

from __future__ import annotations

import numpy as np

from rtml.core.arrays import plain
from rtml.core.later import special, stats
from rtml.kernels import distance
from rtml.monitoring.drift.reference import Bins, persistence


class Reference:
    """What these detectors share: the first rows become the reference, and later ones a sliding window against it.

    Parameters
    ----------
    reference, window
        Rows of the reference, which is then frozen, and of the window.
    every
        Rows between two looks.
    false_alarms
        False alarms of a column per 100,000 rows that are taken for granted: what is above the threshold by chance.
        Rows that depend on those before, as the reference shows them to, count for less.
    threshold
        A distance below which no alarm is raised, however sure it is.

    Examples
    --------
    >>> Psi(reference=10, window=5, every=1)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
        ...
    ValueError: reference and window must have at least 100 rows and a look come wit...
    """

    threshold = 0.0

    def __init__(
        self,
        reference: int = 1000,
        window: int = 500,
        every: int = 50,
        *,
        threshold: float | None = None,
        false_alarms: float = 0.02,
    ) -> None:
        if min(reference, window) < 100 or not 1 <= every <= window:
            raise ValueError(
                f"reference and window must have at least 100 rows and a look come within a window, got "
                f"reference={reference}, window={window}, every={every}"
            )
        self.threshold = type(self).threshold if threshold is None else float(threshold)
        self._how = {"reference": reference, "window": window, "every": every, "threshold": self.threshold}
        self._how["false_alarms"] = float(false_alarms)
        self._kept = np.empty((0, 0))
        self._s: dict[str, np.ndarray] = {}
        self.raised: list[tuple[int, int, float]] = []  #: of the last push: row, column and its distance

    def push(self, values) -> np.ndarray:
        """Rows of ``values`` (one column or several) at which an alarm is raised; ``raised`` holds the column."""
        X = plain(values, np.float64)
        X = X[:, None] if X.ndim == 1 else X
        self.raised = []
        start = 0
        if not len(X):
            return np.empty(0, dtype=np.int64)
        if not np.isfinite(X).all():
            raise ValueError(f"{type(self).__name__} takes finite numbers, got {X[~np.isfinite(X)][0]}: leave them out")
        if not self._s:
            start = min(self._how["reference"] - len(self._kept), len(X))
            self._kept = np.concatenate([self._kept.reshape(-1, X.shape[1]), X[:start]])
            if len(self._kept) < self._how["reference"]:
                return np.empty(0, dtype=np.int64)
            self.freeze(self._kept)
        self.raised = [(row + start, column, far) for row, column, far in self._slide(X[start:])]
        return np.array(sorted({row for row, *_ in self.raised}), dtype=np.int64)

    def freeze(self, reference) -> None:
        """Take a reference, such as what a model was trained on, instead of the first rows; begin a new window."""
        reference = np.asarray(reference, dtype=np.float64)
        reference = reference.reshape(len(reference), -1)
        size = 1 / self._how["window"] + 1 / len(reference)
        rare = self._how["false_alarms"] * self._how["every"] / 1e5
        self._kept = reference[:0].copy()
        self._s = self._begun(reference, Bins.of(reference), size, rare) | {"head": np.zeros(1, dtype=np.int64)}
        self._s["limits"] = np.maximum(self.threshold, self._s["limits"])

    @property
    def every(self) -> int:
        """Rows between two looks."""
        return self._how["every"]

    @property
    def columns(self) -> int:
        """Columns it watches; 0 before the first row."""
        return len(self._s["limits"]) if self._s else self._kept.shape[1]

    @property
    def scores(self) -> np.ndarray:
        """Distance of every column at the last look; NaN before the first window is full."""
        return self._s["score"].copy() if self._s else np.full(self.columns, np.nan)

    @property
    def limits(self) -> np.ndarray:
        """Distance beyond which each column raises an alarm; infinite before the reference is full."""
        return self._s["limits"].copy() if self._s else np.full(self.columns, np.inf)

    @property
    def state(self) -> dict:
        """Everything the next row depends on."""
        frozen = {name: array.copy() for name, array in self._s.items()}
        return {"kind": type(self).__name__, "how": dict(self._how), "kept": self._kept.copy(), "frozen": frozen}

    def load(self, state: dict) -> None:
        """Continue from a state of a detector with the same numbers."""
        if (state["kind"], state["how"]) != (type(self).__name__, self._how):
            raise ValueError(
                f"the state is of {state['kind']} with {state['how']}, not of {type(self).__name__} with {self._how}: "
                "make the detector as it was"
            )
        self._kept = np.array(state["kept"])
        self._s = {name: np.array(array) for name, array in state["frozen"].items()}

    def _begun(self, reference: np.ndarray, bins: Bins, size: float, rare: float) -> dict:
        """What is kept of a reference, with the limits that chance passes as rarely as is asked for."""
        d = reference.shape[1]
        limits = self._limits(bins, _doubt(bins.codes(reference)), size, rare)
        begun = {"limits": limits, "armed": np.ones(d, dtype=np.bool_), "score": np.full(d, np.nan)}
        return self._frozen(reference, bins) | begun

    def _slide(self, X: np.ndarray) -> list[tuple[int, int, float]]:
        s, most = self._s, (len(X) // self._how["every"] + 1) * X.shape[1]
        found, far = np.empty((most, 2), dtype=np.int64), np.empty(most)
        tail = (self._how["every"], *self._measure, s["limits"], s["armed"], s["score"], found, far)
        raised = self._kernel(X, tail)
        return [(row, column, by) for (row, column), by in zip(found[:raised].tolist(), far.tolist(), strict=False)]


class Psi(Reference):
    """The population stability index of a window against the reference's bins; above 0.2 is the usual alarm.

    Siddiqi, Credit Risk Scorecards (2006); it is Jeffreys' divergence of the two rows of shares.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> values = np.concatenate([rng.normal(0, 1, 2000), rng.normal(1, 1, 500)])
    >>> Psi().push(values)
    array([2199])
    """

    threshold = 0.2
    _measure: tuple = (distance.PSI,)

    def _frozen(self, reference: np.ndarray, bins: Bins) -> dict:
        ring = np.zeros((self._how["window"], reference.shape[1]), dtype=np.uint8)
        counts = np.zeros(bins.shares.shape, dtype=np.int64)
        return {"edges": bins.edges, "shares": bins.shares, "ring": ring, "counts": counts}

    def _limits(self, bins: Bins, doubt: np.ndarray, size: float, rare: float) -> np.ndarray:
        free = np.maximum((bins.shares > 0).sum(1) - 1, 1)
        return doubt * stats.chi2.isf(rare, free) * size

    def _kernel(self, X: np.ndarray, tail: tuple) -> int:
        s, codes = self._s, np.empty(X.shape, dtype=np.uint8)
        distance.encode(X, s["edges"], codes)
        return distance.slide_bins(codes, s["shares"], s["ring"], s["counts"], s["head"], *tail)

    @property
    def bins(self) -> Bins:
        """Bins that are fixed on the reference."""
        return Bins(self._s["edges"], self._s["shares"])

    def lately(self, n: int) -> np.ndarray:
        """Shares of the bins among the last ``n`` rows of the window, by column."""
        ring = self._s["ring"]
        return self.bins.smoothed(self.bins.counts(ring[(self._s["head"][0] - 1 - np.arange(n)) % len(ring)]))

    def at_least(self, column: int, limit: float) -> None:
        """Raise no alarm for a column below this distance."""
        self._s["limits"][column] = max(self._s["limits"][column], limit)


class JensenShannon(Psi):
    """The Jensen-Shannon distance (Lin, IEEE Trans. Information Theory 1991), base 2, over the reference's bins.

    Its threshold, 0.19, is about that of a PSI of 0.2.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> detector = JensenShannon()
    >>> len(detector.push(rng.normal(size=(2000, 1)))), len(detector.push(rng.normal(1, size=(500, 1)))) > 0
    (0, True)
    """

    threshold = 0.19
    _measure = (distance.JENSEN_SHANNON,)

    def _limits(self, bins: Bins, doubt: np.ndarray, size: float, rare: float) -> np.ndarray:
        return np.sqrt(super()._limits(bins, doubt, size, rare) / (8 * np.log(2)))


class KolmogorovSmirnov(Reference):
    """The two-sample Kolmogorov-Smirnov distance of a window and the reference itself, exact.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> detector = KolmogorovSmirnov()
    >>> len(detector.push(rng.normal(size=(2000, 1)))), len(detector.push(rng.normal(1, size=(500, 1)))) > 0
    (0, True)
    """

    threshold = 0.0
    _measure = ()

    def _frozen(self, reference: np.ndarray, bins: Bins) -> dict:
        ring = np.zeros((reference.shape[1], self._how["window"]))
        return {"reference": np.ascontiguousarray(np.sort(reference, axis=0).T), "ring": ring}

    def _limits(self, bins: Bins, doubt: np.ndarray, size: float, rare: float) -> np.ndarray:
        return special.kolmogi(rare) * np.sqrt(doubt * size)

    def _kernel(self, X: np.ndarray, tail: tuple) -> int:
        return distance.slide_values(X, self._s["reference"], self._s["ring"], self._s["head"], *tail)


def _doubt(codes: np.ndarray) -> np.ndarray:
    """By how much more each column's shares vary than those of independent rows: its most persistent bin."""
    return np.array([persistence(column[:, None] == np.unique(column)).max() for column in codes.T])
