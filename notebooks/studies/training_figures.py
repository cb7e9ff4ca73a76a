"""Figures of the studies of training: how often it pays, what it costs, when triggers fire, which feature helps."""

from __future__ import annotations

import numpy as np
import pandas as pd

from rtml.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    ORANGE,
    RED,
    canvas,
    need,
    nothing,
    styled,
    time_axis,
    times,
)


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
    figure, [[ax]] = canvas("How often must a model be published?", height=3.8)
    x = frame["answers"].to_numpy(float)
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

    figure, [[ax]] = canvas("When does each trigger train the model?", height=1.2 + 0.38 * max(len(published), 2))
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


@styled
def help_of_features(frame: pd.DataFrame, loss: str = "loss"):
    """Loss a question without a feature minus with it, with its interval, the most useful on top.

    Parameters
    ----------
    frame
        One row per feature with the columns ``mean``, ``low``, ``high`` of
        :func:`rtml.evaluation.ablation.features_that_help`.
    """
    shown = frame.iloc[::-1]
    figure, [[ax]] = canvas("Which features help, and how sure is that?", height=0.9 + 0.26 * max(len(shown), 3))
    place = np.arange(len(shown))
    if not len(shown):
        nothing(ax, "no feature was tried")
        return figure
    settled = (shown["low"] > 0) | (shown["high"] < 0)
    for sure, colour in ((True, BLUE), (False, GREY)):
        rows = (settled == sure).to_numpy()
        part = shown[rows]
        ax.hlines(place[rows], part["low"], part["high"], color=colour, linewidth=2, alpha=0.6)
        ax.plot(part["mean"], place[rows], "o", color=colour, markersize=5)
    ax.axvline(0, color=INK, linewidth=1)
    ax.set_yticks(place, shown.index)
    ax.set_xlabel(f"{loss} a question without it, minus with it; right of zero it helps; grey is not settled")
    return figure
