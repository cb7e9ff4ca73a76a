"""Figures of card fraud: when it comes, how late its label is, and what a feature sees."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    PALETTE,
    RED,
    canvas,
    label_ends,
    need,
    nothing,
    styled,
    time_axis,
    times,
)

_DAY = 86_400 * 10**9
_WAYS = {"dear": PALETTE[0], "terminal": PALETTE[1], "leak": PALETTE[2], "burst": PALETTE[4]}


@styled
def rhythm(time: np.ndarray, known: np.ndarray):
    """Payments and labels a day, and the share of payments in each hour of the day.

    Parameters
    ----------
    time, known
        Moments of payments, and of labels as they became known (ns).

    Examples
    --------
    >>> none = np.zeros(0, np.int64)
    >>> rhythm(none, none).axes[0].texts[0].get_text()
    'no payment came'
    """
    figure, axes = canvas(
        "When do people pay, and when is the label known?", 1, 2, 3.4, gridspec={"width_ratios": [3, 2]}
    )
    left, right = axes[0]
    if not len(time):
        nothing(left, "no payment came")
        return figure
    first, ends = time.min() // _DAY, []
    for moments, name, colour in ((time, "payments", BLUE), (known, "labels", ORANGE)):
        count = np.bincount(moments // _DAY - first, minlength=1)
        count = count[: -1 if len(count) > 3 else None]  # the last day is not whole
        left.step(times((np.arange(len(count)) + first) * _DAY), count, where="post", color=colour)
        ends.append((count[-1], name, colour))
    left.set(ylabel="a day", ylim=(0, None))
    label_ends(left, ends)
    time_axis(left, ticks=6)
    hour = np.bincount(time % _DAY // (_DAY // 24), minlength=24) / len(time)
    right.bar(np.arange(24) + 0.5, 100 * hour, width=0.85, color=BLUE)
    right.set(xlabel="hour of the day (UTC)", ylabel="% of the payments", xticks=range(0, 25, 6), xlim=(0, 24))
    right.grid(axis="x", visible=False)
    return figure


@styled
def ways_of_fraud(truth: pd.DataFrame):
    """Frauds a week by pattern: how fraud changes its ways.

    Parameters
    ----------
    truth
        ``time`` (ns), ``fraud`` and ``pattern`` of every payment.

    Examples
    --------
    >>> truth = pd.DataFrame({"time": [0, 10**18], "fraud": [False, False], "pattern": ["", ""]})
    >>> ways_of_fraud(truth).axes[0].texts[0].get_text()
    'no fraud in this stream'
    """
    need(truth, ("time", "fraud", "pattern"), "ways_of_fraud")
    figure, [[ax]] = canvas("Which fraud comes when?", height=3.6)
    week = 7 * _DAY
    frauds = truth[truth["fraud"].astype(bool)]
    if not len(frauds):
        nothing(ax, "no fraud in this stream")
        return figure
    first = truth["time"].min() // _DAY * _DAY
    weeks = int((truth["time"].max() - first) // week) + 1
    base = np.zeros(weeks)
    names = sorted(frauds["pattern"].unique(), key=lambda name: list(_WAYS).index(name) if name in _WAYS else 9)
    for name in names:
        at = (frauds.loc[frauds["pattern"] == name, "time"].to_numpy() - first) // week
        count = np.bincount(at, minlength=weeks)
        ax.bar(times(first + np.arange(weeks) * week), count, width=np.timedelta64(week, "ns") * 0.9, bottom=base,
               align="edge", color=_WAYS.get(name, GREY), label=name or "unknown")  # fmt: skip
        base = base + count
    ax.legend(loc="upper left", ncols=len(names))
    ax.set(ylabel="frauds a week", ylim=(0, base.max() * 1.22))
    ax.grid(axis="x", visible=False)
    time_axis(ax)
    return figure


@styled
def label_delay(days: np.ndarray, never: float):
    """How many days a label takes, as a share of all labels.

    Parameters
    ----------
    days
        Days from payment to label, of those that came.
    never
        Share of the payments whose label never came.

    Examples
    --------
    >>> label_delay(np.zeros(0), never=1.0).axes[0].texts[0].get_text()
    'no label came'
    """
    figure, [[ax]] = canvas("How long does the truth take?", height=3.2, width=8.4)
    edge = max(2.0, float(np.quantile(days, 0.995)) + 1) if len(days) else 2.0
    if not len(days):
        nothing(ax, "no label came")
        return figure
    ax.hist(days, bins=np.arange(0, edge + 0.5, 0.5), weights=np.full(len(days), 100 / len(days)), color=BLUE)
    middle = float(np.median(days))
    ax.axvline(middle, color=INK, linewidth=1)
    ax.annotate(f"half of them by day {middle:.1f}", (middle, 0.94), xycoords=("data", "axes fraction"),
                xytext=(6, 0), textcoords="offset points", va="top")  # fmt: skip
    ax.set(xlabel="days from the payment to its label", ylabel="% of the labels", xlim=(0, edge))
    ax.set_title(f"{never:.1%} of the payments never get one")
    return figure


@styled
def spend_window(time: np.ndarray, amount: np.ndarray, inside: np.ndarray, width: int, key: str):
    """Payments of one card, what a window over them holds at any time, and which are inside at the last payment.

    Parameters
    ----------
    time, amount
        Moment (ns) and amount of each payment of the card.
    inside
        True where a payment is inside the window of the last one.
    width
        Length of the window, ns.

    Examples
    --------
    >>> none = np.zeros(0, np.int64)
    >>> spend_window(none, none, none > 0, 10**9, "a card").axes[0].texts[0].get_text()
    'no payment of this card'
    """
    figure, [[ax]] = canvas(f"What does the window of {key} see?", height=3.6)
    when = times(time)
    if not len(time):
        nothing(ax, "no payment of this card")
        return figure
    ax.axvspan(times(time[-1:] - width)[0], when[-1], color=LIGHT, alpha=0.55, linewidth=0)
    edges = np.concatenate([time, time + width])
    order = np.argsort(edges, kind="stable")
    held, order = np.cumsum(np.concatenate([amount, -amount])[order]), order[edges[order] <= time[-1]]
    held = held[: len(order)]
    ax.step(times(edges[order]), held, where="post", color=ORANGE, label="spent in the window")
    ax.vlines(when, 0, amount, color=np.where(inside, BLUE, "#9db9cc"), linewidth=2.4)
    ax.scatter(when[inside], amount[inside], color=BLUE, s=34, zorder=3, label="payments inside now")
    ax.scatter(when[~inside], amount[~inside], color="#9db9cc", s=34, zorder=3, label="expired payments")
    ax.set(ylabel="EUR", ylim=(0, 1.3 * max(held.max(), amount.max())))
    ax.legend(loc="upper left", ncols=3)
    time_axis(ax)
    return figure


@styled
def terminal_risk(time, risk, fraud, known, known_fraud, spell=None, name: str = "one terminal"):
    """A terminal's payments, the labels of them as they arrive, and the share of fraud that is known at each payment.

    Parameters
    ----------
    time, risk, fraud
        Moment (ns), known share and truth of each payment at the terminal.
    known, known_fraud
        Moment (ns) and verdict of each label of them.
    spell
        ``(begins, ends)`` of what was wrong with it (ns), where that is known.

    Examples
    --------
    >>> none = np.zeros(0, np.int64)
    >>> len(terminal_risk(none, none, none, none, none).axes)
    2
    """
    title = f"What is known of {name}, and when?"
    figure, axes = canvas(title, 2, 1, 4.4, sharex=True, gridspec={"height_ratios": [1, 2]})
    top, ax = axes[:, 0]
    if not len(time):
        nothing(ax, "no payment at this terminal")
        return figure
    for level, at, verdict in ((1, time, np.asarray(fraud, bool)), (0, known, np.asarray(known_fraud, bool))):
        top.scatter(times(at[~verdict]), np.full((~verdict).sum(), level), color="#9db9cc", marker="|", s=90)
        top.scatter(times(at[verdict]), np.full(verdict.sum(), level), color=RED, marker="|", s=170, linewidth=2)
    top.set(yticks=[0, 1], yticklabels=["labels", "payments"], ylim=(-0.6, 1.6))
    top.set_title("red: fraud")
    ax.step(times(time), 100 * np.asarray(risk), where="post", color=BLUE)
    ax.set(ylabel="known share of fraud, %", ylim=(0, None))
    for panel in (top, ax) if spell else ():
        panel.axvspan(*times(np.array(spell)), color=RED, alpha=0.09, linewidth=0)
    if spell:
        ax.set_title("shaded: the weeks in which it was compromised")
    time_axis(ax)
    return figure
