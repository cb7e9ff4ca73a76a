"""Every plot of the notebooks and the report: arrays and frames in, a figure out.

One style and one door to matplotlib (`figure_style`); drawn in three modules by subject: what comes in, how good the
models are, and how they live. A figure is the value of its cell: ``run.figure("score", figures.score_over_time(...))``.
"""

from rtml.figure_data import arrivals, delay_timeline, feature_label_correlation, feature_panel, market
from rtml.figure_live import latency, swaps, truth_vs_learned, versions, weights_over_time
from rtml.figure_scores import (
    calibration,
    cost_quality,
    paired_difference,
    predicted_realised,
    score_over_time,
    windowed_r2,
)

__all__ = [
    "arrivals",
    "calibration",
    "cost_quality",
    "delay_timeline",
    "feature_label_correlation",
    "feature_panel",
    "latency",
    "market",
    "paired_difference",
    "predicted_realised",
    "score_over_time",
    "swaps",
    "truth_vs_learned",
    "versions",
    "weights_over_time",
    "windowed_r2",
]
