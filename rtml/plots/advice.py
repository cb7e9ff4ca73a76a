"""Figures of the advisor: what each way of training costs, and what it is worth (notebook 03, the studies)."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rtml.plots.style import BLUE, GREEN, GREY, INK, ORANGE, PURPLE, RED, SKY, canvas, need, nothing, styled

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


@styled
def benefit_of_frequency(frame: pd.DataFrame, shortest: float = 0.0):
    """Share of the benefit of publishing every answer that is kept when publishing less often.

    Parameters
    ----------
    frame
        One row a frequency: ``answers`` between two publications, ``kept`` with ``low`` and ``high`` (shares).
    shortest
        Answers for which the shortest concept lasts; a tenth of it is marked.
    """
    need(frame, ("answers", "kept", "low", "high"), "benefit_of_frequency")
    figure, axes = canvas("How often must a model be published?", height=3.8)
    ax, x = axes[0, 0], frame["answers"].to_numpy(float)
    if not len(x):
        nothing(ax, "no frequency was tried")
        return figure
    ax.fill_between(x, frame["low"], frame["high"], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(x, frame["kept"], "o-", color=BLUE)
    for level in (0.0, 1.0):
        ax.axhline(level, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    if shortest:
        ax.axvline(shortest / 10, color=GREEN, linewidth=1.2)
        place = dict(xytext=(5, 8), textcoords="offset points", color=GREEN, fontsize=9.5)
        ax.annotate("a tenth of the shortest concept", (shortest / 10, 0.0), **place)
    ax.set(xscale="log", xlabel="answers between two publications (log scale)", ylabel="share of the benefit kept")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.set_title("1: as good as publishing after every answer; 0: as good as never again; band: over streams")
    return figure


@styled
def firings(published: dict[str, np.ndarray], changes, end: int, start: int):
    """When each trigger trained the model, one row a trigger, with the moments at which the stream changed.

    Parameters
    ----------
    published
        Name of a trigger -> moments (ns) of its trainings.
    changes
        Moments (ns) of the true changes; empty where they are unknown.
    start, end
        First and last moment of the stream, ns.
    """
    from rtml.plots.style import time_axis, times

    figure, axes = canvas("When does each trigger train the model?", height=1.2 + 0.38 * max(len(published), 2))
    ax = axes[0, 0]
    if not published:
        nothing(ax, "no trigger was tried")
        return figure
    for change in times(np.asarray(changes, dtype=np.int64)):
        ax.axvline(change, color=RED, linewidth=1.4)
    for row, (_, moments) in enumerate(published.items()):
        when = times(np.asarray(moments, dtype=np.int64))
        ax.plot(when, np.full(len(when), row), "|", color=BLUE, markersize=11, markeredgewidth=1.3)
    names = [f"{name}  ({len(moments)})" for name, moments in published.items()]
    ax.set_yticks(range(len(names)), names)
    ax.set_ylim(len(names) - 0.4, -0.6)
    known = "; red: the stream changes" if len(changes) else ""
    ax.set_title(f"strokes: trainings, their number behind the name{known}")
    time_axis(ax, times(np.array([start, end], dtype=np.int64)))
    return figure


@styled
def cost_of_training(frame: pd.DataFrame):
    """Samples, CPU seconds and loss of stateless and stateful training side by side, one group per model.

    Parameters
    ----------
    frame
        ``model``, ``training`` and ``samples``, ``cpu_seconds``, ``loss``; one row per model and way of training.
    """
    need(frame, ("model", "training", "samples", "cpu_seconds", "loss"), "cost_of_training")
    figure, axes = canvas("What does training from scratch cost, and what does it buy?", 1, 3, 3.8)
    if not len(frame):
        nothing(axes[0, 1], "no model was trained")
        return figure
    models, ways = list(dict.fromkeys(frame["model"])), list(dict.fromkeys(frame["training"]))
    columns = {"samples": "samples learned", "cpu_seconds": "CPU seconds", "loss": "loss per question"}
    for ax, (column, label) in zip(axes[0], columns.items(), strict=True):
        for place, (way, colour) in enumerate(zip(ways, (ORANGE, BLUE, GREEN, GREY), strict=False)):
            rows = frame[frame["training"] == way].set_index("model").reindex(models)
            x = np.arange(len(models)) + (place - (len(ways) - 1) / 2) * 0.8 / len(ways)
            ax.bar(x, rows[column], 0.72 / len(ways), color=colour, label=way)
        ax.set_xticks(range(len(models)), models)
        ax.set(title=label, xlabel="model")
        ax.grid(axis="x", visible=False)
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
