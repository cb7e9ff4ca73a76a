"""Figures of the advisor: what each way of training costs, and what it is worth (notebook 03, the studies)."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import BLUE, GREY, INK, ORANGE, PURPLE, RED, SKY, canvas, need, nothing, styled

_PAINT = {
    "continual": BLUE, "stateful cadence": SKY, "stateful": "#44546a", "cadence": ORANGE, "stateless": "#8c6d1f",
    "on-demand": RED, "on-demand stateful": PURPLE,
}  # fmt: skip


@styled
def advice_front(frame: pd.DataFrame, recommended: str = ""):
    """Loss of every setting with its interval, against the samples it learned and the versions it published.

    Parameters
    ----------
    frame
        ``Advice.frame``: ``strategy``, ``loss``, ``low``, ``high``, ``samples``, ``publications``, ``pareto``.
    recommended
        The setting to be named.

    Examples
    --------
    >>> rows = [("baseline", 1.0, 0.9, 1.1, 0, 0, True), ("continual", 0.8, 0.7, 0.9, 1000, 5, True)]
    >>> columns = ["strategy", "loss", "low", "high", "samples", "publications", "pareto"]
    >>> frame = pd.DataFrame(rows, index=["mean", "every answer"], columns=columns)
    >>> advice_front(frame, "every answer").axes[1].get_title(loc="left")
    'ringed: every answer'
    """
    need(frame, ("strategy", "loss", "low", "high", "samples", "publications", "pareto"), "advice_front")
    figure, axes = canvas("What does training more, or more often, buy?", 1, 2, 4.4, sharey=True)
    trained = frame[(frame["strategy"] != "baseline") & (frame["samples"] > 0)]
    if not len(trained):
        nothing(axes[0, 0], "no setting was trained")
        return figure
    shown = np.isfinite(trained[["low", "high"]]).all(axis=1)
    for ax, cost, label in ((axes[0, 0], "samples", "samples learned"), (axes[0, 1], "publications", "publications")):
        for kind, rows in trained.groupby("strategy", sort=False):
            x, y = np.maximum(rows[cost].to_numpy(float), 1.0), rows["loss"].to_numpy(float)
            error = np.abs(rows[["low", "high"]].to_numpy(float).T - y) if shown.all() else None
            ax.errorbar(x, y, yerr=error, fmt="none", ecolor=_PAINT[kind], alpha=0.25, linewidth=1)
            face = [_PAINT[kind] if front else "white" for front in rows["pareto"]]
            ax.scatter(x, y, s=42, color=face, edgecolor=_PAINT[kind], linewidth=1.4, zorder=3)
            ax.scatter([], [], s=42, color=_PAINT[kind], label=kind)
        ax.set(xscale="log", xlabel=f"{label} (log scale)")
        _level(ax, frame)
    _name(axes[0], trained, recommended)
    axes[0, 0].set_ylabel("loss per question")
    axes[0, 0].set_title("filled: no other is better in one and as good in all; bars: 95 %")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure


def _level(ax, frame: pd.DataFrame) -> None:
    """The best baseline as a level, where it lies near what is drawn."""
    simple = frame[frame["strategy"] == "baseline"]["loss"]
    low, high = ax.get_ylim()
    if not len(simple) or simple.min() > high + 0.5 * (high - low):
        return
    ax.axhline(simple.min(), color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    place = dict(xytext=(-3, 4), textcoords="offset points", ha="right", fontsize=9, color=GREY)
    ax.annotate(f"untrained: {simple.idxmin()}", (1.0, simple.min()), xycoords=ax.get_yaxis_transform(), **place)


def _name(axes, trained: pd.DataFrame, recommended: str) -> None:
    """Ring the recommended setting in every panel, and write its name once."""
    if recommended not in trained.index:
        return
    row = trained.loc[recommended]
    for ax, cost in zip(axes, ("samples", "publications"), strict=True):
        ax.scatter(max(row[cost], 1), row["loss"], s=190, facecolor="none", edgecolor=INK, linewidth=1.4, zorder=4)
    axes[1].set_title(f"ringed: {recommended}")
