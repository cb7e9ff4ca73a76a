"""Figures of what comes in: market, arrivals, features, and when each answer is known (notebooks 01 and 02)."""

from __future__ import annotations

import numpy as np

from rtml.core.clock import NEVER, span, span_text
from rtml.core.later import pd
from rtml.plots.style import (
    BLUE,
    GREEN,
    GREY,
    INK,
    LIGHT,
    ORANGE,
    RED,
    SKY,
    canvas,
    need,
    nothing,
    styled,
    time_axis,
    times,
)

STEPS = [span(t) for t in ("1s", "10s", "1m", "5m", "10m", "15m", "30m", "1h", "2h", "6h", "12h", "1d", "7d", "30d")]


@styled
def arrivals(moments: dict[str, np.ndarray], parts: dict[str, np.ndarray] | None = None, every: str = "1m"):
    """Events a minute of each stream, and below, on scales of their own, those that are late, repeated, broken ...

    Parameters
    ----------
    moments
        Name -> event times (int ns UTC, in any order), one panel a stream.
    parts
        The same for parts of all events, with their share in the title.

    Examples
    --------
    >>> figure = arrivals({"events": np.arange(8) * span("30s")}, {"late": np.array([0, 1]) * span("30s")})
    >>> [ax.get_title(loc="left") for ax in figure.axes]
    ['events: 8 events', 'late: 2 events (25 % of all)']
    """
    shown = {name: np.asarray(when, "i8") for name, when in (moments | (parts or {})).items()}
    everything = np.concatenate([shown[name] for name in moments])
    heights = [2.0 if name in moments else 0.8 for name in shown]
    grid = {"sharex": True, "gridspec": {"height_ratios": heights}}
    figure, axes = canvas("How did the events arrive?", len(shown), 1, 0.9 + 0.9 * sum(heights), **grid)
    if not len(everything):
        nothing(axes[0, 0], "no events")
        return figure
    steps = [s for s in (span(every), *STEPS) if s >= span(every)]
    step = next((s for s in steps if np.ptp(everything) // s <= 1500), STEPS[-1])
    edges = np.arange(everything.min() // step, everything.max() // step + 2) * step
    for ax, (name, when), colour in zip(axes[:, 0], shown.items(), (BLUE, GREEN, RED, ORANGE, GREY) * 9, strict=False):
        _counts(ax, edges, np.histogram(when, edges)[0], colour, thick=0.0 if name in moments else 0.8)
        share = "" if name in moments else f" ({100 * len(when) / len(everything):.2g} % of all)"
        ax.set_title(f"{name}: {len(when):,} events{share}", color=INK)
    axes[0, 0].set_ylabel(f"events per {span_text(step)}")
    time_axis(axes[-1, 0], times(edges))
    return figure


@styled
def feature_panel(frame: pd.DataFrame, catalogue: pd.DataFrame, bins: int = 60):
    """Distribution of every feature over time: median, middle half and middle nine tenths of each stretch.

    Parameters
    ----------
    frame
        Indexed by moment (UTC), one column per feature; other columns are left out.
    catalogue
        Indexed by feature, with ``unit``: what is drawn, in this order.

    Examples
    --------
    >>> moments = pd.date_range("2025-01-31", periods=200, freq="s", tz="UTC")
    >>> frame = pd.DataFrame({"spread": np.sin(np.arange(200.0))}, index=moments)
    >>> figure = feature_panel(frame, pd.DataFrame({"unit": ["EUR"]}, index=["spread"]))
    >>> len(figure.axes), figure.axes[0].get_title(loc="left")
    (3, 'spread, EUR')
    """
    names = [name for name in catalogue.index if name in frame.columns]
    if not names or not len(frame):
        raise ValueError(f"nothing to draw: {len(frame)} rows, features {list(catalogue.index)}, columns {list(frame)}")
    rows = -(-len(names) // 3)
    title = "How are the features distributed, and do they drift?"
    figure, axes = canvas(title, rows, 3, 0.9 + 1.25 * rows, sharex=True, layout="none")
    parts = np.array_split(np.arange(len(frame)), min(bins, len(frame)))
    middle = times(frame.index)[[part[len(part) // 2] for part in parts]]
    for ax, name in zip(axes.flat, names, strict=False):
        values = frame[name].to_numpy(float)
        q = np.array([_quantiles(values[part]) for part in parts]).T
        ax.fill_between(middle, q[0], q[4], color=BLUE, alpha=0.15, linewidth=0)
        ax.fill_between(middle, q[1], q[3], color=BLUE, alpha=0.35, linewidth=0)
        ax.plot(middle, q[2], color=BLUE, linewidth=1.2)
        ax.set_title(f"{name}, {catalogue.loc[name, 'unit']}", color=INK, fontsize=9)
        ax.yaxis.get_major_locator().set_params(nbins=3)
    for ax in axes.flat[len(names) :]:
        ax.grid(False), ax.spines[:].set_visible(False), ax.tick_params(left=False, labelleft=False)
    label = time_axis(axes[-1, 0], middle, ticks=6)
    axes[-1, 0].set_xlabel("")
    _rows_of_panels(figure)
    figure.supxlabel(label + "; line: median, dark: middle half, light: middle nine tenths", fontsize=9.5, color=GREY)
    return figure


@styled
def feature_label_correlation(frame: pd.DataFrame, label: str = "y", top: int = 20):
    """Rank correlation of each feature with the answer, with a 95 % interval, over the run and in each quarter of it.

    Parameters
    ----------
    frame
        In order of time; ``label`` and the features are its float columns. Rows without an answer are left out.

    Examples
    --------
    >>> x = np.arange(40.0)
    >>> frame = pd.DataFrame({"y": x, "up": x, "down": -x})
    >>> ax = feature_label_correlation(frame).axes[0]
    >>> sorted(label.get_text() for label in ax.get_yticklabels()), ax.get_title(loc="left")
    (['down', 'up'], '40 answered questions')
    """
    frame = need(frame, (label,), "feature_label_correlation").select_dtypes("float").dropna(subset=[label])
    whole = _rank_correlation(frame, label)
    names = whole.abs().sort_values(ascending=False).index[:top][::-1]
    figure, [[ax]] = canvas("Which features go with the answer, and does it last?", height=1.2 + 0.24 * len(names))
    place = np.arange(len(names))
    if not len(names):
        nothing(ax, "no answered question, or no feature that varies")
        return figure
    for rows, shade in zip(np.array_split(np.arange(len(frame)), 4), ("#cccccc", "#a6a6a6", GREY, INK), strict=True):
        part = _rank_correlation(frame.iloc[rows], label).reindex(names)
        ax.plot(part, place, "o", color=shade, markersize=4, label="quarters of the run, first (light) to last (dark)")
    ax.errorbar(
        whole[names], place, xerr=1.96 / np.sqrt(len(frame)), fmt="o", color=BLUE, markersize=7, label="whole run"
    )
    ax.axvline(0, color=INK, linewidth=0.8)
    ax.set_yticks(place, names)
    ax.set(xlabel=f"rank correlation with {label} (Spearman), 95 % interval", ylim=(-0.7, len(names) - 0.3))
    handles, labels = ax.get_legend_handles_labels()
    ax.legend([handles[-1], handles[2]], [labels[-1], labels[2]], loc="lower right")
    omitted = f"the {len(names)} strongest of {len(whole)} features; " if len(whole) > len(names) else ""
    ax.set_title(f"{omitted}{len(frame):,} answered questions")
    return figure


@styled
def delay_timeline(questions, first: int = 0):
    """A few questions on a time line: asked, waiting, answered; what may be learned at the last one's moment is filled.

    Parameters
    ----------
    questions
        ``Questions``, or anything with arrays ``moment``, ``known`` (ns UTC) and ``y``.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> seconds = np.arange(3) * span("1s")
    >>> asked = SimpleNamespace(moment=seconds, known=seconds + span("1s"), y=np.ones(3))
    >>> delay_timeline(asked).axes[0].get_title(loc="left").partition(";")[0]
    'the last question is predicted with 1 of 2 earlier answers learned'
    """
    some = slice(first, first + 12)
    moment, known, y = (np.asarray(getattr(questions, name))[some] for name in ("moment", "known", "y"))
    figure, [[ax]] = canvas("When is the answer to each question known?", height=1.3 + 0.27 * max(len(moment), 1))
    if not len(moment):
        nothing(ax, "no questions")
        return figure
    never, now = (known == NEVER) | np.isnan(y), moment[-1]
    seconds, end = (moment - moment[0]) / 1e9, (np.where(never, now, known) - moment[0]) / 1e9
    learned, row = ~never & (known < now), np.arange(len(moment))
    ax.hlines(row, seconds, end, colors=np.where(never, LIGHT, SKY), linewidth=3)
    ax.plot(
        seconds, row, "o", color="white", markeredgecolor=INK, markersize=7, label="question asked: features frozen"
    )
    ax.plot(end[learned], row[learned], "s", color=BLUE, markersize=7, label="answer known: scored, learned")
    due = ~never & ~learned
    ax.plot(end[due], row[due], "s", color="white", markeredgecolor=BLUE, markersize=7, label="answer still to come")
    ax.plot(end[never], row[never], "x", color=RED, markersize=7, label="never answered: counted, not guessed")
    ax.axvline(seconds[-1], color=INK, linewidth=1, linestyle=(0, (4, 3)))
    note = f"the last question is predicted with {learned.sum()} of {len(moment) - 1} earlier answers learned"
    ax.set_title(note + "; an answer due at its very moment comes after it")
    ax.set(yticks=[], ylim=(len(moment) - 0.4, -0.6), ylabel="question")
    ax.set_xlabel(f"seconds since {pd.Timestamp(moment[0]):%Y-%m-%d %H:%M:%S} UTC")
    ax.legend(loc="center left", bbox_to_anchor=(1.0, 0.5))
    return figure


def _rows_of_panels(figure) -> None:
    """Lay out many like panels by arithmetic: looking for the room that each needs takes seconds."""
    height = figure.get_figheight()
    edges = {"left": 0.055, "right": 0.99, "bottom": 0.62 / height, "top": 1 - 0.8 / height}
    figure.subplots_adjust(**edges, hspace=0.5, wspace=0.18)


def _counts(ax, edges: np.ndarray, counts: np.ndarray, colour: str, thick: float) -> None:
    steps = np.append(counts, counts[-1])
    ax.fill_between(times(edges), steps, step="post", facecolor=colour, edgecolor=colour, linewidth=thick)
    ax.set_ylim(0, max(counts.max() * 1.08, 1))
    ax.yaxis.get_major_locator().set_params(integer=True, nbins=2 if thick else 4)


def _quantiles(values: np.ndarray) -> np.ndarray:
    values = values[np.isfinite(values)]
    return np.quantile(values, (0.05, 0.25, 0.5, 0.75, 0.95)) if len(values) else np.full(5, np.nan)


def _rank_correlation(frame: pd.DataFrame, label: str) -> pd.Series:
    ranks = frame.rank()
    ranks = ranks.loc[:, (ranks.nunique() > 1) | (ranks.columns == label)]
    return ranks.drop(columns=label).corrwith(ranks[label]).dropna()
