"""House style of every figure, and the only door to matplotlib, which is imported when the first figure is drawn.

Figures are made without pyplot: nothing global is opened, a notebook shows a figure exactly once, as the value of its
cell, and a saved SVG has the same bytes each time. Colours are those of Okabe and Ito, distinct for colour-blind
readers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache, wraps
from io import BytesIO

import numpy as np

from rtml.core.later import optimize, pd

BLUE = "#0072B2"
ORANGE = "#E69F00"
GREEN = "#009E73"
RED = "#D55E00"
PURPLE = "#CC79A7"
SKY = "#56B4E9"
INK = "#222222"
GREY = "#6b6b6b"
LIGHT = "#d9d9d9"
PALETTE = (BLUE, RED, GREEN, PURPLE, ORANGE, SKY, "#8c6d1f", "#44546a")
WIDTH = 10.0  # inches: the width of a notebook's output
DPI = 130

STYLE = {
    "font.family": "DejaVu Sans",
    "font.size": 10,
    "text.color": INK,
    "axes.edgecolor": "#9a9a9a",
    "axes.labelcolor": GREY,
    "axes.labelsize": 9.5,
    "axes.titlesize": 9.5,
    "axes.titlecolor": GREY,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#e8e8e8",
    "grid.linewidth": 0.7,
    "xtick.color": "#9a9a9a",
    "ytick.color": "#9a9a9a",
    "xtick.labelcolor": GREY,
    "ytick.labelcolor": GREY,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.frameon": False,
    "legend.fontsize": 9,
    "lines.linewidth": 1.5,
    "lines.solid_capstyle": "round",
    "figure.facecolor": "white",
    "axes.facecolor": "white",
    "svg.hashsalt": "rtml",
    "figure.constrained_layout.h_pad": 0.05,
    "figure.constrained_layout.w_pad": 0.05,
}


def styled(draw: Callable) -> Callable:
    """Let a function draw in the style of the package, also where the notebook has set another."""

    @wraps(draw)
    def drawn(*args, **kwargs):
        import matplotlib

        with matplotlib.rc_context(STYLE):
            return draw(*args, **kwargs)

    return drawn


@cache
def _plot_class():
    import matplotlib
    from matplotlib.figure import Figure

    class Plot(Figure):
        """A figure that a notebook shows by itself and that is saved in the house style."""

        picture = b""

        def savefig(self, fname, **how):
            with matplotlib.rc_context(STYLE):
                if how.get("format") != "png" and not str(fname).endswith(".png"):
                    return super().savefig(fname, **how)
                super().savefig(whole := BytesIO(), **{"dpi": DPI, **how, "format": "png"})
            _few_colours(whole, fname)

        def _repr_png_(self):
            if self.stale or not self.picture:  # drawn once for the notebook and the report
                self.savefig(png := BytesIO(), format="png")
                self.picture = png.getvalue()
            width, height = (round(inches * 96) for inches in self.get_size_inches())
            return self.picture, {"width": width, "height": height}

    return Plot


def _few_colours(png: BytesIO, target) -> None:
    """Write a PNG with a palette: a plot has few colours, and is so four times smaller in a notebook or a report."""
    from PIL import Image

    whole = Image.open(png).convert("RGB")
    whole.quantize(128, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE).save(target, "png", optimize=True)


def canvas(title: str, rows: int = 1, columns: int = 1, height: float = 3.6, width: float = WIDTH, **grid):
    """A new figure with a title that asks a question, and its axes as an array of rows and columns.

    Examples
    --------
    >>> figure, axes = canvas("How did the events arrive?", rows=2, columns=3)
    >>> axes.shape, figure.get_suptitle()
    ((2, 3), 'How did the events arrive?')
    """
    figure = _plot_class()(figsize=(width, height), layout=grid.pop("layout", "constrained"))
    axes = figure.subplots(rows, columns, squeeze=False, gridspec_kw=grid.pop("gridspec", None), **grid)
    figure.suptitle(title, x=0.008, ha="left", fontsize=12.5, fontweight="bold", color=INK)
    return figure, axes


def times(moments) -> np.ndarray:
    """Moments (int ns UTC, aware or naive datetimes) as what a time axis takes.

    Examples
    --------
    >>> times([1_735_689_600 * 10**9]).astype(str).tolist(), times(["2025-01-01T01:00+01:00"]).astype(str).tolist()
    (['2025-01-01T00:00:00.000000000'], ['2025-01-01T00:00:00.000000000'])
    """
    if not isinstance(moments, pd.DatetimeIndex) and np.asarray(moments).dtype.kind in "iu":
        return np.asarray(moments, "i8").astype("datetime64[ns]")
    index = pd.DatetimeIndex(moments)
    return (index.tz_convert("UTC").tz_localize(None) if index.tz is not None else index).to_numpy("datetime64[ns]")


def time_axis(ax, span: np.ndarray | None = None, ticks: int = 10) -> str:
    """Ticks at round UTC times over ``span`` (or what is drawn), with the date once; returns the axis' label.

    Examples
    --------
    >>> figure, [[ax]] = canvas("When?")
    >>> time_axis(ax, times(["2025-01-30", "2025-01-31T12:00"]))
    'time (UTC), 2025-01-30 to 2025-01-31'
    """
    from matplotlib import dates

    if span is not None and len(span) > 1 and span[0] < span[-1]:
        ax.set_xlim(span[0], span[-1])
    locator = dates.AutoDateLocator(minticks=min(4, ticks), maxticks=ticks)
    formats = ["%Y", "%Y-%m", "%d %b", "%H:%M", "%H:%M", "%H:%M:%S"]
    zero = ["", "%Y", "%b", "%d %b", "%H:%M", "%H:%M"]
    ax.xaxis.set_major_locator(locator)
    ax.xaxis.set_major_formatter(
        dates.ConciseDateFormatter(locator, formats=formats, zero_formats=zero, show_offset=False)
    )
    first, last = (f"{dates.num2date(edge):%Y-%m-%d}" for edge in np.subtract(ax.get_xlim(), (0, 1e-6)))
    label = f"time (UTC), {first}" + (f" to {last}" if last > first else "")
    ax.set_xlabel(label)
    return label


def thin(time, values, points: int = 900) -> tuple[np.ndarray, np.ndarray]:
    """A long line with no more points than can be seen: of each stretch the lowest and the highest value stay.

    Examples
    --------
    >>> values = np.zeros(10_000)
    >>> values[5000] = 7.0
    >>> time, shown = thin(np.arange(10_000), values)
    >>> len(shown) <= 902, shown.max()
    (True, np.float64(7.0))
    """
    time, values = times(time), np.asarray(values, float)
    size = -(-len(values) // (points // 2))
    if size <= 2:
        return time, values
    whole = np.pad(values, (0, -len(values) % size), constant_values=np.nan).reshape(-1, size)
    known = ~np.isnan(whole)
    ends = np.stack([np.where(known, whole, np.inf).argmin(1), np.where(known, whole, -np.inf).argmax(1)], axis=1)
    keep = np.unique(np.sort(ends, axis=1) + np.arange(len(whole))[:, None] * size)
    keep = np.unique(np.concatenate([[0], keep[keep < len(values)], [len(values) - 1]]))
    return time[keep], values[keep]


def robust_limits(curves: Sequence[np.ndarray], include: Sequence[float] = ()) -> tuple[float, float]:
    """Limits that show where the curves run, and not the first wild values or a model that diverged.

    Examples
    --------
    >>> low, high = robust_limits([np.r_[1e9, np.linspace(0.0, 1.0, 99)]])
    >>> bool(-0.1 < low < 0.1 and 1.0 < high < 1.1)
    True
    """
    late = [curve[len(curve) // 10 :] for curve in (np.asarray(c, float) for c in curves)]
    pooled = np.concatenate([c[np.isfinite(c)] for c in late] or [np.empty(0)])
    if not len(pooled):
        return 0.0, 1.0
    centre = np.median(pooled)
    reach = 8 * max(np.median(np.abs(pooled - centre)), 1e-12 + 1e-3 * abs(centre))
    inside = pooled[np.abs(pooled - centre) <= reach]
    low, high = min(inside.min(), *include, np.inf), max(inside.max(), *include, -np.inf)
    pad = 0.06 * (high - low) or 0.1 * abs(high) or 1.0
    return low - pad, high + pad


def label_ends(ax, ends: Sequence[tuple[float, str, str]]) -> None:
    """Write each line's name (value, text, colour) beside its end, pushed apart where they would touch.

    Examples
    --------
    >>> figure, [[ax]] = canvas("Which?")
    >>> label_ends(ax, [(0.5, "rls", BLUE), (0.5, "zero", GREY), (7.0, "wild", RED)])
    >>> [text.get_text() for text in ax.texts]
    ['rls', 'zero', 'wild ▲ 7']
    """
    if not ends:
        return
    low, high = ax.get_ylim()
    height = ax.figure.get_size_inches()[1] * ax.get_position().height
    gap = 0.19 / max(height, 0.5)  # a line of text, as a share of the axes
    ends = sorted(ends, key=lambda end: end[0])
    wanted = np.clip([(value - low) / (high - low) for value, _, _ in ends], 0.0, 1.0)
    for at, (value, text, colour) in zip(spread(wanted, gap), ends, strict=True):
        beyond = f" {'▲' if value > high else '▼'} {value:.3g}" if not low <= value <= high else ""
        ax.annotate(text + beyond, (1.008, at), xycoords="axes fraction", color=colour, va="center", fontsize=9.5)


def spread(wanted: np.ndarray, gap: float) -> np.ndarray:
    """Places in order, at least ``gap`` apart and as near to where they are wanted as that allows.

    Examples
    --------
    >>> spread(np.array([0.5, 0.5, 0.9]), 0.2).round(2).tolist()
    [0.4, 0.6, 0.9]
    """
    steps = gap * np.arange(len(wanted))
    return optimize.isotonic_regression(wanted - steps).x + steps


def colours(names: Sequence[str]) -> dict[str, str]:
    """One colour a name: models keep theirs in every figure, simple baselines are grey.

    Examples
    --------
    >>> colours(["rls", "mine"])["rls"] == BLUE, len(set(colours(["rls", "mine", "yours"]).values()))
    (True, 3)
    """
    fixed = {"rls": BLUE, "sgd": ORANGE, "tree": GREEN, "ridge_hourly": PURPLE, "ar1": RED, "logistic": SKY}
    fixed |= {"zero": GREY, "mean": "#8f8f8f", "majority": GREY, "no change": GREY, "best possible": INK}
    free = iter(c for c in PALETTE * (1 + len(names)) if c not in {fixed.get(n) for n in names})
    return {name: fixed.get(name) or next(free) for name in names}


def need(frame: pd.DataFrame, columns: Sequence[str], what: str) -> pd.DataFrame:
    """The frame, refused with the names it has when a column is missing.

    Examples
    --------
    >>> need(pd.DataFrame({"time": [1]}), ("time", "y"), "calibration")
    Traceback (most recent call last):
    ...
    LookupError: calibration needs the columns y; there are: time
    """
    missing = [c for c in columns if c not in frame.columns]
    if missing:
        raise LookupError(f"{what} needs the columns {', '.join(missing)}; there are: {', '.join(map(str, frame))}")
    return frame


def nothing(ax, text: str = "nothing to show") -> None:
    """Say on empty axes that there is nothing, instead of leaving the reader to wonder.

    Examples
    --------
    >>> figure, [[ax]] = canvas("How good?")
    >>> nothing(ax, "no question was answered yet")
    >>> ax.texts[0].get_text()
    'no question was answered yet'
    """
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY)
