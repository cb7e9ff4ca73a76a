"""Figures of a model that keeps learning while it serves: versions, weights, latency, swaps (notebooks 04 and 05)."""

from __future__ import annotations

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREEN,
    INK,
    LIGHT,
    ORANGE,
    PALETTE,
    RED,
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
def versions(frame: pd.DataFrame, ledger: pd.DataFrame | None = None, score=None, ylabel: str = "R² against zero"):
    """When each version was made, which one served from when on, and how well the served model did.

    Parameters
    ----------
    frame
        ``registry.versions(model)``: ``number`` and ``at``.
    ledger
        ``registry.ledger(model)``: ``at``, ``action`` (promote or rollback) and ``number``.
    score
        ``(moments, values)`` of a windowed metric, drawn above; None leaves it out.

    Examples
    --------
    >>> at = pd.date_range("2025-01-31", periods=2, freq="h", tz="UTC")
    >>> frame = pd.DataFrame({"number": [1, 2], "at": at})
    >>> figure = versions(frame, frame.assign(action="promote"))
    >>> [text.get_text() for text in figure.axes[0].get_legend().get_texts()]
    ['version made', 'served']
    """
    need(frame, ("number", "at"), "versions")
    rows = 1 if score is None else 2
    title = "Which version served when" + ("?" if score is None else ", and how well?")
    figure, axes = canvas(title, rows, 1, 2.4 + 1.6 * (rows - 1), sharex=True)
    ax = axes[-1, 0]
    if not len(frame):
        nothing(ax, "no version yet")
        return figure
    at = times(frame["at"])
    span = at if score is None else np.concatenate([at, times(score[0])])
    last = span.max() + (span.max() - span.min()) / 40
    ax.plot(at, frame["number"], "o", color="white", markeredgecolor=BLUE, markersize=6, label="version made")
    ax.set_ylabel("version")
    ax.yaxis.get_major_locator().set_params(integer=True)
    if ledger is not None and len(ledger):
        _served(ax, ledger, last)
    if score is not None:
        _windowed(axes[0, 0], score, ylabel, [] if ledger is None else times(ledger["at"]))
    ax.legend(loc="lower left", bbox_to_anchor=(0, 1), ncols=3, handlelength=1.5, borderpad=0, borderaxespad=0.2)
    ax.margins(y=0.12)
    time_axis(ax, np.array([span.min(), last]))
    return figure


@styled
def weights_over_time(frame: pd.DataFrame, top: int = 8, unit: str = "bp per standard deviation"):
    """How the weights of a linear model move; the strongest are named, all others thin and grey.

    Parameters
    ----------
    frame
        Indexed by moment (UTC), one column per feature, one row per version or hour.

    Examples
    --------
    >>> at = pd.date_range("2025-01-31", periods=3, freq="h", tz="UTC")
    >>> frame = pd.DataFrame({"weak": [0.0, 0.1, 0.1], "strong": [0.0, 1.0, 2.0]}, index=at)
    >>> ax = weights_over_time(frame, top=1).axes[0]
    >>> [text.get_text() for text in ax.texts], ax.get_title(loc="left")
    (['strong'], 'the 1 strongest of 2 are named')
    """
    figure, [[ax]] = canvas("What has the model learned, and does it change its mind?", height=4.2)
    moments = times(frame.index)
    if not frame.size:
        nothing(ax, "no weights yet")
        return figure
    strongest = frame.abs().max().sort_values(ascending=False).index[:top]
    for name in frame.columns.difference(strongest, sort=False):
        ax.plot(moments, frame[name], color=LIGHT, linewidth=1)
    paint = dict(zip(strongest, PALETTE * len(strongest), strict=False))
    for name in strongest:
        ax.plot(moments, frame[name], color=paint[name], marker="o" if len(frame) < 60 else "", markersize=3)
    ax.axhline(0, color=INK, linewidth=0.8)
    ax.set_ylabel(f"weight, {unit}")
    label_ends(ax, [(frame[name].iloc[-1], name, paint[name]) for name in strongest])
    if len(frame.columns) > len(strongest):
        ax.set_title(f"the {len(strongest)} strongest of {len(frame.columns)} are named")
    time_axis(ax, moments)
    return figure


