"""Figures of models held against each other on the same questions: one forest plot for all pairs (notebooks 03, 04)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from rtml.core.later import pd
from rtml.plots.style import GREEN, GREY, INK, RED, canvas, need, nothing, robust_limits, styled


@styled
def forest(frames: pd.DataFrame | Mapping[str, pd.DataFrame], what: str = "loss per question", lower: bool = True):
    """Difference of one model and each other with its interval, one row for each pair; what is beyond gets an arrow.

    Parameters
    ----------
    frames
        ``Evaluation.comparisons(name)``: ``mean``, ``low``, ``high`` and ``better``, indexed by the other models; or
        several of them by a word, drawn one below the other.
    what
        What is compared, for the axis.
    lower
        Whether less is better.

    Examples
    --------
    >>> frame = pd.DataFrame({"mean": [-0.2], "low": [-0.3], "high": [-0.1], "better": ["rls"]}, index=["zero"])
    >>> frame.index.name = "rls against"
    >>> ax = forest(frame).axes[0]
    >>> [label.get_text() for label in ax.get_yticklabels()], ax.texts[0].get_text()
    (['zero'], '-0.2 (-0.3 to -0.1)')
    """
    frames = {"": frames} if isinstance(frames, pd.DataFrame) else dict(frames)
    rows = [(f"{other}  {word}".strip(), row) for word, frame in frames.items() for other, row in frame.iterrows()]
    one = next((str(frame.index.name).removesuffix(" against") for frame in frames.values()), "one model")
    figure, [[ax]] = canvas(f"Is {one} better, and how sure is that?", height=1.2 + 0.27 * max(len(rows), 2))
    place = np.arange(len(rows))[::-1]
    if not rows:
        nothing(ax, "no other model")
        return figure
    for frame in frames.values():
        need(frame, ("mean", "low", "high", "better"), "forest")
    found = np.array([[row["low"], row["mean"], row["high"]] for _, row in rows], float)
    won = [GREEN if row["better"] == one else RED if row["better"] else GREY for _, row in rows]
    limits = robust_limits([found[np.isfinite(found).all(1)].ravel()], include=[0.0])
    ax.axvline(0, color=INK, linewidth=1)
    for y, interval, colour in zip(place, found, won, strict=True):
        _pair(ax, y, interval, limits, colour)
    ax.set(xlim=limits, ylim=(-0.6, len(rows) - 0.4))
    ax.set_yticks(place, [name for name, _ in rows])
    better, worse = ("left", "right") if lower else ("right", "left")
    ax.set_xlabel(f"{what}, {one} minus the other: {one} is better {better} of zero (green), worse {worse} (red)")
    return figure


def _pair(ax, y: float, interval: np.ndarray, limits: tuple[float, float], colour: str) -> None:
    """One row of a forest plot: low, mean and high, as far as they lie within the limits, and as text."""
    low, mean, high = interval
    inside = np.clip(np.nan_to_num(interval), *limits)
    beyond = ">" if mean > limits[1] else "<" if mean < limits[0] else "o"
    ax.hlines(y, inside[0], inside[2], color=colour, linewidth=2, alpha=0.6)
    ax.plot(inside[1], y, beyond, color=colour, markersize=6, clip_on=False)
    text = f"{mean:+.3g} ({low:+.3g} to {high:+.3g})" if np.isfinite(high - low) else "too few answers"
    ax.annotate(text, (1.01, y), xycoords=("axes fraction", "data"), va="center", fontsize=9, color=INK)
