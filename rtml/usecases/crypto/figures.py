"""Figures of a market: its prices and gaps, what a prediction is worth, and its law beside what was learned."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import span_text
from rtml.core.later import pd
from rtml.plots.data import STEPS
from rtml.plots.style import (
    BLUE,
    GREY,
    INK,
    ORANGE,
    SKY,
    WIDTH,
    canvas,
    label_ends,
    need,
    nothing,
    robust_limits,
    styled,
    thin,
    time_axis,
    times,
)


@styled
def market(bars: pd.DataFrame, symbol: str = ""):
    """Close and volume of bars, and where the market was silent or the recording has a hole.

    Parameters
    ----------
    bars
        Indexed by the bars' end (UTC) or with a column ``end``; ``close``, ``volume``, ``empty``, ``complete``.

    Examples
    --------
    >>> market(pd.DataFrame(columns=["close", "volume", "empty", "complete"])).axes[0].texts[0].get_text()
    'no bars'
    """
    need(bars, ("close", "volume", "empty", "complete"), "market")
    title = f"What did {symbol or 'the market'} do?"
    figure, axes = canvas(title, 3, 1, 5.0, sharex=True, gridspec={"height_ratios": [4, 1.3, 0.8]})
    price, volume, silent = axes[:, 0]
    if not len(bars):
        nothing(price, "no bars")
        return figure
    end = times(bars.get("end", bars.index))
    price.plot(*thin(end, bars["close"]), color=BLUE, linewidth=1.1)
    price.set_ylabel("close, quote currency")
    edges, width, step = _bins(end, 240)
    place = np.searchsorted(edges, end.astype("i8"), side="left") - 1
    size = np.maximum(np.bincount(place, minlength=len(edges) - 1), 1)
    left = edges[:-1].astype("datetime64[ns]")
    volume.bar(left, np.bincount(place, bars["volume"], len(edges) - 1), width, align="edge", color=SKY)
    volume.set_ylabel(f"volume\nper {step}")
    for share, colour in _silence(silent, left, width, [np.bincount(place, f, len(size)) / size for f in _flags(bars)]):
        _shade(price, left, width, share, colour)
    time_axis(silent, end)
    return figure


def _bins(end: np.ndarray, at_most: int) -> tuple[np.ndarray, np.timedelta64, str]:
    """Edges (ns) of round bins over the moments, their width and its text."""
    ns = end.astype("i8")
    step = next((s for s in STEPS if (ns[-1] - ns[0]) // s <= at_most), STEPS[-1])
    edges = np.arange((ns[0] - 1) // step, -(-ns[-1] // step) + 1) * step
    return edges, np.timedelta64(step, "ns"), span_text(step)


def _flags(bars: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    complete = np.asarray(bars["complete"], bool)
    return np.asarray(bars["empty"], bool) & complete, ~complete


def _silence(ax, left: np.ndarray, width: np.timedelta64, shares: list[np.ndarray]) -> list[tuple[np.ndarray, str]]:
    """Draw how many bars had no trade or are incomplete; return the bins to be shaded in the price, with colours."""
    empty, hole = shares
    ax.bar(left, 100 * empty, width, align="edge", color="#b8b8b8", label="no trade")
    ax.bar(left, 100 * hole, width, bottom=100 * empty, align="edge", color=ORANGE, label="incomplete")
    ax.set(ylim=(0, 100), yticks=[0, 100], ylabel="% of\nbars")
    ax.legend(loc="lower right", bbox_to_anchor=(1.0, 0.98), ncols=2, handlelength=1, borderpad=0, borderaxespad=0)
    return [(hole > 0, ORANGE), (empty > 0.5, "#b8b8b8")]


def _shade(ax, left: np.ndarray, width: np.timedelta64, where: np.ndarray, colour: str) -> None:
    """Shade the stretches of bins where something holds."""
    change = np.flatnonzero(np.diff(np.concatenate([[False], where, [False]])))
    for start, stop in change.reshape(-1, 2):
        ax.axvspan(left[start], left[stop - 1] + width, color=colour, alpha=0.25, linewidth=0)


@styled
def predicted_realised(y, p, cost_bp: float = 0.0, bins: int = 10):
    """Mean realised return by tenth of the prediction, with what a trade would cost: the worth of the forecast.

    Parameters
    ----------
    y, p
        Returns and their predictions, bp; NaN where there is no answer.
    cost_bp
        Costs of going in and out again, bp; 0 leaves them out.

    Examples
    --------
    >>> rng = np.random.default_rng(7)
    >>> y = rng.normal(size=500)
    >>> figure = predicted_realised(y, y / 2)
    >>> figure.get_suptitle() or figure.axes[0].get_title()
    'Is a strong forecast followed by a strong move?'
    """
    y, p = np.asarray(y, float), np.asarray(p, float)
    known = ~np.isnan(y)
    title = "Is a strong forecast followed by a strong move" + (", and is it worth its costs?" if cost_bp else "?")
    figure, axes = canvas(title, 1, 2 if cost_bp else 1, 3.7, WIDTH if cost_bp else 6.4)
    if known.sum() < 2 * bins:
        nothing(axes[0, 0], "too few answers")
        return figure
    parts = np.array_split(np.flatnonzero(known)[np.argsort(p[known], kind="stable")], bins)
    predicted, realised = (np.array([values[part].mean() for part in parts]) for values in (p, y))
    error = np.array([1.96 * y[part].std() / np.sqrt(len(part)) for part in parts])
    for ax in axes[0]:
        ax.axhline(0, color=INK, linewidth=0.8)
        ax.plot(predicted, predicted, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
        ax.errorbar(predicted, realised, yerr=error, fmt="o", color=BLUE, markersize=6)
        ax.set(xlabel=f"mean prediction of each of {bins} equal parts, bp", ylabel="mean return that followed, bp")
    axes[0, 0].set_title(f"{known.sum():,} answers, bars: 95 % interval; dashed: as predicted")
    if cost_bp:
        axes[0, 1].axhspan(-cost_bp, cost_bp, color=ORANGE, alpha=0.18, linewidth=0)
        axes[0, 1].set_title(f"the same beside the costs of in and out, ±{cost_bp:g} bp (shaded)")
    return figure


@styled
def truth_vs_learned(truth, learned, names: tuple[str, str] = ("true", "learned"), ylabel: str = "coefficient, bp"):
    """The law of a synthetic market beside the coefficient that a model has learned from its prices.

    Parameters
    ----------
    truth, learned
        ``(moments, values)``, or Series indexed by moment.

    Examples
    --------
    >>> at = np.arange(0, 5 * 10**9, 10**9)
    >>> len(truth_vs_learned((at, np.ones(5)), (at, np.zeros(5))).axes[0].lines)
    3
    """
    figure, [[ax]] = canvas("Does the model find the law, and follow it when it changes?", height=3.6)
    ends = []
    curves = [(c.index, c.to_numpy()) if isinstance(c, pd.Series) else c for c in (truth, learned)]
    for (moments, values), name, colour, width in zip(curves, names, (INK, BLUE), (1.2, 1.8), strict=True):
        values = np.asarray(values, float)
        if np.isfinite(values).any():
            ax.plot(*thin(moments, values), color=colour, linewidth=width)
            ends.append((values[np.isfinite(values)][-1], name, colour))
    if not ends:
        nothing(ax, "no coefficient yet")
        return figure
    ax.axhline(0, color=GREY, linewidth=0.8)
    ax.set_ylim(robust_limits([curves[1][1]], include=[0.0, *_range(curves[0][1])]))
    ax.set_ylabel(ylabel)
    label_ends(ax, ends)
    time_axis(ax, times(curves[0][0]))
    return figure


def _range(values) -> tuple[float, ...]:
    finite = np.asarray(values, float)[np.isfinite(values)]
    return (finite.min(), finite.max()) if len(finite) else ()