@styled
def latency(milliseconds, budget_ms: float = 0.0):
    """How long requests took: how often each duration, and what share took longer, with p50, p99 and p99.9.

    Parameters
    ----------
    milliseconds
        One duration a request.
    budget_ms
        Drawn as a line where it is above zero.

    Examples
    --------
    >>> figure = latency([1.0, 2.0, 3.0, 200.0], budget_ms=100)
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['4 requests; lines: p50, p99, p99.9', '25.00% over the budget of 100 ms (dashed)']
    """
    taken = np.sort(np.asarray(milliseconds, float))
    figure, [[often, longer]] = canvas("How long does an answer take?", 1, 2, 3.6, sharex=True)
    if not len(taken):
        nothing(often, "no request yet"), nothing(longer, "no request yet")
        return figure
    edges = np.geomspace(max(taken[0], 1e-3) * 0.9, max(taken[-1], budget_ms, 2e-3) * 1.15, 61)
    often.hist(taken, edges, color=BLUE)
    often.set(xscale="log", ylabel="requests", xlabel="milliseconds (log scale)")
    longer.step(taken, 1 - np.arange(len(taken)) / len(taken), where="pre", color=BLUE)
    longer.set(yscale="log", ylabel="share of requests that took longer", xlabel="milliseconds (log scale)")
    longer.set_ylim(0.7 / len(taken), 1.5)
    for name, level, colour in (("p50", 0.5, GREEN), ("p99", 0.99, ORANGE), ("p99.9", 0.999, RED)):
        value = np.quantile(taken, level)
        often.axvline(value, color=colour, linewidth=1.2)
        longer.plot([value], [1 - level], "o", color=colour, markersize=7)
        right = np.log(value / edges[0]) > 0.6 * np.log(edges[-1] / edges[0])
        how = dict(xytext=(-8, -9), ha="right") if right else dict(xytext=(8, 6))
        longer.annotate(f"{name} = {value:.3g} ms", (value, 1 - level), textcoords="offset points", fontsize=9.5, **how)
    if budget_ms > 0:
        longer.axvline(budget_ms, color=INK, linewidth=1, linestyle=(0, (4, 3)))
        longer.set_title(f"{(taken > budget_ms).mean():.2%} over the budget of {budget_ms:g} ms (dashed)")
    often.set_title(f"{len(taken):,} requests; lines: p50, p99, p99.9")
    _plain_log(longer)
    return figure


@styled
def swaps(seconds, milliseconds, numbers):
    """Every request by when it was sent and how long it took, coloured by the version that answered it.

    Parameters
    ----------
    seconds, milliseconds, numbers
        One value per request: seconds since the first, duration, number of the version that answered.

    Examples
    --------
    >>> ax = swaps(seconds=[0.0, 1.0, 2.0], milliseconds=[1.0, 2.0, 1.0], numbers=[1, 1, 2]).axes[0]
    >>> [text.get_text() for text in ax.texts]
    ['v1', 'v2']
    """
    seconds, milliseconds, numbers = (np.asarray(values, float) for values in (seconds, milliseconds, numbers))
    figure, [[ax]] = canvas("Does a request notice that the model is swapped?", height=3.4)
    if not len(seconds):
        nothing(ax, "no request yet")
        return figure
    for i, number in enumerate(np.unique(numbers)):
        mine = numbers == number
        colour = (BLUE, RED)[i % 2]
        ax.plot(seconds[mine], milliseconds[mine], ".", color=colour, markersize=3, alpha=0.5, rasterized=True)
        at, up = seconds[mine].min(), (1.02, 1.09)[i % 2 if len(np.unique(numbers)) > 8 else 0]
        ax.axvline(at, color=LIGHT, linewidth=1, zorder=0)
        ax.text(at, up, f"v{number:g}", transform=ax.get_xaxis_transform(), color=colour, fontsize=9)
    ax.set(yscale="log", xlabel="seconds since the first request", ylabel="milliseconds (log scale)")
    ax.set_xlim(0, seconds.max() * 1.01 or 1)
    ax.yaxis.set_major_formatter("{x:g}")
    return figure


def _served(ax, ledger: pd.DataFrame, last: np.datetime64) -> None:
    """Steps of the version that serves, with the rollbacks marked."""
    at, number = times(ledger["at"]), ledger["number"].to_numpy()
    ax.step([*at, last], [*number, number[-1]], where="post", color=BLUE, linewidth=1.8, label="served")
    back = (ledger["action"] == "rollback").to_numpy()
    if back.any():
        ax.plot(at[back], number[back], "v", color=RED, markersize=9, label="rollback")


def _windowed(ax, score, ylabel: str, promoted) -> None:
    values = np.asarray(score[1], float)
    ax.plot(*thin(score[0], values), color=BLUE)
    ax.set_ylim(robust_limits([values], include=[0.0]))
    ax.axhline(0, color=INK, linewidth=0.8)
    for at in promoted:
        ax.axvline(at, color=LIGHT, linewidth=0.8, zorder=0)
    ax.set_ylabel(ylabel)


def _plain_log(ax) -> None:
    """Shares as percentages and durations as plain numbers, not as powers of ten."""
    ax.yaxis.set_major_formatter(lambda share, _: f"{100 * share:g} %")
    ax.xaxis.set_major_formatter("{x:g}")
    ax.xaxis.set_minor_formatter(lambda ms, _: f"{ms:g}" if f"{ms:e}"[0] in "25" else "")
