"""What a prediction of returns would have earned: less than nothing, after costs."""

from __future__ import annotations

import numpy as np


def worth(name: str, y: np.ndarray, p: np.ndarray, cost_bp: float) -> str:
    """What following the sign of every prediction would have earned, before and after costs, as a sentence.

    Parameters
    ----------
    name
        Model whose predictions they are.
    y, p
        Returns and predictions in bp, shape (m,); NaN where there is no answer. A position is held for one horizon.
    cost_bp
        Price of a round trip: fees and spread, both ways.

    Examples
    --------
    >>> worth("rls", np.array([3.0, -1.0]), np.array([0.5, -0.5]), cost_bp=10.0)[:60]
    'Following the sign of every prediction of rls earns 2.00 bp '
    """
    known = np.isfinite(y)
    gross = float(np.mean(np.sign(p[known]) * y[known])) if known.any() else float("nan")
    strong = known & (np.abs(p) > cost_bp)
    verdict = "not tradable" if gross < cost_bp else "not what we expect: look for a leak before believing it"
    return (
        f"Following the sign of every prediction of {name} earns {gross:.2f} bp per question before costs and "
        f"{gross - cost_bp:.2f} bp after a round trip of {cost_bp:g} bp: {verdict}. "
        f"{strong.mean():.2%} of the predictions are larger than the cost."
    )
