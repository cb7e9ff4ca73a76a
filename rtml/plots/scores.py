"""Figures of how good the models are: scores over time, pairs, calibration, cost, worth (notebook 03)."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREY,
    INK,
    canvas,
    colours,
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
def score_over_time(
    curves: dict, baseline=None, ylabel: str = "R² against zero", title: str = "How good is each model so far?"
):
    """A metric over time, one line per model, named at its end.

    Parameters
    ----------
    curves
        Name -> (moments, values), or name -> Series indexed by moment; NaN where there is no value yet.
    baseline
        A number drawn as a level, or the name of the curve to be drawn dashed.

    Examples
    --------
    >>> moments = np.arange(20) * 10**9
    >>> ax = score_over_time({"rls": (moments, np.full(20, 0.1)), "unknown": (moments, np.full(20, np.nan))}).axes[0]
    >>> [text.get_text() for text in ax.texts], len(ax.lines)
    (['rls'], 1)
    """
    figure, [[ax]] = canvas(title, height=3.8)
    curves = {name: _curve(curve) for name, curve in curves.items()}
    curves = {name: curve for name, curve in curves.items() if np.isfinite(curve[1]).any()}
    if not curves:
        nothing(ax, "no question was answered yet")
        return figure
    level = [] if baseline is None or isinstance(baseline, str) else [baseline]
    for value in level:
        ax.axhline(value, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.set_ylim(robust_limits([values for _, values in curves.values()], include=level))
    paint, ends = colours(list(curves)), []
    for order, (name, (time, values)) in enumerate(curves.items()):
        dashes = (0, (4, 2)) if name == baseline else "-"
        ax.plot(*thin(time, values), color=paint[name], linestyle=dashes, zorder=9 - order, linewidth=1.6)
        ends.append((values[np.isfinite(values)][-1], name, paint[name]))
    ax.set_ylabel(ylabel)
    label_ends(ax, ends)
    time_axis(ax, _span([time for time, _ in curves.values()]))
    return figure


@styled
def windowed_r2(curves: dict, window: str = "1h", best=None):
    """R2 against zero in a moving window, one line per model, with the best that is possible where that is known.

    Parameters
    ----------
    curves
        As in ``score_over_time``; values of ``windowed("r2_zero", y, p, window)``.
    window
        Length of the window, for the title.
    best
        ``(moments, values)`` of the R2 of a model that knows the law of a synthetic market.

    Examples
    --------
    >>> moments = np.arange(20) * 10**9
    >>> best = (moments, np.full(20, 0.2))
    >>> ax = windowed_r2({"rls": (moments, np.full(20, 0.1))}, "5m", best=best).axes[0]
    >>> sorted(text.get_text() for text in ax.texts), ax.get_ylabel()
    (['best possible', 'rls'], 'R² against zero, last 5m')
    """
    title = f"How much of the next return is explained, in windows of {window}?"
    if best is not None:
        curves = dict(curves) | {"best possible": best}
    figure = score_over_time(curves, baseline="best possible", ylabel=f"R² against zero, last {window}", title=title)
    figure.axes[0].axhline(0, color=INK, linewidth=0.8)
    return figure


@styled
def paired_difference(time, mean, low, high, names: tuple[str, str] = ("a", "b"), unit: str = "bp²"):
    """Mean paired loss difference of two models with its anytime-valid interval, over time.

    Parameters
    ----------
    time, mean, low, high
        Moments, and the three arrays of ``confidence_sequence(loss_a - loss_b)``; infinite where there is no interval
        yet.
    names
        Names of the two models, in the order of the difference.

    Examples
    --------
    >>> mean = np.full(20, -0.2)
    >>> ax = paired_difference(np.arange(20) * 10**9, mean, mean - 0.1, mean + 0.1, ("rls", "zero")).axes[0]
    >>> [text.get_text() for text in ax.texts]
    ['-0.3', '-0.2', '-0.1']
    """
    figure, [[ax]] = canvas(f"Is {names[0]} better than {names[1]}, whenever one looks?", height=3.8)
    known = np.isfinite(low) & np.isfinite(high)
    ax.set_ylabel(f"loss of {names[0]} minus\nloss of {names[1]}, {unit}")
    if not known.any():
        nothing(ax, "too few questions answered by both")
        return figure
    when = times(time)
    step = max(1, len(when) // 900)
    shown = np.union1d(np.flatnonzero(known)[::step], np.flatnonzero(known)[-1])
    curves = [np.asarray(curve, float)[shown] for curve in (low, mean, high)]
    ax.fill_between(when[shown], curves[0], curves[2], color=BLUE, alpha=0.2, linewidth=0)
    ax.plot(when[shown], curves[1], color=BLUE)
    ax.axhline(0, color=INK, linewidth=1)
    ax.set_ylim(robust_limits([curves[0], curves[2]], include=[0.0, curves[1][-1]]))
    ends = [(curves[i][-1], f"{curves[i][-1]:.3g}", BLUE if i == 1 else "#6f9fbf") for i in range(3)]
    label_ends(ax, ends)
    ax.set_title(f"mean and 95 % interval that is valid at all times; below zero {names[0]} is better")
    time_axis(ax, when)
    return figure


@styled
def calibration(table: pd.DataFrame, title: str = "Do predicted probabilities come true?"):
    """Observed share against predicted probability, with 95 % intervals, one point per bin.

    Parameters
    ----------
    table
        ``metrics.calibration(y, p)``: ``predicted``, ``observed``, ``low``, ``high``, ``n``.

    Examples
    --------
    >>> bins = {"predicted": [0.2, 0.8], "observed": [0.25, 0.75], "low": [0.1, 0.6], "high": [0.4, 0.9], "n": [50, 60]}
    >>> calibration(pd.DataFrame(bins)).axes[0].get_title(loc="left")
    '50 to 60 answers a point, bars: 95 % interval; dashed: comes true exactly'
    """
    need(table, ("predicted", "observed", "low", "high", "n"), "calibration")
    figure, [[ax]] = canvas(title, height=5.0, width=6.4)
    if not len(table):
        nothing(ax, "no question was answered yet")
        return figure
    edge = [min(table["low"].min(), table["predicted"].min()), max(table["high"].max(), table["predicted"].max())]
    pad = 0.05 * (edge[1] - edge[0]) + 1e-3
    limits = (max(edge[0] - pad, -0.02), min(edge[1] + pad, 1.02))
    ax.plot(limits, limits, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    ax.set(xlim=limits, ylim=limits, xlabel="predicted probability", ylabel="observed share")
    error = np.abs(table[["low", "high"]].to_numpy().T - table["observed"].to_numpy())
    ax.errorbar(table["predicted"], table["observed"], yerr=error, fmt="o-", color=BLUE, markersize=6, linewidth=1)
    few, many = int(table["n"].min()), int(table["n"].max())
    each = f"{few:,}" if few == many else f"{few:,} to {many:,}"
    ax.set_title(f"{each} answers a point, bars: 95 % interval; dashed: comes true exactly")
    return figure


@styled
def cost_quality(frame: pd.DataFrame):
    """Score against CPU time, one point per model: up is better, left is cheaper.

    Parameters
    ----------
    frame
        Indexed by model, with ``cpu_seconds`` and ``r2_zero``; ``samples``, answers learned, is shown where it differs.

    Examples
    --------
    >>> frame = pd.DataFrame({"cpu_seconds": [0.1, 2.0], "r2_zero": [0.01, 0.02]}, index=["sgd", "rls"])
    >>> sorted(text.get_text() for text in cost_quality(frame).axes[0].texts)
    ['rls', 'sgd']
    """
    need(frame, ("cpu_seconds", "r2_zero"), "cost_quality")
    figure, [[ax]] = canvas("What does quality cost?", height=4.0, width=8.4)
    shown = frame.dropna(subset=["r2_zero"])
    if not len(shown):
        nothing(ax, "no model was scored yet")
        return figure
    low, high = robust_limits([shown["r2_zero"].to_numpy()], include=[0.0])
    ax.set(xscale="log", ylim=(low, high), ylabel="R² against zero")
    ax.set_xlabel("CPU seconds for the whole stream (log scale)")
    ax.axhline(0, color=GREY, linewidth=1, linestyle=(0, (4, 3)))
    paint = colours(list(shown.index))
    x, y = np.maximum(shown["cpu_seconds"].to_numpy(float), 1e-4), shown["r2_zero"].to_numpy(float)
    ax.set_xlim(x.min() / 2, x.max() * max(3.0, (x.max() / x.min()) ** 0.3))
    differ = "samples" in shown and shown["samples"].nunique() > 1
    inside = np.clip(y, low + 0.05 * (high - low), high - 0.02 * (high - low))
    ax.xaxis.set_major_formatter("{x:g}")
    ax.scatter(x, inside, color=[paint[n] for n in shown.index], s=60, zorder=3, clip_on=False)
    for at, i in zip(_apart(np.log10(x), inside, high - low), range(len(x)), strict=True):
        off = f" ▼ {y[i]:.3g}" if y[i] < low else ""
        learned = f", {shown['samples'].iloc[i]:,.0f} samples" if differ else ""
        place = dict(xytext=(9, 0), textcoords="offset points", va="center", annotation_clip=False)
        behind = dict(facecolor="white", edgecolor="none", pad=0.5, alpha=0.85)
        ax.annotate(f"{shown.index[i]}{off}{learned}", (x[i], at), fontsize=9.5, bbox=behind, **place)
    return figure


def _curve(curve) -> tuple[np.ndarray, np.ndarray]:
    time, values = (curve.index, curve.to_numpy()) if isinstance(curve, pd.Series) else curve
    return times(time), np.asarray(values, float)


def _span(moments: list[np.ndarray]) -> np.ndarray:
    return np.array([min(m[0] for m in moments), max(m[-1] for m in moments)])


def _apart(x: np.ndarray, y: np.ndarray, height: float) -> np.ndarray:
    """Heights of labels that start near each other, moved until none touches another."""
    from rtml.plots.style import spread

    placed, order = y.astype(float).copy(), np.argsort(x)
    for group in np.split(order, np.flatnonzero(np.diff(x[order]) > 1.0) + 1):
        group = group[np.argsort(y[group], kind="stable")]
        placed[group] = spread(y[group] / height, 0.06) * height
    return placed
