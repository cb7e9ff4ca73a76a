"""Figures of what alerts are worth: precision against recall, alerts a day, and the cost of a decision."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREY,
    LIGHT,
    ORANGE,
    RED,
    canvas,
    colours,
    label_ends,
    need,
    nothing,
    styled,
    time_axis,
    times,
)

_DAY = 86_400 * 10**9


@styled
def precision_recall(curves: dict, base: float):
    """Precision against recall for every threshold, one line per model.

    Parameters
    ----------
    curves
        Name -> (recall, precision).
    base
        Share of fraud: the precision of alerts at random.

    Examples
    --------
    >>> curves = {"rules": (np.array([0.0, 1.0]), np.array([0.5, 0.1]))}
    >>> len(precision_recall(curves, base=0.01).axes[0].lines)
    2
    """
    figure, axes = canvas(
        "Of the alerts, how many are right; of the frauds, how many are found?", height=4.4, width=8.4
    )
    ax, paint = axes[0, 0], colours(list(curves))
    if not curves:
        nothing(ax, "no model was scored")
        return figure
    for name, (recall, precision) in curves.items():
        few = np.unique(np.geomspace(1, len(recall), 900).astype(int)) - 1 if len(recall) else slice(0)
        ax.plot(100 * recall[few], 100 * precision[few], color=paint[name], label=name)
    ax.axhline(100 * base, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xlabel="recall: frauds found, %", ylabel="precision: alerts that are right, %", xlim=(0, 100), ylim=(0, 102))
    ax.legend(loc="upper right")
    return figure


@styled
def alerts(daily: pd.DataFrame, k: int):
    """The k most suspicious payments of each day: how many are fraud, and the share of the frauds they are.

    Parameters
    ----------
    daily
        ``alerts``, ``hits`` and ``ones`` of :func:`rtml.usecases.fraud.alert_metrics.alerts_by_day`, by day (UTC).
    k
        Alerts a day.

    Examples
    --------
    >>> alerts(pd.DataFrame(columns=["alerts", "hits", "ones"]), 100).axes[0].texts[0].get_text()
    'no day with answers'
    """
    need(daily, ("alerts", "hits", "ones"), "alerts")
    figure, axes = canvas(f"What do {k} alerts a day find?", 2, 1, 4.6, sharex=True, gridspec={"height_ratios": [2, 1]})
    top, low = axes[:, 0]
    if not len(daily):
        nothing(top, "no day with answers")
        return figure
    when, width = times(daily.index), np.timedelta64(_DAY, "ns") * 0.9
    found, rest = daily["hits"].to_numpy(), (daily["alerts"] - daily["hits"]).to_numpy()
    top.bar(when, found, width=width, color=RED, align="edge", label="fraud")
    top.bar(when, rest, width=width, bottom=found, color=LIGHT, align="edge", label="genuine")
    top.set(ylabel="alerts a day", ylim=(0, 1.25 * k))
    top.legend(loc="upper right", ncols=2)
    smooth = daily[["hits", "alerts", "ones"]].rolling(7, min_periods=1).sum()
    ends = []
    for below, name, colour in (("alerts", "precision", BLUE), ("ones", "recall", ORANGE)):
        line = 100 * smooth["hits"] / smooth[below].replace(0, np.nan)
        low.plot(when, line, color=colour)
        ends.append((line.iloc[-1], name, colour))
    low.set(ylabel="%, last 7 days", ylim=(0, 100))
    label_ends(low, ends)
    time_axis(low)
    return figure


@styled
def cost_curve(curves: dict, title: str = "What does a decision cost?"):
    """Mean cost per payment at every threshold, one line per model; the best threshold is marked.

    Parameters
    ----------
    curves
        Name -> (share of payments stopped, cost per payment).

    Examples
    --------
    >>> cost_curve({}).axes[0].texts[0].get_text()
    'no model was scored'
    """
    figure, [[ax]] = canvas(title, height=4.0, width=8.4)
    paint = colours(list(curves))
    ends, worst = [], 0.0
    if not curves:
        nothing(ax, "no model was scored")
        return figure
    for name, (share, cost) in curves.items():
        shown = (share > 0) & (share <= 0.2)
        if not shown.any():
            continue
        x, y = 100 * share[shown], cost[shown]
        some = slice(None, None, max(1, len(x) // 800))
        ax.plot(x[some], y[some], color=paint[name])
        ax.scatter(x[y.argmin()], y.min(), color=paint[name], s=36, zorder=3)
        ends.append((y[-1], name, paint[name]))
        worst = max(worst, float(np.quantile(y, 0.98)))
    nothing_done = next(iter(curves.values()))[1][0]
    ax.axhline(nothing_done, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xlabel="% of the payments stopped (log scale)", ylabel="EUR per payment", xscale="log")
    ax.set(ylim=(0, 1.1 * max(worst, nothing_done)), title="dashed: stop nothing; dots: the best threshold")
    ax.xaxis.set_major_formatter("{x:g}")
    label_ends(ax, ends)
    return figure
