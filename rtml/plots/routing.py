"""Figures of tests between versions: what each design costs while it runs, and how often a rule decides falsely."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd

from rtml.plots.style import GREY, PALETTE, canvas, need, nothing, styled


@styled
def cost_and_error(courses: Mapping[str, pd.DataFrame], errors: pd.DataFrame):
    """Right answers missed over requests, a panel a world, and the share of false decisions of each rule.

    Parameters
    ----------
    courses
        By world, a column a design, indexed by requests.
    errors
        One row a rule: ``false`` with ``low`` and ``high``, of tests of arms that are alike.
    """
    need(errors, ("false", "low", "high"), "cost_and_error")
    figure, axes = canvas("What does a test cost, and how often is it wrong?", 1, len(courses) + 1, 4.2)
    for ax, (world, frame) in zip(axes[0], courses.items(), strict=False):
        for colour, name in zip(PALETTE, frame, strict=False):
            ax.plot(frame.index, frame[name], color=colour, label=name)
        ax.set(xlabel="requests", title=world)
    axes[0, 0].set_ylabel("right answers missed")
    last = axes[0, -1]
    if not len(errors):
        nothing(last, "no rule was tried")
        return figure
    place = np.arange(len(errors))[::-1]
    found = errors[["low", "false", "high"]].to_numpy(float).T
    last.barh(place, found[1], color=GREY, height=0.6, xerr=np.abs(found[[0, 2]] - found[1]))
    last.axvline(0.05, color=PALETTE[1], linewidth=1, linestyle=(0, (4, 3)))
    last.set_yticks(place, errors.index)
    last.set(xlabel="share of false decisions", title="arms that are alike (dashed: 5 %)")
    figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return figure
