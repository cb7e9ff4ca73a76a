"""Alerts of a day and the cost of a threshold equal their definitions by brute force."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from metrics.test_rare_class import DAY, fraud_like, scored

from rtml.usecases.fraud import alert_metrics


@given(scored(), st.integers(1, 5), st.integers(1, 9))
def test_alerts_of_a_day_are_its_most_suspicious(data, alerts, a_day):
    at = np.arange(len(data[0])) * (DAY // a_day)
    known = ~np.isnan(data[0])
    found = alert_metrics.alerts_by_day(*data, at, alerts)
    for day, row in zip(np.unique(at[known] // DAY), found.itertuples(), strict=True):
        here = np.flatnonzero(known & (at // DAY == day))
        best = sorted(here, key=lambda i: (-data[1][i], i))[:alerts]
        assert (row.alerts, row.hits, row.ones) == (len(best), data[0][best].sum(), data[0][here].sum())
        assert row.found == pytest.approx(data[0][best].sum() / max(data[0][here].sum(), 1)) or np.isnan(row.found)
    expected = found["precision"].mean() if len(found) else np.nan
    assert alert_metrics.precision_at_alerts(*data, at, alerts) == pytest.approx(expected, nan_ok=True)


def test_a_cost_curve_charges_what_is_missed_and_what_is_looked_at():
    y, p, _ = fraud_like(2)
    amount = np.random.default_rng(1).integers(1, 500, len(y)).astype(float)
    curve = alert_metrics.cost_curve(y, p, amount, alert=3.0, points=50)
    for row in curve.itertuples():
        alarmed = p >= row.threshold
        assert row.alerts == alarmed.sum() and row.caught == y[alarmed].sum()
        assert row.cost == pytest.approx((amount * y)[~alarmed].sum() + 3.0 * alarmed.sum())
    by_hand = min((amount * y)[p < t].sum() + 3.0 * (p >= t).sum() for t in [np.inf, *p])
    assert curve["cost"].min() == pytest.approx(by_hand) and 50 <= len(curve) <= 51


def test_what_cannot_be_judged_is_said():
    with pytest.raises(ValueError, match="alerts a day must be at least one, got 0"):
        alert_metrics.alerts_by_day([1.0], [0.1], [0], 0)
    with pytest.raises(ValueError, match="a cost curve needs labels, and costs that are not negative, got 1 and -1"):
        alert_metrics.cost_curve([1.0], [0.1], 5.0, -1.0)
