"""Every plot of the notebooks and the report: arrays and frames in, a figure out.

One style and one door to matplotlib (`style`); drawn in modules by subject: what comes in, how good the
models are, and how they live. A figure is the value of its cell: ``run.figure("score", figures.score_over_time(...))``.
"""

from rtml.plots.advice import advice_front, benefit_of_frequency, cost_of_training, firings
from rtml.plots.comparison import forest
from rtml.plots.data import arrivals, delay_timeline, feature_label_correlation, feature_panel, market
from rtml.plots.drift import harm_of_alerts, known_again, what_detectors_see
from rtml.plots.history import lineage, loop
from rtml.plots.intervals import coverage_over_time, help_of_features
from rtml.plots.live import latency, swaps, truth_vs_learned, versions, weights_over_time
from rtml.plots.scores import (
    calibration,
    cost_quality,
    paired_difference,
    predicted_realised,
    score_over_time,
    windowed_r2,
)

__all__ = [
    "advice_front",
    "arrivals",
    "benefit_of_frequency",
    "calibration",
    "cost_of_training",
    "cost_quality",
    "coverage_over_time",
    "delay_timeline",
    "feature_label_correlation",
    "feature_panel",
    "firings",
    "forest",
    "harm_of_alerts",
    "help_of_features",
    "known_again",
    "latency",
    "lineage",
    "loop",
    "market",
    "paired_difference",
    "predicted_realised",
    "score_over_time",
    "swaps",
    "truth_vs_learned",
    "versions",
    "weights_over_time",
    "what_detectors_see",
    "windowed_r2",
]
