"""Every plot of the notebooks and the report: arrays and frames in, a figure out.

One style and one door to matplotlib (`style`); drawn in modules by subject: what comes in, how good the
models are, and how they live. A figure is the value of its cell: ``run.figure("score", figures.score_over_time(...))``.
"""

from rtml.plots.advice import advice_front
from rtml.plots.comparison import forest
from rtml.plots.data import arrivals, delay_timeline, feature_label_correlation, feature_panel
from rtml.plots.history import lineage, loop
from rtml.plots.intervals import coverage_over_time
from rtml.plots.live import latency, swaps, versions, weights_over_time
from rtml.plots.scores import (
    calibration,
    cost_quality,
    paired_difference,
    score_over_time,
    windowed_r2,
)

__all__ = [
    "advice_front",
    "arrivals",
    "calibration",
    "cost_quality",
    "coverage_over_time",
    "delay_timeline",
    "feature_label_correlation",
    "feature_panel",
    "forest",
    "latency",
    "lineage",
    "loop",
    "paired_difference",
    "score_over_time",
    "swaps",
    "versions",
    "weights_over_time",
    "windowed_r2",
]
