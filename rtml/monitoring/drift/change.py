"""Detectors that see the mean of a stream rise: of errors, of predictions or of one feature."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from rtml.core.arrays import plain
from rtml.kernels import adwin, change


class Detector(Protocol):
    """Takes values in order, returns where it raises an alarm; any cutting of them gives the same alarms and state.

    Examples
    --------
    >>> detector: Detector = Adwin()
    >>> len(detector.push(np.zeros(500))), len(detector.push(np.ones(500))) > 0
    (0, True)
    """

    def push(self, values: np.ndarray) -> np.ndarray:
        """Places in ``values`` (rows, where it takes several columns) at which an alarm is raised."""

    @property
    def state(self) -> dict:
        """Everything the next value depends on."""

    def load(self, state: dict) -> None:
        """Continue from a state."""


class MeanDetector:
    """What the detectors of a mean share: a kernel, its numbers ``how`` and its state.

    Examples
    --------
    >>> Adwin().push(np.array([0.0, np.nan]))
    Traceback (most recent call last):
        ...
    ValueError: Adwin takes a row of finite numbers, got [ 0. nan]: leave out what is not
    """

    def __init__(self, kernel, how: list[float], size: int) -> None:
        self._kernel = kernel
        self._how = np.array(how, dtype=np.float64)
        self._s = np.zeros(size)

    def push(self, values) -> np.ndarray:
        """Places in ``values`` at which an alarm is raised."""
        values = plain(values, np.float64)
        if values.ndim != 1 or not np.isfinite(values).all():
            raise ValueError(
                f"{type(self).__name__} takes a row of finite numbers, got {values}: leave out what is not"
            )
        places = np.empty(len(values), dtype=np.int64)
        return places[: self._kernel(values, self._how, self._s, places)]

    @property
    def state(self) -> dict:
        """Everything the next value depends on."""
        return {"kind": type(self).__name__, "how": self._how.copy(), "s": self._s.copy()}

    def load(self, state: dict) -> None:
        """Continue from a state of a detector with the same numbers."""
        if state["kind"] != type(self).__name__ or not np.array_equal(state["how"], self._how):
            raise ValueError(
                f"the state is of {state['kind']} with {state['how'].tolist()}, not of {type(self).__name__} "
                f"with {self._how.tolist()}: make the detector as it was"
            )
        self._s = np.array(state["s"], dtype=np.float64)


class Adwin(MeanDetector):
    """ADWIN (Bifet and Gavalda, SDM 2007) that raises an alarm when the mean rises, and takes note when it falls.

    Meant for values between 0 and 1, such as errors. ``two_sided`` raises one for a fall too, as river's does.

    Examples
    --------
    >>> Adwin().push([0.0] * 500 + [1.0] * 100)
    array([511])
    >>> Adwin().push([1.0] * 500 + [0.0] * 100)
    array([], dtype=int64)
    """

    def __init__(
        self,
        delta: float = 0.002,
        clock: int = 32,
        max_buckets: int = 5,
        min_window_length: int = 5,
        grace_period: int = 10,
        *,
        two_sided: bool = False,
    ) -> None:
        how = [_share(delta, "delta"), clock, max_buckets, min_window_length, grace_period, float(two_sided)]
        super().__init__(change.adwin, how, adwin.HELD + change.ROWS * (1 + 2 * (max_buckets + 1)))

    @property
    def state(self) -> dict:
        """Everything the next value depends on."""
        return super().state | {"layout": 1}

    def load(self, state: dict) -> None:
        """Continue from a state of a detector with the same numbers, also one of release 0.2.0."""
        super().load(state)
        if "layout" not in state:  # sums of all buckets came before all variances
            (width, total, variance, ticks, top), held, buckets = np.split(self._s, [5, 5 + change.ROWS])
            head = [total, variance, width, ticks, top + 1.0]
            self._s = np.concatenate([head, held, buckets.reshape(2, -1).T.ravel()])

    @property
    def width(self) -> int:
        """Values in the window since the last change."""
        return int(self._s[adwin.WIDTH])

    @property
    def mean(self) -> float:
        """Their mean; 0 of none."""
        return float(self._s[adwin.TOTAL] / max(self._s[adwin.WIDTH], 1.0))


class HddmA(MeanDetector):
    """HDDM_A (Frias-Blanco et al., TKDE 2015): Hoeffding's bound on the mean of values between 0 and 1 that rises.

    Examples
    --------
    >>> HddmA().push([0.0] * 500 + [1.0] * 100)
    array([503])
    """

    def __init__(self, confidence: float = 0.001) -> None:
        super().__init__(change.hddm_a, [_share(confidence, "confidence")], 4)


class Fhddm(MeanDetector):
    """FHDDM (Pesaranghader and Viktor, ECML 2016) of errors between 0 and 1; river's takes 1 - error instead.

    Examples
    --------
    >>> Fhddm().push([0.0] * 500 + [1.0] * 100)
    array([526])
    """

    def __init__(self, window: int = 100, confidence: float = 0.000001) -> None:
        super().__init__(change.fhddm, [window, _share(confidence, "confidence")], 3 + window)


class PageHinkley(MeanDetector):
    """The Page-Hinkley test (Page, Biometrika 1954) of a mean that rises, for slow drift.

    ``delta`` is the rise that does not count, ``threshold`` how much rise must add up, ``alpha`` how it fades.

    Examples
    --------
    >>> PageHinkley().push([0.0] * 500 + [1.0] * 100)
    array([553])
    """

    def __init__(
        self, min_instances: int = 30, delta: float = 0.005, threshold: float = 50.0, alpha: float = 0.9999
    ) -> None:
        super().__init__(change.page_hinkley, [min_instances, delta, threshold, alpha], 4)


def _share(value: float, name: str) -> float:
    if not 0.0 < value < 1.0:
        raise ValueError(f"{name} must lie between 0 and 1, got {value}: smaller is stricter")
    return float(value)
