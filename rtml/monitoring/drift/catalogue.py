"""Every detector by name, with what it is to be fed."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from rtml.core import plugin
from rtml.core.later import pd
from rtml.monitoring.drift.change import Adwin, Detector, Fhddm, HddmA, PageHinkley
from rtml.monitoring.drift.distance import JensenShannon, KolmogorovSmirnov, Psi
from rtml.monitoring.drift.joint import Joint


class Entry(NamedTuple):
    """A detector of the catalogue.

    Examples
    --------
    >>> DETECTORS["adwin"].feed
    'loss'
    """

    feed: str  #: ``loss`` (0 to 1), ``error`` (0 or 1), ``prediction`` or ``features``
    build: Callable[[], Detector]
    meaning: str


DETECTORS = {
    "adwin": Entry("loss", lambda: Adwin(0.0002), "the mean loss rose, in a window that finds its own length"),
    "adwin_error": Entry("error", lambda: Adwin(0.0002), "the same of right and wrong"),
    "hddm_a": Entry("error", lambda: HddmA(1e-6), "the share of errors rose since its lowest, by Hoeffding's bound"),
    "fhddm": Entry("error", lambda: Fhddm(200, 1e-7), "the share of errors in a window of 200 rose since its lowest"),
    "page_hinkley": Entry("loss", PageHinkley, "rises of the loss add up: for slow drift"),
    "adwin_prediction": Entry("prediction", lambda: Adwin(0.0002, two_sided=True), "the mean prediction moved"),
    "psi_prediction": Entry("prediction", Psi, "predictions left their reference: population stability index"),
    "psi": Entry("features", Psi, "a feature left its reference: population stability index"),
    "jensen_shannon": Entry("features", JensenShannon, "the same by the Jensen-Shannon distance"),
    "ks": Entry("features", KolmogorovSmirnov, "the same by the two-sample Kolmogorov-Smirnov distance"),
    "joint": Entry("features", Joint, "the rank correlation of two features changed"),
}
DEFAULT = (
    "adwin"  #: raises at most 0.5 false alarms per 100,000 answers where nothing drifts: benchmarks/bench_drift.py
)


def detector(name: str = DEFAULT) -> Detector:
    """A fresh detector: one of the catalogue, or your own by ``module:attribute`` or ``path/to/file.py:attribute``.

    Examples
    --------
    >>> detector().push([0.0] * 500 + [1.0] * 100)
    array([543])
    """
    found: Any = plugin.load(name, DETECTORS, "detectors")
    return found.build() if isinstance(found, Entry) else found()


def catalogue() -> pd.DataFrame:
    """The detectors as a table: name, feed, meaning.

    Examples
    --------
    >>> list(catalogue()["name"])[:2]
    ['adwin', 'adwin_error']
    """
    rows = [(name, entry.feed, entry.meaning) for name, entry in DETECTORS.items()]
    return pd.DataFrame(rows, columns=["name", "feed", "meaning"])
