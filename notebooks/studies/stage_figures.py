"""Figures of the stages of online prediction: what each finds, and what an older feature is worth."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rtml.plots.style import BLUE, GREY, LIGHT, ORANGE, canvas, need, nothing, styled


@styled
def stages(frame: pd.DataFrame, chance: float):
    """Average precision of each stage with its interval, and how much of what it computed was ever asked for.

    Parameters
    ----------
    frame
        Indexed by stage: ``average_precision``, ``low``, ``high``, ``computed``, ``used``.
    chance
        Share of fraud: the average precision of guessing.
    """
    need(frame, ("average_precision", "low", "high", "computed", "used"), "stages")
    figure, axes = canvas("What does each stage find, and what does it compute without use?", 1, 2, 3.6, sharey=True)
    left, right = axes[0]
    if not len(frame):
        nothing(left, "no stage was run")
        return figure
    place, value = np.arange(len(frame))[::-1], frame["average_precision"].to_numpy()
    error = np.abs(frame[["low", "high"]].to_numpy().T - value)
    left.barh(place, value, height=0.55, color=BLUE)
    left.errorbar(value, place, xerr=error, fmt="none", color=GREY)
    left.axvline(chance, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    left.set(yticks=place, yticklabels=list(frame.index), xlabel="average precision; dashed: by chance", xlim=(0, None))
    used, spare = frame["used"].to_numpy() / 1000, (frame["computed"] - frame["used"]).to_numpy() / 1000
    right.barh(place, used, height=0.55, color=BLUE, label="asked for")
    right.barh(place, spare, left=used, height=0.55, color=LIGHT, label="never asked for")
    right.set(xlabel="rows computed, thousands", xlim=(0, 1.3 * max((used + spare).max(), 1e-9)))
    right.legend(loc="upper right")
    for ax in (left, right):
        ax.grid(axis="y", visible=False)
    return figure


@styled
def freshness(quality: pd.DataFrame):
    """Average precision by how often the features are refreshed, with its interval, the freshest at the right.

    Parameters
    ----------
    quality
        Indexed by the span between two refreshes (texts): ``average_precision``, ``low``, ``high``.
    """
    need(quality, ("average_precision", "low", "high"), "freshness")
    figure, [[ax]] = canvas("What is a fresher feature worth?", height=3.6, width=8.4)
    if not len(quality):
        nothing(ax, "no span was run")
        return figure
    place, value = np.arange(len(quality)), quality["average_precision"].to_numpy()
    error = np.abs(quality[["low", "high"]].to_numpy().T - value)
    ax.plot(place, value, color="#9db9cc")
    ax.errorbar(place, value, yerr=error, fmt="o", color=BLUE, markersize=7)
    ax.scatter(place[-1:], value[-1:], color=ORANGE, s=70, zorder=4)
    ax.set(xticks=place, xticklabels=list(quality.index), xlim=(-0.4, len(quality) - 0.6), ylim=(0, None))
    ax.set(xlabel="time between two refreshes of the features", ylabel="average precision")
    ax.grid(axis="x", visible=False)
    return figure
