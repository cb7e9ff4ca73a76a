"""Figures of intervals: whether they hold what they promise, and what helps a model (notebook 03)."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import GREY, canvas, colours, label_ends, nothing, styled, thin, time_axis, times


@styled
def coverage_over_time(time, y, intervals: dict, coverage: float = 0.9, window: int = 500):
    """Share of truths within, over the last ``window`` answers, one line a kind of interval.

    Parameters
    ----------
    time, y
        Moments and truths, NaN where unknown.
    intervals
        Name -> (low, high), arrays like ``y``; not finite where there is no interval.

    Examples
    --------
    >>> moments, y = np.arange(100) * 10**9, np.linspace(-1.0, 1.0, 100)
    >>> bounds = {"wide": (np.full(100, -2.0), np.full(100, 2.0)), "none": (np.full(100, np.nan), np.full(100, np.nan))}
    >>> ax = coverage_over_time(moments, y, bounds, window=10).axes[0]
    >>> [text.get_text() for text in ax.texts]
    ['wide']
    """
    figure, [[ax]] = canvas(f"Do {coverage:.0%} of the truths lie within, all the time?", height=3.4)
    paint = colours(list(intervals))
    ends = []
    lows = [coverage]
    for name, (low, high) in intervals.items():
        judged = np.flatnonzero(np.isfinite(y) & np.isfinite(high - low))
        within = pd.Series(((low <= y) & (y <= high))[judged].astype(float)).rolling(window).mean().to_numpy()
        if not np.isfinite(within).any():
            continue
        ax.plot(*thin(times(time)[judged], within), color=paint[name], linewidth=1.6)
        ends.append((within[-1], name, paint[name]))
        lows.append(np.nanmin(within))
    if not ends:
        nothing(ax, f"too few answers: less than {window}")
        return figure
    ax.axhline(coverage, color=GREY, linewidth=1, linestyle=(0, (4, 3)), zorder=0)
    ax.set_ylim(max(0.0, min(lows) - 0.03), 1.01)
    ax.set_ylabel(f"share within, last {window}")
    label_ends(ax, ends)
    time_axis(ax, times(time))
    return figure
