"""Every plot of the notebooks and the report: arrays and frames in, a figure out.

One style and one door to matplotlib (`style`); drawn in modules by subject: what comes in, how good the
models are, and how they live. A figure is the value of its cell: ``run.figure("score", figures.score_over_time(...))``.
"""

from rtml.plots.advice import advice_front, benefit_of_frequency, cost_of_training, firings
from rtml.plots.comparison import forest
from rtml.plots.data import arrivals, delay_timeline, feature_label_correlation, feature_panel, market
from rtml.plots.drift import harm_of_alerts, known_again, what_detectors_see
from rtml.plots.fraud import label_delay, rhythm, spend_window, terminal_risk, ways_of_fraud
from rtml.plots.history import lineage, loop
from rtml.plots.imbalance import alerts, cost_curve, precision_recall
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
from rtml.plots.serving import freshness, stages

__all__ = [
    "advice_front",
    "alerts",
    "arrivals",
    "benefit_of_frequency",
    "calibration",
    "cost_curve",
    "cost_of_training",
    "cost_quality",
    "coverage_over_time",
    "delay_timeline",
    "feature_label_correlation",
    "feature_panel",
    "firings",
    "forest",
    "freshness",
    "harm_of_alerts",
    "help_of_features",
    "known_again",
    "label_delay",
    "latency",
    "lineage",
    "loop",
    "market",
    "paired_difference",
    "precision_recall",
    "predicted_realised",
    "rhythm",
    "score_over_time",
    "spend_window",
    "stages",
    "swaps",
    "terminal_risk",
    "truth_vs_learned",
    "versions",
    "ways_of_fraud",
    "weights_over_time",
    "what_detectors_see",
    "windowed_r2",
]
