"""Figures of drift: what each detector sees, which alerts do harm, and how soon an old concept is known again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from rtml.plots.style import BLUE, GREEN, GREY, INK, LIGHT, ORANGE, PURPLE, RED, canvas, need, nothing, styled

_FEEDS = {"loss": RED, "error": RED, "prediction": ORANGE, "features": BLUE}
_BASIS = {"measured": 1.0, "estimated": 0.5, "unknown": 0.2}
_LETTERS = 104  # of nine points, as many as surely fit into the width of the axes
_WHAT = {"loss": RED, "features": BLUE, "joint": PURPLE, "prediction": ORANGE}


@styled
def what_detectors_see(
    seen: Mapping[str, dict],
    feeds: Mapping[str, str],
    window: int = 200,
    title: str = "What does each detector see of each kind of drift?",
):
    """Alarms of every detector on every kind of drift, a tick each, above the moving loss of the model.

    Parameters
    ----------
    seen
        Kind -> ``{"loss": a loss per row, "changes": rows at which changes begin, "alarms": detector -> rows}``.
    feeds
        Detector -> what it is fed with, which gives its colour.
    window
        Rows over which the loss is averaged.
    """
    columns, rows = (1 if len(seen) < 2 else 2), max(-(-len(seen) // 2), 1)
    figure, axes = canvas(title, rows, columns, 0.8 + 2.5 * rows, sharex=True)
    if not seen:
        nothing(axes[0, 0], "no kind of drift was tried")
        return figure
    detectors = list(next(iter(seen.values()))["alarms"])
    losses = {kind: _moving(np.asarray(found["loss"], float), window) for kind, found in seen.items()}
    highest = max(loss[len(loss) // 20 :].max() for loss in losses.values())
    for ax, (kind, found) in zip(axes.ravel(), seen.items(), strict=False):
        _loss_behind(ax, np.minimum(losses[kind] / (1.05 * highest), 1.0), window, len(detectors))
        _ticks(ax, found, detectors, feeds)
        ax.set(title=kind, xlim=(0, len(found["loss"])))
    _lowest(axes.ravel(), len(seen), columns)
    text = "dashed: a change begins; grey: moving loss of the model, one scale for all; ticks: alarms, fed with"
    figure.legend(handles=_handles(axes[0, 0], feeds), title=text, loc="outside lower center", ncols=4)
    return figure


@styled
def harm_of_alerts(table: pd.DataFrame, most: int = 12, title: str = "Which alert needs attention?"):
    """Alerts by the harm they do, the worst on top, with what causes them.

    Parameters
    ----------
    table
        Of :func:`rtml.monitoring.monitor.ranked`.
    """
    need(table, ("what", "harm", "basis", "features"), "harm_of_alerts")
    table = table[table["harm"].notna()].head(most)
    figure, [[ax]] = canvas(title, height=0.9 + 0.42 * max(len(table), 3))
    if not len(table):
        nothing(ax, "no alert")
        return figure
    place, harm = np.arange(len(table))[::-1], 100 * table["harm"].to_numpy(float)
    shade = [_BASIS[basis] for basis in table["basis"]]
    for y, x, what, alpha in zip(place, harm, table["what"], shade, strict=True):
        ax.barh(y, x, color=_WHAT[what], alpha=alpha, height=0.62)
    names = {"loss": "loss rose", "features": "features moved", "joint": "correlation changed"}
    ax.set_yticks(place, [names.get(what, "predictions moved") for what in table["what"]])
    ax.axvline(0, color=INK, linewidth=0.8)
    _causes(ax, place, harm, table["features"])
    ax.set_xlabel("change of the loss, % of the usual (solid: measured on answers, pale: estimated without labels)")
    ax.set_ylim(min(len(table) - 3, 0) - 0.6, len(table) - 0.4)
    ax.grid(axis="y", visible=False)
    return figure


@styled
def known_again(losses: Mapping[str, np.ndarray], changes: Sequence[int], window: int = 100):
    """Moving loss of models through concepts that come back, a line each.

    Parameters
    ----------
    losses
        Model -> a loss per question.
    changes
        Questions at which one concept gives way to the other.
    """
    figure, [[ax]] = canvas("How soon is an old concept known again?", height=3.6)
    paint = (GREY, GREEN, BLUE, ORANGE)
    if not losses:
        nothing(ax, "no model was asked")
        return figure
    for (name, loss), colour in zip(losses.items(), paint, strict=False):
        moving = _moving(np.asarray(loss, float), window)
        ax.plot(np.arange(len(moving)) + window, moving, color=colour, label=name, linewidth=1.6)
    for row in changes:
        ax.axvline(row, color=INK, linewidth=0.8, linestyle=(0, (4, 3)))
    ax.set(xlabel="question (dashed: the concept changes)", ylabel=f"loss, mean of {window}", ylim=(0, None))
    ax.legend(loc="upper left", ncols=len(losses), bbox_to_anchor=(0, 1.13))
    return figure


def _lowest(axes: np.ndarray, used: int, columns: int) -> None:
    """The lowest axes of each column are labelled; those that are not used are taken away."""
    for ax in axes[used:]:
        ax.remove()
    for ax in axes[:used][-columns:]:
        ax.set_xlabel("question")
        ax.tick_params(labelbottom=True)


def _ticks(ax, found: dict, detectors: Sequence[str], feeds: Mapping[str, str]) -> None:
    """Where each detector raised an alarm, one line per detector, and where changes begin."""
    for row in found["changes"]:
        ax.axvline(row, color=INK, linewidth=1, linestyle=(0, (4, 3)))
    for place, detector in enumerate(reversed(detectors)):
        at = np.asarray(found["alarms"][detector])
        ax.plot(at, np.full(len(at), place), "|", color=_FEEDS[feeds[detector]], markersize=11, markeredgewidth=2)
    ax.set(yticks=range(len(detectors)), yticklabels=list(detectors)[::-1], ylim=(-0.6, len(detectors) - 0.4))
    ax.grid(axis="x", visible=False)


def _causes(ax, place: np.ndarray, harm: np.ndarray, features: Sequence[dict]) -> None:
    """Beside each bar the features that cause it, at most three, and limits that leave room for their names."""
    look = {"textcoords": "offset points", "va": "center", "fontsize": 9, "color": INK}
    reach, ends = max(abs(harm).max(), 1e-9), np.maximum(harm, 0.0)
    left = min(harm.min(), 0.0) * 1.1 - 0.02 * reach
    right = max(1.05 * ends.max(), 0.1 * reach)
    for y, x, causes in zip(place, ends, features, strict=True):
        text = [f"{name} {100 * share:.0f} %" for name, share in list(causes.items())[:3]] or ["no single feature"]
        while len(text) > 1 and len(", ".join(text)) > 0.7 * _LETTERS:
            text.pop()
        ax.annotate(", ".join(text), (x, y), xytext=(5, 0), **look)
        right = max(right, left + (x - left) / max(1 - len(", ".join(text)) / _LETTERS, 0.2))
    ax.set_xlim(left, right)


def _loss_behind(ax, share: np.ndarray, window: int, height: int) -> None:
    """A curve between 0 and 1 as a grey area over the height of the axes."""
    step = max(len(share) // 600, 1)
    ax.fill_between(
        np.arange(len(share))[::step] + window, -0.6, share[::step] * height - 0.6, color=LIGHT, linewidth=0
    )


def _moving(values: np.ndarray, window: int) -> np.ndarray:
    """Mean of every window, causal; of all where there are fewer."""
    sums = np.cumsum(np.concatenate([[0.0], values]))
    return (sums[window:] - sums[:-window]) / window if len(values) >= window else values


def _handles(ax, feeds: Mapping[str, str]) -> list:
    """A tick of every colour for the legend."""
    used = dict.fromkeys("loss" if feed == "error" else feed for feed in feeds.values())
    look = {"linestyle": "", "marker": "|", "markersize": 11, "markeredgewidth": 2}
    return [ax.plot([], [], color=_FEEDS[feed], label=feed, **look)[0] for feed in used]
